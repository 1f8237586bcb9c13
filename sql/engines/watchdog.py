"""Enforces a deadline for each use of a PostgreSQL connection.

psycopg waits without end for a server that is silent: stopped, hung, or behind a network that drops everything. The
watchdog shuts down the socket of a connection whose deadline has passed, so that the use ends with an error.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Thread
from time import monotonic
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]


class Watchdog:
    """One daemon thread that watches all connections in use, and ends when there are none."""

    def __init__(self) -> None:
        self._deadlines: dict[Connection, float] = {}
        self._changed = Condition()
        self._thread: Thread | None = None
        self._wakes_at = math.inf

    @contextmanager
    def watch(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Shut down the connection's socket if the block has not ended after `seconds`."""
        deadline = monotonic() + seconds
        with self._changed:
            self._deadlines[connection] = deadline
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.pop(connection, None)

    def _run(self) -> None:
        with self._changed:
            while self._deadlines:
                now = monotonic()
                for connection in [each for each, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[connection]
                    _shut_down(connection)
                self._wakes_at = min(self._deadlines.values(), default=now)
                self._changed.wait(self._wakes_at - now)
            self._thread = None


def _shut_down(connection: Connection) -> None:
    # psycopg.Error: the connection was closed meanwhile
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
