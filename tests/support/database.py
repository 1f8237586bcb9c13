"""Direct access to the database, without the store.

For tests that inspect or change it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import psycopg

from sql.migrate import migrate
from sql.store import open_store
from tests.support.factories import NOON

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
    *("daily_counts", "counted_events", "credential_rights", "incidents", "identity_providers"),
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
