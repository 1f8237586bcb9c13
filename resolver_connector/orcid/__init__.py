"""ORCID's member side: clients, tokens and their revocation.

The web application and the worker use it.
"""
