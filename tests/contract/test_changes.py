"""What the store promises to organisations that fetch their changes, on each engine."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest

from sql.engines.base import queries
from tests.support.database import driver_of
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, attest, make_link, make_orcid_id

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


def test_before_any_change_the_first_will_be_number_one(store):
    assert store.changes.oldest_number(UNIVERSITY) == 1


def test_the_oldest_change_is_the_first_that_is_kept(store):
    link_on_days(store, 5)

    before = store.changes.oldest_number(UNIVERSITY)
    gone = store.changes.delete_before(NOON + 2 * DAY)

    assert (before, gone, store.changes.oldest_number(UNIVERSITY)) == (1, 2, 3)
    assert [change.number for change in store.changes.list_after(UNIVERSITY, 0, 10)] == [3, 4, 5]


def test_when_all_changes_are_gone_the_next_is_the_oldest(store):
    link_on_days(store, 3)

    store.changes.delete_before(NOON + 9 * DAY)

    assert store.changes.oldest_number(UNIVERSITY) == 4
    assert store.changes.last_number(UNIVERSITY) == 3
    assert make_link(store, "new", make_orcid_id(9)).number == 4


def test_however_many_old_changes_there_are_they_go_by_so_many_at_a_time(store, monkeypatch):
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
def test_where_the_changes_to_keep_begin_is_found_by_the_indexes(store):
    values = {"organisation": "o", "before": "t"}
    text = "explain query plan " + queries()["get_deletable_changes"]

    plan = [row["detail"] for row in driver_of(store).execute(text, values)]

    assert not [step for step in plan if step.startswith("SCAN") and step not in {"SCAN bounds", "SCAN CONSTANT ROW"}]
    assert any("deliveries_" in step and "state=?" in step for step in plan)


def test_old_changes_go_in_every_organisation(store):
    make_link(store, MAIJA, FIRST, UNIVERSITY)
    make_link(store, MAIJA, FIRST, POLYTECHNIC)

    gone = store.changes.delete_before(NOON + DAY)

    assert gone == 2
    assert store.links.count(UNIVERSITY) == store.links.count(POLYTECHNIC) == 1


@pytest.mark.parametrize("end", ["complete", "dead_letter"])
def test_no_change_goes_that_a_transfer_still_lacks(store, end):
    link_on_days(store, 2)
    owed = owe(store, MAIJA, THIRD, NOON + 2 * DAY)

    while_it_waits = store.changes.delete_before(NOON + 9 * DAY)
    (delivery,) = store.deliveries.claim("worker", NOON + 9 * DAY, DAY, 1)
    getattr(store.deliveries, end)(delivery, "worker", "word", "", NOON + 9 * DAY)
    afterwards = store.changes.delete_before(NOON + 9 * DAY)

    assert (owed.number, while_it_waits) == (4, 3)
    assert afterwards == (1 if end == "complete" else 0)


def test_a_change_of_a_clock_that_was_wrong_keeps_the_changes_in_one_piece(store):
    for days in (0, 5, 1):
        make_link(store, f"person {days}", make_orcid_id(days + 1), now=NOON + days * DAY)

    store.changes.delete_before(NOON + 2 * DAY)

    assert [change.number for change in store.changes.list_after(UNIVERSITY, 0, 10)] == [2, 3]


def test_what_became_of_a_change_is_known_after_the_change_is_gone(store):
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


def test_what_is_acknowledged_is_kept_with_its_time(store):
    link_on_days(store, 3)

    done = store.changes.acknowledge(UNIVERSITY, 2, NOON)

    assert done
    assert store.changes.acknowledged(UNIVERSITY) == (2, NOON)
    assert store.changes.acknowledged(POLYTECHNIC) is None


@pytest.mark.parametrize("again", [2, 1])
def test_an_acknowledgement_never_goes_back_and_twice_is_the_same_as_once(store, again):
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


def test_what_has_not_been_written_cannot_have_been_fetched(store):
    link_on_days(store, 3)

    done = store.changes.acknowledge(UNIVERSITY, 4, NOON), store.changes.acknowledge(POLYTECHNIC, 1, NOON)

    assert done == (False, False)
    assert store.changes.acknowledged(UNIVERSITY) is None


def test_nothing_can_be_acknowledged_before_there_is_anything(store):
    assert store.changes.acknowledge(UNIVERSITY, 0, NOON)


# The snapshot


def apply(held, changes):
    """Do to a dictionary what the changes tell."""
    for change in changes:
        held.pop(change.person_key, None)
        if change.orcid_id is not None:
            held[change.person_key] = change.orcid_id
    return held


def test_a_snapshot_and_the_changes_after_it_give_what_is_there(store, monkeypatch):
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


def test_the_number_of_a_snapshot_is_of_the_moment_it_was_asked_for(store):
    make_link(store, MAIJA, FIRST)

    number, links = store.changes.snapshot(UNIVERSITY)
    make_link(store, VILLE, SECOND)

    assert number == 1
    assert len(list(links)) == 2


def many(count):
    """Give persons with an iD each."""
    names = ((number, f"person {number}") for number in range(count))
    return ((name, make_orcid_id(number + 1)) for number, name in names)


def test_a_snapshot_of_many_links_needs_the_memory_of_a_page(store):
    attest(store, many(10_000))
    next(iter(store.links.list_current(UNIVERSITY)))
    tracemalloc.start()

    try:
        number, links = store.changes.snapshot(UNIVERSITY)
        count = sum(1 for _ in links)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (number, count) == (10_000, 10_000)
    assert most < 3_000_000
