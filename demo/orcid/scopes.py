"""Scopes, the flows that may request them, and their texts for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GET_ID: Final = "Get your ORCID iD"


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope: its line on the consent page, and who may request it."""

    line: str
    for_public: bool = False
    by_person: bool = True


SCOPES: Final = {
    "/authenticate": Scope(GET_ID, for_public=True),
    "openid": Scope(GET_ID, for_public=True),
    "/read-limited": Scope("Read your information with visibility set to Trusted parties"),
    "/activities/update": Scope("Add/update your research activities (works, affiliations, etc.)"),
    "/person/update": Scope("Add/update information about you (country, keywords, etc.)"),
    "/read-public": Scope("", for_public=True, by_person=False),
    "/webhook": Scope("", by_person=False),
}
COMPANIONS: Final = frozenset({"profile", "email", "address", "phone", "offline_access"})


class InvalidScope(Exception):
    """A scope that the client may not request here."""


def person_scopes(text: str, *, public_client: bool) -> tuple[str, ...]:
    """Parse the scopes of an authorisation request.

    Scopes of other flows and OpenID Connect's standard scopes are dropped without an error.

    Raises:
        InvalidScope: If a scope is unknown or not allowed, or none is left.
    """
    scopes = []
    for word in dict.fromkeys(text.split()):
        scope = SCOPES.get(word)
        if word in COMPANIONS or (scope and not scope.by_person):
            continue
        if scope is None or (public_client and not scope.for_public):
            raise InvalidScope(word)
        scopes.append(word)
    if not scopes:
        raise InvalidScope(text)
    return tuple(scopes)


def client_scopes(text: str, *, premium: bool) -> tuple[str, ...]:
    """Parse the scopes of a client credentials request."""
    scopes = tuple(dict.fromkeys(text.split()))
    allowed = {"/read-public", "/webhook"} if premium else {"/read-public"}
    if not scopes or not allowed.issuperset(scopes):
        raise InvalidScope(" ".join(scope for scope in scopes if scope not in allowed))
    return scopes


def lines(scopes: tuple[str, ...]) -> list[str]:
    """Return the consent page's lines, each once."""
    return list(dict.fromkeys(SCOPES[scope].line for scope in scopes))
