"""The attribute authority: services of the federation ask it themselves, by a signed SAML AttributeQuery over SOAP.

An option, off unless it is configured. The usual way is that an organisation's own Identity Provider releases the iD;
here a service gets it from us, so an organisation says by name which services may ask about its people.
"""
