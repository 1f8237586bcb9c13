"""The worker lets go of changes that are older than the operator wants them kept, and of nothing else."""

from datetime import timedelta

import pytest

from resolver_connector.delivery.retention import FeedRetention
from sql.store import open_store
from tests.support.configuration import store_section, write_configuration
from tests.support.delivery import AWAY, Idm, Kept, deliverer
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock
from webapp.config.loader import load
from webapp.wsgi import make_deliverer

MAIJA, MATTI = "maija@yliopisto.example", "matti@yliopisto.example"
DAY = timedelta(days=1)
KEPT = 30 * DAY
LATER = NOON + KEPT + timedelta(seconds=1)


@pytest.fixture
def log():
    return Kept()


@pytest.fixture
def retention(store, log):
    return FeedRetention(store, KEPT, log)


def numbers(store):
    return [change.number for change in store.changes.list_after(UNIVERSITY, 0, 10)]


def test_a_change_goes_when_it_is_older_than_it_is_kept(store, retention, log):
    make_link(store, MAIJA, make_orcid_id(1))
    make_link(store, MATTI, make_orcid_id(2), now=NOON + DAY)

    retention.turn(LATER)

    assert numbers(store) == [2]
    assert log.lines == [("changes-forgotten", {"changes": 1})]


def test_the_link_and_the_audit_stay(store, retention):
    make_link(store, MAIJA, make_orcid_id(1))

    retention.turn(LATER)

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [make_orcid_id(1)]
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked"]
    assert store.audit.verify(UNIVERSITY) == []


def test_a_change_that_is_young_enough_stays(store, retention, log):
    make_link(store, MAIJA, make_orcid_id(1))

    retention.turn(NOON + KEPT)

    assert numbers(store) == [1]
    assert log.lines == []


def test_what_is_still_owed_stays_and_all_after_it(store, retention):
    make_link(store, MAIJA, make_orcid_id(1), transfers=["idm"])
    make_link(store, MATTI, make_orcid_id(2))
    deliverer(store, {"idm": Idm(AWAY)}, Clock(NOON)).once()

    retention.turn(LATER)

    assert numbers(store) == [1, 2]


def test_it_is_done_once_a_day(store, retention):
    retention.turn(LATER)
    make_link(store, MAIJA, make_orcid_id(1))

    retention.turn(LATER + timedelta(hours=11))
    same_day = numbers(store)
    retention.turn(LATER + timedelta(hours=13))

    assert (same_day, numbers(store)) == ([1], [])


def test_a_database_that_is_away_is_said_and_asked_again(store, tmp_path, log):
    make_link(store, MAIJA, make_orcid_id(1))
    away = FeedRetention(open_store(f"sqlite://{tmp_path}/nowhere/links.db"), KEPT, log)

    away.turn(LATER)
    away._store = store
    away.turn(LATER)

    assert [word for word, _ in log.lines] == ["store-unavailable", "changes-forgotten"]
    assert numbers(store) == []


@pytest.mark.parametrize(("days", "left"), [(40, [1]), (30, [])])
def test_the_worker_keeps_changes_as_long_as_the_configuration_says(store, store_url, tmp_path, days, left):
    make_link(store, MAIJA, make_orcid_id(1))
    section = {**store_section(tmp_path, store_url), "keep_changes": days}
    config = load(write_configuration(tmp_path, store=section), {})

    make_deliverer(config, store, Clock(LATER)).once()

    assert numbers(store) == left
