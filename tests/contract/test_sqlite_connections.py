"""SQLite's connections: one for each thread, writers that wait for each other, and none that stays behind."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sql.errors import StoreUnavailable
from sql.migrate import migrate
from sql.store import open_store
from tests.support.factories import NOON, UNIVERSITY, make_attempt, make_link, make_orcid_id

MAIJA = "maija@yliopisto.example"
NOBODY = {"organisation": UNIVERSITY, "person_key": "nobody"}

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
connection.execute("delete from incidents")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("commit")
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "links.db"
    store = open_store(f"sqlite://{path}")
    migrate(store.engine, NOON)
    store.close()
    return path


@pytest.fixture
def store(path):
    store = open_store(f"sqlite://{path}")
    yield store
    store.close()


def locked_by_another_process(path, seconds):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    return process


def transaction(engine):
    with engine.transaction() as session:
        session.fetch_one("get_link", **NOBODY)
        session.execute("delete_links_of_person", **NOBODY)


WRITES = {
    "execute": lambda engine: engine.execute("delete_links_of_person", **NOBODY),
    "a statement that returns rows": lambda engine: engine.fetch_all("delete_attempt", id="none"),
    "transaction": transaction,
}


@pytest.mark.parametrize("name", WRITES)
def test_a_writer_waits_for_a_writer_of_another_process(path, store, name):
    store.links.count(UNIVERSITY)
    with locked_by_another_process(path, 0.7):
        begun = time.monotonic()
        WRITES[name](store.engine)

    assert time.monotonic() - begun > 0.3


@pytest.mark.parametrize("name", WRITES)
def test_a_writer_waits_no_longer_than_the_busy_timeout(path, name):
    store = open_store(f"sqlite://{path}", timeout=0.3)
    with locked_by_another_process(path, 60) as other:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            WRITES[name](store.engine)
        took = time.monotonic() - begun
        other.kill()

    assert 0.3 <= took < 20
    store.close()


def test_a_reader_does_not_wait_for_a_writer(path, store):
    make_link(store, MAIJA, make_orcid_id(1))
    with locked_by_another_process(path, 60) as other:
        begun = time.monotonic()
        assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [make_orcid_id(1)]
        assert time.monotonic() - begun < 20
        other.kill()


def test_concurrent_writers_all_succeed(store):
    def work(number):
        for each in range(5):
            make_link(store, f"person {number} {each}", make_orcid_id(1 + 5 * number + each))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert store.links.count(UNIVERSITY) == store.changes.last_number(UNIVERSITY) == 40
    assert store.audit.verify(UNIVERSITY) == []


def test_what_a_transaction_has_not_committed_other_threads_do_not_see(store):
    with store.engine.transaction() as session, ThreadPoolExecutor(1) as pool:
        session.fetch_all("lock_organisation", organisation=UNIVERSITY)
        assert pool.submit(store.engine.fetch_all, "list_organisations").result() == []
        assert len(session.fetch_all("list_organisations")) == 1


# Connections


def opened(path):
    """Count how often this process has the file open."""
    files = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return files.count(path)


def test_a_thread_that_ends_leaves_no_connection(path, store):
    for _ in range(3):
        thread = threading.Thread(target=store.links.count, args=[UNIVERSITY])
        thread.start()
        thread.join()

    assert opened(path) == 0


def test_a_disconnect_closes_the_connections_of_all_threads(path, store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.attempts.add(make_attempt(id=f"{number}"), f"{number}"), range(20)))
        before = opened(path)
        store.close()
        assert before > 0
        assert opened(path) == 0
        assert list(pool.map(store.links.count, [UNIVERSITY] * 4)) == [0] * 4


def test_a_connection_in_use_is_closed_when_it_is_no_longer(path, store):
    with store.engine.transaction() as session:
        store.close()
        session.fetch_all("lock_organisation", organisation=UNIVERSITY)
    del session

    assert opened(path) == 0
    assert len(store.engine.fetch_all("list_organisations")) == 1
