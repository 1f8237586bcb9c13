"""OUT. How a stored iD reaches the organisation."""
