"""Sessions of the stand-ins: a random key in a cookie, and what was told at sign-in."""

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
    """Somebody who is signed in at one service, with the attributes as they were at that moment."""

    person: Person
    attributes: Attributes
    since: datetime


@dataclass(slots=True)
class SessionStore:
    """The sessions of one service; the oldest ones are forgotten."""

    _by_key: OrderedDict[str, Session] = field(default_factory=OrderedDict)

    def create(self, session: Session) -> str:
        """Keep a session and give its key."""
        key = secrets.token_urlsafe(16)
        self._by_key[key] = session
        while len(self._by_key) > MAX_SESSIONS:
            self._by_key.popitem(last=False)
        return key

    def get(self, key: str) -> Session | None:
        """Give the session of a key."""
        return self._by_key.get(key)

    def delete(self, key: str) -> None:
        """Forget a session."""
        self._by_key.pop(key, None)
