"""A day of the nation in fast motion: `make load`."""
