"""Files handed out: for Identity Providers, the Service Provider and consuming services."""
