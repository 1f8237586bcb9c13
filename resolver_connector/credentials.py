"""Credentials of the connector: who asks is told by the credential alone, so nobody can ask about others' people.

All that can be done at start is done then: each credential is written as the header that it comes in, and kept by a
digest of that header under a key that this process has drawn and nobody knows. A header that comes is digested in the
same way; a part of its digest finds the place in a table, and the rest is compared in constant time. So the work is the
same for one organisation and for a thousand, and how long it takes says nothing about any credential: without the key
nobody can steer a guess towards a place (docs/decisions tells more).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from shibboleth.organisation import Organisation

_CREDENTIALS = re.compile(r"[ \t]*(?P<scheme>bearer|basic) +(?P<value>[^ \t]+)[ \t]*", re.ASCII | re.IGNORECASE)
"""RFC 9110 section 11.6.2, for the two schemes that are taken."""
_PLACE = 16
"""How many octets of a digest find its place; as many again are compared."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token in an `Authorization: Bearer` header (RFC 6750 section 2.1)."""

    token: str = field(repr=False)

    @property
    def header(self) -> str:
        """The header as it is usually written."""
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and password in an `Authorization: Basic` header (RFC 7617)."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The header as it is usually written."""
        return _basic(f"{self.user}:{self.password}".encode())


class Credentials:
    """Which organisation a credential belongs to. Credentials are long and random, so a fast digest is enough."""

    __slots__ = ("_key", "_known", "_nobody")

    def __init__(self, pairs: Iterable[tuple[Bearer | Basic, Organisation]]) -> None:
        self._key = secrets.token_bytes(32)
        # Whoever is at no place is compared as well, with something that nothing is equal to
        self._nobody: tuple[bytes, Organisation | None] = (secrets.token_bytes(_PLACE), None)
        self._known: dict[bytes, tuple[bytes, Organisation | None]] = {}
        for credential, organisation in pairs:
            digest = self._digest(credential.header)
            self._known[digest[:_PLACE]] = digest[_PLACE:], organisation

    def organisation(self, authorization: str) -> Organisation | None:
        """Give the organisation of an Authorization header; None when it is nobody's."""
        found = self._found(authorization)
        if found is None:
            usual = _usual(authorization)
            if usual is not None and usual != authorization:
                return self._found(usual)
        return found

    def _found(self, header: str) -> Organisation | None:
        digest = self._digest(header)
        rest, organisation = self._known.get(digest[:_PLACE], self._nobody)
        return organisation if hmac.compare_digest(rest, digest[_PLACE:]) else None

    def _digest(self, header: str) -> bytes:
        return blake2b(header.encode("utf-8", "surrogateescape"), key=self._key, digest_size=2 * _PLACE).digest()


def _usual(authorization: str) -> str | None:
    """Write a header as it is usually written; None for one that is of no scheme of ours."""
    found = _CREDENTIALS.fullmatch(authorization)
    if found is None:
        return None
    if found["scheme"].lower() == "bearer":
        return f"Bearer {found['value']}"
    try:
        return _basic(base64.b64decode(found["value"], validate=True))
    except (binascii.Error, ValueError):
        return None


def _basic(user_and_password: bytes) -> str:
    return f"Basic {base64.b64encode(user_and_password).decode()}"
