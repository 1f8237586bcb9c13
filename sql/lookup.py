"""What a login asks: the iD of one person, by one indexed select on connections that cannot write.

While the database is away most questions fail at once, since a login waits behind each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from sql.engines.base import Engine, Row
from sql.errors import StoreUnavailable
from sql.migrate import must_be_known

PAUSE = 1.0
"""Seconds for which a database that was away is not asked again."""


class CircuitBreaker:
    """Lets calls through while they succeed (closed); after a failure, one in each pause (half-open)."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._lock = Lock()
        self._next_try = 0.0
        self._reason: str | None = None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Raise the StoreUnavailable of the last call while the breaker is open; otherwise learn from this call."""
        if self._reason is not None:
            self._take_the_try()
        try:
            yield
        except StoreUnavailable as error:
            with self._lock:
                self._next_try, self._reason = self._clock() + self._pause, error.reason
            raise
        self._reason = None

    def _take_the_try(self) -> None:
        with self._lock:
            now = self._clock()
            if self._reason is not None and now < self._next_try:
                raise StoreUnavailable(self._reason)
            self._next_try = now + self._pause


class Lookup:
    """Reads what is released of each person. Every method raises StoreUnavailable, and soon."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._breaker = CircuitBreaker()

    def of(self, entity_id: str, person_key: str) -> Row | None:
        """Return `registry` and `orcid` of the iD that a person has now."""
        with self._breaker.call():
            return self._engine.fetch_one("get_current_orcid_id", organisation=entity_id, person_key=person_key)

    def ping(self) -> None:
        """Raise StoreUnavailable when the database does not answer."""
        with self._breaker.call():
            self._engine.fetch_one("ping")

    def check_schema(self) -> None:
        """Raise StoreUnavailable, SchemaBehind, SchemaAhead or MigrationChanged unless all is as it should be."""
        with self._breaker.call():
            applied = self._engine.fetch_all("list_applied_migrations")
        must_be_known(applied)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self._engine.close()
