"""KEEP. Where links rest."""
