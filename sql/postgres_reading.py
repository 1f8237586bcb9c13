"""Reading from PostgreSQL: a connection for each thread, whose session may only read and knows its statements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg.rows import DictRow, dict_row

from sql.engine import Row, Values, unstorable
from sql.reading import PATIENCE, Outage

_MILLISECONDS = int(PATIENCE * 1000)
# A statement is prepared at its first use: the same few are asked again and again
_CONNECTING: Mapping[str, Any] = {"prepare_threshold": 0, "connect_timeout": 2, "tcp_user_timeout": 2 * _MILLISECONDS}
_SETTING = (
    f"set default_transaction_read_only = on; set statement_timeout = {_MILLISECONDS};"
    f"set lock_timeout = {_MILLISECONDS}"
).encode()


class _Connection:
    """One thread's connection; closed when the thread is gone."""

    __slots__ = ("__weakref__", "driver")

    def __init__(self, driver: psycopg.Connection[DictRow]) -> None:
        self.driver = driver

    def __del__(self) -> None:
        self.driver.close()


class PostgresReader:
    """Reads from a PostgreSQL database. `told` turns an error of the driver into one of ours."""

    def __init__(
        self,
        url: str,
        connecting: Mapping[str, Any],
        texts: Mapping[str, bytes],
        told: Callable[[psycopg.Error], Exception],
    ) -> None:
        self._url = url
        self._connecting = connecting
        self._queries = texts
        self._told = told
        self._outage = Outage()
        self._forget()

    def _forget(self) -> None:
        self._own = threading.local()
        self._all: WeakSet[_Connection] = WeakSet()

    def one(self, query: str, values: Values) -> Row | None:
        """Give the row a query of at most one row finds."""
        rows = self.all(query, values)
        return rows[0] if rows else None

    def all(self, query: str, values: Values) -> list[Row]:
        """Give all rows that a query finds; none where a value is one that cannot have been stored."""
        if unstorable(values):
            return []
        self._outage.must_be_over()
        try:
            rows = self._asked(query, values)
        except psycopg.Error as error:
            told = self._told(error)
            if isinstance(error, psycopg.OperationalError):
                self._outage.began(str(told))
            raise told from None
        self._outage.ended()
        return rows

    def _asked(self, query: str, values: Values) -> list[Row]:
        kept: _Connection | None = getattr(self._own, "connection", None)
        if kept is None:
            return self._asked_of(self._opened(), query, values)
        try:
            return self._asked_of(kept, query, values)
        except psycopg.OperationalError:
            if not kept.driver.closed:
                raise
        # The server was started anew since the last question
        return self._asked_of(self._opened(), query, values)

    def _asked_of(self, connection: _Connection, query: str, values: Values) -> list[Row]:
        return list(connection.driver.execute(self._queries[query], values).fetchall())

    def _opened(self) -> _Connection:
        self._own.connection = None
        words = {**self._connecting, **_CONNECTING, "row_factory": dict_row}
        self._own.connection = connection = _Connection(psycopg.Connection.connect(self._url, **words))
        connection.driver.execute(_SETTING, prepare=False)
        self._all.add(connection)
        return connection

    def close(self) -> None:
        """Close the connections of all threads."""
        connections = list(self._all)
        self._forget()
        for connection in connections:
            connection.driver.close()
