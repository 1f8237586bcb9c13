"""The scopes: who may ask for which, in which flow, and the line the person reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GET_ID: Final = "Get your ORCID iD"


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope; `line` is what the authorise page says, `for_public` whether a public client may ask for it."""

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
    """A scope that this client may not ask for here."""


def person_scopes(text: str, *, public_client: bool) -> tuple[str, ...]:
    """Give the scopes to ask a person for. Those of other flows and OpenID's companions are dropped in silence."""
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
    """Give the scopes of a token without a person."""
    scopes = tuple(dict.fromkeys(text.split()))
    allowed = {"/read-public", "/webhook"} if premium else {"/read-public"}
    if not scopes or not allowed.issuperset(scopes):
        raise InvalidScope(" ".join(scope for scope in scopes if scope not in allowed))
    return scopes


def lines(scopes: tuple[str, ...]) -> list[str]:
    """Give what the person reads: each line once."""
    return list(dict.fromkeys(SCOPES[scope].line for scope in scopes))
