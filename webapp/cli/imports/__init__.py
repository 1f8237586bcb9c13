"""`orcid-connect import`: read a file of links, and store them."""
