"""Handlers of the pages, and the modules that they share."""
