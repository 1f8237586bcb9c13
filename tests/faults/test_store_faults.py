"""The store when the world misbehaves: what it says, and that nothing is lost or left by halves."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random

import psycopg
import pytest

from sql.engines.postgres import REASONS, reason
from sql.errors import LinkChanged, OrcidIdInUse, StoreUnavailable
from sql.migrate import migrate
from sql.store import open_store
from tests.support.database import driver_of, make_sqlite
from tests.support.factories import NOON, UNIVERSITY, answered, make_attempt, make_consent, make_link, make_orcid_id
from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.store_faults import make_failing_store

MAIJA = "maija@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)


def impatient(url):
    """Open a store that does not wait long."""
    return open_store(url, timeout=0.3)


def link_many(store):
    """Link a thousand people."""
    for number in range(3, 1003):
        make_link(store, f"person {number}", make_orcid_id(number))


@pytest.fixture
def file(tmp_path):
    """A migrated SQLite file with Maija's link in it."""
    store = open_store(make_sqlite(tmp_path))
    make_link(store, MAIJA, FIRST)
    store.close()
    return tmp_path / "links.db"


@pytest.fixture(scope="module")
def own_server():
    """A PostgreSQL server to be stopped and started."""
    server = Server()
    yield server
    server.remove()


# SQLite


def test_a_locked_file_is_said_and_then_works_again(file):
    store = impatient(f"sqlite://{file}")
    attempt = answered(store, MAIJA, SECOND)

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            store.links.add(attempt, "", make_consent(), FIRST, NOON, "another link")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            store.attempts.add(make_attempt(), "hash")
        assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]

    assert store.links.add(attempt, "", make_consent(), FIRST, NOON, "another link").number == 2
    store.close()


def test_a_full_disk_is_said_and_loses_nothing(file):
    store = impatient(f"sqlite://{file}")
    driver = driver_of(store)
    (pages,) = driver.execute("pragma page_count").fetchone()
    driver.execute(f"pragma max_page_count = {pages}")

    with pytest.raises(StoreUnavailable, match="the disk is full"):
        link_many(store)

    driver.execute("pragma max_page_count = 100000")
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert (
        store.links.count(UNIVERSITY)
        == store.changes.last_number(UNIVERSITY)
        == len(list(store.audit.list_events(UNIVERSITY)))
    )
    assert store.audit.verify(UNIVERSITY) == []
    make_link(store, "one more", make_orcid_id(5000))
    store.close()


def test_a_file_that_may_not_be_written_can_still_be_read(file):
    store = impatient(f"sqlite://{file}")
    driver_of(store).execute("pragma query_only = on")

    with pytest.raises(StoreUnavailable, match="cannot be written to"):
        store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    store.close()


def test_a_file_that_is_something_else_is_not_taken_for_a_store(tmp_path):
    (tmp_path / "links.db").write_text("Dear diary, " * 100)
    store = impatient(f"sqlite://{tmp_path}/links.db")

    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        store.check_schema()


def test_a_damaged_file_is_said(file):
    with closing(sqlite3.connect(file)) as other:
        other.execute("pragma wal_checkpoint(truncate)")
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    store = impatient(f"sqlite://{file}")

    with pytest.raises(StoreUnavailable, match="damaged"):
        store.links.orcid_ids(UNIVERSITY, MAIJA)

    store.close()


def test_a_file_in_a_directory_that_is_not_there_is_said(tmp_path):
    store = impatient(f"sqlite://{tmp_path}/nowhere/links.db")

    with pytest.raises(StoreUnavailable, match="directory of the database file does not exist"):
        migrate(store.engine, NOON)


def test_a_directory_in_the_place_of_the_file_is_said(tmp_path):
    store = impatient(f"sqlite://{tmp_path}")

    with pytest.raises(StoreUnavailable, match="cannot be made or opened"):
        migrate(store.engine, NOON)
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        store.links.count(UNIVERSITY)


def test_a_name_too_long_for_any_file_is_said(tmp_path):
    store = impatient(f"sqlite://{tmp_path}/{'x' * 300}")

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        store.check_schema()


# PostgreSQL


def migrated(server):
    """Give a migrated store of a server's new database."""
    store = open_store(server.url(server.make_database()))
    migrate(store.engine, NOON)
    return store


def test_a_server_that_went_away_is_said_and_its_return_noticed(own_server):
    store = migrated(own_server)
    # Several connections that will all be dead
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: make_link(store, f"person {number}", make_orcid_id(number)), range(20)))

    own_server.stop()
    with pytest.raises(StoreUnavailable, match="no connection to the database server"):
        store.links.count(UNIVERSITY)
    own_server.start()

    assert store.links.count(UNIVERSITY) == 20
    store.close()


