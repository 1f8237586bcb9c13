"""Checks that the database can be written, not only read."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from threading import Lock
from time import monotonic

from sql.engines.base import Engine
from sql.errors import StoreUnavailable

INTERVAL = 1.0
"""Seconds for which a result is valid, so that health pages cost at most one write a second."""
MAX_DELAY = 5.0
"""Seconds that a write may take before the other threads say that the database does not answer."""
MAX_WAL_BACKLOG = 64 * 1024 * 1024
"""Bytes of the write-ahead log that may wait for a checkpoint; SQLite's own is due at about 4 MB."""


class WriteCheck:
    """Commits a write that changes nothing; its result is shared by all threads."""

    def __init__(self, engine: Engine, interval: float = INTERVAL, clock: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._interval = interval
        self._clock = clock
        self._lock = Lock()
        self._result: int | StoreUnavailable = 0
        self._valid_until = -inf
        self._writing_since: float | None = None

    def run(self) -> int:
        """Return the bytes of the write-ahead log that await a checkpoint.

        While another thread writes, the last result is returned until it is MAX_DELAY seconds out of date. After that,
        and for the first result, the call waits until the write has taken MAX_DELAY seconds: a database that does not
        answer occupies one thread.

        Raises:
            StoreUnavailable: If the write failed, or has not ended in time.
        """
        if self._lock.acquire(timeout=self._longest_wait()):
            try:
                if self._clock() >= self._valid_until:
                    self._writing_since = self._clock()
                    self._result = self._write()
                    self._valid_until = self._clock() + self._interval
            finally:
                self._writing_since = None
                self._lock.release()
        elif not self._usable:
            raise StoreUnavailable("the database does not answer")
        if isinstance(self._result, StoreUnavailable):
            raise StoreUnavailable(self._result.reason)
        return self._result

    @property
    def _usable(self) -> bool:
        return self._clock() < self._valid_until + MAX_DELAY

    def _longest_wait(self) -> float:
        if self._usable:
            return 0
        begun = self._writing_since
        # After an idle hour the last result is out of date, and yet the write has only just begun
        return MAX_DELAY if begun is None else max(0, begun + MAX_DELAY - self._clock())

    def _write(self) -> int | StoreUnavailable:
        try:
            self._engine.check_writable()
            return self._engine.wal_backlog()
        except StoreUnavailable as error:
            return error
