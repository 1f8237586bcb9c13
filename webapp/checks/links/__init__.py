"""Checks of people's links."""
