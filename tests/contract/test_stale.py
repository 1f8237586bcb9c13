"""`connector --serve-stale`: answers while the database is away, from replicas, and what that must not do."""

import json
import logging
import shutil
from datetime import timedelta
from threading import Event

import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.replica_cache import ReplicaCache
from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from sql.errors import StoreUnavailable
from sql.migrate import migrate
from sql.replica import Replica
from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.delivery import eventually
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_client, make_link, make_orcid_id
from tests.support.postgres import Server
from tests.support.processes.servers import ask as ask_at
from tests.support.processes.servers import configuration, running
from tests.support.service import ORGANISATIONS, Clock, ask

TOKEN, OTHER = "t" * 40, "o" * 40
MAIJA = "/v1/people/maija@yliopisto.example"
HOUR = 3600


class Breakable:
    """What sign-ins ask, until it is away."""

    def __init__(self, lookup):
        self.lookup = lookup
        self.away = False

    def __getattr__(self, name):
        if self.away:
            raise StoreUnavailable("the server is away")
        return getattr(self.lookup, name)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def replicas(store, tmp_path, clock):
    return ReplicaCache(
        store,
        ORGANISATIONS,
        Registry.PRODUCTION,
        directory=tmp_path / "replicas",
        max_age=HOUR,
        clock=clock,
    )


@pytest.fixture
def lookup(store):
    lookup = Breakable(store.lookup())
    yield lookup
    lookup.away = False
    lookup.close()


@pytest.fixture
def connector(store, lookup, replicas, clock):
    pairs = [
        (Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY))),
        (Bearer(OTHER), make_client(ORGANISATIONS.by_id(POLYTECHNIC))),
    ]
    return Connector(store, Credentials(pairs), Registry.PRODUCTION, clock, lookup=lookup, replicas=replicas)


def get(connector, path=MAIJA, token=TOKEN, **words):
    return ask(connector, path, HTTP_AUTHORIZATION=f"Bearer {token}", **words)


def test_while_the_database_is_away_the_replica_answers_and_says_its_age(connector, store, replicas, lookup, clock):
    make_link(store)
    fresh = get(connector)
    replicas.refresh()
    clock.passes(minutes=10)
    lookup.away = True

    answer = get(connector)

    assert (answer.status, answer.body) == (200, fresh.body)
    assert (fresh.header("Age"), fresh.header("Warning")) == (None, None)
    assert (answer.header("Age"), answer.header("Warning")) == ("600", '110 orcid-connect "Response is Stale"')


def test_a_person_without_an_id_gets_an_empty_list_from_the_replica(connector, store, replicas, lookup):
    make_link(store)
    replicas.refresh()
    lookup.away = True

    assert json.loads(get(connector, "/v1/people/nobody@yliopisto.example").body) == {"eduPersonOrcid": []}
    assert json.loads(get(connector, token=OTHER).body) == {"eduPersonOrcid": []}


def test_records_are_given_from_the_replica_as_well(connector, store, replicas, lookup):
    make_link(store, orcid_id=make_orcid_id(7))
    replicas.refresh()
    lookup.away = True

    answer = get(connector, "/v1/records?account=maija@yliopisto.example")

    assert json.loads(answer.body) == [{"eduPersonOrcid": make_orcid_id(7).uri}]
    assert answer.header("Age") == "0"


def test_once_the_database_is_back_it_is_asked_again(connector, store, replicas, lookup):
    make_link(store)
    replicas.refresh()
    lookup.away = True
    get(connector)
    lookup.away = False
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON)

    answer = get(connector)

    assert json.loads(answer.body) == {"eduPersonOrcid": []}
    assert answer.header("Age") is None


def test_a_replica_that_is_too_old_is_not_used(connector, store, replicas, lookup, clock):
    make_link(store)
    replicas.refresh()
    lookup.away = True
    clock.passes(seconds=HOUR)
    in_time = get(connector)
    clock.passes(seconds=1)

    assert (in_time.status, get(connector).status) == (200, 503)


def test_without_a_replica_the_failure_is_reported_at_once(connector, lookup):
    lookup.away = True

    answer = get(connector)

    assert (answer.status, answer.header("Retry-After")) == (503, "5")


@pytest.mark.parametrize("path", ["/v1/changes", "/v1/health"])
def test_only_sign_ins_are_answered_from_replicas(connector, replicas, lookup, path):
    replicas.refresh()
    lookup.away = True

    assert get(connector, path).status == 503


def test_without_a_credential_no_data_is_returned(connector, store, replicas, lookup):
    make_link(store)
    replicas.refresh()
    lookup.away = True

    assert get(connector, token="wrong").status == 401


def test_an_id_that_was_removed_is_gone_with_the_next_replica(connector, store, replicas, lookup, clock):
    make_link(store)
    replicas.refresh()
    lookup.away = True
    before = get(connector)
    lookup.away = False
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON)
    clock.passes(seconds=HOUR / 10)
    replicas.refresh()
    lookup.away = True

    assert json.loads(before.body)["eduPersonOrcid"]
    assert json.loads(get(connector).body) == {"eduPersonOrcid": []}


def test_a_sandbox_id_is_in_no_replica_of_a_production_service(connector, store, replicas, lookup):
    make_link(store, orcid_id=make_orcid_id(7, Registry.SANDBOX))
    replicas.refresh()
    lookup.away = True

    assert json.loads(get(connector).body) == {"eduPersonOrcid": []}


