"""The made-up organisations and people of the demonstration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Organisation:
    """A home organisation of the federation, connected to the service or not."""

    id: str
    names: Mapping[str, str]
    """By language code: en, fi, sv."""
    scope: str
    connected: bool = True

    @property
    def entity_id(self) -> str:
        """The entityID of its Identity Provider."""
        return f"https://idp.{self.scope}/idp/shibboleth"


@dataclass(frozen=True, slots=True)
class Person:
    """A person who can sign in; `account` is the part before the scope."""

    account: str
    name: str
    organisation: Organisation
    about: str
    has_eppn: bool = True
    affiliation: str = "staff"
    """The part of eduPersonScopedAffiliation before the scope."""
    subject_id: str = ""
    """Empty if the organisation releases none."""

    @property
    def eppn(self) -> str:
        """The eduPersonPrincipalName; empty if the organisation releases none."""
        return f"{self.account}@{self.organisation.scope}" if self.has_eppn else ""

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Attributes that the organisation releases from its own directory."""
        release_attributes = {
            "eppn": self.eppn,
            "displayName": self.name,
            "schacHomeOrganization": self.organisation.scope,
            "funetEduPersonEPPNTimeStamp": "20190826" if self.has_eppn else "",
            "subject-id": self.subject_id,
            "eduPersonScopedAffiliation": f"{self.affiliation}@{self.organisation.scope}",
        }
        return {name: (value,) for name, value in release_attributes.items() if value}


NORTH: Final = Organisation(
    "pohjoinen",
    {"en": "University of the North", "fi": "Pohjoinen yliopisto", "sv": "Norra universitetet"},
    "pohjoinen.example",
)
ARCHIPELAGO: Final = Organisation(
    "saaristo",
    {"en": "Archipelago College", "fi": "Saaristo-opisto", "sv": "Skärgårdsinstitutet"},
    "saaristo.example",
)
WILDERNESS: Final = Organisation(
    "eramaa",
    {"en": "Wilderness Academy of Arts", "fi": "Erämaan taidekorkeakoulu", "sv": "Ödemarkens konsthögskola"},
    "eramaa.example",
    connected=False,
)
ORGANISATIONS: Final = (NORTH, ARCHIPELAGO, WILDERNESS)

OPERATOR: Final = "olli"
# Each person but the operator has a record of the same name in the ORCID simulator.
PEOPLE: Final = {
    person.account: person
    for person in (
        Person("maija", "Maija Meikäläinen", NORTH, "A researcher; begin with her."),
        Person("hanako", "花子 試験", NORTH, "Her name is not in Latin letters."),
        Person("vaino", "Väinö Välilyönti", NORTH, "His organisation sends no eppn.", has_eppn=False),
        Person(OPERATOR, "Olli Operaattori", NORTH, "He looks after the service; its figures are at /operator."),
        Person("ake", "Åke Öström", ARCHIPELAGO, "A researcher of another organisation."),
        Person("piia", "Piia Piilonen", ARCHIPELAGO, "Her name is not public at ORCID."),
        Person("katri", "Katri Esimerkki", WILDERNESS, "Her organisation is not connected."),
    )
}
