"""What the store promises to organisations that fetch their changes, on each engine."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest

from sql.engines.base import queries
from tests.support.database import attest_many, driver_of
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND, THIRD = make_orcid_id(1), make_orcid_id(2), make_orcid_id(3)
DAY = timedelta(days=1)


def link_on_days(store, days):
    """Make a change on each of so many days."""
    for day in range(days):
        make_link(store, f"person {day}", make_orcid_id(day + 1), now=NOON + day * DAY)


def owe(store, person, orcid_id, now):
    """Make a change that is owed to a transfer."""
    make_link(store, person, orcid_id, now=now)
    return store.links.remove(UNIVERSITY, person, "person", "asked to", now, transfers=("idm",))


# Where the changes begin


def test_the_first_change_has_number_one(store):
    assert store.changes.oldest_number(UNIVERSITY) == 1


def test_the_oldest_change_is_the_first_that_is_kept(store):
    link_on_days(store, 5)

    before = store.changes.oldest_number(UNIVERSITY)
    gone = store.changes.delete_before(NOON + 2 * DAY)

    assert (before, gone, store.changes.oldest_number(UNIVERSITY)) == (1, 2, 3)
    assert [change.number for change in store.changes.list_after(UNIVERSITY, 0, 10)] == [3, 4, 5]


def test_after_all_changes_were_deleted_the_next_one_is_the_oldest(store):
    link_on_days(store, 3)

    store.changes.delete_before(NOON + 9 * DAY)

    assert store.changes.oldest_number(UNIVERSITY) == 4
    assert store.changes.last_number(UNIVERSITY) == 3
    assert make_link(store, "new", make_orcid_id(9)).number == 4


def test_old_changes_are_deleted_in_batches(store, monkeypatch):
    link_on_days(store, 7)
    monkeypatch.setattr("sql.repositories.delivery.changes.DELETE_BATCH", 2)
    execute, steps = store.engine.execute, []

    def counted(query, **values):
        steps.append(execute(query, **values))
        return steps[-1]

    monkeypatch.setattr(store.engine, "execute", counted)

    gone = store.changes.delete_before(NOON + 5 * DAY)
    again = store.changes.delete_before(NOON + 5 * DAY)

    assert (gone, again, steps) == (5, 0, [2, 2, 1])
    assert store.changes.oldest_number(UNIVERSITY) == 6


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_first_change_to_keep_is_found_by_an_index(store):
    values = {"organisation": "o", "before": "t"}
    text = "explain query plan " + queries()["get_deletable_changes"]

    plan = [row["detail"] for row in driver_of(store).execute(text, values)]

    assert not [step for step in plan if step.startswith("SCAN") and step not in {"SCAN bounds", "SCAN CONSTANT ROW"}]
    assert any("deliveries_" in step and "state=?" in step for step in plan)


def test_old_changes_of_every_organisation_are_deleted(store):
    make_link(store, MAIJA, FIRST, UNIVERSITY)
    make_link(store, MAIJA, FIRST, POLYTECHNIC)

    gone = store.changes.delete_before(NOON + DAY)

    assert gone == 2
    assert store.links.count(UNIVERSITY) == store.links.count(POLYTECHNIC) == 1


@pytest.mark.parametrize("end", ["complete", "dead_letter"])
def test_undelivered_changes_are_kept(store, end):
    link_on_days(store, 2)
    owed = owe(store, MAIJA, THIRD, NOON + 2 * DAY)

    while_it_waits = store.changes.delete_before(NOON + 9 * DAY)
    (delivery,) = store.deliveries.claim("worker", NOON + 9 * DAY, DAY, 1)
    getattr(store.deliveries, end)(delivery, "worker", "word", "", NOON + 9 * DAY)
    afterwards = store.changes.delete_before(NOON + 9 * DAY)

    assert (owed.number, while_it_waits) == (4, 3)
    assert afterwards == (1 if end == "complete" else 0)


def test_a_change_with_a_wrong_time_leaves_no_gap(store):
    for days in (0, 5, 1):
        make_link(store, f"person {days}", make_orcid_id(days + 1), now=NOON + days * DAY)

    store.changes.delete_before(NOON + 2 * DAY)

    assert [change.number for change in store.changes.list_after(UNIVERSITY, 0, 10)] == [2, 3]


def test_delivery_results_outlive_their_change(store):
    owe(store, MAIJA, FIRST, NOON)
    (delivery,) = store.deliveries.claim("worker", NOON, DAY, 1)
    store.deliveries.complete(delivery, "worker", "stored", "", NOON)

    store.changes.delete_before(NOON + DAY)

    (after,) = store.deliveries.list_for_person(UNIVERSITY, MAIJA)
    assert (after.kind, after.outcome, after.change) == ("removed", "stored", None)


def test_the_newest_change_of_a_person_is_found(store):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    make_link(store, MAIJA, THIRD)

    newest = store.changes.newest_for_person(UNIVERSITY, MAIJA)

    assert (newest.number, newest.orcid_id) == (3, THIRD)
    assert store.changes.newest_for_person(POLYTECHNIC, MAIJA) is None


# How far the organisation has come


def test_nothing_is_acknowledged_at_first(store):
    assert store.changes.acknowledged(UNIVERSITY) is None


def test_an_acknowledgement_is_stored_with_its_time(store):
    link_on_days(store, 3)

    done = store.changes.acknowledge(UNIVERSITY, 2, NOON)

    assert done
    assert store.changes.acknowledged(UNIVERSITY) == (2, NOON)
    assert store.changes.acknowledged(POLYTECHNIC) is None


@pytest.mark.parametrize("again", [2, 1])
def test_an_acknowledgement_is_idempotent_and_never_decreases(store, again):
    link_on_days(store, 3)
    store.changes.acknowledge(UNIVERSITY, 2, NOON)

    done = store.changes.acknowledge(UNIVERSITY, again, NOON + DAY)

    assert done
    assert store.changes.acknowledged(UNIVERSITY) == (2, NOON)


def test_a_later_acknowledgement_replaces_an_earlier_one(store):
    link_on_days(store, 3)
    store.changes.acknowledge(UNIVERSITY, 2, NOON)

    store.changes.acknowledge(UNIVERSITY, 3, NOON + DAY)

    assert store.changes.acknowledged(UNIVERSITY) == (3, NOON + DAY)


def test_an_acknowledgement_beyond_the_last_change_is_refused(store):
    link_on_days(store, 3)

    done = store.changes.acknowledge(UNIVERSITY, 4, NOON), store.changes.acknowledge(POLYTECHNIC, 1, NOON)

    assert done == (False, False)
    assert store.changes.acknowledged(UNIVERSITY) is None


def test_nothing_can_be_acknowledged_before_the_first_change(store):
    assert store.changes.acknowledge(UNIVERSITY, 0, NOON)


# The snapshot


def apply(held, changes):
    """Do to a dictionary what the changes tell."""
    for change in changes:
        held.pop(change.person_key, None)
        if change.orcid_id is not None:
            held[change.person_key] = change.orcid_id
    return held


def test_a_snapshot_plus_later_changes_equals_the_current_links(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.base.PAGE_SIZE", 2)
    for number in range(1, 8):
        make_link(store, f"person {number}", make_orcid_id(number))

    number, links = store.changes.snapshot(UNIVERSITY)
    held = {link.person_key: link.orcid_id for link in [next(links) for _ in range(3)]}
    for gone in ("person 1", "person 6"):
        store.links.remove(UNIVERSITY, gone, "person", "asked to", NOON)
    make_link(store, "person 2", make_orcid_id(20))
    make_link(store, "person 7", make_orcid_id(70))
    make_link(store, "person 0", make_orcid_id(1))
    make_link(store, "person 8", make_orcid_id(80))
    held |= {link.person_key: link.orcid_id for link in links}

    assert number == 7
    after = apply(held, store.changes.list_after(UNIVERSITY, number, 100))
    assert after == {link.person_key: link.orcid_id for link in store.links.list_current(UNIVERSITY)}


def test_a_snapshot_has_the_change_number_of_its_request(store):
    make_link(store, MAIJA, FIRST)

    number, links = store.changes.snapshot(UNIVERSITY)
    make_link(store, VILLE, SECOND)

    assert number == 1
    assert len(list(links)) == 2


def many(count):
    """Give persons with an iD each."""
    names = ((number, f"person {number}") for number in range(count))
    return ((name, make_orcid_id(number + 1)) for number, name in names)


def test_a_snapshot_is_read_a_page_at_a_time(store, store_url):
    attest_many(store, store_url, many(10_000))
    next(iter(store.links.list_current(UNIVERSITY)))
    tracemalloc.start()

    try:
        number, links = store.changes.snapshot(UNIVERSITY)
        count = sum(1 for _ in links)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (number, count) == (1, 10_000)
    assert most < 3_000_000
