"""A PostgreSQL server that is silent, gone, or one of several: every use ends in time, and works again by itself."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.replica_cache import ReplicaCache
from shibboleth.orcid_id import Registry
from sql.engines.postgres import MAX_CONNECTIONS
from sql.errors import StoreUnavailable
from sql.migrate import migrate
from sql.store import open_store
from tests.support.factories import (
    NOON,
    UNIVERSITY,
    answered,
    attest,
    make_attempt,
    make_client,
    make_consent,
    make_link,
    make_orcid_id,
)
from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.processes.standby import running_cluster
from tests.support.service import ORGANISATIONS, Clock, ask
from tests.support.store_faults import make_failing_store

MAIJA = "maija@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
LIMIT = 2.0
"""Seconds after which every use of a silent server must have ended."""


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server to be made silent."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def url(server):
    """A migrated database with Maija's link."""
    url = server.url(server.make_database())
    store = open_store(url)
    migrate(store.engine, NOON)
    make_link(store, MAIJA, FIRST)
    store.close()
    return url


@pytest.fixture
def store(url):
    store = open_store(url)
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    yield store
    store.close()


def must_end_in_time(use):
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        use()
    assert time.monotonic() - begun < LIMIT


def must_recover(use, seconds=5.0):
    """Try until it works; the last error counts."""
    until = time.monotonic() + seconds
    while True:
        try:
            return use()
        except StoreUnavailable:
            if time.monotonic() > until:
                raise


USES = {
    "a page's read": lambda store: store.links.person_status(UNIVERSITY, MAIJA),
    "an attempt that is begun": lambda store: store.attempts.add(attempt := make_attempt(), f"hash of {attempt.id}"),
    "a state that is taken": lambda store: store.attempts.consume_state("hash", UNIVERSITY, MAIJA, "browser", NOON),
    "a transaction": lambda store: store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON),
    "a worker's claim": lambda store: store.deliveries.claim("worker", NOON, timedelta(minutes=1), 10),
    "the check at start": lambda store: store.check_schema(),
    "an import": lambda store: attest(store, [("x@x", make_orcid_id(1))]),
}


@pytest.mark.parametrize("name", [name for name in USES if name != "an import"])
def test_every_use_of_a_silent_server_ends_in_time_and_works_again_after(server, store, name):
    with server.silent():
        must_end_in_time(lambda: USES[name](store))

    must_recover(lambda: USES[name](store))
    assert store.audit.verify(UNIVERSITY) == []


@pytest.mark.parametrize("name", ["a page's read", "a transaction", "the check at start", "an import"])
def test_the_first_connection_to_a_silent_server_ends_in_time_and_works_again_after(server, url, name):
    store = open_store(url)
    with server.silent():
        must_end_in_time(lambda: USES[name](store))

    must_recover(lambda: USES[name](store))
    store.close()


@pytest.mark.parametrize("connected", [True, False])
def test_lookups_end_in_time_and_most_of_them_at_once(server, store, connected):
    lookup = store.lookup()
    if connected:
        lookup.ping()

    with server.silent():
        must_end_in_time(lambda: lookup.get_current_orcid_id(UNIVERSITY, MAIJA))
        begun = time.monotonic()
        for _ in range(100):
            must_end_in_time(lambda: lookup.get_current_orcid_id(UNIVERSITY, MAIJA))
        assert time.monotonic() - begun < LIMIT

    assert must_recover(lambda: lookup.get_current_orcid_id(UNIVERSITY, MAIJA))["orcid"] == FIRST.bare
    lookup.close()


def test_a_login_gets_the_stale_answer_in_time(server, store, tmp_path):
    clock = Clock()
    replicas = ReplicaCache(store, ORGANISATIONS, Registry.PRODUCTION, directory=tmp_path, max_age=3600, clock=clock)
    replicas.refresh()
    credentials = Credentials([(Bearer("t" * 40), make_client(ORGANISATIONS.by_id(UNIVERSITY)))])
    connector = Connector(store, credentials, Registry.PRODUCTION, clock, replicas=replicas)
    path, header = f"/v1/people/{MAIJA}", {"HTTP_AUTHORIZATION": "Bearer " + "t" * 40}
    fresh = ask(connector, path, **header)

    with server.silent():
        begun = time.monotonic()
        stale = ask(connector, path, **header)
        took = time.monotonic() - begun

    assert (fresh.status, stale.status, stale.body) == (200, 200, fresh.body)
    assert stale.header("Age") is not None
    assert took < LIMIT
    connector.lookup.close()


@pytest.mark.parametrize("step", [3, 6, 11])
def test_a_server_that_falls_silent_within_a_transaction_leaves_nothing_of_it(server, store, step):
    attempt = answered(store, MAIJA, SECOND)

    with ExitStack() as stack:
        broken = make_failing_store(store, step, lambda: stack.enter_context(server.silent()))
        must_end_in_time(lambda: broken.links.add(attempt, "", make_consent(), FIRST, NOON, "another link"))

    assert must_recover(lambda: store.links.orcid_ids(UNIVERSITY, MAIJA)) == [FIRST]
    # The server ends the old transaction when it sees the connection closed
    linked = must_recover(lambda: store.links.add(attempt, "", make_consent(), FIRST, NOON, "another link"))
    assert linked.number == 2
    assert store.audit.verify(UNIVERSITY) == []


