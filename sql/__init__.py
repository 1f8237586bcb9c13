"""Persistence: the store, its repositories and engines."""
