"""The database itself, for tests that look at it or change it behind the store's back."""

import sqlite3
from contextlib import closing, contextmanager

import psycopg


def driver_of(store):
    """Give the connection that an SQLite store uses next: in a test of one thread, always the same one."""
    with store.engine._connection() as connection:
        return connection.driver


@contextmanager
def opened(url):
    """Give a connection of the driver's own to the store at a URL."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            yield connection
    else:
        with psycopg.connect(url) as connection:
            yield connection
