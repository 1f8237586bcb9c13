"""What happened stays counted, whatever is swept or forgotten; and how things stand is told. On both engines."""

from datetime import date, timedelta

import pytest

from resolver_connector.delivery.maintenance import Maintenance
from sql.counts import STARTED
from sql.engines.base import queries
from sql.records import Incident
from sql.repositories import incidents, statistics
from tests.support.database import driver_of
from tests.support.delivery import LogRecorder
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, answered, attest, make_link, make_orcid_id

MAIJA = "maija@yliopisto.example"
DAY = timedelta(days=1)
LONG_AGO = date(2000, 1, 1)
TABLES = ("period_counts", "counted_events", "incidents")


def attempt(word):
    return ("attempt", word)


def event(word):
    return ("event", word)


def declined(store, person=MAIJA, at=NOON):
    """Start an attempt that ends by the person's no."""
    started = answered(store, person, now=at)
    store.attempts.close(started.id, "declined", at)
    return started


@pytest.fixture
def small_steps(monkeypatch):
    """Few at once, so that a handful is many."""
    monkeypatch.setattr(statistics, "EVENT_BATCH", 3)
    monkeypatch.setattr("sql.repositories.attempts.DELETE_BATCH", 2)


def test_an_organisation_without_attempts_has_no_counts(store):
    assert store.statistics.totals(UNIVERSITY) == {}
    assert store.statistics.by_day(UNIVERSITY, LONG_AGO) == {}
    assert store.statistics.update_counts() == 0


def test_events_are_counted_at_once(store):
    declined(store)
    make_link(store)

    assert store.statistics.totals(UNIVERSITY) == {
        STARTED: 2,
        attempt("declined"): 1,
        attempt("linked"): 1,
        event("linked"): 1,
    }
    assert store.statistics.totals(POLYTECHNIC) == {}


def test_each_thing_is_counted_on_its_own_day(store):
    make_link(store)
    store.links.remove(UNIVERSITY, MAIJA, "person", "wanted", NOON + 2 * DAY)

    found = store.statistics.by_day(UNIVERSITY, LONG_AGO)

    assert {day: dict(words) for day, words in found.items()} == {
        date(2026, 1, 15): {STARTED: 1, attempt("linked"): 1, event("linked"): 1},
        date(2026, 1, 17): {event("removed"): 1},
    }
    assert set(store.statistics.by_day(UNIVERSITY, date(2026, 1, 16))) == {date(2026, 1, 17)}


def test_the_day_is_that_of_the_event_in_utc(store):
    make_link(store, now=NOON.replace(hour=23, minute=59))

    assert set(store.statistics.by_day(UNIVERSITY, LONG_AGO)) == {date(2026, 1, 15)}


def test_counts_outlive_deleted_attempts(store, small_steps):
    for _ in range(5):
        declined(store)
    before = store.statistics.totals(UNIVERSITY), store.statistics.by_day(UNIVERSITY, LONG_AGO)

    store.attempts.delete_expired(NOON + 3 * DAY)

    assert (store.statistics.totals(UNIVERSITY), store.statistics.by_day(UNIVERSITY, LONG_AGO)) == before
    assert before[0] == {STARTED: 5, attempt("declined"): 5}


def test_an_unfinished_attempt_is_counted_as_started(store):
    answered(store)

    store.attempts.delete_expired(NOON + 3 * DAY)

    assert store.statistics.totals(UNIVERSITY) == {STARTED: 1}


def test_what_is_swept_on_the_way_stays_counted(store):
    first = declined(store)
    answered(store, "ville@yliopisto.example", now=NOON + 3 * DAY)

    store.attempts.delete_expired(NOON + 2 * DAY)

    assert store.attempts.get(first.id) is None
    assert store.statistics.totals(UNIVERSITY) == {STARTED: 2, attempt("declined"): 1}


