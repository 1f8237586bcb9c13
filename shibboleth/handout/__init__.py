"""Files for Identity Providers, the Service Provider and services."""
