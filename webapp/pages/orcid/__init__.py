"""Pages of what is done at ORCID on a person's behalf."""
