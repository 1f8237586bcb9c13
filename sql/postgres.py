"""PostgreSQL, through psycopg 3 and its pool: for a service of several nodes.

Connections do not wait for the disk unless a transaction asks for it (`synchronous_commit`); what it then means to
wait, for replicas too, is what the server's administrator has set.
"""

from __future__ import annotations

import os
import re
import select
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from sql.engine import Question, Row, Values, queries, unstorable
from sql.errors import Contradiction, InvalidUrl, StoreUnavailable, Unstorable
from sql.postgres_reading import PostgresReader

MOST_CONNECTIONS = 16
_AT_ONCE = 1000
"""How many rows of many come with one answer."""

REASONS = {
    "08": "the connection to the database server was lost",
    "25006": "the database cannot be written to",
    "40": "the database server undid this transaction; it can be tried again",
    "42501": "the database server denies us a right on a table",
    "42": "the database does not know a statement of this program; run: orcid-connect check",
    "53100": "the disk of the database server is full",
    "53": "the database server has too much to do",
    "55P03": "the database is locked by another process",
    "57014": "the database server took too long",
    "57P": "the database server is starting or stopping",
    "58": "the disk of the database server cannot be read or written",
    "XX": "the database is damaged",
}
"""What SQLSTATE codes mean to whoever has to mend it, by the longest beginning that fits
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_LOST = "the connection to the database server was lost"
_NONE_FREE = "no connection to the database server: it cannot be reached, refuses us, or all are in use"

# The organisation's row is waited for and then read as it is after the wait: that needs this level and no other
_BEGIN = b"begin isolation level read committed read write"
_ON_THE_DISK = b"set local synchronous_commit to default"
_UNHURRIED = b"set local statement_timeout = 0"
_PERSONAL = (b"attempts", b"links", b"changes", b"deliveries", b"events", b"erasures")
"""The tables in which somebody is named."""
# Any numbers will do, as long as they are the same for whoever uses this database
_ALONE = b"select pg_advisory_xact_lock(1869768548)"
_IN_TURN = b"select pg_advisory_xact_lock(1869768549)"
_TABLES = b"select table_name from information_schema.tables where table_schema = any(current_schemas(false))"

# A column that a view shows cannot be given a type, not even its own
_TEXTS = b"""
select column_name
from information_schema.columns
where table_schema = any(current_schemas(false))
    and table_name = %(table)s
    and data_type = 'text'
    and not exists (
        select 1
        from information_schema.view_column_usage as shown
        where shown.table_schema = columns.table_schema
            and shown.table_name = columns.table_name
            and shown.column_name = columns.column_name
    )
"""

# The row of an insert, between `values` and what follows it
_ONE_ROW = re.compile(rb"(?<=\nvalues )(\((?:%\(\w+\)s|[^()])*\))")

_CONNECTING: Mapping[str, Any] = {
    "autocommit": True,
    "row_factory": dict_row,
    "application_name": "orcid-connect",
    "client_encoding": "utf8",
    # A server that vanished without a word is noticed in seconds, not in a quarter of an hour
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}

_Connection = psycopg.Connection[DictRow]


@contextmanager
def _in_plain_words() -> Iterator[None]:
    # `from None`: a server's message may quote the values of a row
    try:
        yield
    except psycopg.IntegrityError:
        raise Contradiction("the database refused a row that contradicts what it holds") from None
    except PoolTimeout:
        raise StoreUnavailable(_NONE_FREE) from None
    except psycopg.Error as error:
        raise _told(error) from None


def _told(error: psycopg.Error) -> StoreUnavailable:
    return StoreUnavailable(_reason(error.sqlstate))


def _reason(sqlstate: str | None) -> str:
    if sqlstate is None:
        return _LOST
    for length in (5, 3, 2):
        if sqlstate[:length] in REASONS:
            return REASONS[sqlstate[:length]]
    return f"the database server answered with SQLSTATE {sqlstate}"


def _must_be_readable(url: str) -> None:
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        # Not in psycopg's words, which may quote the password
        raise InvalidUrl("the URL of a PostgreSQL database is not one: postgresql://user@host:port/database") from None


def _one_by_one(cursor: Iterable[DictRow]) -> Iterator[Row]:
    with _in_plain_words():
        yield from cursor


@contextmanager
def _nothing_remembered(connection: _Connection) -> Iterator[None]:
    """Keep psycopg from counting statements, which are never the same twice in here: it keeps the text of a hundred."""
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        yield
    finally:
        connection.prepare_threshold = threshold


def _has_spoken(connection: _Connection) -> bool:
    """Tell whether the server said something that nobody asked for, such as goodbye: a look that costs no answer."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _forget_statistics(connection: _Connection) -> None:
    """Let the planner forget what was in tables that are empty: giving a column the type it has does that."""
    for table in _PERSONAL:
        if connection.execute(b"select 1 from " + table + b" limit 1").fetchone() is None:
            found = connection.execute(_TEXTS, {"table": table.decode()}).fetchall()
            changes = b", ".join(b"alter " + row["column_name"].encode() + b" type text" for row in found)
            connection.execute(b"alter table " + table + b" " + changes)


