"""PostgreSQL, through psycopg and its connection pool, for several nodes."""

from __future__ import annotations

import re
import select
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from sql.engines.base import Engine, Row, Transaction, Value, Values, queries, unstorable
from sql.engines.watchdog import Watchdog
from sql.errors import ConstraintViolation, InvalidUrl, StoreUnavailable

DEFAULT_TIMEOUT = 1.25
"""Seconds for one use of the database, from the wait for a connection to the last statement."""
_READER_TIMEOUT = 0.75
_GRACE = 0.25
"""Seconds from the server's own time-out, which gives a reason, to the watchdog's, for a silent server."""
LONG = 600.0
"""Seconds for maintenance, an import, or a snapshot."""
_CONNECT_TIMEOUT = 2
"""Seconds for each host of the URL, the least that libpq takes. The pool connects in the background."""
MAX_CONNECTIONS = 16
_ROWS_AT_ONCE = 1000

REASONS = {
    "08": "the connection to the database server was lost",
    "25006": "the database cannot be written to",
    "40": "the database server rolled back this transaction; it can be tried again",
    "42501": "the service's database role lacks a privilege",
    "42": "the database does not know a statement of this program; run: orcid-connect check",
    "53100": "the disk of the database server is full",
    "53": "the database server is out of resources",
    "55P03": "the database is locked by another process",
    "57014": "the database server took too long",
    "57P": "the database server is starting or stopping",
    "58": "the disk of the database server cannot be read or written",
    "XX": "the database is damaged",
}
"""What SQLSTATE codes mean for the operator, by the longest prefix that fits
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
_LOST = "the connection to the database server was lost, or it did not answer in time"
_NO_CONNECTION = "no connection to the database server: it is unreachable, refuses, or all connections are in use"

_PERSONAL = ("attempts", "links", "changes", "deliveries", "events", "erasures", "mails")
"""The tables that name people."""
# An arbitrary number, the same for all processes that use this database
_EXCLUSIVE = b"select pg_advisory_xact_lock(1869768548)"
_UNLIMITED = b"set local statement_timeout = 0"
_TABLES = b"select table_name from information_schema.tables where table_schema = any(current_schemas(false))"

# A column that a view shows cannot be given a type, not even its own
_TEXT_COLUMNS = b"""
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

_CONNECT: Mapping[str, Any] = {
    "autocommit": True,
    "row_factory": dict_row,
    "application_name": "orcid-connect",
    "client_encoding": "utf8",
    "connect_timeout": _CONNECT_TIMEOUT,
    # Detects idle connections to a server that vanished within seconds, instead of a quarter of an hour
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}

_ALL_COLUMNS = re.compile(rb"(select|returning) \*|\w\.\*")

Connection = psycopg.Connection[DictRow]


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    # `from None`: a driver's message may quote the values of a row
    except psycopg.IntegrityError:
        raise ConstraintViolation from None
    except PoolTimeout:
        raise StoreUnavailable(_NO_CONNECTION) from None
    except psycopg.Error as error:
        raise StoreUnavailable(reason(error.sqlstate)) from None


def reason(sqlstate: str | None) -> str:
    """Return what a SQLSTATE means for the operator.

    Args:
        sqlstate: None if the connection broke.
    """
    if sqlstate is None:
        return _LOST
    for length in (5, 3, 2):
        if sqlstate[:length] in REASONS:
            return REASONS[sqlstate[:length]]
    return f"the database server answered with SQLSTATE {sqlstate}"


@cache
def _queries() -> Mapping[str, bytes]:
    """Return the text of each named statement, its values as psycopg reads them."""
    return {name: re.sub(r":(\w+)", r"%(\1)s", text).encode() for name, text in queries().items()}


