"""PostgreSQL, through psycopg 3: for a service of several nodes.

Connections do not wait for the disk unless a transaction asks for it (`synchronous_commit`); what it then means to
wait, for replicas too, is what the server's administrator has set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow

from sql.engine import Question, Row, Values, queries, unstorable
from sql.errors import InPlainWords, InvalidUrl, StoreUnavailable
from sql.forks import forks
from sql.postgres_reading import PostgresReader
from sql.postgres_wire import Call, Connection, Statement, Wire, storable, touched
from sql.postgres_wires import Wires
from sql.waits import IN_PLACE, Waits

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

# The organisation's row is waited for and then read as it is after the wait: that needs this level and no other
_BEGIN = b"begin isolation level read committed read write"
_ON_THE_DISK = b"set local synchronous_commit to default"
_UNHURRIED = b"set local statement_timeout = 0"
_PERSONAL = (b"attempts", b"links", b"changes", b"deliveries", b"events", b"erasures", b"mails")
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
    # psycopg prepares nothing by itself: what it takes for a reason to begin anew would take ours along
    "prepare_threshold": None,
    "application_name": "orcid-connect",
    "client_encoding": "utf8",
    # A server that vanished without a word is noticed in seconds, not in a quarter of an hour
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}


def _told(error: psycopg.Error) -> StoreUnavailable:
    return StoreUnavailable(_reason(error.sqlstate))


_in_plain_words = InPlainWords(psycopg.IntegrityError, psycopg.Error, _told)


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
    with _in_plain_words:
        yield from cursor


def _forget_statistics(connection: Connection) -> None:
    """Let the planner forget what was in tables that are empty: giving a column the type it has does that."""
    for table in _PERSONAL:
        if connection.execute(b"select 1 from " + table + b" limit 1").fetchone() is None:
            found = connection.execute(_TEXTS, {"table": table.decode()}).fetchall()
            changes = b", ".join(b"alter " + row["column_name"].encode() + b" type text" for row in found)
            connection.execute(b"alter table " + table + b" " + changes)


class PostgresSession:
    """A transaction on one connection.

    A way to the server and back costs more than a statement, so statements wait for the next question, or for the
    commit, and go together.
    """

    __slots__ = ("_queries", "_waiting", "_wire")

    def __init__(self, wire: Wire, statements: Mapping[str, Statement], opening: Sequence[bytes]) -> None:
        self._wire = wire
        self._queries = statements
        self._waiting: list[Call] = [*opening]

    def _send(self, *calls: Call) -> list[PGresult]:
        """Send what waits and these, and give the results of these."""
        waiting, self._waiting = self._waiting, []
        return self._wire.together([*waiting, *calls])[len(waiting) :]

    def ask(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries at once and give the rows that each finds."""
        asked = [(self._queries[query], values) for query, values in questions]
        found = zip(asked, self._send(*asked), strict=True)
        return [self._wire.rows(statement, result) for (statement, _), result in found]

    def run(self, query: str, **values: str | int | None) -> int:
        """Run a statement and tell how many rows it touched."""
        (result,) = self._send((self._queries[query], values))
        return touched(result)

    def post(self, query: str, **values: str | int | None) -> None:
        """Let a statement wait for the next question or the commit."""
        self._waiting.append((self._queries[query], storable(values)))

    def many(self, query: str, all_values: Sequence[Values]) -> int:
        """Insert several rows by the query of one, and tell how many it were: they go as one statement."""
        if not all_values:
            return 0
        quoting = psycopg.ClientCursor(self._wire.connection)
        before, row, after = _ONE_ROW.split(self._queries[query].written, maxsplit=1)
        together = b", ".join(quoting.mogrify(row, storable(values)).encode() for values in all_values)
        (result,) = self._send(before + together + after)
        return touched(result)

    def script(self, text: str) -> None:
        """Run several statements that take no values."""
        self._send()
        self._wire.script(text.encode())

    def commit(self) -> None:
        """Send what waits, and have it on the disk."""
        self._send(b"commit")

    def undo(self) -> None:
        """Leave nothing of it. When the server is gone, so is the transaction."""
        self._wire.rollback()


