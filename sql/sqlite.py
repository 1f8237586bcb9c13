"""SQLite, opened through sqlite-utils: one file, a few connections, many readers and one writer.

Write-ahead logging lets readers read while one writes. A commit waits for the disk (`synchronous = full`) only where
a transaction asks for it; what `brief` writes is safe from a killed process, and reaches the disk with the next
commit that waits.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlite_utils

from sql.engine import Question, Row, Session, Values, queries, unstorable
from sql.errors import InPlainWords, StoreUnavailable, Unstorable
from sql.forks import forks
from sql.sqlite_disk import MOST_PAGES, Disk
from sql.sqlite_reading import SqliteReader
from sql.waits import IN_PLACE, Places, Waits

REASONS = {
    sqlite3.SQLITE_BUSY: "the database is locked by another process",
    sqlite3.SQLITE_LOCKED: "the database is locked by another process",
    sqlite3.SQLITE_PROTOCOL: "the database is locked by another process",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_READONLY: "the database file cannot be written to",
    sqlite3.SQLITE_PERM: "the database file cannot be written to",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    sqlite3.SQLITE_ERROR: "the database does not know a statement of this program; run: orcid-connect check",
}
"""What SQLite's primary result codes mean to whoever has to mend it (https://www.sqlite.org/rescode.html)."""


_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""In seconds, before what another process's lock forbade is tried again; each next pause is twice as long."""

_Found = TypeVar("_Found")


def _told(error: sqlite3.Error) -> StoreUnavailable:
    code = _code(error)
    return StoreUnavailable(REASONS.get(code, f"the database answered with SQLite's code {code}"))


_in_plain_words = InPlainWords(sqlite3.IntegrityError, sqlite3.Error, _told)


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


class _Connection:
    """A connection, for one at a time; closed, at the latest, when nobody knows of it any more."""

    __slots__ = ("database", "driver", "durable")

    def __init__(self, path: Path, patience: float) -> None:
        # mode=rw: a file is made by `create` alone, so that looking never leaves an empty one behind
        driver = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        self.driver = driver
        driver.row_factory = sqlite3.Row
        self.database = sqlite_utils.Database(driver, recursive_triggers=False, execute_plugins=False)
        self.database.enable_wal()
        driver.execute("pragma foreign_keys = on")
        driver.execute("pragma secure_delete = on")
        driver.execute(f"pragma wal_autocheckpoint = {MOST_PAGES}")
        self.durable = True
        self.wait_for_the_disk(durable=False)

    def wait_for_the_disk(self, durable: bool) -> None:
        """Say whether the commits that follow are on the disk when they end."""
        if self.durable is not durable:
            self.driver.execute("pragma synchronous = full" if durable else "pragma synchronous = normal")
            self.durable = durable

    def __del__(self) -> None:
        if hasattr(self, "driver"):
            self.driver.close()


def _one_by_one(driver: sqlite3.Connection, text: str, values: Values) -> Iterator[Row]:
    with _in_plain_words:
        yield from driver.execute(text, values)


