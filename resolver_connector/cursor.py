"""Cursors of the feed.

A cursor is the position after a change, encoded for one organisation. It has 24 bytes in 32 characters of base64url: a
version, the number of a change, a digest of that change's id, and a checksum bound to the organisation. The checksum
detects a cursor that was damaged or belongs to another organisation; it is not a secret, since the credential alone
decides whose changes are returned. The digest detects that a number was given twice, as after a backup was restored.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from resolver_connector.http import BadRequest
from sql.records import Change

_VERSION = b"\x01"
_NUMBER, _DIGEST, _CHECKSUM = 7, 6, 10
_LENGTH = len(_VERSION) + _NUMBER + _DIGEST + _CHECKSUM
_NO_DIGEST = bytes(_DIGEST)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position in the feed right after a change."""

    number: int
    digest: bytes = _NO_DIGEST
    """Of the change's id; zeros where there was no such change when the cursor was made."""

    @classmethod
    def after(cls, change: Change) -> Cursor:
        """Return the position right after a change."""
        return cls(change.number, _hash(change.id, _DIGEST))

    @classmethod
    def decode(cls, text: object, organisation_id: str) -> Cursor:
        """Decode a cursor of this organisation.

        Raises:
            BadRequest: If the text is not a cursor of this organisation.
        """
        if isinstance(text, str) and text.isascii():
            try:
                octets = base64.urlsafe_b64decode(text)
            except ValueError:
                octets = b""
            content, checksum = octets[:-_CHECKSUM], octets[-_CHECKSUM:]
            # The decoder ignores characters outside its alphabet, so several texts would be the same cursor
            canonical = len(octets) == _LENGTH and base64.urlsafe_b64encode(octets).decode() == text
            if canonical and content.startswith(_VERSION) and checksum == _checksum(content, organisation_id):
                number, digest = content[len(_VERSION) : -_DIGEST], content[-_DIGEST:]
                return cls(int.from_bytes(number, "big"), digest)
        raise BadRequest("this is not a cursor of your organisation; send `next_cursor` unchanged, or start over")

    def encode(self, organisation_id: str) -> str:
        """Encode the position for this organisation."""
        content = _VERSION + self.number.to_bytes(_NUMBER, "big") + self.digest
        return base64.urlsafe_b64encode(content + _checksum(content, organisation_id)).decode()

    def matches(self, change: Change) -> bool:
        """Return whether a change is the one for which the cursor was made.

        After a restored backup another change may have the cursor's number.
        """
        return self.digest in {_NO_DIGEST, _hash(change.id, _DIGEST)}


def _checksum(content: bytes, organisation_id: str) -> bytes:
    return hashlib.sha256(content + organisation_id.encode()).digest()[:_CHECKSUM]


def _hash(text: str, length: int) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:length]
