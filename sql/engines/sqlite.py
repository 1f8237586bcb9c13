"""SQLite, through sqlite-utils: one file in write-ahead mode.

Each thread has its own connection. Readers do not wait for a writer. Writers wait for each other, in one process or
several, by SQLite's busy time-out.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Self
from urllib.parse import quote

from sqlite_utils import Database

from sql.engines.base import Engine, Row, Transaction, Value, Values, queries, unstorable
from sql.errors import ConstraintViolation, StoreUnavailable

DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for another writer."""
_READER_TIMEOUT = 0.1
"""Seconds a reader waits for a lock. In write-ahead mode only unusual locks keep a reader out."""

_CACHE_KIB = 512
"""Each connection's page cache. Each thread has a connection, and the system caches the file for all of them."""
MIN_FREE_BYTES = 1024 * 1024
"""Free space on the disk below which nothing is expected to be written."""

REASONS = {
    sqlite3.SQLITE_BUSY: "the database is locked by another process or thread",
    sqlite3.SQLITE_LOCKED: "the database is locked by another process or thread",
    sqlite3.SQLITE_PROTOCOL: "the database is locked by another process or thread",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_READONLY: "the database file cannot be written to",
    sqlite3.SQLITE_PERM: "the database file cannot be written to",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    sqlite3.SQLITE_ERROR: "the database does not know a statement of this program; run: orcid-connect check",
}
"""What SQLite's primary result codes mean for the operator (https://www.sqlite.org/rescode.html)."""


class _StoreErrors:
    """Context in which SQLite's errors are raised as those of the store."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        # `from None`: a driver's message may quote the values of a row
        if isinstance(error, sqlite3.IntegrityError):
            raise ConstraintViolation from None
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            raise StoreUnavailable(REASONS.get(code, f"the database answered with SQLite's code {code}")) from None


class SqliteSession(_StoreErrors, Transaction):
    """Runs named statements on one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _run(self, query: str, values: dict[str, Value]) -> sqlite3.Cursor:
        return self._database.execute(queries()[query], values)

    def execute_many(self, query: str, rows: Sequence[Values]) -> int:
        """Run a statement once for each row and return how many rows were changed."""
        return self._database.conn.executemany(queries()[query], rows).rowcount

    def fetch_batch(self, query: str, rows: Sequence[Values]) -> list[list[Row]]:
        """Run a statement for each row of values; return the rows of each."""
        return [self.fetch_all(query, **values) for values in rows]

    def pipeline(self) -> AbstractContextManager[object]:
        """Do nothing: there is no server to wait for."""
        return nullcontext()

    def script(self, text: str) -> None:
        """Run several statements without values."""
        self._database.executescript(text)


class Sqlite(Engine):
    """An SQLite file.

    Args:
        path: The file.
        timeout: Seconds to wait for another writer; `DEFAULT_TIMEOUT` if None.
        read_only: Whether connections can only read.
    """

    def __init__(self, path: Path, timeout: float | None = None, *, read_only: bool = False) -> None:
        self._path = path
        self._timeout = DEFAULT_TIMEOUT if timeout is None else timeout
        self._read_only = read_only
        self._local = threading.local()

    @contextmanager
    def connection(self) -> Iterator[Database]:
        """Return this thread's connection.

        It is closed when the thread ends or the engine is closed.
        """
        with _StoreErrors():
            yield self._database()

    def session(self) -> SqliteSession:
        """Run statements, each as a transaction of its own."""
        with _StoreErrors():
            return SqliteSession(self._database())

    def _database(self) -> Database:
        if not hasattr(self._local, "database"):
            self._local.database = self._open()
        database: Database = self._local.database
        return database

    def _open(self) -> Database:
        # mode=rw: only `create` makes a file
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode={'ro' if self._read_only else 'rw'}",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            # It may be closed by another thread
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        database = Database(connection, recursive_triggers=False, execute_plugins=False)
        # Not at the interpreter's exit, when another thread may still be using the connection
        weakref.finalize(database, connection.close).atexit = False
        # A negative number is one of KiB
        database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        if not self._read_only:
            database.enable_wal()
            database.execute("pragma synchronous = full")
            database.execute("pragma foreign_keys = on")
            database.execute("pragma secure_delete = on")
        return database

    @contextmanager
    def stream(self, query: str, **values: Value) -> Iterator[Iterator[Row]]:
        """Yield the rows of a query one by one, on a connection of its own."""
        if unstorable(values):
            yield iter(())
            return
        with _StoreErrors(), closing(self._open()) as database:
            yield _rows(database, queries()[query], values)

    @contextmanager
    def transaction(self, *, exclusive: bool = False, long: bool = False) -> Iterator[SqliteSession]:  # noqa: ARG002 - SQLite has one writer at a time, for as long as it takes
        """Run statements as one transaction, as the only writer."""
        with self.connection() as database:
            # A deferred transaction fails at once beside another writer, whatever the busy time-out
            database.execute("begin immediate")
            try:
                yield SqliteSession(database)
                database.execute("commit")
            except BaseException:
                # Does nothing where the error has already ended the transaction, such as a full disk
                database.rollback()
                raise

    def vacuum(self) -> bool:
        """Rewrite the file and truncate the write-ahead log.

        `secure_delete` overwrites deleted rows with zeros, but copies of them stay where pages were rearranged.
        """
        with self.connection() as database:
            database.vacuum()
            (busy, *_) = database.execute("pragma wal_checkpoint(truncate)").fetchone()
            return not busy

    def check_writable(self) -> None:
        """Check that the file can be written.

        The content of its first page is written unchanged to the write-ahead log.
        """
        with self.connection() as database:
            database.execute("begin immediate")
            try:
                # Written even if the value is the same, unlike a row
                database.execute("pragma user_version = 0")
                database.execute("commit")
            except BaseException:
                database.rollback()
                raise
        # The log may have room for one page when the disk has none for a link
        disk = os.statvfs(self._path.parent)
        if disk.f_blocks and disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES:
            raise StoreUnavailable(REASONS[sqlite3.SQLITE_FULL])

    def wal_backlog(self) -> int:
        """Return the bytes of the write-ahead log that readers keep in use.

        They cannot be checkpointed now.
        """
        with self.connection() as database:
            _, frames, checkpointed = database.execute("pragma wal_checkpoint(passive)").fetchone()
            (page_size,) = database.execute("pragma page_size").fetchone()
            return int((frames - checkpointed) * page_size)

    def tables(self) -> set[str]:
        """Return the names of the tables; none where there is no file yet."""
        if not self._exists():
            return set()
        with self.connection() as database:
            return set(database.table_names())

    def _exists(self) -> bool:
        try:
            return self._path.exists()
        except OSError:
            raise StoreUnavailable(REASONS[sqlite3.SQLITE_CANTOPEN]) from None

    def create(self) -> None:
        """Make the file, for its owner alone, in a directory that exists."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        except FileNotFoundError:
            raise StoreUnavailable("the directory of the database file does not exist") from None
        except OSError:
            raise StoreUnavailable("the database file cannot be made or opened") from None

    def reader(self) -> Sqlite:
        """Return a read-only engine for the file, with time-out `_READER_TIMEOUT`.

        It fails after 0.1 s instead of waiting for a lock, because a login waits for it.
        """
        return Sqlite(self._path, _READER_TIMEOUT, read_only=True)

    def close(self) -> None:
        """Close the connections of all threads.

        A connection that is in use is closed when its use ends.
        """
        self._local = threading.local()


def _rows(database: Database, text: str, values: Values) -> Iterator[Row]:
    with _StoreErrors():
        yield from database.execute(text, dict(values))
