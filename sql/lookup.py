"""Look-up of one person's iD, for logins.

Each look-up is one indexed select on connections that cannot write. While the database is unavailable most look-ups
fail at once, because a login waits for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import ParamSpec, TypeVar

from sql.engines.base import Engine, Row
from sql.errors import StoreUnavailable
from sql.migrate import check_applied

RESET_TIMEOUT = 1.0
"""Seconds for which a database that was unavailable is not tried again."""

P = ParamSpec("P")
T = TypeVar("T")


class CircuitBreaker:
    """Circuit breaker for calls to the database.

    Closed, it passes every call on. After a failure it passes on one call in each `reset_timeout` (half-open).
    """

    def __init__(self, reset_timeout: float = RESET_TIMEOUT, clock: Callable[[], float] = monotonic) -> None:
        self._reset_timeout = reset_timeout
        self._clock = clock
        self._lock = Lock()
        self._next_attempt = 0.0
        self._reason: str | None = None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function and return its result.

        Raises:
            StoreUnavailable: If the function raises it, or raised it before and the breaker is open.
        """
        if self._reason is not None:
            with self._lock:
                now = self._clock()
                if self._reason is not None and now < self._next_attempt:
                    raise StoreUnavailable(self._reason)
                self._next_attempt = now + self._reset_timeout
        try:
            result = function(*args, **kwargs)
        except StoreUnavailable as error:
            with self._lock:
                self._next_attempt, self._reason = self._clock() + self._reset_timeout, error.reason
            raise
        self._reason = None
        return result


class Lookup:
    """Reads current iDs.

    If the database cannot be used, every method raises StoreUnavailable within a second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._breaker = CircuitBreaker()

    def get_current_orcid_id(self, organisation_id: str, person_key: str) -> Row | None:
        """Return a person's current iD, and what is known of the account's holder."""
        values = {"organisation": organisation_id, "person_key": person_key}
        return self._breaker.call(self._engine.fetch_one, "get_current_orcid_id", **values)

    def merged_organisations(self) -> frozenset[str]:
        """Return the ids of the organisations that were merged into others."""
        found = self._breaker.call(self._engine.fetch_all, "list_merged_organisations")
        return frozenset(row["organisation"] for row in found)

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            StoreUnavailable: If it does not.
        """
        self._breaker.call(self._engine.fetch_one, "ping")

    def check_schema(self) -> None:
        """Check that the database has exactly the migrations of this program.

        Raises:
            SchemaBehind: If a migration is missing.
            SchemaAhead: If the database has an unknown one.
            MigrationChanged: If an applied one is not what it was.
        """
        check_applied(self._breaker.call(self._engine.fetch_all, "list_applied_migrations"))

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self._engine.close()
