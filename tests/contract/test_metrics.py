"""The figures for a monitoring system: right at every moment, for whoever has the token, and about nobody."""

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from resolver_connector.metrics import PROCESS_METRICS, REGISTRY, process_metrics
from resolver_connector.orcid.http import OrcidUnavailable
from shibboleth.orcid_id import Registry
from sql.records import RecordState, ReleaseState
from sql.store import open_store
from tests.support.configuration import write_secret
from tests.support.factories import (
    CLIENT_ID,
    NOON,
    POLYTECHNIC_IDP,
    UNIVERSITY,
    UNIVERSITY_IDP,
    answered,
    make_link,
    make_orcid_id,
    store_token,
)
from tests.support.processes.servers import ask as ask_server
from tests.support.processes.servers import configuration, connection, running
from tests.support.service import Clock, ask, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.certificates import UsedCertificate
from webapp.operator.access import AdminAccess
from webapp.operator.metrics import METRICS

TOKEN = "token-of-the-monitoring-" + "m" * 32
MAIJA, VILLE, AINO = (f"{name}@yliopisto.example" for name in ("maija", "ville", "aino"))
DAY = timedelta(days=1)
MEMORY = "orcid_connect_process_resident_memory_bytes"
OPERATOR_PAGE = Path(__file__).parents[2] / "docs" / "operator" / "run.md"


@pytest.fixture
def clock():
    return Clock()


def web(store, clock, token=TOKEN):
    web_app = make_web_app(
        store, make_orcid_client("https://sandbox.orcid.org"), clock, admin_access=AdminAccess(metrics_token=token)
    )
    certificates = (UsedCertificate("yliopisto", "transfer idm", Path("/none")),)
    return make_app(replace(web_app, context=replace(web_app.context, certificates=certificates)))


@pytest.fixture
def app(store, clock):
    return web(store, clock)


def scrape(app, authorization=f"Bearer {TOKEN}"):
    """Give the families of figures of the database by name, and the answer."""
    reply = ask(app, "/metrics", HTTP_AUTHORIZATION=authorization)
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    return {name: family for name, family in families.items() if name in METRICS}, reply


def figures(app):
    """Give each value by its name and labels' values."""
    families, _ = scrape(app)
    return {
        (each.name, *(each.labels[label] for label in METRICS[name].labels)): each.value
        for name, family in families.items()
        for each in family.samples
    }


def test_events_are_counted(store, app):
    make_link(store, MAIJA, make_orcid_id(1))
    make_link(store, MAIJA, make_orcid_id(2))
    make_link(store, VILLE, make_orcid_id(3))
    store.links.remove(UNIVERSITY, VILLE, "person", "wanted", NOON)
    store.attempts.close(answered(store, AINO).id, "declined", NOON)

    found = figures(app)

    assert found["orcid_connect_store_up",] == 1
    assert found["orcid_connect_links", "yliopisto"] == 1
    assert found["orcid_connect_attempts_started_total", "yliopisto"] == 4
    assert found["orcid_connect_attempts_ended_total", "yliopisto", "declined"] == 1
    assert found["orcid_connect_attempts_ended_total", "yliopisto", "linked"] == 2
    told = {kind: found["orcid_connect_changes_total", "yliopisto", kind] for kind in ("linked", "replaced", "removed")}
    assert told == {"linked": 2, "replaced": 1, "removed": 1}
    assert found["orcid_connect_changes_total", "amk", "linked"] == 0


def test_links_and_seen_releases_are_reported(store, app):
    for number, person in enumerate((MAIJA, VILLE, AINO), 1):
        make_link(store, person, make_orcid_id(number))
    store.releases.record(store.links.get(UNIVERSITY, MAIJA), ReleaseState.SEEN, NOON)
    store.releases.record(store.links.get(UNIVERSITY, VILLE), ReleaseState.MISSING, NOON)

    found = figures(app)

    assert found["orcid_connect_links", "yliopisto"] == 3
    assert found["orcid_connect_links_release_seen", "yliopisto"] == 1
    assert found["orcid_connect_links_release_missed", "yliopisto", "missing"] == 1
    assert found["orcid_connect_links_release_missed", "yliopisto", "other"] == 0


