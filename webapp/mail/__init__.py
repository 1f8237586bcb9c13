"""E-mail that people asked for."""
