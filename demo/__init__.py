"""PLAY. The world around the service, for a demonstration and for tests; no room imports it."""
