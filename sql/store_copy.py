"""Copies an SQLite store to an empty PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from psycopg import sql
from sqlite_utils import Database

from sql.engines.base import Engine
from sql.engines.postgres import Connection, Postgres
from sql.engines.sqlite import Sqlite

_BATCH = 1000
_TABLE_NAMES = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by rowid"
_COLUMNS = "select name, type, pk from pragma_table_info(?) order by cid"


class CopyRefused(Exception):
    """Nothing was copied; the message has the reason."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: Sequence[str]
    key: Sequence[str]
    """The columns of the primary key; all columns where there is none."""
    text: frozenset[str]
    """The columns that sort as text."""


# Each database was migrated at another time
_MIGRATIONS = _Table("schema_migrations", ["name", "sha256"], ["name"], frozenset({"name"}))


def copy_store(source: Engine, target: Engine) -> dict[str, int]:
    """Copy all rows in one transaction.

    Each row is compared with its copy before the commit. Nobody can write to the file meanwhile, nor to the tables of
    the server. If anything fails, the server's database is as before.

    Args:
        source: An SQLite file.
        target: A PostgreSQL database.

    Returns:
        The number of rows of each table.

    Raises:
        CopyRefused: If the schemas differ, a table of the server has rows, or a copy differs from its row.
        StoreUnavailable: If one of the databases fails.
    """
    assert isinstance(source, Sqlite)
    assert isinstance(target, Postgres)
    with source.connection() as database:
        database.execute("begin immediate")
        try:
            with target.maintenance() as connection, connection.transaction():
                names = [name for (name,) in database.execute(_TABLE_NAMES).fetchall()]
                tables = [_describe(database, name) for name in names if name != _MIGRATIONS.name]
                _compare(database, connection, _MIGRATIONS)
                for table in tables:
                    _require_empty(connection, table)
                counts = {table.name: _copy(database, connection, table) for table in tables}
                for table in tables:
                    _compare(database, connection, table)
        finally:
            database.execute("rollback")
    with target.maintenance() as connection:
        connection.execute(b"analyze")
    return counts


def _describe(database: Database, name: str) -> _Table:
    columns = database.execute(_COLUMNS, [name]).fetchall()
    key = sorted((pk, column) for column, _, pk in columns if pk)
    return _Table(
        name,
        [column for column, _, _ in columns],
        [column for _, column in key] or [column for column, _, _ in columns],
        frozenset(column for column, kind, _ in columns if kind.lower() == "text"),
    )


def _require_empty(connection: Connection, table: _Table) -> None:
    name = sql.Identifier(table.name)
    connection.execute(sql.SQL("lock table {} in exclusive mode").format(name))
    if connection.execute(sql.SQL("select 1 from {} limit 1").format(name)).fetchone() is not None:
        raise CopyRefused(f"the table {table.name} of the server has rows; the copy needs an empty database")


def _copy(database: Database, connection: Connection, table: _Table) -> int:
    count = 0
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    command = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table.name), columns)
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for row in _rows(database, table):
            copy.write_row(row)
            count += 1
    return count


def _rows(database: Database, table: _Table) -> Iterator[tuple[Any, ...]]:
    columns, key = (", ".join(f'"{name}"' for name in names) for names in (table.columns, table.key))
    found = database.execute(f'select {columns} from "{table.name}" order by {key}')  # noqa: S608 - names of the schema
    while batch := found.fetchmany(_BATCH):
        yield from map(tuple, batch)


def _compare(database: Database, connection: Connection, table: _Table) -> None:
    # SQLite sorts text by its bytes, and what is missing first
    key = sql.SQL(", ").join(
        sql.SQL('{} collate "C" nulls first' if name in table.text else "{} nulls first").format(sql.Identifier(name))
        for name in table.key
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    query = sql.SQL("select {} from {} order by {}").format(columns, sql.Identifier(table.name), key)
    with connection.cursor("compare") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(query)
        pairs = zip_longest(_rows(database, table), (tuple(row.values()) for row in cursor))
        for number, (row, copy) in enumerate(pairs, 1):
            if row != copy:
                raise CopyRefused(f"row {number} of {table.name} is not the same in both databases")