class PostgresSession:
    """A transaction on one connection.

    A way to the server and back costs more than a statement, so statements wait for the next question, or for the
    commit, and go together. PostgreSQL takes several statements in one message only without parameters: psycopg
    writes the values into them, quoted as the server's own library does.
    """

    __slots__ = ("_connection", "_queries", "_quoting", "_waiting")

    def __init__(self, connection: _Connection, texts: Mapping[str, bytes], opening: Sequence[bytes]) -> None:
        self._connection = connection
        self._queries = texts
        self._quoting = psycopg.ClientCursor(connection)
        self._waiting = [*opening]

    def _written(self, query: str, values: Values) -> bytes:
        if name := unstorable(values):
            raise Unstorable(name)
        return self._quoting.mogrify(self._queries[query], values).encode()

    def _send(self, *statements: bytes) -> psycopg.Cursor[DictRow]:
        """Send what waits and these; the answer stands at the first of these."""
        before = len(self._waiting)
        cursor = self._connection.execute(b";\n".join([*self._waiting, *statements]), prepare=False)
        self._waiting.clear()
        for _ in range(before):
            cursor.nextset()
        return cursor

    def ask(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries at once and give the rows that each finds."""
        cursor = self._send(*[self._written(query, values) for query, values in questions])
        answers: list[list[Row]] = []
        for _ in questions:
            answers.append(list(cursor.fetchall()))
            cursor.nextset()
        return answers

    def run(self, query: str, **values: str | int | None) -> int:
        """Run a statement and tell how many rows it touched."""
        return self._send(self._written(query, values)).rowcount

    def post(self, query: str, **values: str | int | None) -> None:
        """Let a statement wait for the next question or the commit."""
        self._waiting.append(self._written(query, values))

    def many(self, query: str, all_values: Sequence[Values]) -> int:
        """Insert several rows by the query of one, and tell how many it were: they go as one statement."""
        if not all_values:
            return 0
        before, row, after = _ONE_ROW.split(self._queries[query], maxsplit=1)
        together = b", ".join(self._quoting.mogrify(row, values).encode() for values in all_values)
        return self._send(before + together + after).rowcount

    def script(self, text: str) -> None:
        """Run several statements that take no values."""
        self._send(text.encode())

    def commit(self) -> None:
        """Send what waits, and have it on the disk."""
        self._send(b"commit")

    def undo(self) -> None:
        """Leave nothing of it. When the server is gone, so is the transaction."""
        if self._connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self._connection.execute(b"rollback", prepare=False)


class Postgres:
    """A PostgreSQL database. `patience` is how many seconds to wait for a connection or a statement."""

    def __init__(self, url: str, patience: float = 5.0) -> None:
        _must_be_readable(url)
        self._url = url
        self._patience = patience
        self._milliseconds = int(patience * 1000)
        self._queries = {name: text.encode() for name, text in queries("psycopg").items()}
        self._opening = threading.Lock()
        self._pool: ConnectionPool[_Connection] | None = None
        self._process = os.getpid()

    def _open(self) -> ConnectionPool[_Connection]:
        with self._opening:
            if self._pool is None or self._process != os.getpid():
                # After a fork: the parent's pool is kept from being closed, since its connections are the parent's
                self._parents, self._process = self._pool, os.getpid()
                self._pool = ConnectionPool(
                    self._url,
                    min_size=1,
                    max_size=MOST_CONNECTIONS,
                    open=True,
                    timeout=self._patience,
                    reconnect_timeout=self._patience,
                    kwargs=dict(_CONNECTING),
                    configure=self._configure,
                    name="orcid-connect",
                )
            return self._pool

    def _configure(self, connection: _Connection) -> None:
        connection.execute(
            f"set synchronous_commit = off;"
            f"set statement_timeout = {self._milliseconds};"
            f"set lock_timeout = 0;"
            f"set idle_in_transaction_session_timeout = {12 * self._milliseconds}".encode(),
            prepare=False,
        )

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        with _in_plain_words():
            pool = self._open()
            connection = self._lively(pool)
            try:
                yield connection
            finally:
                pool.putconn(connection)

    def _lively(self, pool: ConnectionPool[_Connection]) -> _Connection:
        # The pool's own check asks the server each time, and waits a second after each dead connection it meets
        deadline = monotonic() + self._patience
        while True:
            connection = pool.getconn(timeout=deadline - monotonic())
            if not _has_spoken(connection):
                return connection
            connection.close()
            pool.putconn(connection)

    @contextmanager
    def administering(self) -> Iterator[_Connection]:
        """Give a connection for what is none of the service's queries."""
        with self._connection() as connection:
            yield connection

    def one(self, query: str, **values: str | int | None) -> Row | None:
        """Give the row a query of at most one row finds."""
        rows = self.all(query, **values)
        return rows[0] if rows else None

    def all(self, query: str, **values: str | int | None) -> list[Row]:
        """Give all rows that a query finds; none where a value is one that cannot have been stored."""
        if unstorable(values):
            return []
        with self._connection() as connection:
            return list(connection.execute(self._queries[query], values).fetchall())

    def together(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries and give the rows that each finds."""
        return [self.all(query, **values) for query, values in questions]

    @contextmanager
    def reading(self, query: str, **values: str | int | None) -> Iterator[Iterator[Row]]:
        """Give the rows that a query finds one after the other, through a cursor of the server."""
        if unstorable(values):
            yield iter(())
            return
        with self._connection() as connection, connection.transaction(), connection.cursor("reading") as cursor:
            connection.execute(_UNHURRIED, prepare=False)
            cursor.itersize = _AT_ONCE
            cursor.execute(self._queries[query], values)
            yield _one_by_one(cursor)

    def brief(self, query: str, **values: str | int | None) -> int:
        """Run one statement by itself, without waiting for the disk."""
        if name := unstorable(values):
            raise Unstorable(name)
        with self._connection() as connection:
            return connection.execute(self._queries[query], values).rowcount

    def brief_one(self, query: str, **values: str | int | None) -> Row | None:
        """Run one statement by itself, without waiting for the disk, and give the row that it returns."""
        return self.one(query, **values)

    def transaction(self) -> AbstractContextManager[PostgresSession]:
        """All or nothing, on the disk when it ends."""
        return self._begun(_BEGIN, _ON_THE_DISK)

    def alone(self) -> AbstractContextManager[PostgresSession]:
        """Give a transaction that only one caller of `alone` is in at a time, and that may take its time."""
        return self._begun(_BEGIN, _ON_THE_DISK, _UNHURRIED, _ALONE)

    def in_turn(self) -> AbstractContextManager[PostgresSession]:
        """Give a transaction that only one caller of `in_turn` is in at a time; it does not wait for the disk."""
        return self._begun(_BEGIN, _IN_TURN)

    @contextmanager
    def _begun(self, *opening: bytes) -> Iterator[PostgresSession]:
        with self._connection() as connection:
            session = PostgresSession(connection, self._queries, opening)
            with _nothing_remembered(connection):
                try:
                    yield session
                    session.commit()
                except BaseException:
                    session.undo()
                    raise

    def scrub(self) -> bool:
        """Write the tables anew, one after the other; what reads or writes one waits meanwhile.

        A plain `vacuum` gives the room of dead rows free and leaves their bytes there, and the planner's statistics
        hold samples of what was in the tables; `analyze` leaves those of an empty table as they are. What we may not
        do the server only warns of. Its write-ahead log is its administrator's.
        """
        told: list[object] = []
        with self._connection() as connection:
            connection.add_notice_handler(told.append)
            try:
                connection.execute(f"set statement_timeout = 0; set lock_timeout = {self._milliseconds}".encode())
                for table in _PERSONAL:
                    connection.execute(b"vacuum (full, analyze) " + table)
                _forget_statistics(connection)
                connection.execute(b"vacuum (full) pg_statistic")
            except psycopg.errors.LockNotAvailable:
                return False
            finally:
                connection.remove_notice_handler(told.append)
                self._configure(connection)
        return not told

    def learn(self) -> None:
        """Gather statistics now, and not when the server comes by: until then it may take a wrong index."""
        with self._connection() as connection:
            connection.execute(b"analyze " + b", ".join(_PERSONAL))

    def tables(self) -> set[str]:
        """Give the names of the tables there are."""
        with self._connection() as connection:
            return {row["table_name"] for row in connection.execute(_TABLES)}

    def create(self) -> None:
        """Do nothing: a PostgreSQL database is made by its administrator."""

    def reader(self) -> PostgresReader:
        """Give what reads with connections of its own, whose sessions may only read."""
        return PostgresReader(self._url, _CONNECTING, self._queries, _told)

    def close(self) -> None:
        """Close all connections."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None and self._process == os.getpid():
            pool.close()
