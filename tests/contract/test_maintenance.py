"""Where nothing is to be kept, what has been delivered is forgotten, and no file of the database holds it."""

from datetime import timedelta

import pytest

from resolver_connector.delivery.maintenance import GRACE_PERIOD, Maintenance, RetentionPolicy
from resolver_connector.transfers.base import DeliveryResult, Outcome
from sql.records import DeliveryState
from tests.support.delivery import AWAY, Idm, LogRecorder, make_worker
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock

MAIJA = "maija@yliopisto.example"
FIRST = make_orcid_id(1)
NIGHT = NOON + timedelta(hours=13)


@pytest.fixture
def log():
    return LogRecorder()


@pytest.fixture
def housekeeping(store, log):
    return Maintenance(store, [RetentionPolicy(UNIVERSITY, keeps_links=False)], log)


def delivered(store, answer=None, *, at=NOON):
    """Link Maija, and deliver it with this answer."""
    make_link(store, MAIJA, FIRST, now=at, transfers=["idm"])
    make_worker(store, {"idm": Idm(answer) if answer else Idm()}, Clock(at)).run_once()


@pytest.mark.parametrize("answer", [None, DeliveryResult(Outcome.UNKNOWN_PERSON)], ids=["delivered", "failed"])
def test_a_link_is_deleted_when_no_delivery_waits(store, housekeeping, log, answer):
    delivered(store, answer)

    housekeeping.run(NOON + GRACE_PERIOD + timedelta(seconds=1))

    assert store.links.get(UNIVERSITY, MAIJA) is None
    assert store.changes.list_after(UNIVERSITY, 0, 10) == []
    assert store.deliveries.list_for_person(UNIVERSITY, MAIJA) == []
    assert "maija" not in str(list(store.audit.list_events(UNIVERSITY)))
    assert store.audit.verify(UNIVERSITY) == []
    assert log.lines == [("delivered-changes-deleted", {"changes": 1})]


def test_a_person_can_look_at_the_result_for_a_while(store, housekeeping, log):
    delivered(store)

    housekeeping.run(NOON + GRACE_PERIOD)

    assert store.links.get(UNIVERSITY, MAIJA) is not None
    assert log.lines == []


def test_links_with_waiting_deliveries_are_kept(store, housekeeping):
    delivered(store, AWAY)

    housekeeping.run(NOON + timedelta(days=2))

    assert [each.state for each in store.deliveries.list_for_person(UNIVERSITY, MAIJA)] == [DeliveryState.WAITING]
    assert store.links.get(UNIVERSITY, MAIJA) is not None


def test_kept_links_are_not_deleted(store, log):
    delivered(store)

    Maintenance(store, [RetentionPolicy(POLYTECHNIC, keeps_links=False)], log).run(NOON + timedelta(days=9))
    Maintenance(store, [], log).run(NOON + timedelta(days=9))

    assert store.links.get(UNIVERSITY, MAIJA) is not None


def test_the_database_is_vacuumed_once_a_night(store, housekeeping, log):
    for hour in range(36):
        housekeeping.run(NOON + timedelta(hours=hour))

    assert log.words() == ["vacuumed"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_after_the_night_no_database_file_holds_deleted_data(store, housekeeping, tmp_path):
    delivered(store)
    assert held(tmp_path)

    housekeeping.run(NIGHT)

    assert held(tmp_path) == []


def held(directory):
    """Name the files that hold the iD or the account, in any form."""
    traces = [MAIJA.encode(), FIRST.bare.encode(), FIRST.bare.replace("-", "").encode()]
    return [path.name for path in directory.iterdir() if any(trace in path.read_bytes() for trace in traces)]
