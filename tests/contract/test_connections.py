"""The connections of a process to its database: at most so many, one writer at a time, and none that is a parent's."""

import sqlite3
import threading
from contextlib import contextmanager

import psycopg
import pytest

from sql import postgres_wires
from sql.errors import StoreUnavailable
from sql.migrate import migrate
from sql.postgres_wire import Wire, _checked
from sql.postgres_wires import Wires
from sql.store import open_store
from tests.make import NOON, UNIVERSITY


@contextmanager
def meanwhile(context):
    """Another thread is in a context."""
    there, done = threading.Event(), threading.Event()

    def hold():
        with context:
            there.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert there.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join(10)


def test_whoever_finds_all_connections_in_use_is_told_in_time(migrated_postgres, monkeypatch):
    monkeypatch.setattr(postgres_wires, "MOST_CONNECTIONS", 1)
    wires = Wires(migrated_postgres, {"autocommit": True}, lambda _connection: None, 0.1)

    with wires.one(), pytest.raises(StoreUnavailable, match="all are in use"), wires.one():
        pass

    with wires.one() as wire:
        assert wire.at_rest
    wires.close()


def test_a_connection_of_the_parent_process_is_not_the_childs_to_close(migrated_postgres):
    connection = psycopg.connect(migrated_postgres, autocommit=True)
    wire = Wire(connection)
    wire._forks = -1

    del wire

    assert not connection.closed
    connection.close()


def test_a_connection_that_nobody_knows_of_is_closed(migrated_postgres):
    connection = psycopg.connect(migrated_postgres, autocommit=True)
    wire = Wire(connection)

    del wire

    assert connection.closed


class FullWire:
    """A way to the server that takes no more, until it has been waited for once."""

    def __init__(self, file):
        self.socket = file
        self.left = [1, 0]
        self.looked = 0

    def flush(self):
        return self.left.pop(0)

    def consume_input(self):
        self.looked += 1


def test_a_way_that_takes_no_more_is_waited_for_and_listened_to_meanwhile(migrated_postgres):
    connection = psycopg.connect(migrated_postgres, autocommit=True)
    wire = Wire(connection)
    full = FullWire(connection.pgconn.socket)
    wire._pg = full

    wire._pushed()

    assert (full.left, full.looked) == ([], 1)
    connection.close()


def test_a_child_process_closes_nothing_of_its_parents(migrated_postgres):
    engine = open_store(migrated_postgres).engine
    engine.tables()
    (wire,), ours = engine._wires._idle, engine._forks
    engine._forks = -1

    engine.close()

    assert not wire.connection.closed
    engine._forks = ours
    engine.close()
    assert wire.connection.closed


def test_an_answer_that_never_came_is_a_broken_connection():
    with pytest.raises(psycopg.OperationalError, match="broke"):
        _checked(None)


@pytest.fixture
def engine(tmp_path):
    """An SQLite file that is ready."""
    engine = open_store(f"sqlite://{tmp_path}/links.db").engine
    migrate(engine, NOON)
    yield engine
    engine.close()


def test_a_connection_that_stayed_in_a_transaction_is_not_used_again(engine):
    with engine._connection() as connection:
        connection.driver.execute("begin")

    assert engine.brief("forget_links", organisation=UNIVERSITY, person_key="nobody") == 0
    with engine.transaction() as session:
        assert session.run("forget_links", organisation=UNIVERSITY, person_key="nobody") == 0
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.driver.execute("select 1")


def test_a_connection_in_use_is_closed_when_it_is_no_longer(engine):
    with engine._connection() as connection:
        engine.close()
        assert connection.driver.execute("select 1").fetchone()[0] == 1

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.driver.execute("select 1")


def test_a_child_process_leaves_the_files_of_its_parent_alone(engine):
    (connection,) = engine._idle
    engine._forks = -1

    engine.close()

    assert connection.driver.execute("select 1").fetchone()[0] == 1
    connection.driver.close()


def test_a_writer_that_waits_too_long_for_another_of_its_process_is_told(tmp_path):
    engine = open_store(f"sqlite://{tmp_path}/links.db", patience=0.1).engine
    migrate(engine, NOON)
    nothing = {"organisation": UNIVERSITY, "person_key": "nobody"}

    with meanwhile(engine._writing(durable=False)), pytest.raises(StoreUnavailable, match="locked by another writer"):
        engine.brief("forget_links", **nothing)

    assert engine.brief("forget_links", **nothing) == 0
    engine.close()