def test_a_server_restarted_between_two_requests_is_not_noticed(own_server):
    store = migrated(own_server)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: make_link(store, f"person {number}", make_orcid_id(number)), range(20)))

    own_server.stop()
    own_server.start()

    assert make_link(store, MAIJA, make_orcid_id(50)).number == 21
    assert store.audit.verify(UNIVERSITY) == []
    store.close()


def test_a_server_that_dies_within_a_link_leaves_nothing_of_it(migrated_postgres, postgres):
    store = open_store(migrated_postgres)
    make_link(store, MAIJA, FIRST)
    attempt = answered(store, MAIJA, SECOND)

    def hang_up():
        with postgres.connect(migrated_postgres.rsplit("/", 1)[1]) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'orcid-connect' and datname = current_database()"
            )

    lost = make_failing_store(store, 6, hang_up)
    with pytest.raises(StoreUnavailable, match=r"was lost|starting or stopping"):
        lost.links.add(attempt, "", make_consent(), FIRST, NOON, "another link")

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert store.attempts.get(attempt.id) == attempt
    assert store.links.add(attempt, "", make_consent(), FIRST, NOON, "another link").number == 2
    store.close()


def test_a_refused_connection_is_reported_without_the_password():
    store = impatient(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/links")

    with pytest.raises(StoreUnavailable) as raised:
        store.check_schema()

    assert (
        str(raised.value)
        == "no connection to the database server: it is unreachable, refuses, or all connections are in use"
    )
    store.close()


def test_a_wrong_password_is_said_without_it(postgres):
    store = impatient(postgres.url().replace(postgres.password, "hunter2"))

    with pytest.raises(StoreUnavailable, match="refuses, or"):
        store.check_schema()

    store.close()


def test_an_organisation_held_for_too_long_is_said(migrated_postgres):
    store = impatient(migrated_postgres)
    make_link(store, MAIJA, FIRST)

    with psycopg.connect(migrated_postgres) as other:
        other.execute("select * from organisations for update")
        with pytest.raises(StoreUnavailable, match="took too long"):
            store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    assert store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON).number == 2
    store.close()


def test_a_database_that_may_not_be_written_can_still_be_read(postgres):
    name = postgres.make_database(template="test_1")
    with postgres.connect(name) as other:
        other.execute(f"alter database {name} set default_transaction_read_only = on")
    store = open_store(postgres.url(name))

    with pytest.raises(StoreUnavailable, match="cannot be written to"):
        store.attempts.add(make_attempt(), "hash")

    assert store.links.count(UNIVERSITY) == 0
    store.close()


@pytest.mark.parametrize(
    ("sqlstate", "told"),
    [
        (None, "the connection to the database server was lost, or it did not answer in time"),
        ("53100", "the disk of the database server is full"),
        ("53300", REASONS["53"]),
        ("57014", "the database server took too long"),
        ("57P01", "the database server is starting or stopping"),
        ("40P01", REASONS["40"]),
        ("42P01", REASONS["42"]),
        ("22P05", "the database server answered with SQLSTATE 22P05"),
    ],
)
def test_every_code_of_the_server_has_a_reason(sqlstate, told):
    assert reason(sqlstate) == told


# Both


def test_any_mixture_of_writers_ends_without_a_deadlock(store):
    people, numbers = [f"person {number}" for number in range(4)], range(1, 5)

    def writer(seed):
        chance = Random(seed)
        for _ in range(15):
            person, organisation = chance.choice(people), chance.choice(["https://a.example", "https://b.example"])
            if chance.random() < 0.3:
                store.links.remove(organisation, person, "person", "asked to", NOON)
                continue
            try:
                make_link(store, person, make_orcid_id(chance.choice(numbers)), organisation)
            except (OrcidIdInUse, LinkChanged):
                continue

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(writer, range(6)))

    for organisation in ("https://a.example", "https://b.example"):
        assert store.audit.verify(organisation) == []
        numbers_seen = [change.number for change in store.changes.list_after(organisation, 0, 1000)]
        assert numbers_seen == list(range(1, len(numbers_seen) + 1))


def test_what_a_driver_says_about_a_row_stays_within(store):
    make_link(store, MAIJA, FIRST)

    with pytest.raises(Exception, match="constraint") as raised:
        store.links.add(
            answered(store, "ville", SECOND), "", make_consent(), None, NOON, store.links.get(UNIVERSITY, MAIJA).id
        )

    assert MAIJA not in str(raised.value)
    assert raised.value.__suppress_context__