@pytest.mark.parametrize("way", ["by the person", "by the organisation", "by housekeeping"])
def test_counts_outlive_deleted_people(store, way):
    declined(store)
    change = make_link(store)

    if way == "by the person":
        store.erasures.erase(UNIVERSITY, MAIJA, "person", "", NOON)
    elif way == "by the organisation":
        store.retention.deprovision(UNIVERSITY, MAIJA, NOON)
    else:
        store.retention.delete_change(UNIVERSITY, change.number, NOON)

    found = store.statistics.totals(UNIVERSITY)
    assert store.statistics.release_counts(UNIVERSITY, found).linked == store.links.count(UNIVERSITY) == 0
    assert (found[STARTED], found[attempt("declined")], found[attempt("linked")]) == (2, 1, 1)
    assert found[event("linked")] == 1
    assert found[event("removed")] == (way != "by housekeeping")


def test_a_dry_run_counts_nothing(store):
    make_link(store)
    before = store.statistics.totals(UNIVERSITY)

    store.retention.deprovision(UNIVERSITY, MAIJA, NOON, dry_run=True)

    assert store.statistics.totals(UNIVERSITY) == before


def test_events_are_counted_in_batches_and_once(store, small_steps):
    for number in range(1, 9):
        make_link(store, f"{number}@yliopisto.example", make_orcid_id(number))
    before = store.statistics.totals(UNIVERSITY)

    counted = [store.statistics.update_counts(), store.statistics.update_counts()]

    # Asking has taken up all but a step already
    assert 0 < counted[0] <= statistics.EVENT_BATCH
    assert counted[1] == 0
    assert store.statistics.totals(UNIVERSITY) == before
    assert before[event("linked")] == 8
    assert store.statistics.by_period(UNIVERSITY, 7, LONG_AGO) == {"2026-01": {event("linked"): 8}}


def test_counting_ends_where_the_audit_lacks_its_last_lines(store):
    make_link(store)
    make_link(store, "ville@yliopisto.example", make_orcid_id(2))
    with store.engine.transaction() as session:
        session.script("delete from events where number > 1;")

    assert (store.statistics.update_counts(), store.statistics.update_counts()) == (1, 0)


def test_an_import_counts_each_of_its_links(store):
    rows = [(f"{n}@yliopisto.example", make_orcid_id(n)) for n in range(1, 6)]
    attest(store, rows)

    before = store.statistics.totals(UNIVERSITY)
    store.statistics.update_counts()

    assert store.statistics.totals(UNIVERSITY) == before == {event("linked"): 5}


def test_deliveries_are_counted_when_they_end(store):
    for person, number in ((MAIJA, 1), ("ville@yliopisto.example", 2)):
        make_link(store, person, make_orcid_id(number), transfers=["idm"])
    first, second = store.deliveries.claim("worker", NOON, DAY, 2)
    store.deliveries.complete(first, "worker", "stored", "", NOON)
    store.deliveries.dead_letter(second, "worker", "refused", "no", NOON)

    found = store.statistics.totals(UNIVERSITY)

    assert (found[event("delivered")], found[event("dead-letter")]) == (1, 1)


def test_the_worker_counts_what_has_happened(store):
    make_link(store)

    Maintenance(store, [], LogRecorder()).run(NOON)

    assert store.statistics.update_counts() == 0
    assert store.statistics.totals(UNIVERSITY)[event("linked")] == 1


