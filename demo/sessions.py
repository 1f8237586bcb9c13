"""Sessions of the simulated service providers.

A session is found by a random key in a cookie, and has the attributes of the sign-in.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from demo.identity_provider import Attributes
from demo.people import Person

MAX_SESSIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """A person signed in at one service, with the attributes of the sign-in."""

    person: Person
    attributes: Attributes
    since: datetime


@dataclass(slots=True)
class SessionStore:
    """Sessions of one service, in memory.

    Beyond `MAX_SESSIONS` the oldest session is dropped.
    """

    _by_key: OrderedDict[str, Session] = field(default_factory=OrderedDict)

    def create(self, session: Session) -> str:
        """Store a session and return its key."""
        key = secrets.token_urlsafe(16)
        self._by_key[key] = session
        while len(self._by_key) > MAX_SESSIONS:
            self._by_key.popitem(last=False)
        return key

    def get(self, key: str) -> Session | None:
        """Return the session of a key, or None."""
        return self._by_key.get(key)

    def delete(self, key: str) -> None:
        """Delete a session, if it exists."""
        self._by_key.pop(key, None)
