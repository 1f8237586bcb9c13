"""SAML attribute authority: services query it with a signed AttributeQuery.

Optional, and off unless it is configured. Usually the organisation's own Identity Provider releases the iD; the
authority answers services directly, so each organisation names the services that may query its people.
"""
