"""Credentials of the connector: who asks is told by the credential alone, so nobody can ask about others' people."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from shibboleth.organisation import Organisation


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token in an `Authorization: Bearer` header (RFC 6750 section 2.1)."""

    token: str = field(repr=False)

    @property
    def canonical(self) -> str:
        """The form that is compared."""
        return "bearer " + self.token


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and password in an `Authorization: Basic` header (RFC 7617)."""

    user: str
    password: str = field(repr=False)

    @property
    def canonical(self) -> str:
        """The form that is compared."""
        return f"basic {self.user}:{self.password}"


class Credentials:
    """Which organisation a credential belongs to.

    Credentials are long and random, so a fast digest is enough: it hides their length and spelling from the clock,
    and the full digest is compared in constant time.
    """

    __slots__ = ("_by_digest",)

    def __init__(self, pairs: Iterable[tuple[Bearer | Basic, Organisation]]) -> None:
        self._by_digest = {_digest(credential.canonical): organisation for credential, organisation in pairs}

    def organisation(self, authorization: str) -> Organisation | None:
        """Give the organisation of an Authorization header; None when it is nobody's."""
        canonical = _canonical(authorization)
        if canonical is None:
            return None
        digest = _digest(canonical)
        # Every entry is compared, found or not, whatever its place
        found = None
        for known, organisation in self._by_digest.items():
            if hmac.compare_digest(known, digest):
                found = organisation
        return found


def _canonical(authorization: str) -> str | None:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return "bearer " + value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return "basic " + base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _digest(canonical: str) -> bytes:
    return hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).digest()
