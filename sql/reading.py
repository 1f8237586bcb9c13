"""Reading for whoever only reads, at each sign-in of each organisation: what an Identity Provider asks for.

A reader has one connection for each thread that asks, and the connection itself cannot write. It does not wait for a
database that is away, since behind each question somebody waits to sign in: it says so at once, and looks again a
moment later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from sql.engine import Row, Values
from sql.errors import StoreUnavailable
from sql.migrate import must_be_known

PATIENCE = 1.0
"""How many seconds a question may take."""
PAUSE = 1.0
"""How many seconds a database that was away is left alone."""


class Reader(Protocol):
    """Runs the queries of `queries/*.sql`; each raises StoreUnavailable, and soon."""

    def one(self, query: str, values: Values) -> Row | None:
        """Give the row a query of at most one row finds."""

    def all(self, query: str, values: Values) -> list[Row]:
        """Give all rows that a query finds."""

    def close(self) -> None:
        """Let go of all connections. The next use opens new ones."""


class Lookup:
    """What is released of each person, and whether that can be told."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of(self, entity_id: str, person_key: str) -> Row | None:
        """Give `registry` and `orcid` of the iD a person has now: one read by an index. Raises StoreUnavailable."""
        return self._reader.one("orcid_of", {"organisation": entity_id, "person_key": person_key})

    def must_answer(self) -> None:
        """Raise StoreUnavailable, and soon, when nothing can be told."""
        self._reader.one("answering", {})

    def must_be_ready(self) -> None:
        """Raise StoreUnavailable, SchemaBehind, SchemaAhead or MigrationChanged unless all is as it should be."""
        must_be_known(self._reader.all("applied_migrations", {}))

    def close(self) -> None:
        """Let go of all connections."""
        self._reader.close()


class Outage:
    """Remembers for a moment that a server is away, so that of all who ask only one waits to find out again."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0
        self._reason = ""

    def must_be_over(self) -> None:
        """Raise StoreUnavailable while it lasts; once in a while let one through who may find it over."""
        if not self._reason:
            return
        with self._lock:
            now = self._clock()
            if self._reason and now < self._until:
                raise StoreUnavailable(self._reason)
            self._until = now + self._pause

    def began(self, reason: str) -> None:
        """Note that the server did not answer."""
        with self._lock:
            self._until, self._reason = self._clock() + self._pause, reason

    def ended(self) -> None:
        """Note that the server answers."""
        self._reason = ""
