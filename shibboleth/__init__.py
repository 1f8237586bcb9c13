"""People and organisations as the federation describes them.

`handout` renders configuration files for operators of SAML software.
"""
