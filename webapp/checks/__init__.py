"""Checks behind `orcid-connect check`."""
