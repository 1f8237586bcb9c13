"""What an answer waits for it says that it waits for, so that others are answered meanwhile."""

import itertools
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from sql import postgres_wires, sqlite_disk
from sql.errors import StoreUnavailable
from sql.migrate import migrate
from sql.store import open_store
from sql.waits import InPlace
from tests.bench.client import Connection
from tests.bench.people import Visitor, link, look
from tests.bench.processes import running
from tests.bench.profile import asking
from tests.configuration import write_configuration
from tests.make import NOON, UNIVERSITY, make_attempt
from webapp.app import quick
from webapp.config import load
from webapp.front_hall import web
from webapp.lines import Lines, NoAnswer, Patience
from webapp.pages import ROUTES

NOBODY = {"organisation": UNIVERSITY, "person_key": "nobody"}


class Recorder(InPlace):
    """Notes each time that something is waited for, and whether somebody does so aside right now."""

    def __init__(self):
        self.times = 0
        self.now = False

    def until(self, file, events, seconds):
        self.times += 1
        return super().until(file, events, seconds)

    def aside(self, act):
        self.times += 1
        self.now = True
        try:
            return act()
        finally:
            self.now = False

    afar = aside

    def pause(self, seconds):
        self.times += 1
        super().pause(seconds)

    def waiter(self, seconds):
        self.times += 1
        return super().waiter(seconds)


@pytest.fixture
def waiting():
    return Recorder()


def engine_at(url, waiting, **words):
    """Give the engine of a store that is ready, with nothing waited for yet."""
    engine = open_store(url, waits=waiting, **words).engine
    migrate(engine, NOON)
    waiting.times = 0
    return engine


