"""What the store keeps of releases, on each engine."""

import threading
from datetime import timedelta

import pytest

from sql.engines.base import queries
from sql.records import Release, ReleaseCounts, ReleaseState
from tests.support.database import driver_of
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id

MAIJA = "maija@yliopisto.example"
MISSING, OTHER, SEEN = ReleaseState
TOMORROW = NOON + timedelta(days=1)


@pytest.fixture
def link(store):
    make_link(store)
    return store.links.get(UNIVERSITY, MAIJA)


def kinds(store):
    return [event.kind for event in store.audit.list_events(UNIVERSITY)]


def release(store):
    return store.links.get(UNIVERSITY, MAIJA).release


def test_a_new_link_has_no_release_state(link):
    assert link.release is None


@pytest.mark.parametrize("state", ReleaseState)
def test_a_release_state_is_stored_with_the_link(store, link, state):
    noted = store.releases.record(link, state, TOMORROW)

    assert noted is True
    assert release(store) == Release(state, TOMORROW)


@pytest.mark.parametrize("state", ReleaseState)
def test_an_unchanged_state_is_not_written(store, link, state):
    store.releases.record(link, state, TOMORROW)

    again = store.releases.record(link, state, TOMORROW + timedelta(days=1))

    assert again is False
    assert release(store) == Release(state, TOMORROW)


@pytest.mark.parametrize(("before", "after"), [(MISSING, OTHER), (MISSING, SEEN), (OTHER, SEEN)])
def test_only_a_stronger_state_replaces_a_stored_one(store, link, before, after):
    store.releases.record(link, before, NOON)

    more = store.releases.record(link, after, TOMORROW)
    less = store.releases.record(link, before, TOMORROW + timedelta(days=1))

    assert (more, less) == (True, False)
    assert release(store) == Release(after, TOMORROW)


def test_the_first_release_seen_has_its_event(store, link):
    store.releases.record(link, MISSING, NOON)
    store.releases.record(link, SEEN, TOMORROW)
    store.releases.record(link, SEEN, TOMORROW)

    *_, event = store.audit.list_events(UNIVERSITY)

    assert kinds(store) == ["linked", "release-seen"]
    assert (event.actor, event.person_key, event.at) == ("organisation", MAIJA, TOMORROW)
    assert event.facts == {"orcid": link.orcid_id.uri, "account": MAIJA, "link": link.id}
    assert store.audit.verify(UNIVERSITY) == []


def test_of_concurrent_pages_one_records_the_release(store, link):
    barrier, noted = threading.Barrier(6), []

    def see():
        barrier.wait()
        noted.append(store.releases.record(link, SEEN, TOMORROW))

    threads = [threading.Thread(target=see) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(noted) == [False] * 5 + [True]
    assert kinds(store) == ["linked", "release-seen"]


def test_a_link_that_replaces_another_starts_anew(store, link):
    store.releases.record(link, SEEN, TOMORROW)

    make_link(store, orcid_id=make_orcid_id(2), now=TOMORROW)

    assert release(store) is None


@pytest.mark.parametrize("state", ReleaseState)
def test_nothing_is_recorded_for_an_ended_link(store, link, state):
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    noted = store.releases.record(link, state, TOMORROW)

    assert noted is False
    assert "release-seen" not in kinds(store)
    assert store.releases.counts(UNIVERSITY) == ReleaseCounts(0, 0, 0, 0)


def test_releases_are_counted_for_each_organisation_by_itself(store):
    for number, state in enumerate((SEEN, SEEN, SEEN, OTHER, OTHER, MISSING, None, SEEN), 1):
        key = f"{number}@yliopisto.example"
        make_link(store, key, make_orcid_id(number))
        if state:
            store.releases.record(store.links.get(UNIVERSITY, key), state, TOMORROW)
    store.links.remove(UNIVERSITY, "8@yliopisto.example", "person", "asked to", NOON)

    assert store.releases.counts(UNIVERSITY) == ReleaseCounts(linked=7, seen=3, other=2, missing=1)
    assert store.releases.counts(POLYTECHNIC) == ReleaseCounts(0, 0, 0, 0)


def test_links_that_have_held_for_long_are_counted_up_to_enough(store):
    for number in range(1, 6):
        make_link(store, f"{number}@yliopisto.example", make_orcid_id(number), now=NOON + timedelta(days=number))
    store.links.remove(UNIVERSITY, "1@yliopisto.example", "person", "asked to", TOMORROW)

    before = NOON + timedelta(days=5)

    assert store.releases.count_linked_before(UNIVERSITY, before, 10) == 3
    assert store.releases.count_linked_before(UNIVERSITY, before, 2) == 2
    assert store.releases.count_linked_before(POLYTECHNIC, before, 10) == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_releases_are_counted_without_reading_the_table(store):
    text = "explain query plan " + queries()["count_releases"]

    plan = [row["detail"] for row in driver_of(store).execute(text, {"organisation": "o"})]

    assert [step for step in plan if "links_by_release" in step] == [
        "SEARCH links USING COVERING INDEX links_by_release (organisation=? AND release_state=? AND ended_at=?)"
    ] * 3
    assert [step for step in plan if step.startswith("SCAN")] == ["SCAN CONSTANT ROW"]