class Postgres:
    """A PostgreSQL database. `patience` is how many seconds to wait, by `waits`, for a connection or a statement."""

    def __init__(self, url: str, patience: float = 5.0, waits: Waits = IN_PLACE) -> None:
        _must_be_readable(url)
        self._url = url
        self._patience = patience
        self._waits = waits
        self._milliseconds = int(patience * 1000)
        self._queries = {name: Statement.of(name, text) for name, text in queries("psycopg").items()}
        self._forget_connections()

    def _forget_connections(self) -> None:
        self._forks = forks()
        self._wires = Wires(self._url, _CONNECTING, self._configure, self._patience, self._waits)

    def _configure(self, connection: Connection) -> None:
        connection.execute(
            f"set synchronous_commit = off;"
            f"set statement_timeout = {self._milliseconds};"
            f"set lock_timeout = 0;"
            f"set idle_in_transaction_session_timeout = {12 * self._milliseconds}".encode(),
            prepare=False,
        )

    @contextmanager
    def _wire(self) -> Iterator[Wire]:
        if self._forks != forks():  # pragma: no cover - seen in the child process of a test alone
            # After a fork: the parent's are kept from being closed, since they are the parent's
            self._parents = self._wires
            self._forget_connections()
        with _in_plain_words, self._wires.one() as wire:
            yield wire

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._wire() as wire:
            yield wire.connection

    @contextmanager
    def administering(self) -> Iterator[Connection]:
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
        statement = self._queries[query]
        with self._wire() as wire:
            return wire.rows(statement, wire.send(statement, values))

    def together(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries and give the rows that each finds."""
        if len(questions) == 1 or any(unstorable(values) for _, values in questions):
            return [self.all(query, **values) for query, values in questions]
        asked = [(self._queries[query], values) for query, values in questions]
        with self._wire() as wire:
            found = zip(asked, wire.together(asked), strict=True)
            return [wire.rows(statement, result) for (statement, _), result in found]

    @contextmanager
    def reading(self, query: str, **values: str | int | None) -> Iterator[Iterator[Row]]:
        """Give the rows that a query finds one after the other, through a cursor of the server."""
        if unstorable(values):
            yield iter(())
            return
        with self._connection() as connection, connection.transaction(), connection.cursor("reading") as cursor:
            connection.execute(_UNHURRIED, prepare=False)
            cursor.itersize = _AT_ONCE
            cursor.execute(self._queries[query].written, values)
            yield _one_by_one(cursor)

    def brief(self, query: str, **values: str | int | None) -> int:
        """Run one statement by itself, without waiting for the disk."""
        with self._wire() as wire:
            return touched(wire.send(self._queries[query], values))

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
        with self._wire() as wire:
            session = PostgresSession(wire, self._queries, opening)
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
            except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
                return False
            finally:
                connection.remove_notice_handler(told.append)
                self._configure(connection)
        return not told

    def learn(self) -> None:
        """Gather statistics now, and not when the server comes by: until then it may take a wrong index."""
        with self._connection() as connection:
            # What somebody else has taken for long is left to the next time
            text = b"analyze (skip_locked) " + b", ".join(_PERSONAL)
            self._waits.afar(lambda: connection.execute(text))

    def tables(self) -> set[str]:
        """Give the names of the tables there are."""
        with self._connection() as connection:
            return {row["table_name"] for row in connection.execute(_TABLES)}

    def create(self) -> None:
        """Do nothing: a PostgreSQL database is made by its administrator."""

    def reader(self) -> PostgresReader:
        """Give what reads with connections of its own, whose sessions may only read."""
        texts = {name: statement.written for name, statement in self._queries.items()}
        return PostgresReader(self._url, _CONNECTING, texts, _told)

    def close(self) -> None:
        """Close all connections."""
        if self._forks == forks():
            self._wires.close()
