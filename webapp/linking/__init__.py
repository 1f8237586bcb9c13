"""Linking of ORCID iDs: the service and the client of ORCID."""