class PostgresSession(Transaction):
    """Runs named statements on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _run(self, query: str, values: dict[str, Value]) -> psycopg.Cursor[DictRow]:
        text = _queries()[query]
        # Once a migration has added a column, the server refuses prepared statements that return all columns
        prepare = False if _ALL_COLUMNS.search(text) else None
        return self._connection.execute(text, values, prepare=prepare)

    def execute_many(self, query: str, rows: Sequence[Values]) -> int:
        """Run a statement once for each row and return how many rows were changed."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_queries()[query], rows)
            return cursor.rowcount

    def fetch_batch(self, query: str, rows: Sequence[Values]) -> list[list[Row]]:
        """Run a statement for each row of values; return the rows of each."""
        with self._connection.pipeline():
            cursors = [self._run(query, dict(values)) for values in rows]
        return [list(cursor.fetchall()) for cursor in cursors]

    def pipeline(self) -> AbstractContextManager[object]:
        """Send statements without waiting for the result of each.

        Inside the block `execute` returns no count.
        """
        return self._connection.pipeline()

    def script(self, text: str) -> None:
        """Run several statements without values."""
        self._connection.execute(text.encode(), prepare=False)


class Postgres(Engine):
    """A PostgreSQL database.

    Args:
        url: A connection URI as libpq reads it; with several hosts, the first that fits `target_session_attrs` is used.
        timeout: Seconds for one use, from the wait for a connection to the last statement; `DEFAULT_TIMEOUT` if None.
        read_only: Whether sessions can only read.
        standby_lookups: Whether `reader` prefers a standby among the hosts.
    """

    def __init__(
        self, url: str, timeout: float | None = None, *, read_only: bool = False, standby_lookups: bool = False
    ) -> None:
        _check_url(url)
        self._url = url
        self._standby_lookups = standby_lookups
        self._timeout = DEFAULT_TIMEOUT if timeout is None else timeout
        self._read_only = read_only
        self._watchdog = Watchdog()
        self._opening = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None

    def _opened(self) -> ConnectionPool[Connection]:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._url,
                    connection_class=Connection,
                    kwargs={**_CONNECT},
                    configure=self._configure,
                    min_size=1,
                    max_size=MAX_CONNECTIONS,
                    # Then the pool stops trying until the next use: at most a second after the server is back
                    reconnect_timeout=1.0,
                    open=True,
                )
            return self._pool

    def _configure(self, connection: Connection) -> None:
        # A transaction that has waited for a row lock must read what was committed meanwhile
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        milliseconds = int(self._timeout * 1000)
        settings = (
            f"set statement_timeout = {milliseconds}; set lock_timeout = 0;"
            f"set idle_in_transaction_session_timeout = 60000;"
            f"set default_transaction_read_only = {'on' if self._read_only else 'default'}"
        )
        with self._watchdog.watch(connection, _CONNECT_TIMEOUT):
            connection.execute(settings.encode(), prepare=False)

    @contextmanager
    def connection(self, *, long: bool = False) -> Iterator[Connection]:
        """Yield a connection from the pool; the watchdog ends a use that is too long."""
        deadline = monotonic() + self._timeout
        pool = self._opened()
        with _store_errors():
            connection = _working(pool, deadline)
            seconds = LONG if long else deadline - monotonic() + _GRACE
            try:
                with self._watchdog.watch(connection, seconds):
                    yield connection
            finally:
                pool.putconn(connection)

    @contextmanager
    def maintenance(self) -> Iterator[Connection]:
        """Yield a connection for maintenance statements, which may take minutes."""
        with self.connection(long=True) as connection:
            milliseconds = int(self._timeout * 1000)
            connection.execute(f"set statement_timeout = 0; set lock_timeout = {milliseconds}".encode(), prepare=False)
            try:
                yield connection
            finally:
                self._configure(connection)

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        """Run statements, each as a transaction of its own."""
        with self.connection() as connection:
            yield PostgresSession(connection)

    @contextmanager
    def stream(self, query: str, **values: Value) -> Iterator[Iterator[Row]]:
        """Yield the rows of a query one by one, through a server-side cursor."""
        if unstorable(values):
            yield iter(())
            return
        with self.connection(long=True) as connection, connection.transaction():
            connection.execute(_UNLIMITED)
            with connection.cursor("stream") as cursor:
                cursor.itersize = _ROWS_AT_ONCE
                cursor.execute(_queries()[query], values)
                yield _rows(cursor)

    @contextmanager
    def transaction(self, *, exclusive: bool = False, long: bool = False) -> Iterator[PostgresSession]:
        """Run the statements of the block as one transaction.

        The server's settings (`synchronous_commit`) say how durable a commit is.
        """
        with self.connection(long=long) as connection, connection.transaction():
            if long:
                connection.execute(_UNLIMITED)
            if exclusive:
                connection.execute(_EXCLUSIVE)
            yield PostgresSession(connection)

    def vacuum(self) -> bool:
        """Rewrite the tables that name people, one after another.

        Each table is locked meanwhile. A plain `vacuum` would free the space of dead rows but leave their bytes there.
        The planner's statistics hold samples of values, and `analyze` leaves those of an empty table as they are. The
        server only warns of what the role is not allowed to do. The write-ahead log is left to the server's
        administrator.
        """
        warnings: list[object] = []
        with self.maintenance() as connection:
            connection.add_notice_handler(warnings.append)
            try:
                for table in _PERSONAL:
                    connection.execute(sql.SQL("vacuum (full, analyze) {}").format(sql.Identifier(table)))
                _forget_statistics(connection)
                connection.execute(b"vacuum (full) pg_statistic")
            except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
                return False
            finally:
                connection.remove_notice_handler(warnings.append)
        return not warnings

    def check_writable(self) -> None:
        """Check that rows can be written, by writing `schema_migrations` unchanged."""
        self.execute("touch_migrations")

    def tables(self) -> set[str]:
        """Return the names of the tables."""
        with self.connection() as connection:
            return {row["table_name"] for row in connection.execute(_TABLES)}

    def create(self) -> None:
        """Do nothing: the server's administrator makes the database."""

    def reader(self) -> Postgres:
        """Return a read-only engine with shorter time-outs."""
        url = make_conninfo(self._url, target_session_attrs="prefer-standby") if self._standby_lookups else self._url
        return Postgres(url, _READER_TIMEOUT, read_only=True)

    def close(self) -> None:
        """Close the pool; a connection in use is closed when its use ends."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(timeout=self._timeout)


def _check_url(url: str) -> None:
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        # psycopg's message may quote the password
        raise InvalidUrl("the URL of a PostgreSQL database is not one: postgresql://user@host:port/database") from None


def _working(pool: ConnectionPool[Connection], deadline: float) -> Connection:
    # Without a query to the server, which may be silent
    while True:
        connection = pool.getconn(timeout=deadline - monotonic())
        if not _has_input(connection):
            return connection
        connection.close()
        pool.putconn(connection)


def _has_input(connection: Connection) -> bool:
    """Return whether unread data is pending on an idle connection.

    If so, the server has closed the connection, or announces that it will.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _rows(cursor: Iterable[DictRow]) -> Iterator[Row]:
    with _store_errors():
        yield from cursor


def _forget_statistics(connection: Connection) -> None:
    """Delete the planner's statistics of empty tables.

    PostgreSQL deletes them when a column is given the type that it already has.
    """
    for table in _PERSONAL:
        name = sql.Identifier(table)
        if connection.execute(sql.SQL("select 1 from {} limit 1").format(name)).fetchone() is None:
            columns = connection.execute(_TEXT_COLUMNS, {"table": table}).fetchall()
            each = [sql.SQL("alter {} type text").format(sql.Identifier(column["column_name"])) for column in columns]
            connection.execute(sql.SQL("alter table {} {}").format(name, sql.SQL(", ").join(each)))
