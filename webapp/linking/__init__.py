"""Linking an ORCID iD: the service, ORCID's OAuth client, ORCID's recent status."""
