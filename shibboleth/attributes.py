"""One table: each attribute of the federation that we read, and the one that organisations release.

The attribute map of the Service Provider (`sp/attribute-map.xml`), its policy and both fronts say the same;
`tests/contract/test_handout_sp_attributes.py` holds them together.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

IDENTITY_PROVIDER = "Shib-Identity-Provider"
"""The name under which mod_shib tells who vouches for the person: the entityID of the Identity Provider."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as the federation defines it and as our Service Provider hands it over."""

    id: str
    """Its id in attribute-map.xml: the variable's or header's name."""
    saml2_name: str
    scoped: bool = False
    """Whether the value ends in `@scope`, which must be one of the organisation's."""
    may_be_key: bool = False
    """Whether it can tell one person from another, for every service alike."""
    ignore_case: bool = False
    """Whether the schema compares its values without regard to case (caseIgnoreMatch)."""
    of_everybody: bool = True
    """Whether our metadata asks every Identity Provider for it; else only those release it who have a reason to."""


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
        # funetEduPerson: when the account behind an eppn was issued; another date means another person
        Attribute("funetEduPersonEPPNTimeStamp", "urn:oid:1.3.6.1.4.1.16161.1.1.24"),
        Attribute("schacHomeOrganization", "urn:oid:1.3.6.1.4.1.25178.1.2.9"),
        # inetOrgPerson, RFC 2798 section 2.3: to greet the person, never to know them by
        Attribute("displayName", "urn:oid:2.16.840.1.113730.3.1.241"),
        Attribute("eduPersonAssurance", "urn:oid:1.3.6.1.4.1.5923.1.1.1.11"),
        # eduPerson 202208, section 2.2.4: who may see the operator's pages, and nothing else of it is looked at
        Attribute("eduPersonEntitlement", "urn:oid:1.3.6.1.4.1.5923.1.1.1.7", of_everybody=False),
        # eduPerson 202208, section 2.2.16: what we are for; seen here, the release works
        Attribute("eduPersonOrcid", "urn:oid:1.3.6.1.4.1.5923.1.1.1.16"),
    )
}

KEYS = tuple(row.id for row in ATTRIBUTES.values() if row.may_be_key)
"""The attributes an organisation may choose to tell its people apart by."""


def fold(value: str) -> str:
    """Give the form in which two spellings of one person's key are equal.

    All attributes that may be a key compare without case (caseIgnoreMatch, or subject-id's own rule), so a
    person is one person however the account's name is typed at sign-in.
    """
    return unicodedata.normalize("NFC", value).casefold()
