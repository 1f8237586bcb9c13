"""`orcid-connect import`: reading a file of links, and storing it."""
