"""The test federation.

Two made-up organisations, and people with unusual names and attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """An organisation's Identity Provider as the federation's metadata shows it."""

    host: str
    name: str
    scope: str
    people: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Attributes by id (those of `shibboleth.attributes`) by account name."""
    key: str = ""
    """The name of its key; its host if empty."""

    @property
    def entity_id(self) -> str:
        return f"https://{self.host}/idp/shibboleth"


def _person(account: str, scope: str, name: str, **more: list[str]) -> dict[str, list[str]]:
    return {
        "eppn": [f"{account}@{scope}"],
        "displayName": [name],
        "schacHomeOrganization": [scope],
        "funetEduPersonEPPNTimeStamp": ["20040826"],
        "eduPersonAssurance": ["https://refeds.org/assurance", "https://refeds.org/assurance/ID/unique"],
        "subject-id": [f"{account}-0001@{scope}"],
        **more,
    }


SAIMAA = IdentityProvider(
    "idp-a.test",
    "Saimaan yliopisto",
    "saimaa.example",
    {
        "maija": _person("maija", "saimaa.example", "Maija Mäkelä"),
        "åke": _person("ake", "saimaa.example", "Åke Öström; professor"),
        "wang": _person("wang", "saimaa.example", "王小明 🎓"),
        "onni": _person("onni", "saimaa.example", "Onni Ääpelä"),
        "veera": _person("veera", "saimaa.example", "Veera Väisänen"),
        "nameless": {"displayName": ["No Identifier"], "schacHomeOrganization": ["saimaa.example"]},
        "twofold": {"eppn": ["first@saimaa.example", "second@saimaa.example"], "displayName": ["Two at Once"]},
        "stranger": _person("maija", "tunturi.example", "Somebody Else's Scope"),
        "newline": _person("rivi", "saimaa.example", "Rivi\neppn: forged@saimaa.example\r\n\r\nVaihto"),
    },
)

TUNTURI = IdentityProvider(
    "idp-b.test",
    "Tunturin korkeakoulu",
    "tunturi.example",
    {
        "liisa": _person(
            "liisa", "tunturi.example", "Liisa Länsi", eduPersonOrcid=["https://orcid.org/0000-0002-1825-0097"]
        )
    },
)

PROVIDERS = (SAIMAA, TUNTURI)


def name_of(provider: IdentityProvider) -> str:
    """The id of an organisation: the name of its file."""
    return provider.scope.partition(".")[0]


def token_of(provider: IdentityProvider) -> str:
    """With what an organisation's Identity Provider asks the connector."""
    return f"token-of-{name_of(provider)}-" + "t" * 32


def idm_token_of(provider: IdentityProvider) -> str:
    """Return the token of an organisation's identity management.

    With it, it fetches changes and deprovisions people.
    """
    return f"token-of-the-idm-of-{name_of(provider)}-" + "t" * 32