def test_record_states_and_late_look_ups_are_reported(store, app, clock):
    first, second = (make_orcid_id(number, Registry.SANDBOX) for number in (1, 2))
    make_link(store, MAIJA, first)
    make_link(store, VILLE, second)
    (locked,) = store.record_statuses.save(first, RecordState.LOCKED, None, NOON)
    store.record_statuses.suspend(locked, NOON)
    store.record_statuses.save(second, RecordState.OK, None, NOON)
    store.record_statuses.begin_batch(Registry.SANDBOX, NOON, NOON)
    store.record_statuses.finish_batch(Registry.SANDBOX, NOON, failures=3)
    clock.passes(hours=1)

    found = figures(app)

    states = {
        state: found["orcid_connect_links_record_state", "yliopisto", state.value]
        for state in RecordState
        if state != "ok"
    }
    assert states == {state: int(state is RecordState.LOCKED) for state in states}
    assert found["orcid_connect_links_suspended", "yliopisto"] == 1
    assert found["orcid_connect_links", "yliopisto"] == 2
    assert found["orcid_connect_record_lookups_overdue_seconds",] == 3600
    assert found["orcid_connect_record_lookup_failures",] == 3


def test_orcid_tokens_and_revocations_are_reported(store, app, clock):
    kept, one, two = (answered(store, f"{number}@yliopisto.example") for number in range(3))
    for attempt in (kept, one, two):
        store_token(store, attempt)
    for attempt in (one, two):
        store.attempts.close(attempt.id, "cancelled", NOON)
        clock.passes(minutes=30)
    failed, revoked = (store.orcid_tokens.claim(CLIENT_ID, "worker", NOON, timedelta(hours=1)) for _ in range(2))
    store.orcid_tokens.reschedule(failed, "misconfigured", NOON, NOON)
    store.orcid_tokens.complete(revoked, NOON)
    store.orcid_tokens.count(UNIVERSITY, "lost", NOON)

    found = figures(app)

    told = {
        key[0].removeprefix("orcid_connect_orcid_"): value
        for key, value in found.items()
        if key[0].startswith("orcid_connect_orcid_") and key[1] == "yliopisto" and key[2:] in {(), ("misconfigured",)}
    }
    assert told == {
        "tokens_kept": 1,
        "revocations_waiting": 1,
        "revocations_oldest_waiting_age_seconds": 3600,
        "revocations_failing": 1,
        "tokens_revoked_total": 1,
        "revocation_failures_total": 1,
        "tokens_lost_total": 1,
    }
    assert found["orcid_connect_orcid_revocations_failing", "yliopisto", "unreadable"] == 0
    assert found["orcid_connect_orcid_tokens_kept", "amk"] == 0


def test_deliveries_are_reported_by_transfer(store, app, clock):
    for number, person in enumerate((MAIJA, VILLE, AINO), 1):
        make_link(store, person, make_orcid_id(number), transfers=["idm"])
    first, second = store.deliveries.claim("worker", NOON, DAY, 2)
    store.deliveries.complete(first, "worker", "stored", "", NOON)
    store.deliveries.dead_letter(second, "worker", "refused", "no", NOON)
    store.deliveries.record_failure(UNIVERSITY, "idm", NOON, 1, DAY)
    clock.passes(hours=1)

    found = figures(app)

    way = ("yliopisto", "idm")
    assert found["orcid_connect_deliveries_ended_total", "yliopisto", "delivered"] == 1
    assert found["orcid_connect_deliveries_ended_total", "yliopisto", "dead-letter"] == 1
    assert found["orcid_connect_deliveries_waiting", *way] == 1
    assert found["orcid_connect_deliveries_oldest_waiting_age_seconds", *way] == 3600
    assert found["orcid_connect_dead_letters", *way] == 1
    assert found["orcid_connect_circuit_breaker_open", *way] == 1


