"""What the service is measured against: the same requests as empty Bottle handlers, and one bare durable transaction.

Run as `python -m tests.bench.base CONFIGURATION SAMPLE`.  The configuration is the service's own, for the same server
with the same threads and the same database engine; the sample is a JSON file that says what the service answers to each
request: status, location, and the size of the body.  waitress hands each request to a thread, as it does for anybody's
application; with a third word the threads take turns, as they do for ours.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from pathlib import Path

import bottle
import psycopg
import waitress

from webapp.config import load
from webapp.serving import serve
from webapp.turns import Turns

PLACES = {
    "start": ("POST", "/me/start"),
    "callback": ("GET", "/me/callback"),
    "confirm": ("POST", "/me/confirm/<attempt>"),
    "result": ("GET", "/me/result/<attempt>"),
    "me": ("GET", "/me"),
}
"""The requests by name."""

_MAKE = "create table if not exists bare (id text not null primary key, link text not null)"


class BareSqlite:
    """A connection to an SQLite file for each thread, as the service has it."""

    def __init__(self, url: str) -> None:
        self._path = url.removeprefix("sqlite://") + ".bare"
        self._own = threading.local()
        self._connection().execute(_MAKE)

    def _connection(self):
        if not hasattr(self._own, "connection"):
            self._own.connection = sqlite3.connect(self._path, isolation_level=None)
            self._own.connection.execute("pragma journal_mode = wal")
            self._own.connection.execute("pragma synchronous = full")
        return self._own.connection

    def insert(self, key: str) -> None:
        """Insert a row and wait for the disk."""
        self._connection().execute("insert into bare values (?, ?)", (key, "x" * 100))


class BarePostgres:
    """A connection to a PostgreSQL database for each thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = threading.local()
        self._connection().execute(_MAKE)

    def _connection(self):
        if not hasattr(self._own, "connection"):
            self._own.connection = psycopg.connect(self._url, autocommit=True)
        return self._own.connection

    def insert(self, key: str) -> None:
        """Insert a row and wait for the disk."""
        self._connection().execute("insert into bare values (%s, %s)", (key, "x" * 100))


def empty_app(sample, insert) -> bottle.Bottle:
    """Make the application."""
    app = bottle.Bottle()
    for name, (method, address) in PLACES.items():
        app.route(address, method, _empty(sample[name], insert if name == "confirm" else None))
    return app


def _empty(like, insert):
    body = b"x" * like["size"]
    headers = {"Location": like["location"]} if like["location"] else {}

    def answer(**_place):
        if insert:
            insert(os.urandom(16).hex())
        return bottle.HTTPResponse(body, like["status"], headers)

    return answer


def main(config_path: str, sample_path: str, as_ours: str = "") -> None:
    """Answer until the process is ended, having said where."""
    config = load(config_path, os.environ)
    url = config.store.reveal()
    bare = BareSqlite(url) if url.startswith("sqlite:") else BarePostgres(url)
    turns = Turns()

    def insert(key: str) -> None:
        turns.aside(lambda: bare.insert(key))

    app = empty_app(json.loads(Path(sample_path).read_text(encoding="utf-8")), insert)
    if as_ours:
        serve(app, config.listen, _say, at_once=lambda _method, _path: True, turns=turns)
    else:
        server = waitress.create_server(app, host="127.0.0.1", port=0, threads=config.listen.threads)
        _say(f"http://127.0.0.1:{server.effective_port}")
        server.run()


def _say(address: str) -> None:
    print(f"listening on {address}", flush=True)  # noqa: T201 - for who started it


if __name__ == "__main__":
    main(*sys.argv[1:])
