"""Identities: people and organisations as the federation describes them, and the files handed out."""
