"""Configuration: reading, validating, one module per section."""