@contextmanager
def all_connections_in_use(store):
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(store.engine.connection(long=True))
        yield


def test_a_use_that_finds_all_connections_taken_ends_in_time(store):
    with all_connections_in_use(store):
        must_end_in_time(lambda: store.links.count(UNIVERSITY))

    assert store.links.count(UNIVERSITY) == 1


def test_many_at_once_on_a_silent_server_all_end_in_time(server, store):
    with server.silent(), ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda _: must_end_in_time(lambda: store.links.count(UNIVERSITY)), range(30)))

    assert must_recover(lambda: store.links.count(UNIVERSITY)) == 1


def test_a_store_can_be_disconnected_from_a_silent_server(server, store):
    with server.silent():
        must_end_in_time(lambda: store.links.count(UNIVERSITY))
        begun = time.monotonic()
        store.close()
        assert time.monotonic() - begun < LIMIT

    assert must_recover(lambda: store.links.count(UNIVERSITY)) == 1


def test_a_slow_statement_is_ended_by_the_server_with_its_reason(store):
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="took too long"), store.engine.connection() as connection:
        connection.execute("select pg_sleep(10)")

    assert time.monotonic() - begun < LIMIT
    assert store.links.count(UNIVERSITY) == 1


# Several hosts


def with_hosts(url, server, *ports):
    """Give the URL with these ports of this machine before the server's own."""
    own = f"127.0.0.1:{server.port}"
    return url.replace(own, ",".join([*(f"127.0.0.1:{port}" for port in ports), own]))


def test_of_two_hosts_the_one_that_lives_is_used(server, url):
    several = with_hosts(url, server, free_port()) + "?target_session_attrs=read-write&load_balance_hosts=random"
    store = open_store(several)

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert make_link(store, MAIJA, SECOND).number == 2
    store.close()


def test_a_first_host_that_is_silent_delays_a_use_no_more_than_others_and_the_second_is_found(server, url):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        store = open_store(with_hosts(url, server, nobody.getsockname()[1]))
        must_end_in_time(lambda: store.links.count(UNIVERSITY))

        assert must_recover(lambda: store.links.count(UNIVERSITY)) == 1
        store.close()


def test_the_host_that_can_be_written_to_is_used(server, postgres, migrated_postgres):
    name = migrated_postgres.rpartition("/")[2]
    with server.connect() as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            connection.execute(f"create database {name}")
        connection.execute(f"alter database {name} set default_transaction_read_only = on")
        connection.execute(f"create role writer login superuser password '{postgres.password}'")
    with postgres.connect() as connection:
        connection.execute(f"create role writer login superuser password '{postgres.password}'")
    url = with_hosts(migrated_postgres, postgres, server.port).replace("//postgres:", "//writer:")
    store = open_store(url + "?target_session_attrs=read-write")

    assert make_link(store, MAIJA, FIRST).number == 1
    store.close()
    with postgres.connect() as connection:
        connection.execute("drop role writer")


@pytest.fixture(scope="module")
def cluster():
    """A primary and a synchronous standby."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def replicated(cluster):
    """A store on both, which reads look-ups from the standby; Maija has a link."""
    store = open_store(cluster.url(cluster.primary.make_database()), standby_lookups=True)
    migrate(store.engine, NOON)
    make_link(store, MAIJA, FIRST)
    yield store
    store.close()


def test_a_link_that_no_standby_has_is_not_confirmed_and_is_there_when_one_follows_again(cluster, replicated):
    attempt = answered(replicated, MAIJA, SECOND)
    cluster.standby.stop()
    must_end_in_time(lambda: replicated.links.add(attempt, "", make_consent(), FIRST, NOON, "another link"))
    with pytest.raises(StoreUnavailable):
        replicated.check_writable()
    cluster.standby.start()

    must_recover(replicated.check_writable)
    assert replicated.links.orcid_ids(UNIVERSITY, MAIJA) == [SECOND]


# The last one: afterwards there is no standby


def test_when_a_primary_falls_silent_lookups_go_on_and_writes_when_the_standby_is_promoted(cluster, replicated):
    lookup = replicated.lookup()
    assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA)["orcid"] == FIRST.bare

    with cluster.primary.silent():
        must_end_in_time(lambda: make_link(replicated, MAIJA, SECOND))
        for _ in range(100):
            assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA)["orcid"] == FIRST.bare

        cluster.promote_standby()
        must_recover(lambda: make_link(replicated, MAIJA, SECOND), seconds=15)
        assert must_recover(lambda: replicated.links.orcid_ids(UNIVERSITY, MAIJA)) == [SECOND]
        assert lookup.get_current_orcid_id(UNIVERSITY, MAIJA)["orcid"] == SECOND.bare
        lookup.close()
        replicated.close()
