"""Simulated surroundings of the service, for demonstration and tests.

No product package imports it.
"""
