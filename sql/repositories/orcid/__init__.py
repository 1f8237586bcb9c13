"""Repositories of what concerns ORCID: tokens, and states of records."""
