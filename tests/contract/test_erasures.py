"""Erasure of people: what is deleted, when, and what has to arrive before; on each engine."""

from datetime import timedelta

import pytest

from resolver_connector.delivery.maintenance import Maintenance
from resolver_connector.transfers.base import DeliveryResult, Outcome
from sql.records import DeliveryState
from sql.repositories.deletion.erasures import MAX_WAIT, ErasureResult
from tests.support.delivery import AWAY, Idm, LogRecorder, make_worker
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, answered, make_attempt, make_link, make_orcid_id
from tests.support.service import Clock
from tests.support.store_faults import make_store_with_hook

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND, THIRD = make_orcid_id(1), make_orcid_id(2), make_orcid_id(3)
HOUR = timedelta(hours=1)
NIGHT = NOON + timedelta(hours=13)
REFUSED = DeliveryResult(Outcome.REFUSED, f"{MAIJA} cannot be changed")


def erase(store, person=MAIJA, now=NOON + HOUR, transfers=("idm",), **other):
    return store.erasures.erase(UNIVERSITY, person, "person", "erased by the person", now, transfers=transfers, **other)


def deliver(store, answer=None, now=NOON + HOUR):
    """Let the worker deliver what is due, and give what it sent."""
    idm = Idm(answer) if answer else Idm()
    make_worker(store, {"idm": idm}, Clock(now)).run_once()
    return idm


def held(store, person=MAIJA):
    """Name the tables in which a row is about a person."""
    tables = {
        "links": store.links.list_for_person(UNIVERSITY, person),
        "attempts": store.attempts.list_for_person(UNIVERSITY, person),
        "changes": store.changes.list_for_person(UNIVERSITY, person),
        "deliveries": store.deliveries.list_for_person(UNIVERSITY, person),
        "events": list(store.audit.list_events(UNIVERSITY, person)),
        "erasures": [each for each in [store.erasures.get(UNIVERSITY, person)] if each],
    }
    return {name for name, rows in tables.items() if rows}


# Erasing


def test_without_transfers_and_feed_an_erasure_finishes_at_once(store):
    make_link(store, MAIJA, FIRST)
    make_link(store, MAIJA, SECOND)
    store.attempts.add(make_attempt(MAIJA), "open")

    erased = erase(store, transfers=())

    assert (erased.found, erased.removal.kind, erased.finished) == (True, "removed", True)
    assert held(store) == set()
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []
    assert store.audit.verify(UNIVERSITY) == []


def test_the_event_erased_names_no_person(store):
    make_link(store, MAIJA, FIRST)
    erase(store, transfers=())

    *_, last = store.audit.list_events(UNIVERSITY)

    assert (last.kind, last.actor, last.person_key, dict(last.facts)) == ("erased", "service", None, {})


