"""Simulate an organisation's identity management.

One receiver for each kind of transfer that uses HTTP.
"""
