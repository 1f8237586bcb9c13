"""Reading from an SQLite file: a connection for each thread, opened so that it cannot write."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote
from weakref import WeakSet

from sql.engine import Row, Values, unstorable

PATIENCE = 0.1
"""In seconds. Write-ahead logging lets readers read while others write: whoever is kept out is so by something odd."""


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a file that is there, for reading alone."""
    driver = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    driver.row_factory = sqlite3.Row
    # For each thread: the system caches the file as well, and a larger cache of our own was seen to gain nothing
    driver.execute("pragma cache_size = -1000")
    return driver


class _Connection:
    """One thread's connection; closed when the thread is gone."""

    __slots__ = ("__weakref__", "driver")

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver = driver

    def __del__(self) -> None:
        self.driver.close()


class SqliteReader:
    """Reads from an SQLite file. `told` turns an error of the driver into one of ours."""

    def __init__(self, path: Path, texts: Mapping[str, str], told: Callable[[sqlite3.Error], Exception]) -> None:
        self._path = path
        self._queries = texts
        self._told = told
        self._forget()

    def _forget(self) -> None:
        self._own = threading.local()
        self._all: WeakSet[_Connection] = WeakSet()

    def _driver(self) -> sqlite3.Connection:
        try:
            driver: sqlite3.Connection = self._own.connection.driver
        except AttributeError:
            self._own.connection = connection = _Connection(open_to_read(self._path))
            self._all.add(connection)
            return connection.driver
        return driver

    def one(self, query: str, values: Values) -> Row | None:
        """Give the row a query of at most one row finds."""
        if unstorable(values):
            return None
        try:
            row: Row | None = self._driver().execute(self._queries[query], values).fetchone()
        except sqlite3.Error as error:
            raise self._told(error) from None
        return row

    def all(self, query: str, values: Values) -> list[Row]:
        """Give all rows that a query finds."""
        try:
            return self._driver().execute(self._queries[query], values).fetchall()
        except sqlite3.Error as error:
            raise self._told(error) from None

    def close(self) -> None:
        """Close the connections of all threads."""
        connections = list(self._all)
        self._forget()
        for connection in connections:
            connection.driver.close()
