"""Authentication of the connector's clients.

The credential alone determines the organisation and the client's rights.

Each credential is kept as a digest under a random key of this process (keyed BLAKE2b) and looked up by that digest. A
client can neither compute nor choose a digest, so the duration of a look-up reveals nothing (docs/decisions/0024).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from shibboleth.organisation import Organisation, OrganisationMisconfigured

_CREDENTIALS = re.compile(r"[ \t]*(?P<scheme>bearer|basic) +(?P<value>[^ \t]+)[ \t]*", re.ASCII | re.IGNORECASE)
"""RFC 9110 section 11.6.2, for the two supported schemes."""


class Right(StrEnum):
    """A permission of a credential; each route of the connector requires one."""

    READ = "read"
    """Look up the iD of an account."""
    FEED = "feed"
    """Fetch the changes, with snapshots of all links, and acknowledge them."""
    DEPROVISION = "deprovision"
    """Remove the links of people who have left."""
    MOVE = "move"
    """Move a link to the account's new key."""
    ATTEST = "attest"
    """Write iDs that the organisation has authenticated itself."""
    TOKENS = "tokens"
    """Fetch access tokens for ORCID that people granted."""
    REVERSE = "reverse"
    """Look up accounts by iD, and list all links."""


@dataclass(frozen=True, slots=True)
class Client:
    """A system of an organisation that has authenticated itself to the connector."""

    organisation: Organisation
    credential: str
    """The name of its credential."""
    rights: frozenset[Right]
    own_changes: bool = False
    """Whether its feed has the changes that it attested itself."""
    source: str | None = None
    """The only system for which it attests iDs; None if it may name any."""
    orcid_client_id: str = ""
    """The organisation's own client at ORCID, if that asks people for permissions."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token in an `Authorization: Bearer` header (RFC 6750 section 2.1)."""

    token: str = field(repr=False)

    @property
    def secret(self) -> bytes:
        """The octets that the client sends after the name of the scheme."""
        return self.token.encode()


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and password in an `Authorization: Basic` header (RFC 7617)."""

    user: str
    password: str = field(repr=False)

    @property
    def secret(self) -> bytes:
        """The octets that the client sends, in base64, after the name of the scheme."""
        return f"{self.user}:{self.password}".encode()


class Credentials:
    """The credentials of all organisations, looked up by digest.

    They are long and random, so a fast digest is enough.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[Bearer | Basic, Client]],
        misconfigured: Iterable[tuple[Bearer | Basic, str]] = (),
        *,
        complete: bool = True,
    ) -> None:
        """Compute the digests.

        Args:
            pairs: Each credential, and the client that has it.
            misconfigured: Credentials of organisations with invalid settings, and the organisation's id.
            complete: False if such an organisation has credentials that could not be read.
        """
        self._key = secrets.token_bytes(32)
        self._known = {self._digest(type(credential), credential.secret): client for credential, client in pairs}
        self._misconfigured = {
            self._digest(type(credential), credential.secret): organisation_id
            for credential, organisation_id in misconfigured
        }
        self.complete = complete

    @property
    def clients(self) -> Collection[Client]:
        """The clients that have a credential."""
        return self._known.values()

    def authenticate(self, authorization: str) -> Client | None:
        """Return the client that an Authorization header's credential belongs to.

        Returns:
            None if it is not valid.

        Raises:
            OrganisationMisconfigured: If it belongs to an organisation with invalid settings.
        """
        found = _CREDENTIALS.fullmatch(authorization)
        if found is None:
            return None
        value = found["value"].encode("utf-8", "surrogateescape")
        try:
            if found["scheme"].lower() == "bearer":
                digest = self._digest(Bearer, value)
            else:
                digest = self._digest(Basic, base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            return None
        if digest not in self._known and digest in self._misconfigured:
            raise OrganisationMisconfigured(self._misconfigured[digest])
        return self._known.get(digest)

    def _digest(self, scheme: type[Bearer | Basic], secret: bytes) -> bytes:
        return hashlib.blake2b(scheme.__name__.encode() + b" " + secret, key=self._key).digest()