def test_a_replica_of_another_owner_is_not_used(connector, store, replicas, lookup, tmp_path):
    make_link(store)
    replicas.refresh()
    directory = tmp_path / "replicas"
    (directory / "yliopisto.db").replace(directory / "amk.db")
    lookup.away = True

    assert get(connector, token=OTHER).status == 503


def test_the_use_of_a_replica_is_logged_once(connector, store, replicas, lookup, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    make_link(store)
    replicas.refresh()
    lookup.away = True

    for _ in range(5):
        get(connector)

    assert [record.facts for record in caplog.records] == [{"stale": "yliopisto", "seconds": 0}]


def test_a_fresh_replica_is_not_written_again(store, replicas, clock, tmp_path):
    path = tmp_path / "replicas" / "yliopisto.db"
    replicas.refresh()
    clock.passes(seconds=60)
    replicas.refresh()
    with Replica(path) as first:
        made_at = first.made_at
    clock.passes(seconds=HOUR / 10)
    replicas.refresh()

    with Replica(path) as second:
        assert (made_at, second.made_at) == (NOON, NOON + timedelta(seconds=60 + HOUR / 10))


def test_the_replica_of_an_organisation_that_has_left_is_removed(replicas, tmp_path):
    replicas.refresh()
    directory = tmp_path / "replicas"
    shutil.copy(directory / "amk.db", directory / "left.db")

    replicas.refresh()

    assert {each.name for each in directory.glob("*.db")} == {"yliopisto.db", "amk.db"}


def test_a_database_that_is_no_replica_is_never_removed(replicas, tmp_path):
    directory = tmp_path / "replicas"
    links = open_store(f"sqlite://{directory}/links.db")
    directory.mkdir()
    migrate(links.engine, NOON)
    make_link(links)
    (directory / "folder.db").mkdir()

    replicas.refresh()

    assert links.links.count(UNIVERSITY) == 1
    assert {each.name for each in directory.glob("*.db")} == {"yliopisto.db", "amk.db", "links.db", "folder.db"}
    links.close()


def test_a_replica_with_a_future_time_is_not_used_and_replaced(connector, store, replicas, lookup, clock):
    make_link(store)
    clock.passes(days=365)
    replicas.refresh()
    clock.passes(days=-365)
    lookup.away = True

    before = get(connector).status
    replicas.refresh()

    assert (before, get(connector).status) == (503, 200)


def test_an_organisation_of_which_nothing_is_kept_is_told_that_the_database_is_away(store, lookup, replicas, clock):
    replicas._organisations.pop(POLYTECHNIC)
    credentials = Credentials([(Bearer(OTHER), make_client(ORGANISATIONS.by_id(POLYTECHNIC)))])
    connector = Connector(store, credentials, Registry.PRODUCTION, clock, lookup=lookup, replicas=replicas)
    lookup.away = True

    assert get(connector, token=OTHER).status == 503


def test_what_could_not_be_written_is_in_the_log_and_the_rest_is_written(replicas, tmp_path, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    (tmp_path / "replicas" / "yliopisto.db").mkdir(parents=True)

    replicas.refresh()

    assert [record.facts["organisation"] for record in caplog.records] == ["yliopisto"]
    assert (tmp_path / "replicas" / "amk.db").exists()


def test_it_is_kept_fresh_until_told_to_stop(replicas, tmp_path):
    stop = Event()
    stop.set()

    replicas.run(stop)

    assert (tmp_path / "replicas" / "yliopisto.db").exists()


def test_a_bug_does_not_end_it(replicas, tmp_path, caplog):
    (tmp_path / "replicas").write_text("a file in the directory's place")
    stop = Event()
    stop.set()

    replicas.run(stop)

    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_process_goes_on_answering_when_its_database_ends(tmp_path):
    server = Server()
    try:
        place = server.url(server.make_database())
        store = open_store(place)
        migrate(store.engine, NOON)
        make_link(store, fold("maija@yliopisto.example"), make_orcid_id(7, Registry.SANDBOX))
        store.close()
        settings = {"url": place.replace(f":{server.password}@", "@"), "password": "file:secrets/store-password"}
        path = write_configuration(
            tmp_path, store=settings, secrets={"store-password": server.password}, connector={"port": 0}
        )
        options = ["--serve-stale", "600", "--replicas", str(tmp_path / "replicas")]

        with running(path, "connector", *options) as (_, address):
            eventually((tmp_path / "replicas" / "yliopisto.db").exists)
            fresh = ask_at(address)
            server.stop()
            stale = [ask_at(address) for _ in range(6)]
            with running(path, "connector", *options) as (_, second):
                stale.append(ask_at(second))
                ready = ask_at(second, "/readyz")

            assert fresh.headers["Age"] is None
            assert {(each.status, each.text) for each in stale} == {(200, fresh.text)}
            assert all(each.headers["Age"] for each in stale)
            assert ready.status == 503
    finally:
        server.remove()


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    path = configuration(tmp_path, connector={"port": 0})

    with (
        pytest.raises(AssertionError, match="name another directory: --replicas"),
        running(path, "connector", "--serve-stale", "60", "--replicas", str(tmp_path / "none" / "replicas")),
    ):
        pass