def test_the_data_is_erased_after_the_removal_was_delivered(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    deliver(store, now=NOON)

    erased = erase(store)
    before = held(store)
    idm = deliver(store)
    finished = store.erasures.finish_due(NOON + 2 * HOUR)

    assert not erased.finished
    assert before == {"links", "changes", "deliveries", "events", "erasures"}
    assert [(news.kind, news.account, news.previous) for news in idm.got] == [("removed", MAIJA, FIRST)]
    assert finished == 1
    assert held(store) == set()
    assert store.audit.verify(UNIVERSITY) == []
    assert [each.state for each in store.deliveries.list_for_change(UNIVERSITY, 2)] == [DeliveryState.DONE]


def test_waiting_deliveries_are_superseded_by_the_removal(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    make_link(store, MAIJA, SECOND, transfers=["idm"])
    deliver(store, AWAY, now=NOON)

    erase(store)
    idm = deliver(store)

    assert [(news.kind, news.previous) for news in idm.got] == [("removed", FIRST), ("removed", SECOND)]


def test_a_leased_delivery_ends_before_the_removal_is_sent(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    (on_its_way,) = store.deliveries.claim("worker", NOON, 2 * HOUR, 1)

    erase(store)
    meanwhile = store.deliveries.claim("another", NOON + HOUR, HOUR, 9)
    store.deliveries.complete(on_its_way, "worker", "stored", "", NOON + HOUR)
    idm = deliver(store)

    assert meanwhile == []
    assert idm.kinds() == ["removed"]
    assert store.erasures.finish_due(NOON + 2 * HOUR) == 1
    assert held(store) == set()


def test_erasure_is_finished_after_30_days_although_the_removal_is_still_waiting(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    deliver(store, now=NOON)
    erase(store)
    deliver(store, AWAY)

    assert store.erasures.finish_due(NOON + MAX_WAIT) == 0
    erase(store, now=NOON + MAX_WAIT)  # asking again does not postpone it
    assert store.erasures.finish_due(NOON + HOUR + MAX_WAIT) == 1
    assert held(store) == set()
    (delivery,) = store.deliveries.list_for_change(UNIVERSITY, 2)
    assert (delivery.state, delivery.outcome, delivery.message) == (DeliveryState.DEAD_LETTER, "temporary", "")
    *_, lost, last = store.audit.list_events(UNIVERSITY)
    assert (lost.kind, dict(lost.facts)) == ("dead-letter", {"transfer": "idm", "change": "2", "outcome": "temporary"})
    assert last.kind == "erased"
    assert store.audit.verify(UNIVERSITY) == []
    assert deliver(store, now=NOON + HOUR + MAX_WAIT).got == []


def test_the_result_of_a_try_that_outlasts_the_30_days_is_not_stored(store):
    make_link(store, MAIJA, FIRST)
    erase(store)
    (claimed,) = store.deliveries.claim("worker", NOON + MAX_WAIT, 9 * HOUR, 1)

    assert store.erasures.finish_due(NOON + HOUR + MAX_WAIT) == 1
    assert not store.deliveries.complete(claimed, "worker", "stored", MAIJA, NOON + 2 * HOUR + MAX_WAIT)
    assert held(store) == set()


@pytest.mark.parametrize("come_back", [make_link, answered], ids=["linked", "started an attempt"])
def test_a_person_who_comes_back_while_inactive_people_are_erased_keeps_the_data(store, come_back):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    for person in (MAIJA, VILLE):
        store.links.remove(UNIVERSITY, person, "person", "", NOON)
    store.attempts.delete_expired(NOON + 2 * HOUR)
    late = NOON + timedelta(days=99)
    meanwhile = make_store_with_hook(
        store, "list_inactive_people", lambda: come_back(store, MAIJA, THIRD, now=late - HOUR)
    )

    assert meanwhile.erasures.erase_inactive(UNIVERSITY, late - HOUR, late, uses_feed=False) == 1
    assert held(store, VILLE) == set()
    assert {"links", "attempts", "changes", "events"} <= held(store)
    assert store.attempts.list_for_person(UNIVERSITY, MAIJA)[0].started_at == late - HOUR


def test_a_refused_removal_can_be_retried_for_30_days(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    deliver(store, now=NOON)
    erase(store)
    deliver(store, REFUSED)

    assert store.erasures.finish_due(NOON + MAX_WAIT) == 0
    assert store.deliveries.retry(UNIVERSITY, "idm", NOON + 2 * HOUR) == 1
    deliver(store, REFUSED, NOON + 2 * HOUR)
    assert store.erasures.finish_due(NOON + MAX_WAIT + 2 * HOUR) == 1
    assert held(store) == set()


def test_the_feed_has_the_removal_until_it_was_acknowledged(store):
    make_link(store, MAIJA, FIRST)
    store.changes.acknowledge(UNIVERSITY, 1, NOON)

    erased = erase(store, transfers=(), uses_feed=True)
    not_yet = store.erasures.finish_due(NOON + 2 * HOUR)
    read = [change.kind for change in store.changes.list_after(UNIVERSITY, 1, 9)]
    store.changes.acknowledge(UNIVERSITY, 2, NOON + 2 * HOUR)
    finished = store.erasures.finish_due(NOON + 2 * HOUR)

    assert (erased.finished, not_yet, read, finished) == (False, 0, ["removed"], 1)
    assert held(store) == set()
    make_link(store, VILLE, SECOND)
    assert store.changes.oldest_number(UNIVERSITY) <= 3


def test_a_late_reader_of_the_feed_needs_a_new_snapshot(store):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    erase(store, transfers=(), uses_feed=True)

    early = store.erasures.finish_due(NOON + MAX_WAIT)
    late = store.erasures.finish_due(NOON + 2 * HOUR + MAX_WAIT)

    assert (early, late) == (0, 1)
    assert held(store) == set()
    # Whoever has read up to 2 knows Maija, and would never learn that she is gone
    assert store.changes.oldest_number(UNIVERSITY) == 4
    assert [link.person_key for link in store.links.list_current(UNIVERSITY)] == [VILLE]


def test_an_erasure_is_idempotent(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    first = erase(store)
    again = erase(store, now=NOON + 2 * HOUR)
    idm = deliver(store)

    assert (first.finished, again.finished, again.removal) == (False, False, None)
    assert idm.kinds() == ["removed"]
    assert store.erasures.finish_due(NOON + 3 * HOUR) == 1
    assert erase(store) == ErasureResult(found=False, removal=None, finished=True)
    assert held(store) == set()


def test_attempts_without_a_link_are_erased(store):
    answered(store, MAIJA, FIRST)

    erased = erase(store)

    assert (erased.found, erased.removal, erased.finished) == (True, None, True)
    assert held(store) == set()


def test_erasing_an_unknown_person_writes_no_event(store):
    assert erase(store) == ErasureResult(found=False, removal=None, finished=True)
    assert list(store.audit.list_events(UNIVERSITY)) == []


def test_other_people_are_not_erased(store):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    make_link(store, MAIJA, FIRST, POLYTECHNIC)

    erase(store, transfers=())

    assert held(store, VILLE) == {"links", "attempts", "changes", "events"}
    assert store.links.orcid_ids(POLYTECHNIC, MAIJA) == [FIRST]
    assert list(store.audit.list_events(POLYTECHNIC, MAIJA))


def test_data_stored_after_the_request_is_kept(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    deliver(store, now=NOON)
    erase(store)

    make_link(store, MAIJA, THIRD, now=NOON + 2 * HOUR, transfers=["idm"])
    deliver(store, now=NOON + 2 * HOUR)
    finished = store.erasures.finish_due(NOON + 3 * HOUR)

    assert finished == 1
    assert [link.orcid_id for link in store.links.list_for_person(UNIVERSITY, MAIJA)] == [THIRD]
    assert [change.kind for change in store.changes.list_for_person(UNIVERSITY, MAIJA)] == ["linked"]
    assert [each.kind for each in store.deliveries.list_for_person(UNIVERSITY, MAIJA)] == ["linked"]
    assert [event.kind for event in store.audit.list_events(UNIVERSITY, MAIJA)] == ["linked", "delivered"]
    assert {event.facts.get("orcid") for event in store.audit.list_events(UNIVERSITY, MAIJA)} == {THIRD.uri}
    assert store.audit.verify(UNIVERSITY) == []


def test_statistics_outlive_an_erasure(store):
    make_link(store, MAIJA, FIRST)
    before = store.statistics.totals(UNIVERSITY)

    erase(store, transfers=())

    after = store.statistics.totals(UNIVERSITY)
    assert {word: after[word] for word in before} == before
    assert after["event", "erased"] == 1


# Housekeeping, and the files


@pytest.fixture
def log():
    return LogRecorder()


@pytest.fixture
def housekeeping(store, log):
    return Maintenance(store, [], log)


def test_maintenance_finishes_due_erasures(store, housekeeping, log):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    erase(store)
    housekeeping.run(NOON + HOUR)
    deliver(store)

    housekeeping.run(NOON + 2 * HOUR)

    assert held(store) == set()
    assert log.lines == [("erased", {"persons": 1})]


def test_maintenance_deletes_expired_attempts(store, housekeeping):
    attempt = answered(store, MAIJA, FIRST)

    housekeeping.run(NOON + timedelta(hours=24))
    assert store.attempts.get(attempt.id) is not None

    housekeeping.run(NOON + timedelta(hours=26))
    assert store.attempts.get(attempt.id) is None


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_after_the_night_no_sqlite_file_holds_erased_data(store, housekeeping, tmp_path, log):
    live(store)
    before = found_in(tmp_path.iterdir())

    housekeeping.run(NIGHT + HOUR)
    housekeeping.run(NIGHT + timedelta(hours=25))

    assert before
    assert found_in(tmp_path.iterdir()) == []
    assert log.words() == ["erased", "vacuumed"]


def test_after_the_night_no_postgresql_file_holds_erased_data(postgres, migrated_postgres_store, log):
    name, store = migrated_postgres_store
    make_link(store, VILLE, make_orcid_id(9))
    live(store)
    with postgres.connect(name) as other:
        other.execute("analyze")
        other.execute("checkpoint")
        (oid,) = other.execute("select oid from pg_database where datname = current_database()").fetchone()
    directory = postgres.data / "base" / str(oid)
    before = found_in(table_files(directory))

    Maintenance(store, [], log).run(NIGHT)
    with postgres.connect(name) as other:
        other.execute("checkpoint")

    assert before
    assert found_in(table_files(directory)) == []
    assert not store.erasures.finished_since_vacuum()


@pytest.fixture
def migrated_postgres_store(postgres):
    """A database of PostgreSQL that nobody else uses, as (name, store)."""
    from sql.store import open_store  # noqa: PLC0415 - for this fixture alone

    name = postgres.make_database(template="test_1")
    store = open_store(postgres.url(name), timeout=0.5)
    yield name, store
    store.close()


def live(store):
    """Let Maija link, replace, be refused, begin again and be erased; and the news of it arrive."""
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    deliver(store, REFUSED, NOON)
    make_link(store, MAIJA, SECOND, transfers=["idm"])
    deliver(store, now=NOON)
    answered(store, MAIJA, THIRD)
    erase(store)
    deliver(store)


def table_files(directory):
    """Give the files of tables and indexes, which have numbers for names; the server remakes its caches at any time."""
    return [path for path in directory.iterdir() if path.name[:1].isdigit()]


def found_in(paths):
    """Name the files that hold the account, the name or an iD, in any form."""
    words = [MAIJA, "Maija Mäkelä", *(form for each in (FIRST, SECOND, THIRD) for form in forms(each))]
    return [path.name for path in paths if any(word.encode() in path.read_bytes() for word in words)]


def forms(orcid_id):
    return orcid_id.bare, orcid_id.bare.replace("-", "")
