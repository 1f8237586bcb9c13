"""A place in the feed, as a token that nobody but the connector has to understand.

A token is a version, the number of a change, a mark of that change, and a checksum: 24 bytes, in 32 letters. The
checksum is bound to the organisation, so that a token that was mangled on the way, or handed to a neighbour, is told
from one that is good; it is no secret, since the credential alone decides whose changes are given. The mark tells when
a number has been given twice, as after a backup was restored.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from resolver_connector.http import BadRequest
from sql.records import Change

_VERSION = b"\x01"
_NUMBER, _MARK, _SUM = 7, 6, 10
_BYTES = len(_VERSION) + _NUMBER + _MARK + _SUM
_UNMARKED = bytes(_MARK)


@dataclass(frozen=True, slots=True)
class Cursor:
    """After which change to go on."""

    number: int
    mark: bytes = _UNMARKED
    """Of the change of this number; zeros where it was not kept when the token was made, or where there is none."""

    @classmethod
    def at(cls, change: Change) -> Cursor:
        """Give the place right after a change."""
        return cls(change.number, _digest(change.id, _MARK))

    def fits(self, change: Change) -> bool:
        """Tell whether the change that now has this number is the one it was."""
        return self.mark in {_UNMARKED, _digest(change.id, _MARK)}

    def token(self, entity_id: str) -> str:
        """Write it for this organisation."""
        said = _VERSION + self.number.to_bytes(_NUMBER, "big") + self.mark
        return base64.urlsafe_b64encode(said + _checksum(said, entity_id)).decode()


def position_of(token: object, entity_id: str) -> Cursor:
    """Read a token of this organisation. Raises BadRequest."""
    if not isinstance(token, str) or not _good(token, entity_id):
        raise BadRequest("this is no token of your organisation: give back a `next` as it was given, or start over")
    said = base64.urlsafe_b64decode(token)[len(_VERSION) :]
    return Cursor(int.from_bytes(said[:_NUMBER], "big"), said[_NUMBER : _NUMBER + _MARK])


def _good(token: str, entity_id: str) -> bool:
    if not token.isascii():
        return False
    try:
        octets = base64.urlsafe_b64decode(token)
    except ValueError:
        return False
    # The decoder passes over what is no letter of it, so that several texts would be one token
    if len(octets) != _BYTES or base64.urlsafe_b64encode(octets).decode() != token:
        return False
    said, checksum = octets[:-_SUM], octets[-_SUM:]
    return said.startswith(_VERSION) and checksum == _checksum(said, entity_id)


def _checksum(said: bytes, entity_id: str) -> bytes:
    return hashlib.sha256(said + entity_id.encode()).digest()[:_SUM]


def _digest(text: str, length: int) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:length]
