"""OAuth scopes of ORCID that a person can grant."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """A scope of the authorisation code flow.

    Each one also authenticates the person.
    """

    AUTHENTICATE = "/authenticate"
    OPENID = "openid"
    READ_LIMITED = "/read-limited"
    """Read what is visible to trusted parties."""
    ACTIVITIES_UPDATE = "/activities/update"
    """Add, update and delete the client's own works and affiliations."""
    PERSON_UPDATE = "/person/update"
    """Add, update and delete the client's own other names, countries, keywords and links."""


PERMISSIONS = (Scope.READ_LIMITED, Scope.ACTIVITIES_UPDATE, Scope.PERSON_UPDATE)
"""The scopes that permit more than to learn the iD. Only ORCID's members can request them."""


def permissions_in(scope: str) -> tuple[Scope, ...]:
    """Return the permissions of a scope, in the order of `PERMISSIONS`.

    Args:
        scope: Scopes in any order, separated by spaces; unknown ones are left out.
    """
    granted = scope.split()
    return tuple(each for each in PERMISSIONS if each in granted)


def authenticates(scope: str) -> bool:
    """Return whether a granted scope proves that the person has the iD."""
    return not set(Scope).isdisjoint(scope.split())
