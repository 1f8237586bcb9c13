"""Simulate an organisation's identity management: one receiver for each kind of transfer that uses HTTP."""
