"""The database itself, for tests that look at it or change it behind the store's back."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

import psycopg

TABLES = (
    *("attempts", "links", "consent_texts", "changes", "counters", "events"),
    *("daily_counts", "counted_events", "incidents"),
    *("deliveries", "breakers", "acknowledgements", "erasures", "mails"),
)
"""Every table, in an order in which rows can be deleted."""


def driver_of(store):
    """Give the connection that this thread's use of an SQLite store goes by."""
    with store.engine.connection() as database:
        return database.conn


@contextmanager
def opened(url):
    """Give a connection of the driver's own to the store at a URL."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            yield connection
    else:
        with psycopg.connect(url) as connection:
            yield connection