@contextmanager
def locked(path, seconds, before="select 1"):
    """Somebody else has the write lock of a file, for so long."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute(before)
    other.execute("begin immediate")
    timer = threading.Timer(seconds, other.close)
    timer.start()
    yield
    timer.join()


@pytest.mark.parametrize("write", ["brief", "brief_one", "transaction"])
def test_a_lock_of_another_process_is_waited_for(tmp_path, waiting, write):
    engine = engine_at(f"sqlite://{tmp_path}/links.db", waiting)

    with locked(tmp_path / "links.db", 0.2):
        if write == "transaction":
            with engine.in_turn() as session:
                session.run("forget_links", **NOBODY)
        else:
            getattr(engine, write)("forget_links", **NOBODY)

    assert waiting.times > 1


def test_patience_ends_once_and_not_once_for_each_lock(tmp_path, waiting):
    engine = engine_at(f"sqlite://{tmp_path}/links.db", waiting, patience=0.3)
    begun = time.monotonic()

    with locked(tmp_path / "links.db", 2):
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            engine.brief("forget_links", **NOBODY)
        took = time.monotonic() - begun

    assert took < 1


def test_a_file_that_somebody_has_to_themselves_is_waited_for_by_who_reads(tmp_path, waiting):
    engine = engine_at(f"sqlite://{tmp_path}/links.db", waiting)
    engine.close()

    with locked(tmp_path / "links.db", 0.2, "pragma locking_mode = exclusive"):
        assert engine.all("link_of", **NOBODY) == []

    assert waiting.times > 1


@pytest.fixture
def disk(monkeypatch):
    """How many milliseconds it takes to commit; a list of one."""
    takes = [1]
    times = itertools.count()
    # It is looked at before and after
    monkeypatch.setattr(sqlite_disk, "monotonic", lambda: (next(times) % 2) * takes[0] / 1000)
    return takes


def commit(engine):
    with engine.transaction() as session:
        session.run("forget_links", **NOBODY)


def test_a_quick_disk_is_waited_for_in_place(tmp_path, waiting, disk):
    engine = engine_at(f"sqlite://{tmp_path}/links.db", waiting)

    for _ in range(10):
        commit(engine)

    assert waiting.times == 0


def test_a_slow_disk_is_waited_for_aside_and_tried_again_later(tmp_path, waiting, disk):
    engine = engine_at(f"sqlite://{tmp_path}/links.db", waiting)
    disk[0] = 3

    commit(engine)
    for_the_first = waiting.times
    for _ in range(4):
        commit(engine)
    disk[0] = 1
    for _ in range(10):
        commit(engine)

    assert (for_the_first, waiting.times) == (0, 4)


def in_place(disk, waiting, commits):
    """Tell which of so many commits were waited for in place."""
    found = []
    for number in range(commits):
        before = waiting.times
        disk.commit(Driver("nothing"), durable=True)
        found += [] if waiting.times > before else [number]
    return found


def test_the_longer_a_disk_is_slow_the_more_seldom_it_is_tried(waiting, disk, monkeypatch):
    monkeypatch.setattr(sqlite_disk, "OFTEN", 10_000)
    one = sqlite_disk.Disk(waiting)
    disk[0] = 3

    tried = in_place(one, waiting, 1400)
    disk[0] = 1
    quick = in_place(one, waiting, 300)
    disk[0] = 3

    assert [after - before - 1 for before, after in itertools.pairwise(tried)] == [
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        256,
        256,
        256,
    ]
    assert quick == list(range(quick[0], 300))
    assert in_place(one, waiting, 10) == [0, 5]


def test_whoever_need_not_wait_for_the_disk_does_not(tmp_path, waiting, disk):
    engine = engine_at(f"sqlite://{tmp_path}/links.db", waiting)
    disk[0] = 3
    commit(engine)

    with engine.in_turn() as session:
        session.run("forget_links", **NOBODY)
    engine.brief("forget_links", **NOBODY)
    engine.all("link_of", **NOBODY)

    assert waiting.times == 0


def logged(path):
    """Tell how many pages there are in the log of a file that have not all been taken into the file before."""
    with closing(sqlite3.connect(path)) as other:
        return other.execute("pragma wal_checkpoint").fetchone()[1]


def test_the_log_is_taken_into_the_file_aside_by_who_waits_for_the_disk(tmp_path, waiting, disk):
    store = open_store(f"sqlite://{tmp_path}/links.db", waits=waiting)
    migrate(store.engine, NOON)
    waiting.times = 0
    for number in range(1000):
        store.begin(make_attempt(id=f"attempt-{number}"), f"hash-{number}")
    pages, before = Path(f"{tmp_path}/links.db-wal").stat().st_size // 4096, waiting.times

    store.record(UNIVERSITY, "declined", "person", "maija", {}, NOON)
    store.record(UNIVERSITY, "declined", "person", "maija", {}, NOON)
    store.begin(make_attempt(id="last"), "hash-last")

    assert (pages > 4000, logged(tmp_path / "links.db") < 100) == (True, True)
    assert (before, waiting.times) == (0, 1)


class Driver:
    """Notes what it is to execute; what begins like this goes wrong."""

    def __init__(self, fails):
        self.fails = fails
        self.asked = []

    def execute(self, text):
        self.asked.append(text)
        if text.startswith(self.fails):
            raise sqlite3.OperationalError("disk I/O error")


def test_what_is_committed_is_committed_also_where_the_log_cannot_be_taken_in(waiting, monkeypatch):
    monkeypatch.setattr(sqlite_disk, "OFTEN", 2)
    driver, disk = Driver("pragma"), sqlite_disk.Disk(waiting)

    for _ in range(3):
        disk.commit(driver, durable=True)

    assert driver.asked == ["commit", "commit", "pragma wal_checkpoint(passive)", "commit"]


def fail_to_commit(disk, times):
    for _ in range(times):
        with pytest.raises(sqlite3.OperationalError):
            disk.commit(Driver("commit"), durable=True)


def test_a_disk_that_fails_slowly_is_slow(waiting, disk):
    disk[0] = 3

    fail_to_commit(sqlite_disk.Disk(waiting), 3)

    assert waiting.times == 2


def test_a_log_that_was_not_taken_in_is_so_with_the_next_commit(waiting, disk, monkeypatch):
    monkeypatch.setattr(sqlite_disk, "OFTEN", 3)

    fail_to_commit(sqlite_disk.Disk(waiting), 5)

    assert waiting.times == 3


def test_each_answer_of_a_server_is_waited_for(migrated_postgres, waiting):
    engine = engine_at(migrated_postgres, waiting)

    engine.all("link_of", **NOBODY)
    first = waiting.times
    engine.all("link_of", **NOBODY)

    assert first >= 2  # to prepare, and to ask
    assert waiting.times > first
    engine.close()


def test_a_connection_that_is_not_there_yet_is_waited_for(migrated_postgres, waiting, monkeypatch):
    engine = engine_at(migrated_postgres, waiting, patience=0.2)
    engine.close()
    opened = []

    def connect(*_arguments, **_words):
        opened.append(waiting.now)
        raise psycopg.OperationalError

    monkeypatch.setattr(postgres_wires.psycopg.Connection, "connect", connect)
    with pytest.raises(StoreUnavailable):
        engine.all("link_of", **NOBODY)

    assert set(opened) == {True}


def test_a_place_among_the_connections_is_waited_for(migrated_postgres, waiting, monkeypatch):
    monkeypatch.setattr(postgres_wires, "MOST_CONNECTIONS", 1)
    engine = open_store(migrated_postgres, waits=waiting).engine

    with engine._wire():
        waiting.times = 0
        found = []
        thread = threading.Thread(target=lambda: found.append(engine.all("link_of", **NOBODY)))
        thread.start()
        thread.join(0.2)
        assert (found, waiting.times) == ([], 1)
    thread.join(10)

    assert found == [[]]
    engine.close()


@contextmanager
def silent():
    """Somebody who takes all connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_an_answer_of_orcid_is_waited_for(waiting):
    with silent() as port, pytest.raises(NoAnswer):
        Lines(f"http://127.0.0.1:{port}", Patience(1, 0.2), waiting).send("GET", "/", {})

    assert waiting.times == 2  # to connect, and to hear


