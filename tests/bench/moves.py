"""What moves many links at once, each measured against a bare loop over the same engine: import, snapshot and drain.

`python -m tests.bench.moves [LINKS]` measures it alone; LINKS is 200,000 where neither it nor the environment says
otherwise (LINKS=1000000 make bench). PostgreSQL moves a tenth of them, for it takes longer over each. Every measurement
has a process of its own, so that its peak of memory is nobody else's. The goals are our own: nobody has set any.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any
from wsgiref.util import setup_testing_defaults

import psycopg
from psycopg.rows import dict_row

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.deliver import DELIVERED, Deliverer
from resolver_connector.transfers.transfer import Answer, Outcome
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisations
from sql.importing import BATCH, Attested
from sql.store import open_store
from tests.bench.figures import Figure, beside
from tests.bench.people import account_of
from tests.bench.sites import POSTGRES, SQLITE, Ground
from tests.bench.telling import Tell, alone
from tests.make import NOON, UNIVERSITY, make_orcid_id, make_organisation

LINKS = 200_000
ROUNDS, TELLINGS = 3, 2
"""How often the drain and the snapshot are measured; an import takes long enough to be measured once."""
SHARE = {SQLITE: 1, POSTGRES: 10}
"""On each engine, one in so many links is moved."""
DRAINED = 400
"""One in so many links is delivered in each round of the drain, and at least so many."""
WAY = "idm"
TOKEN = "t" * 40
LEAST = {"import": 0.1, "snapshot": 0.1, "drain": 0.1}
"""Our own goals, modest ones: a tenth of what nothing but the database takes."""
MOST_GROWTH_OF_MEMORY = 1.1
"""Our own goal as well."""

_MEGABYTE = 1_000_000
_TABLES = ("links", "changes", "deliveries")


class Untrue(RuntimeError):
    """Something else was moved than should have been."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a process got done."""

    done: int
    seconds: float
    peak: float
    """The most memory that was resident in it, in MB."""
    octets: int = 0

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.done / self.seconds


Pairs = list[tuple[Moved, Moved]]


def how_many(arguments: list[str]) -> int:
    """Give how many links to move: as an argument says, or LINKS in the environment."""
    return int((arguments or [os.environ.get("LINKS") or LINKS])[0])