def test_without_waiting_deliveries_the_age_is_zero(store, app):
    make_link(store, transfers=["idm"])
    (delivery,) = store.deliveries.claim("worker", NOON, DAY, 1)
    store.deliveries.complete(delivery, "worker", "stored", "", NOON)

    found = figures(app)

    assert found["orcid_connect_deliveries_oldest_waiting_age_seconds", "yliopisto", "idm"] == 0
    assert found["orcid_connect_circuit_breaker_open", "yliopisto", "idm"] == 0


def test_an_unread_feed_is_reported(store, app, clock):
    store.changes.acknowledge(UNIVERSITY, make_link(store).number, NOON)
    make_link(store, VILLE, make_orcid_id(2), now=NOON + DAY)
    clock.passes(days=3)

    found = figures(app)

    assert found["orcid_connect_feed_unacknowledged_changes", "yliopisto"] == 1
    assert found["orcid_connect_feed_oldest_unacknowledged_age_seconds", "yliopisto"] == 2 * 24 * 3600
    assert found["orcid_connect_feed_last_acknowledged_timestamp_seconds", "yliopisto"] == NOON.timestamp()
    assert ("orcid_connect_feed_unacknowledged_changes", "amk") not in found


def test_two_processes_report_the_same(store, store_url, app, clock):
    make_link(store)
    other = open_store(store_url)

    assert figures(web(other, clock)) == figures(app)
    other.close()


def test_counters_never_fall_when_attempts_are_swept_and_people_forgotten(store, app):
    store.attempts.close(answered(store, MAIJA).id, "declined", NOON)
    make_link(store, VILLE)
    before = {name: value for name, value in figures(app).items() if name[0].endswith("_total")}

    store.attempts.delete_expired(NOON + 9 * DAY)
    store.erasures.erase(UNIVERSITY, VILLE, "person", "", NOON)
    store.statistics.update_counts()

    after = figures(app)
    assert [name for name, value in before.items() if after[name] < value] == []


def test_disconnected_organisations_are_not_reported(store, app):
    gone = "gone"
    store.changes.acknowledge(gone, make_link(store, MAIJA, organisation=gone, transfers=["idm"]).number, NOON)

    assert "gone" not in scrape(app)[1].text


def test_no_metric_contains_personal_data(store, app):
    make_link(store, MAIJA, transfers=["idm"])
    store.attempts.close(answered(store, VILLE).id, "declined", NOON)

    families, reply = scrape(app)

    assert {label for family in families.values() for each in family.samples for label in each.labels} <= {
        *("organisation", "transfer", "outcome", "kind", "reason", "state", "version", "used_for")
    }
    for personal in ("maija", "ville", make_orcid_id().bare, UNIVERSITY_IDP, POLYTECHNIC_IDP):
        assert personal not in reply.text


def test_each_family_is_one_of_the_table(store, app):
    make_link(store, transfers=["idm"])
    store.changes.acknowledge(UNIVERSITY, 1, NOON)

    families, reply = scrape(app)

    assert {name: (one.documentation, one.type == "counter") for name, one in families.items()} == {
        name: (one.help, one.counter) for name, one in METRICS.items()
    }
    assert reply.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.header("Cache-Control") == "no-store"
    assert reply.header("Set-Cookie") is None


# What the processes count


