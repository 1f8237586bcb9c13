"""Direct access to the database, without the store.

For tests that inspect or change it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing, contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sql.migrate import migrate
from sql.store import open_store
from tests.support.factories import NOON, attest

TABLES = (
    *(
        "affiliation_items",
        "affiliation_permissions",
        "request_slots",
        "attempts",
        "links",
        "consent_texts",
        "changes",
        "organisations",
        "events",
    ),
    *("period_counts", "counted_events", "credential_rights", "incidents", "identity_providers"),
    *("deliveries", "circuit_breakers", "acknowledgements", "erasures", "mails", "read_events", "pending_removals"),
    *("status_rounds", "orcid_tokens"),
)
"""Every table, in an order in which rows can be deleted."""


@cache
def _migrated_sqlite():
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "links.db")
        store = open_store(f"sqlite://{path}")
        migrate(store.engine, NOON)
        store.close()
        return path.read_bytes()


def make_sqlite(directory, name="links.db"):
    """Make a migrated and empty SQLite database and return its URL."""
    path = Path(directory, name)
    path.touch(0o600)
    path.write_bytes(_migrated_sqlite())
    return f"sqlite://{path}"


def driver_of(store):
    """Return the driver connection of this thread's use of an SQLite store."""
    with store.engine.connection() as database:
        return database.conn


def contents(url):
    """Give every row of every table of the store at a URL."""
    with opened(url) as connection:
        return {table: sorted(connection.execute(f"select * from {table}"), key=repr) for table in TABLES}


@contextmanager
def opened(url):
    """Yield a driver connection to the store at a URL."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            yield connection
    else:
        with psycopg.connect(url) as connection:
            yield connection


def insert_rows(database: Any, values: Iterable[dict[str, Any]], *tables: str) -> None:
    """Insert rows like the first one of each table in one transaction.

    Args:
        database: A driver connection in autocommit mode whose rows are mappings.
        values: What each row has otherwise; a table takes those of its columns.
    """
    inserts = [_like_the_first(database, table) for table in tables]
    cursor, remaining = database.cursor(), iter(values)
    cursor.execute("begin")
    while batch := list(islice(remaining, 1000)):
        for statement, row in inserts:
            cursor.executemany(statement, [row(each) for each in batch])
    cursor.execute("commit")


def _like_the_first(database: Any, table: str) -> tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    # The statement that inserts into a table, and what makes a row of it
    first = dict(database.execute(f"select * from {table} limit 1").fetchone())
    place = ":{}" if isinstance(database, sqlite3.Connection) else "%({})s"

    def row(own: dict[str, Any]) -> dict[str, Any]:
        return first | {name: value for name, value in own.items() if name in first}

    return f"insert into {table} ({', '.join(first)}) values ({', '.join(map(place.format, first))})", row


def attest_many(store, url, people):
    """Attest the first of these accounts and iDs, and copy its link for others.

    The others have no changes and events. It takes a fraction of the time that the store needs for a list.
    """
    first, *others = people
    attest(store, [first])
    values = (
        {"id": f"{number:032x}", "person_key": account.casefold(), "account": account, "orcid": orcid_id.bare}
        for number, (account, orcid_id) in enumerate(others, 1)
    )
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            insert_rows(database, values, "links")
    else:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as database:
            insert_rows(database, values, "links")
            # As the server does within a minute: until then its plans are for a table of one row
            database.execute("analyze")
