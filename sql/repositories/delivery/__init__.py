"""Changes of links, and their deliveries."""
