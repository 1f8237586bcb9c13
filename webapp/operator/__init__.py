"""The operator's pages: organisations, incidents, metrics, search for people."""
