"""The worker lets go of changes that are older than the operator wants them kept, and of nothing else."""

from datetime import timedelta
from functools import partial

import pytest

from resolver_connector.delivery.maintenance import delete_old_changes
from tests.support.configuration import store_section, write_configuration
from tests.support.delivery import AWAY, Idm, LogRecorder, make_worker
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock
from webapp.config.loader import load
from webapp.wiring import worker as wiring

MAIJA, MATTI = "maija@yliopisto.example", "matti@yliopisto.example"
DAY = timedelta(days=1)
KEPT = 30 * DAY
LATER = NOON + KEPT + timedelta(seconds=1)


@pytest.fixture
def log():
    return LogRecorder()


@pytest.fixture
def delete_at(store, log):
    """Delete old changes at a time."""
    return partial(delete_old_changes, store, KEPT, log)


def numbers(store):
    return [change.number for change in store.changes.list_after(UNIVERSITY, 0, 10)]


def test_an_old_change_is_deleted(store, delete_at, log):
    make_link(store, MAIJA, make_orcid_id(1))
    make_link(store, MATTI, make_orcid_id(2), now=NOON + DAY)

    delete_at(LATER)

    assert numbers(store) == [2]
    assert log.lines == [("changes-deleted", {"changes": 1})]


def test_the_link_and_the_audit_stay(store, delete_at):
    make_link(store, MAIJA, make_orcid_id(1))

    delete_at(LATER)

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [make_orcid_id(1)]
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked"]
    assert store.audit.verify(UNIVERSITY) == []


def test_a_recent_change_is_kept(store, delete_at, log):
    make_link(store, MAIJA, make_orcid_id(1))

    delete_at(NOON + KEPT)

    assert numbers(store) == [1]
    assert log.lines == []


def test_a_change_with_a_waiting_delivery_and_all_later_ones_are_kept(store, delete_at):
    make_link(store, MAIJA, make_orcid_id(1), transfers=["idm"])
    make_link(store, MATTI, make_orcid_id(2))
    make_worker(store, {"idm": Idm(AWAY)}, Clock(NOON)).run_once()

    delete_at(LATER)

    assert numbers(store) == [1, 2]


@pytest.mark.parametrize(("days", "left"), [(40, [1]), (30, [])])
def test_the_worker_keeps_changes_as_long_as_the_configuration_says(store, store_url, tmp_path, days, left):
    make_link(store, MAIJA, make_orcid_id(1))
    section = {**store_section(tmp_path, store_url), "keep_changes": days}
    config = load(write_configuration(tmp_path, store=section), {})

    wiring.make_worker(config, store, Clock(LATER)).run_once()

    assert numbers(store) == left
