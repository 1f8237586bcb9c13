"""Deletion: expired data, people who have left, removals by lists, erasures."""
