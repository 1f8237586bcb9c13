"""The operator's pages.

They show status and statistics of the organisations, incidents, metrics, and a search for a person.
"""
