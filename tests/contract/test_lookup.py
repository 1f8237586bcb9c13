"""Lookups for logins, on both engines: they cannot write, fail fast, and recover by themselves."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psycopg
import pytest

from sql.engines.base import QUERIES
from sql.errors import SchemaBehind, StoreUnavailable
from sql.lookup import RESET_TIMEOUT, CircuitBreaker
from sql.store import open_store
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.postgres import Server

MAIJA = "maija@yliopisto.example"


@pytest.fixture
def lookup(store):
    lookup = store.lookup()
    yield lookup
    lookup.close()


def test_the_id_of_a_person_is_read(store, lookup):
    make_link(store, orcid_id=make_orcid_id(7))

    row = lookup.get_current_orcid_id(UNIVERSITY, MAIJA)

    assert (row["registry"], row["orcid"]) == ("production", make_orcid_id(7).bare)


@pytest.mark.parametrize("account", ["pekka@yliopisto.example", "", "\0", "\ud800", "'; drop table links; --"])
def test_another_account_has_no_id(store, lookup, account):
    make_link(store)

    assert lookup.get_current_orcid_id(UNIVERSITY, account) is None


def test_committed_writes_are_visible_at_once(store, lookup):
    assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA) is None
    make_link(store)
    assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA) is not None
    store.links.remove(UNIVERSITY, MAIJA, "person", "removed", NOON)
    assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA) is None


def test_a_reader_cannot_write(store):
    make_link(store)
    reader = store.engine.reader()

    with pytest.raises(StoreUnavailable, match="the database (file )?cannot be written to"):
        reader.execute("delete_links_of_person", organisation=UNIVERSITY, person_key=MAIJA)
    with (
        pytest.raises(StoreUnavailable, match="the database (file )?cannot be written to"),
        reader.transaction() as session,
    ):
        session.execute("delete_links_of_person", organisation=UNIVERSITY, person_key=MAIJA)
    reader.close()


def test_threads_look_up_at_once(store, lookup):
    make_link(store, orcid_id=make_orcid_id(7))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: lookup.get_current_orcid_id(UNIVERSITY, MAIJA)["orcid"], range(40)))

    assert set(found) == {make_orcid_id(7).bare}


def test_a_closed_look_up_can_be_used_again(store, lookup):
    make_link(store)
    lookup.get_current_orcid_id(UNIVERSITY, MAIJA)
    lookup.close()

    assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA) is not None


def test_a_current_schema_is_distinguished_from_an_outdated_one(store, lookup):
    lookup.ping()
    lookup.check_schema()
    last = max(each.name for each in (QUERIES.parent / "migrations").glob("*.sql"))
    with store.engine.transaction() as session:
        session.script(f"delete from schema_migrations where name = '{last}';")

    with pytest.raises(SchemaBehind):
        lookup.check_schema()


# SQLite


def test_a_missing_file_is_reported_at_once_and_not_created(tmp_path):
    lookup = open_store(f"sqlite://{tmp_path}/none.db").lookup()

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        lookup.ping()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        lookup.check_schema()
    assert not (tmp_path / "none.db").exists()


def test_a_locked_file_is_reported_at_once(tmp_path):
    path = tmp_path / "links.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("create table x (y)")
        connection.execute("begin exclusive")
        begun = time.monotonic()

        with pytest.raises(StoreUnavailable, match="locked"):
            open_store(f"sqlite://{path}").lookup().check_schema()
        assert time.monotonic() - begun < 2
        connection.execute("rollback")
    connection.close()


# PostgreSQL


@pytest.fixture
def mortal():
    """A PostgreSQL server that may be stopped and started."""
    server = Server()
    yield server
    server.remove()


def test_an_unavailable_server_is_reported_at_once_and_reconnected(mortal):
    url = mortal.url(mortal.make_database())
    lookup = open_store(url).lookup()
    lookup.ping()
    mortal.stop()

    begun = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            lookup.ping()
    took = time.monotonic() - begun
    mortal.start()
    time.sleep(RESET_TIMEOUT * 1.1)

    assert took < 1
    lookup.ping()
    lookup.close()


def test_a_restarted_server_is_not_reported_as_unavailable(mortal):
    lookup = open_store(mortal.url(mortal.make_database())).lookup()
    lookup.ping()
    mortal.stop()
    mortal.start()

    lookup.ping()
    lookup.close()


def test_a_slow_query_is_given_up(migrated_postgres):
    lookup = open_store(migrated_postgres).lookup()
    lookup.ping()
    with psycopg.connect(migrated_postgres) as connection:
        connection.execute("lock table links in access exclusive mode")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="took too long|locked"):
            lookup.get_current_orcid_id(UNIVERSITY, MAIJA)
        assert time.monotonic() - begun < 2
    lookup.close()


# The circuit breaker


@pytest.fixture
def breaker():
    clock = SimpleNamespace(now=100.0)
    return CircuitBreaker(1.0, lambda: clock.now), clock


def refuse():
    raise StoreUnavailable("it is away")


def fail(breaker):
    with pytest.raises(StoreUnavailable, match="it is away"):
        breaker.call(refuse)


def succeed(breaker):
    assert breaker.call(divmod, 7, 2) == (3, 1)


def must_be_open(breaker):
    with pytest.raises(StoreUnavailable, match="it is away"):
        breaker.call(pytest.fail, "the call was made")


def test_after_a_failure_one_call_in_each_pause_is_made(breaker):
    breaker, clock = breaker
    succeed(breaker)
    fail(breaker)

    must_be_open(breaker)
    clock.now += 1
    fail(breaker)
    must_be_open(breaker)


def test_while_one_call_tries_the_others_fail_at_once(breaker):
    breaker, clock = breaker
    fail(breaker)
    clock.now += 1

    breaker.call(must_be_open, breaker)


def test_a_call_that_succeeds_closes_the_breaker(breaker):
    breaker, clock = breaker
    fail(breaker)
    clock.now += 1

    succeed(breaker)
    succeed(breaker)
