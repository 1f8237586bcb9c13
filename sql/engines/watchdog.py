"""Enforces a deadline for each use of a PostgreSQL connection.

psycopg has no time-out for a server that is silent: stopped, hung, or behind a network that drops every packet. The
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
    """One daemon thread that watches all connections in use.

    The thread ends when no connection is in use.
    """

    def __init__(self) -> None:
        self._watches: dict[socket.socket, float] = {}
        """The deadline of each watch, by a duplicate of its connection's socket."""
        self._changed = Condition()
        self._thread: Thread | None = None
        self._wakes_at = math.inf

    @contextmanager
    def watch(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Shut down a connection's socket unless the block ends within `seconds`."""
        deadline = monotonic() + seconds
        # A duplicate: the number of the connection's own file may belong to another socket once psycopg has closed it
        with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            with self._changed:
                self._watches[duplicate] = deadline
                if self._thread is None or not self._thread.is_alive():
                    self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                    self._thread.start()
                elif deadline < self._wakes_at:
                    self._changed.notify()
            try:
                yield
            finally:
                with self._changed:
                    self._watches.pop(duplicate, None)

    def _run(self) -> None:
        with self._changed:
            while self._watches:
                now = monotonic()
                for duplicate in [each for each, deadline in self._watches.items() if deadline <= now]:
                    del self._watches[duplicate]
                    # Raised where the server has closed the connection meanwhile
                    with suppress(OSError):
                        duplicate.shutdown(socket.SHUT_RDWR)
                self._wakes_at = min(self._watches.values(), default=now)
                self._changed.wait(self._wakes_at - now)
            self._thread = None
