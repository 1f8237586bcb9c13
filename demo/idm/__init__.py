"""Stands in for an organisation's identity management: a receiver for every kind of transfer that speaks HTTP."""
