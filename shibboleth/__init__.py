"""People and organisations as the federation describes them.

The files that are handed out to operators of SAML software are made here too.
"""