class SqliteSession:
    """Runs named statements on one connection."""

    __slots__ = ("_driver", "_queries")

    def __init__(self, driver: sqlite3.Connection, texts: Mapping[str, str]) -> None:
        self._driver = driver
        self._queries = texts

    def all(self, query: str, values: Values) -> list[Row]:
        """Give all rows that a query finds; none where a value is one that cannot have been stored."""
        if unstorable(values):
            return []
        return self._driver.execute(self._queries[query], values).fetchall()

    def ask(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries and give the rows that each finds."""
        return [self.all(query, values) for query, values in questions]

    def run(self, query: str, **values: str | int | None) -> int:
        """Run a statement and tell how many rows it touched."""
        if name := unstorable(values):
            raise Unstorable(name)
        return self._driver.execute(self._queries[query], values).rowcount

    def post(self, query: str, **values: str | int | None) -> None:
        """Run a statement of which nothing is to be learnt."""
        self.run(query, **values)

    def many(self, query: str, all_values: Sequence[Values]) -> int:
        """Insert several rows by the query that inserts one, and tell how many went in."""
        return self._driver.executemany(self._queries[query], all_values).rowcount

    def script(self, text: str) -> None:
        """Run several statements one by one: `executescript` would commit before the first."""
        statement = ""
        for part in text.split(";")[:-1]:
            statement += f"{part};"
            if sqlite3.complete_statement(statement):
                self._driver.execute(statement)
                statement = ""


class Sqlite:
    """An SQLite file. `patience` is how many seconds to wait for another writer; it is waited for by `waits`."""

    def __init__(self, path: Path, patience: float = 5.0, waits: Waits = IN_PLACE) -> None:
        self._path = path
        self._patience = patience
        self._waits = waits
        self._queries = queries("sqlite3")
        self._disk = Disk(waits)
        self._forget_connections()

    def _forget_connections(self) -> None:
        self._forks = forks()
        self._idle: deque[_Connection] = deque()
        self._writer = Places(1, self._waits)

    def _forget_parents(self) -> None:
        """After a fork: SQLite forbids the child to use, or even to close, its parent's connections."""
        if self._forks != forks():  # pragma: no cover - seen in the child process of a test alone
            self._parents = self._idle
            self._forget_connections()

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """Give a connection to be used by nobody else meanwhile.

        It is the one that was used last: what it has read of the file it need not read again, unless another wrote.
        """
        self._forget_parents()
        connection, idle = self._taken(), self._idle
        try:
            yield connection
        finally:
            self._put_back(connection, idle)

    def _taken(self) -> _Connection:
        try:
            return self._idle.pop()
        except IndexError:
            # SQLite itself does not wait on it: it is we who do, so that it can be known
            return self._patiently(lambda: _Connection(self._path, 0))

    def _put_back(self, connection: _Connection, idle: deque[_Connection]) -> None:
        # After `close` there are others to be idle, and this one ends here; so does one whose transaction would not
        if idle is self._idle and not connection.driver.in_transaction:
            idle.append(connection)
        else:
            connection.driver.close()

    @contextmanager
    def _apart(self) -> Iterator[_Connection]:
        """Give a connection that nothing else uses, on which SQLite itself waits."""
        connection = _Connection(self._path, self._patience)
        try:
            yield connection
        finally:
            connection.driver.close()

    def _patiently(self, act: Callable[[], _Found], until: float | None = None) -> _Found:
        """Do what a lock of another process may forbid for a while, again and again as long as there is patience."""
        until = time.monotonic() + self._patience if until is None else until
        pause = _FIRST_PAUSE
        while True:
            try:
                return act()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            self._waits.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @contextmanager
    def _writing(self, *, durable: bool) -> Iterator[tuple[sqlite3.Connection, float]]:
        """Be this process's writer, of whom SQLite has one at a time; gives also until when there is patience."""
        self._forget_parents()
        until = time.monotonic() + self._patience
        # This very place is given back: after `close` there is another
        writer, idle = self._writer, self._idle
        if not writer.take(self._patience):
            raise StoreUnavailable("the database is locked by another writer")
        try:
            connection = self._taken()
            try:
                connection.wait_for_the_disk(durable)
                yield connection.driver, until
            finally:
                self._put_back(connection, idle)
        finally:
            writer.give_back()

    @contextmanager
    def _session(self) -> Iterator[SqliteSession]:
        with self._connection() as connection:
            yield SqliteSession(connection.driver, self._queries)

    def one(self, query: str, **values: str | int | None) -> Row | None:
        """Give the row a query of at most one row finds."""
        rows = self.all(query, **values)
        return rows[0] if rows else None

    def all(self, query: str, **values: str | int | None) -> list[Row]:
        """Give all rows that a query finds."""
        with _in_plain_words, self._session() as session:
            return self._patiently(lambda: session.all(query, values))

    def together(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries and give the rows that each finds."""
        with _in_plain_words, self._session() as session:
            return self._patiently(lambda: session.ask(*questions))

    @contextmanager
    def reading(self, query: str, **values: str | int | None) -> Iterator[Iterator[Row]]:
        """Give the rows that a query finds one after the other, from a connection that nothing else uses."""
        if unstorable(values):
            yield iter(())
            return
        with _in_plain_words, self._apart() as connection:
            yield _one_by_one(connection.driver, self._queries[query], values)

    def brief(self, query: str, **values: str | int | None) -> int:
        """Run one statement by itself, without waiting for the disk."""
        return self._by_itself(lambda session: session.run(query, **values))

    def brief_one(self, query: str, **values: str | int | None) -> Row | None:
        """Run one statement by itself, without waiting for the disk, and give the row that it returns."""
        found = self._by_itself(lambda session: session.all(query, values))
        return found[0] if found else None

    def _by_itself(self, act: Callable[[SqliteSession], _Found]) -> _Found:
        with _in_plain_words, self._writing(durable=False) as (driver, until):
            session = SqliteSession(driver, self._queries)
            self._disk.count()
            return self._patiently(lambda: act(session), until)

    def transaction(self) -> AbstractContextManager[Session]:
        """All or nothing, on the disk when it ends; the one writer from its first moment on."""
        return self._begun(durable=True)

    alone = transaction
    """There is only ever one writer, and none is hurried."""

    def in_turn(self) -> AbstractContextManager[Session]:
        """Give a transaction that does not wait for the disk."""
        return self._begun(durable=False)

    @contextmanager
    def _begun(self, *, durable: bool) -> Iterator[Session]:
        with _in_plain_words, self._writing(durable=durable) as (driver, until):
            self._patiently(lambda: driver.execute("begin immediate"), until)
            try:
                yield SqliteSession(driver, self._queries)
                self._disk.commit(driver, durable=durable)
            except BaseException:
                # Some errors (a full disk) have already undone the transaction
                if driver.in_transaction:
                    driver.execute("rollback")
                raise

    def scrub(self) -> bool:
        """Write the file anew, and empty the write-ahead log.

        `secure_delete` overwrites deleted rows with zeros, but copies of them stay where pages were rearranged.
        """
        with _in_plain_words, self._apart() as connection:
            driver = connection.driver
            driver.execute("vacuum")
            (busy, *_) = driver.execute("pragma wal_checkpoint(truncate)").fetchone()
            return not busy

    def learn(self) -> None:
        """Do nothing: without statistics SQLite takes the index that knows most of what is asked, the right one."""

    def tables(self) -> set[str]:
        """Give the names of the tables there are; none where there is no file yet."""
        if not self._is_there():
            return set()
        with _in_plain_words, self._apart() as connection:
            return set(connection.database.table_names())

    def _is_there(self) -> bool:
        try:
            return self._path.exists()
        except OSError:
            raise StoreUnavailable(REASONS[sqlite3.SQLITE_CANTOPEN]) from None

    def create(self) -> None:
        """Make the file, readable and writable by nobody else, in a directory that exists."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        except FileNotFoundError:
            raise StoreUnavailable("the directory of the database file does not exist") from None
        except OSError:
            raise StoreUnavailable("the database file cannot be made or opened") from None

    def reader(self) -> SqliteReader:
        """Give what reads with connections of its own, opened so that they cannot write."""
        return SqliteReader(self._path, self._queries, _told)

    def close(self) -> None:
        """Close those that nobody uses now; those in use are closed when they are no longer."""
        self._forget_parents()
        connections = self._idle
        self._forget_connections()
        for connection in connections:
            connection.driver.close()
