"""Reading for sign-ins, on both engines: it cannot write, does not wait, and comes back by itself."""

import sqlite3
import threading
import time
from types import SimpleNamespace

import psycopg
import pytest

from sql.engine import QUERIES
from sql.errors import SchemaBehind, StoreUnavailable
from sql.reading import PATIENCE, Outage
from sql.store import open_store
from tests.make import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.postgres import Server

MAIJA = "maija@yliopisto.example"


@pytest.fixture
def lookup(store):
    lookup = store.lookup()
    yield lookup
    lookup.close()


def test_the_id_of_a_person_is_read(store, lookup):
    make_link(store, orcid_id=make_orcid_id(7))

    row = lookup.of(UNIVERSITY, MAIJA)

    assert (row["registry"], row["orcid"]) == ("production", make_orcid_id(7).bare)


@pytest.mark.parametrize("account", ["pekka@yliopisto.example", "", "\0", "\ud800", "'; drop table links; --"])
def test_nobody_is_found_for_another_account(store, lookup, account):
    make_link(store)

    assert lookup.of(UNIVERSITY, account) is None


def test_what_was_written_is_seen_at_once(store, lookup):
    assert lookup.of(UNIVERSITY, MAIJA) is None
    make_link(store)
    assert lookup.of(UNIVERSITY, MAIJA) is not None
    store.unlink(UNIVERSITY, MAIJA, "person", "removed", NOON)
    assert lookup.of(UNIVERSITY, MAIJA) is None


def test_a_reader_cannot_write(store):
    reader, harm = store.engine.reader(), "delete from links"
    reader._queries = {"harm": harm if isinstance(reader._queries["orcid_of"], str) else harm.encode()}

    with pytest.raises(StoreUnavailable, match="the database (file )?cannot be written to"):
        reader.all("harm", {})
    reader.close()


def test_each_thread_has_a_connection_which_goes_with_it(store, lookup):
    make_link(store)
    found = []

    def look():
        found.append(lookup.of(UNIVERSITY, MAIJA)["orcid"])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(found) == 4
    assert len(lookup._reader._all) == 0


def test_whoever_closed_it_may_go_on(store, lookup):
    make_link(store)
    lookup.of(UNIVERSITY, MAIJA)
    lookup.close()

    assert lookup.of(UNIVERSITY, MAIJA) is not None


def test_a_database_that_is_ready_is_told_from_one_that_is_behind(store, lookup):
    lookup.must_answer()
    lookup.must_be_ready()
    last = max(each.name for each in (QUERIES.parent / "migrations").glob("*.sql"))
    with store.engine.transaction() as session:
        session.script(f"delete from schema_migrations where name = '{last}';")

    with pytest.raises(SchemaBehind):
        lookup.must_be_ready()


# SQLite


def test_a_file_that_is_not_there_is_told_at_once_and_not_made(tmp_path):
    lookup = open_store(f"sqlite://{tmp_path}/none.db").lookup()

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        lookup.must_answer()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        lookup.must_be_ready()
    assert not (tmp_path / "none.db").exists()


def test_a_locked_file_is_told_at_once(tmp_path):
    path = tmp_path / "links.db"
    with sqlite3.connect(path, isolation_level=None) as keeper:
        keeper.execute("create table x (y)")
        keeper.execute("begin exclusive")
        begun = time.monotonic()

        with pytest.raises(StoreUnavailable, match="locked"):
            open_store(f"sqlite://{path}").lookup().must_be_ready()
        assert time.monotonic() - begun < 2
        keeper.execute("rollback")
    keeper.close()


# PostgreSQL


@pytest.fixture
def mortal():
    """A PostgreSQL server that may be stopped and started."""
    server = Server()
    yield server
    server.remove()


def test_a_server_that_is_away_is_told_at_once_and_found_again(mortal):
    url = mortal.url(mortal.make_database())
    lookup = open_store(url).lookup()
    lookup.must_answer()
    mortal.stop()

    begun = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            lookup.must_answer()
    took = time.monotonic() - begun
    mortal.start()
    time.sleep(PATIENCE * 1.1)

    assert took < 1
    lookup.must_answer()
    lookup.close()


def test_a_server_that_was_started_anew_is_not_taken_for_one_that_is_away(mortal):
    lookup = open_store(mortal.url(mortal.make_database())).lookup()
    lookup.must_answer()
    mortal.stop()
    mortal.start()

    lookup.must_answer()
    lookup.close()


def test_a_question_that_takes_too_long_is_given_up(migrated_postgres):
    lookup = open_store(migrated_postgres).lookup()
    lookup.must_answer()
    with psycopg.connect(migrated_postgres) as keeper:
        keeper.execute("lock table links in access exclusive mode")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="took too long|locked"):
            lookup.of(UNIVERSITY, MAIJA)
        assert time.monotonic() - begun < 3 * PATIENCE
    lookup.close()


# An outage


@pytest.fixture
def outage():
    clock = SimpleNamespace(now=100.0)
    return Outage(1.0, lambda: clock.now), clock


def test_during_an_outage_one_in_a_while_may_look(outage):
    outage, clock = outage
    outage.must_be_over()
    outage.began("it is away")

    with pytest.raises(StoreUnavailable, match="it is away"):
        outage.must_be_over()
    clock.now += 1
    outage.must_be_over()
    with pytest.raises(StoreUnavailable):
        outage.must_be_over()


def test_an_outage_ends_when_somebody_was_answered(outage):
    outage, _ = outage
    outage.began("it is away")
    outage.ended()

    outage.must_be_over()