def measure(here: Ground, tell: Tell, links: int) -> list[Figure]:
    """Measure all of it on each engine."""
    tell("\nMany links are imported, told in a snapshot, and some of them delivered …")
    return [figure for engine, share in SHARE.items() for figure in _measured(here, engine, tell, links // share)]


def _measured(here: Ground, engine: str, tell: Tell, links: int) -> Iterator[Figure]:
    small, big, bare = (here.site(engine).url for _ in range(3))
    few, people = (_people(here.directory / f"people-{count}", count) for count in (links // 10, links))
    early = _apart(_import, small, few)
    pairs = [(_apart(_import, big, people), _apart(_import_barely, bare, people, small))]
    yield from _said(tell, "import", engine, pairs, early, links)
    for url in (small, big):
        _settle(url)
    yield from _said(tell, "snapshot", engine, *_snapshots(small, big, here.directory / "sink", links), links)
    yield from _said(tell, "drain", engine, *_drains(small, big, links), links)


def _snapshots(small: str, big: str, sink: Path, links: int) -> tuple[Pairs, Moved]:
    pairs = [(_apart(_snapshot, big, sink), _apart(_snapshot_barely, big, sink)) for _ in range(TELLINGS)]
    for ours, base in pairs:
        _must_be((links, base.octets), (ours.done, ours.octets))
    return pairs, _apart(_snapshot, small, sink)


def _drains(small: str, big: str, links: int) -> tuple[Pairs, Moved]:
    count = max(links // DRAINED, min(DRAINED, links // 10))
    # The bare loop takes the newest, which are out of the worker's way
    news = [links - count * turn for turn in range(ROUNDS)]
    pairs = [(_apart(_drain, big, count), _apart(_drain_barely, big, count, newest)) for newest in news]
    return pairs, _apart(_drain, small, count // 10)


def _said(tell: Tell, what: str, engine: str, pairs: Pairs, early: Moved, links: int):  # noqa: PLR0917 - what is to be said
    late = max(ours.peak for ours, _ in pairs)
    tell(f"{what}, {engine}: {pairs[-1][0].rate:,.0f} a second, peak {late:.1f} MB; {early.peak:.1f} MB for a tenth")
    rates = [(ours.rate, base.rate) for ours, base in pairs]
    unit = "deliveries/s" if what == "drain" else "links/s"
    yield beside(f"{what} of {links:,} links ÷ bare loop, {engine}", LEAST[what], "higher", unit, rates)
    growth = f"peak of {what}, {links:,} links ÷ {links // 10:,}, {engine}"
    yield Figure(growth, late / early.peak, MOST_GROWTH_OF_MEMORY, "lower", late, early.peak, "MB")


def _apart(work: Callable[..., Moved], *arguments: Any) -> Moved:
    """Do it in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _done(done: int, begun: float, octets: int = 0) -> Moved:
    seconds = perf_counter() - begun
    # Not `ru_maxrss`, which a process inherits from the one that started it
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024 / _MEGABYTE
    return Moved(done, seconds, peak, octets)


def _must_be(expected: Any, found: Any) -> None:
    if found != expected:
        raise Untrue(f"{found} in place of {expected}")


# The import


def _people(path: Path, count: int) -> Path:
    """Write down who is to be linked to which iD: what both sides read."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"{account_of(number)},{make_orcid_id(number).bare}\n" for number in range(1, count + 1))
    return path


def _read(path: Path) -> Iterator[tuple[int, str, str]]:
    with path.open(encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            account, orcid = line.rstrip().split(",")
            yield number, account, orcid


def _import(url: str, people: Path) -> Moved:
    store = open_store(url)
    store.must_be_ready()
    begun = perf_counter()
    attested = (Attested(line, who, who, OrcidId(orcid, Registry.PRODUCTION)) for line, who, orcid in _read(people))
    imported = store.import_links(UNIVERSITY, attested, "the old system", NOON, NOON, transfers=(WAY,))
    moved = _done(imported.linked, begun)
    _must_be((store.count(UNIVERSITY), True), (imported.linked, imported.written))
    store.disconnect()
    return moved


def _import_barely(url: str, people: Path, like: str) -> Moved:
    """Write rows like those of another database that was imported into: the same bytes but for what is random."""
    texts, *rows = _models(like)
    written = [(_insert(table, row, url), row) for table, row in zip(_TABLES, rows, strict=True)]
    everyone, done = _read(people), 0
    with closing(_connect(url)) as database:
        database.execute(_insert("consent_texts", texts, url), texts)
        cursor = database.cursor()
        begun = perf_counter()
        database.execute("begin")
        while batch := list(islice(everyone, BATCH)):
            for statement, row in written:
                cursor.executemany(statement, [_another(row, *each) for each in batch])
            done += len(batch)
        database.execute("commit")
        return _done(done, begun)


def _models(url: str) -> list[dict[str, Any]]:
    """Give a row of each table that an import writes many to, and before them the text that they refer to."""
    with closing(_connect(url)) as database:
        tables = ("consent_texts", *_TABLES)
        return [dict(database.execute(f"select * from {table} limit 1").fetchone()) for table in tables]


def _insert(table: str, row: dict[str, Any], url: str) -> str:
    place = ":{}" if url.startswith("sqlite:") else "%({})s"
    return f"insert into {table} ({', '.join(row)}) values ({', '.join(map(place.format, row))})"


def _another(row: dict[str, Any], number: int, account: str, orcid: str) -> dict[str, Any]:
    # What a table has no column for is not written
    new = {"id": os.urandom(16).hex(), "number": number, "person_key": account, "account": account, "orcid": orcid}
    return row | new


# The snapshot


def _snapshot(url: str, sink: Path) -> Moved:
    store = open_store(url)
    store.must_be_ready()
    begun = perf_counter()
    lines = 0
    with closing(_ask(store)) as body, sink.open("wb") as file:
        for piece in body:
            lines += piece.count(b"\n")
            file.write(piece)
        octets = file.tell()
    moved = _done(lines - 1, begun, octets)
    store.disconnect()
    return moved


def _ask(store):
    """Ask the connector for a snapshot, and give its body."""
    credentials = Credentials([(Bearer(TOKEN), make_organisation())])
    connector = Connector(store, credentials, Registry.PRODUCTION, Quiet(), lambda: datetime.now(UTC))
    environ = {
        "PATH_INFO": "/v1/changes",
        "HTTP_ACCEPT": "application/x-ndjson",
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        "wsgi.input": io.BytesIO(),
    }
    setup_testing_defaults(environ)
    return connector(environ, lambda status, _headers: _must_be("200 OK", status))


def _snapshot_barely(url: str, sink: Path) -> Moved:
    line, end = _likeness(url)
    where = f"from links where organisation = '{UNIVERSITY}' and ended_at is null order by person_key"
    done = 0
    with closing(_connect(url)) as database, sink.open("wb") as file:
        begun = perf_counter()
        for row in _rows(database, f"select id, account, orcid {where}"):
            file.write((line % tuple(row)).encode())
            done += 1
        file.write(end)
        return _done(done, begun, file.tell())


def _likeness(url: str) -> tuple[str, bytes]:
    """Give a line of a snapshot with places for what differs between persons, and its last line."""
    store = open_store(url)
    link = next(store.links(UNIVERSITY))
    with closing(_ask(store)) as body:
        line = next(body).decode().split("\n")[0] + "\n"
        *_, last = body
    store.disconnect()
    for value in (link.id, link.account, link.orcid_id.bare):
        _must_be(1, line.count(value))
        line = line.replace(value, "%s")
    return line, last


def _rows(database, query: str) -> Iterator[Any]:
    """Give rows without holding them all."""
    if isinstance(database, sqlite3.Connection):
        yield from database.execute(query)
        return
    with database.transaction(), database.cursor("rows", row_factory=psycopg.rows.tuple_row) as cursor:
        cursor.itersize = BATCH
        yield from cursor.execute(query)


# The drain


class Quiet:
    """A log that keeps nothing, and hides no bug."""

    def __call__(self, word, /, **facts):
        """Say nothing."""

    def exception(self, error):
        """Fail."""
        raise error


class Prompt:
    """A transfer that answers at once, and says when it has got enough."""

    kind = "prompt"

    def __init__(self, enough: int) -> None:
        self._left = enough
        self._lock = threading.Lock()
        self.stop: Callable[[], None] = Event().set

    def deliver(self, news, *, now, seconds):
        """Take it."""
        with self._lock:
            self._left -= 1
            if not self._left:
                self.stop()
        return Answer(Outcome.STORED)


def _drain(url: str, count: int) -> Moved:
    store = open_store(url)
    store.must_be_ready()
    transfer = Prompt(count)
    organisations = Organisations.of([make_organisation()])
    worker = Deliverer(store, organisations, {UNIVERSITY: {WAY: transfer}}, Quiet(), lambda: datetime.now(UTC))
    transfer.stop = worker.stop
    begun = perf_counter()
    told = worker.once()
    moved = _done(told[DELIVERED], begun)
    _must_be({DELIVERED}, set(told))
    store.disconnect()
    return moved


def _drain_barely(url: str, count: int, newest: int) -> Moved:
    place = "?" if url.startswith("sqlite:") else "%s"
    statement = f"""
        update deliveries
        set state = 'done', outcome = 'stored', attempts = 1, tried_at = {place}, finished_at = {place}
        where organisation = {place} and number = {place} and transfer = {place} and state = 'waiting'
    """
    now, done = "2026-01-15T12:00:00.000000Z", 0
    with closing(_connect(url)) as database:
        begun = perf_counter()
        for number in range(newest, newest - count, -1):
            done += database.execute(statement, (now, now, UNIVERSITY, number, WAY)).rowcount
        _must_be(count, done)
        return _done(done, begun)


# Either engine


def _connect(url: str):
    """Connect as barely as the promises allow: each statement by itself is on the disk when it returns."""
    if not url.startswith("sqlite:"):
        return psycopg.connect(url, autocommit=True, row_factory=dict_row)
    database = sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)
    database.row_factory = sqlite3.Row
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    return database


def _settle(url: str) -> None:
    """Have the database do now what it would do in the background while something is measured."""
    tidy = ["pragma wal_checkpoint(truncate)"] if url.startswith("sqlite:") else ["vacuum (analyze)", "checkpoint"]
    with closing(_connect(url)) as database:
        for statement in tidy:
            database.execute(statement)


def main() -> None:
    """Measure it alone."""
    alone(lambda here, tell: measure(here, tell, how_many(sys.argv[1:])), Path("build/moves.json"))


if __name__ == "__main__":
    main()
