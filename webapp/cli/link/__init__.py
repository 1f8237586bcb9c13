"""`orcid-connect link`."""
