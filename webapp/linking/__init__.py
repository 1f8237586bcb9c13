"""Linking of ORCID iDs: the use cases, and the clients of ORCID."""
