"""The outbox worker: claims, delivers, retries, and runs periodic jobs."""