def test_the_tables_of_counts_have_no_room_for_a_name(store):
    declined(store)
    make_link(store)
    store.attempts.delete_expired(NOON + 3 * DAY)
    store.statistics.update_counts()

    for query, values in (
        ("list_counts", {"organisation": UNIVERSITY, "length": 10, "since": ""}),
        ("list_transfer_backlogs", {}),
    ):
        told = str(
            [tuple(row) if not isinstance(row, dict) else row for row in store.engine.fetch_all(query, **values)]
        )
        assert "maija" not in told
        assert make_orcid_id().bare not in told


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("query", "values", "index"),
    [
        ("count_events_between", {"organisation": "o", "after": 1, "until": 9}, "organisation=? AND number>?"),
        ("list_transfer_backlogs", {}, "deliveries_by_state"),
        ("count_releases_by_state", {"organisation": "o"}, "COVERING INDEX links_by_release"),
        ("list_feed_progress", {}, "organisation=? AND number>?"),
        ("list_counts", {"organisation": "o", "length": 10, "since": "a"}, "organisation=? AND length=? AND period>?"),
    ],
)
def test_no_query_of_counts_scans_links_or_events(store, query, values, index):
    text = "explain query plan " + queries()[query]

    plan = [row["detail"] for row in driver_of(store).execute(text, values)]

    assert any(index in step for step in plan)
    assert not [
        step
        for step in plan
        if step.startswith("SCAN") and step.split()[1] not in {"circuit_breakers", "acknowledgements"}
    ]


# How things stand


def test_each_transfer_has_its_backlog_and_dead_letters(store):
    for number in (1, 2, 3):
        make_link(store, f"{number}@x", make_orcid_id(number), now=NOON + number * DAY, transfers=["idm", "other"])
    given_up, *_ = (each for each in store.deliveries.claim("worker", NOON + 5 * DAY, DAY, 9) if each.transfer == "idm")
    store.deliveries.dead_letter(given_up, "worker", "refused", "no", NOON + 5 * DAY)
    store.deliveries.record_failure(UNIVERSITY, "other", NOON, 1, DAY)

    idm, other = store.statistics.backlogs()

    assert (idm.breaker.transfer, idm.waiting, idm.oldest_waiting_at, idm.dead_letters) == ("idm", 2, NOON + 2 * DAY, 1)
    assert (other.breaker.transfer, other.waiting, other.dead_letters) == ("other", 3, 0)
    assert other.breaker.open_until == NOON + DAY


def test_the_progress_of_the_feed_is_returned(store):
    assert store.statistics.feed_progress() == []
    first = make_link(store, "1@x", make_orcid_id(1))
    store.changes.acknowledge(UNIVERSITY, first.number, NOON)

    (up_to_date,) = store.statistics.feed_progress()
    make_link(store, "2@x", make_orcid_id(2), now=NOON + DAY)
    make_link(store, "3@x", make_orcid_id(3), now=NOON + 2 * DAY)
    (behind,) = store.statistics.feed_progress()

    assert (up_to_date.unfetched, up_to_date.oldest_unfetched_at) == (0, None)
    assert (behind.number, behind.at, behind.unfetched, behind.oldest_unfetched_at) == (1, NOON, 2, NOON + DAY)


# Incidents


def make_incident(number="0a1b2c3d", at=NOON, code="orcid-refused", organisation=UNIVERSITY):
    return Incident(number, at, code, organisation, "/me/callback")


def test_an_incident_is_found_by_its_number(store):
    store.incidents.add(make_incident())
    store.incidents.add(make_incident("ffffffff", organisation=None))

    assert store.incidents.get("0a1b2c3d") == make_incident()
    assert store.incidents.get("ffffffff").organisation is None
    assert store.incidents.get("00000000") is None


def test_a_number_stands_for_what_it_first_stood_for(store):
    store.incidents.add(make_incident())
    store.incidents.add(make_incident(code="bug"))

    assert store.incidents.get("0a1b2c3d").code == "orcid-refused"


def test_old_incidents_are_deleted(store):
    store.incidents.add(make_incident())
    store.incidents.add(make_incident("11111111", at=NOON + incidents.KEEP_INCIDENTS + timedelta(seconds=1)))

    assert store.incidents.get("0a1b2c3d") is None
    assert store.incidents.get("11111111") is not None


def test_the_number_of_incidents_is_limited(store, monkeypatch):
    monkeypatch.setattr(incidents, "MAX_INCIDENTS", 3)
    for number in range(10):
        store.incidents.add(make_incident(f"{number:08}", at=NOON + timedelta(seconds=number)))

    assert [number for number in range(10) if store.incidents.get(f"{number:08}")] == [7, 8, 9]
