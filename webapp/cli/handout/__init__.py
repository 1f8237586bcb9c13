"""`orcid-connect handout`."""
