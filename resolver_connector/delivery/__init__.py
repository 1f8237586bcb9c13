"""The outbox worker: claims, delivers, retries, and runs maintenance jobs."""
