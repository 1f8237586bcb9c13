"""Encryption of ORCID's tokens in the database.

Fernet is AES-128-CBC and HMAC-SHA256, with the time of sealing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class CannotOpen(Exception):
    """A sealed pair cannot be opened.

    No configured key has sealed it, or it was moved from another row, or damaged.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidKey(ValueError):
    """The text is not a sealing key."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token and its refresh token; revoking either revokes both."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    """Empty where ORCID gave none."""


def check_key(key: str) -> None:
    """Check that a text is a key: 32 random bytes in URL-safe Base64.

    Raises:
        InvalidKey: If it is not; the message does not quote it.
    """
    try:
        Fernet(key)
    except ValueError:
        raise InvalidKey("is not 32 bytes in URL-safe Base64") from None


class TokenSealer:
    """Seals pairs of tokens with the first of several keys.

    It opens what any of them has sealed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Initialise the sealer.

        Raises:
            InvalidKey: If there is no key, or one is not a key.
        """
        if not keys:
            raise InvalidKey("there is none")
        for each in keys:
            check_key(each)
        fernets = [Fernet(each) for each in keys]
        self._first = fernets[0]
        self._fernet = MultiFernet(fernets)

    def seal(self, token_id: str, pair: TokenPair) -> str:
        """Return the text to be stored in the row with this id."""
        content = {"id": token_id, "access_token": pair.access_token, "refresh_token": pair.refresh_token}
        return self._fernet.encrypt(json.dumps(content).encode()).decode("ascii")

    def open(self, token_id: str, sealed: str) -> TokenPair:
        """Return the pair of a sealed text.

        Args:
            token_id: The id of the row from which the text is.
            sealed: The text.

        Raises:
            CannotOpen: If no key fits, or the text is of another row.
        """
        try:
            content = json.loads(self._fernet.decrypt(sealed))
        except (InvalidToken, ValueError):
            raise CannotOpen("no configured key opens it") from None
        if content["id"] != token_id:
            raise CannotOpen("it was sealed for another row")
        return TokenPair(content["access_token"], content["refresh_token"])

    def opens(self, token_id: str, sealed: str) -> bool:
        """Return whether a sealed text can be opened."""
        try:
            self.open(token_id, sealed)
        except CannotOpen:
            return False
        return True

    def reseal(self, token_id: str, sealed: str) -> str | None:
        """Return the text sealed with the first key; None if it is already.

        Raises:
            CannotOpen: As `open`.
        """
        pair = self.open(token_id, sealed)
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return self.seal(token_id, pair)
        return None
