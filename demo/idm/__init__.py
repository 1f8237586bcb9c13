"""Simulate an organisation's identity management.

It has one receiver for each kind of transfer that uses HTTP.
"""
