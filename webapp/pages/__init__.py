"""Page handlers and what they share."""
