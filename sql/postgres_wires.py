"""The connections of one process to a PostgreSQL database: opened when they are needed, kept, and at most so many."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sql.errors import StoreUnavailable
from sql.postgres_wire import Connection, Wire
from sql.waits import IN_PLACE, Places, Waits

MOST_CONNECTIONS = 16
_NONE_FREE = "no connection to the database server: it cannot be reached, refuses us, or all are in use"
_FIRST_PAUSE = 0.05
"""In seconds, before a server that refuses is asked again; each next pause is twice as long."""


class Wires:
    """Connections that wait to be used. `patience` is how many seconds to wait for one, by `waits`."""

    def __init__(
        self,
        url: str,
        connecting: Mapping[str, Any],
        configure: Callable[[Connection], None],
        patience: float,
        waits: Waits = IN_PLACE,
    ) -> None:
        self._url = url
        self._connecting = {**connecting, "connect_timeout": max(2, int(patience))}
        self._configure = configure
        self._patience = patience
        self._waits = waits
        self._idle: deque[Wire] = deque()
        self._places = Places(MOST_CONNECTIONS, waits)

    @contextmanager
    def one(self) -> Iterator[Wire]:
        """Give one to be used by nobody else meanwhile. Raises StoreUnavailable when there is none to be had."""
        if not self._places.take(self._patience):
            raise StoreUnavailable(_NONE_FREE)
        try:
            wire = self._kept() or self._new()
            try:
                yield wire
            except psycopg.errors.FeatureNotSupported:
                # A table has other columns than when a statement was prepared: the next connection knows nothing of it
                wire.connection.close()
                raise
            finally:
                self._put_back(wire)
        finally:
            self._places.give_back()

    def _kept(self) -> Wire | None:
        """Give the one that was used last, if it is still good: a server that went away has said so, or hung up."""
        while self._idle:
            try:
                wire = self._idle.pop()
            except IndexError:  # pragma: no cover - another thread took the last one just now
                return None
            if not wire.has_spoken():
                return wire
            wire.connection.close()
        return None

    def _new(self) -> Wire:
        return Wire(self._waits.afar(self._opened), self._waits)

    def _opened(self) -> Connection:
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                connection: Connection = psycopg.Connection.connect(
                    self._url, **{**self._connecting, "row_factory": dict_row}
                )
            except psycopg.OperationalError:
                if time.monotonic() + pause > deadline:
                    raise StoreUnavailable(_NONE_FREE) from None
                time.sleep(pause)
                pause *= 2
            else:
                self._configure(connection)
                return connection

    def _put_back(self, wire: Wire) -> None:
        if wire.at_rest:
            self._idle.append(wire)
        else:
            wire.connection.close()

    def close(self) -> None:
        """Close those that nobody uses now; those in use are closed with the last that knows of them."""
        while self._idle:
            self._idle.pop().connection.close()
