"""The operator's pages: status and statistics of the organisations, incidents, search for a person, metrics."""