def test_what_goes_to_the_organisation_is_waited_for(tmp_path, waiting):
    url, sent = f"sqlite://{tmp_path}/links.db", []
    engine_at(url, waiting).close()
    store = open_store(url, waits=waiting)

    with running(tmp_path / "log", "tests.bench.orcid") as orcid:
        path = write_configuration(tmp_path, orcid={"base_url": f"http://127.0.0.1:{orcid.port}"})
        config, clock = load(path, {}), lambda: datetime.now(UTC)
        words = {"deliver_now": lambda _change: sent.append(waiting.now), "waits": waiting}
        link(asking(web(config, store, clock, **words)), Visitor.of(1))
        nowhere = [*sent]
        link(asking(web(config, store, clock, **words, transfers_of=lambda _organisation: ("push",))), Visitor.of(2))

    assert (nowhere, sent) == ([], [True])
    store.disconnect()


def test_only_what_says_where_it_waits_is_quick():
    asked = {
        (one.method, one.address) for one in ROUTES if quick(one.method, one.address.replace("<attempt>", "xXk7-_3"))
    }

    assert asked == {
        ("GET", "/me"),
        ("POST", "/me/start"),
        ("GET", "/me/callback"),
        ("GET", "/me/confirm/<attempt>"),
        ("POST", "/me/confirm/<attempt>"),
        ("GET", "/me/another-account"),
        ("GET", "/me/result/<attempt>"),
        ("POST", "/me/remove"),
        ("GET", "/me/removed"),
        ("GET", "/static/<name>"),
    }
    assert not quick("POST", "/me")
    assert not quick("GET", "/me/confirm/one/two")


@contextmanager
def served(directory, orcid, **store):
    """Serve the pages, and give the port."""
    path = write_configuration(
        directory, orcid={"base_url": f"http://127.0.0.1:{orcid}"}, listen={"port": 0, "threads": 2}, **store
    )
    words = [sys.executable, "-m", "webapp", "--config", str(path), "serve"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield int(process.stdout.readline().rpartition(":")[2])
        process.terminate()


def test_while_orcid_keeps_silent_pages_come(tmp_path):
    engine_at(f"sqlite://{tmp_path}/links.db", Recorder()).close()
    maija, other = Visitor.of(1), Visitor.of(2)

    with silent() as orcid, served(tmp_path, orcid) as port, ExitStack() as stack:
        there = [stack.enter_context(Connection(port)) for _ in range(2)]
        state = there[0].ask(maija.post("/me/start")).location.partition("state=")[2].partition("&")[0]
        there[0]._socket.sendall(maija.get(f"/me/callback?state={state}&code=code"))
        begun = time.monotonic()
        pages = [look(there[1].ask, other).status for _ in range(5)]

        assert (pages, time.monotonic() - begun < 2) == ([200] * 5, True)


def test_while_somebody_else_writes_pages_come(tmp_path):
    engine_at(f"sqlite://{tmp_path}/links.db", Recorder()).close()
    maija, other = Visitor.of(1), Visitor.of(2)

    with silent() as orcid, served(tmp_path, orcid) as port, ExitStack() as stack:
        there = [stack.enter_context(Connection(port)) for _ in range(2)]
        with locked(tmp_path / "links.db", 1):
            there[0]._socket.sendall(maija.post("/me/start"))
            begun = time.monotonic()
            pages = [look(there[1].ask, other).status for _ in range(5)]
            took = time.monotonic() - begun
        head, _ = there[0]._head()

    assert (pages, took < 1, head[9:12]) == ([200] * 5, True, b"303")