def test_the_processes_of_a_machine_are_counted_together(tmp_path, monkeypatch):
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    write_secret(tmp_path / "secrets" / "metrics", TOKEN)
    sections = {"metrics": {"token": "file:secrets/metrics"}, "listen": {"port": 0}, "connector": {"port": 0}}
    path = configuration(tmp_path, **sections)

    with running(path, "connector") as (_, connector), running(path, "serve") as (_, pages):
        assert [ask_server(connector).status for _ in range(3)] == [200] * 3
        assert ask_server(connector, "/v1/nowhere").status == 404
        with closing(connection(connector)) as wire:
            wire.request("GET", "/v1/people/x", headers={"Authorization": "Bearer wrong"})
            assert wire.getresponse().status == 401
        assert ask_server(pages, "/help").status == 200
        with closing(connection(pages)) as wire:
            wire.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            text = wire.getresponse().read().decode()

    found = {
        (each.name, *sorted(each.labels.values())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }
    requests = "orcid_connect_http_request_duration_seconds_count"
    assert found[requests, "/v1/people/{account}", "200", "GET", "connector"] == 3
    assert found[requests, "/v1/people/{account}", "401", "GET", "connector"] == 1
    assert found[requests, "404", "GET", "connector", "other"] == 1
    assert found[requests, "/help", "200", "GET", "web"] == 1
    assert found["orcid_connect_lookups_total", "yliopisto"] == 3
    assert found["orcid_connect_last_lookup_timestamp_seconds", "yliopisto"] > 1_700_000_000
    assert found["orcid_connect_credentials_refused_total", "bearer"] == 1
    memory = {(each[2], each[1]): value for each, value in found.items() if each[0] == MEMORY}
    assert {server for server, _ in memory} == {"web", "connector"}
    assert all(10_000_000 < each < 500_000_000 for each in memory.values())
    assert all(found["orcid_connect_process_cpu_seconds", pid, server] > 0 for server, pid in memory)


def test_a_process_that_has_ended_is_not_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    words = "from resolver_connector.metrics import record_process; record_process('worker')"
    subprocess.run([sys.executable, "-c", words], check=True)

    assert b'server="worker"' not in process_metrics()


def test_a_request_that_orcid_does_not_answer_is_counted():
    before = REGISTRY.get_sample_value("orcid_connect_orcid_request_duration_seconds_count", {"status": "none"}) or 0

    with pytest.raises(OrcidUnavailable):
        make_orcid_client("http://127.0.0.1:1").check_discovery()

    after = REGISTRY.get_sample_value("orcid_connect_orcid_request_duration_seconds_count", {"status": "none"})
    assert after == before + 1


def test_attempts_are_open_until_they_end_or_expire(store, app, clock):
    store.attempts.close(answered(store, VILLE).id, "declined", NOON)
    answered(store, AINO)

    assert figures(app)["orcid_connect_attempts_open", "yliopisto"] == 1
    clock.passes(hours=2)
    assert figures(app)["orcid_connect_attempts_open", "yliopisto"] == 0


# Who is told


@pytest.mark.parametrize(
    "authorization",
    ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", "Bearer ä"],
    ids=str,
)
def test_without_the_token_no_metric_is_returned(app, authorization):
    reply = ask(app, "/metrics", HTTP_AUTHORIZATION=authorization.encode().decode("latin-1"))

    assert (reply.status, reply.body) == (401, b"A bearer token is needed.\n")
    assert reply.header("WWW-Authenticate") == 'Bearer realm="metrics"'


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("authorization", ["", "Bearer ", f"Bearer {TOKEN}"])
def test_where_no_token_is_set_there_is_no_such_page(store, clock, authorization):
    reply = ask(web(store, clock, token=""), "/metrics", HTTP_AUTHORIZATION=authorization)

    assert (reply.status, reply.title) == (404, "There is no such page")


def test_an_unavailable_database_is_reported_as_a_metric(tmp_path, clock):
    gone = open_store(f"sqlite://{tmp_path}/none/links.db")

    _, reply = scrape(web(gone, clock))

    assert reply.status == 200
    assert "\norcid_connect_store_up 0.0\n" in reply.text
    assert "orcid_connect_links" not in reply.text


# What the operator reads


def test_every_metric_is_documented():
    text = OPERATOR_PAGE.read_text("utf-8")

    for each in PROCESS_METRICS:
        (family,) = each.describe()
        assert f"| `{family.name}{'_total' * (family.type == 'counter')}` |" in text
        assert family.documentation in text
    for metric in METRICS.values():
        assert f"| `{metric.sample_name}` | {', '.join(f'`{label}`' for label in metric.labels) or '-'} |" in text
        assert metric.help in text
