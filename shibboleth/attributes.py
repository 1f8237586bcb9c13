"""The attributes that are read at sign-in, and the comparison of accounts.

The Service Provider's attribute map and policy, and the Apache configurations, must have the same attributes;
`tests/contract/test_handout_sp_attributes.py` compares them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

IDENTITY_PROVIDER = "Shib-Identity-Provider"
"""The name under which mod_shib exports the entityID of the Identity Provider."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute: its schema name, and its id in the SP's attribute-map.xml."""

    id: str
    """The id in attribute-map.xml, which is the name of the variable or header."""
    saml2_name: str
    scoped: bool = False
    """Whether values end in `@scope`, with a scope of the organisation."""
    may_be_key: bool = False
    """Whether it identifies a person, with the same value for every service."""
    ignore_case: bool = False
    """Whether its values compare without case (caseIgnoreMatch)."""
    in_metadata: bool = True
    """Whether the SP's metadata requests it."""


ATTRIBUTES = {
    row.id: row
    for row in (
        # eduPerson 202208, section 2.2.8
        Attribute("eppn", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6", scoped=True, may_be_key=True, ignore_case=True),
        # SAML V2.0 Subject Identifier Attributes Profile 1.0, section 3.3
        Attribute(
            "subject-id",
            "urn:oasis:names:tc:SAML:attribute:subject-id",
            scoped=True,
            may_be_key=True,
            ignore_case=True,
        ),
        # eduPerson 202208, section 2.2.10
        Attribute(
            "eduPersonUniqueId",
            "urn:oid:1.3.6.1.4.1.5923.1.1.1.13",
            scoped=True,
            may_be_key=True,
            ignore_case=True,
        ),
        # eduPerson 202208, section 2.2.9: earlier eppns of the same person
        Attribute("eduPersonPrincipalNamePrior", "urn:oid:1.3.6.1.4.1.5923.1.1.1.12", scoped=True, ignore_case=True),
        # funetEduPerson: when the account was issued; another date means that the eppn was reassigned
        Attribute("funetEduPersonEPPNTimeStamp", "urn:oid:1.3.6.1.4.1.16161.1.1.24"),
        Attribute("schacHomeOrganization", "urn:oid:1.3.6.1.4.1.25178.1.2.9"),
        # inetOrgPerson, RFC 2798 section 2.3: for display only
        Attribute("displayName", "urn:oid:2.16.840.1.113730.3.1.241"),
        Attribute("eduPersonAssurance", "urn:oid:1.3.6.1.4.1.5923.1.1.1.11"),
        # eduPerson 202208, section 2.2.4: for the access to the operator's pages only
        Attribute("eduPersonEntitlement", "urn:oid:1.3.6.1.4.1.5923.1.1.1.7", in_metadata=False),
        # eduPerson 202208, section 2.2.9: for the affiliation on ORCID records only, as are the two after it
        Attribute("eduPersonScopedAffiliation", "urn:oid:1.3.6.1.4.1.5923.1.1.1.9", scoped=True, in_metadata=False),
        # RFC 4519, sections 2.20 and 2.38
        Attribute("ou", "urn:oid:2.5.4.11", in_metadata=False),
        Attribute("title", "urn:oid:2.5.4.12", in_metadata=False),
        # eduPerson 202208, section 2.2.16: present once the organisation releases the iD
        Attribute("eduPersonOrcid", "urn:oid:1.3.6.1.4.1.5923.1.1.1.16"),
    )
}

AFFILIATION_DETAILS = ("ou", "title")
"""The attributes from which an organisation may choose the department and the title of an employment."""
KEYS = tuple(row.id for row in ATTRIBUTES.values() if row.may_be_key)
"""The attributes that an organisation may choose as its key attribute."""


def fold(account: str) -> str:
    """Return the form in which all spellings of one account are equal.

    Canonical caseless matching (Unicode, section 3.13, D145), in NFC. All key attributes compare without case
    (caseIgnoreMatch, or subject-id's own rule), so letter case at sign-in makes no difference.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", account).casefold())
