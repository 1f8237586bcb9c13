"""Checks that the database can be written, not only read."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic

from sql.engines.base import Engine
from sql.errors import StoreUnavailable

INTERVAL = 1.0
"""Seconds for which a result is valid, so that health pages cost at most one write a second."""
MAX_WAL_BACKLOG = 64 * 1024 * 1024
"""Bytes of the write-ahead log that may wait for a checkpoint; SQLite's own is due at about 4 MB."""


class WriteCheck:
    """Commits a write that changes nothing. The result is shared by the threads of a process."""

    def __init__(self, engine: Engine, interval: float = INTERVAL, clock: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._interval = interval
        self._clock = clock
        self._lock = Lock()
        self._valid_until = 0.0
        self._result: int | StoreUnavailable | None = None

    def run(self) -> int:
        """Return the size of the write-ahead log that waits for a checkpoint, in bytes.

        While another thread writes, the last result is returned: a database that does not answer occupies one thread.

        Raises:
            StoreUnavailable: If the write failed.
        """
        if self._lock.acquire(blocking=self._result is None):
            try:
                if self._result is None or self._clock() >= self._valid_until:
                    self._result = self._write()
                    self._valid_until = self._clock() + self._interval
            finally:
                self._lock.release()
        if isinstance(self._result, StoreUnavailable):
            raise StoreUnavailable(self._result.reason)
        return self._result or 0

    def _write(self) -> int | StoreUnavailable:
        try:
            self._engine.check_writable()
            return self._engine.wal_backlog()
        except StoreUnavailable as error:
            return error
