"""Changes that share a person or an iD reach a receiver in their order; it lets an iD belong to one account alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sql.records import DeliveryState
from tests.support.delivery import UniqueRegister, make_dispatcher, make_worker
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock

MAIJA, VILLE = "maija@yliopisto.example", "ville@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
HOUR = timedelta(hours=1)
TRANSFERS = ["idm"]


@pytest.fixture
def clock():
    return Clock(NOON + HOUR)


@pytest.fixture
def register():
    """The receiver; it has Maija's first iD."""
    register = UniqueRegister()
    register.holds[MAIJA] = FIRST
    return register


@pytest.fixture
def dispatcher(store, register, clock):
    make_link(store, MAIJA, FIRST)
    return make_dispatcher(store, {"idm": register}, clock)


LEAVES = {
    "removed": lambda store: store.links.remove(
        UNIVERSITY, MAIJA, "person", "asked to", NOON + HOUR, transfers=TRANSFERS
    ),
    "replaced": lambda store: make_link(store, MAIJA, SECOND, now=NOON + HOUR, transfers=TRANSFERS),
    "deprovisioned": lambda store: store.retention.deprovision(UNIVERSITY, MAIJA, NOON + HOUR, transfers=TRANSFERS),
    "erased": lambda store: store.erasures.erase(
        UNIVERSITY, MAIJA, "person", "asked to", NOON + HOUR, transfers=TRANSFERS
    ),
}


@pytest.mark.parametrize("how", LEAVES)
@pytest.mark.parametrize("away", [False, True], ids=["at once", "after an outage"])
def test_an_id_is_removed_from_one_account_before_another_gets_it(  # noqa: PLR0917 - fixtures
    store, dispatcher, register, clock, how, away
):
    LEAVES[how](store)
    if away:
        register.away = True
        make_worker(store, {"idm": register}, clock).run_once()
        register.away = False

    change = make_link(store, VILLE, FIRST, now=clock.now, transfers=TRANSFERS)
    (at_once,) = dispatcher.deliver_now(change)
    clock.now += HOUR
    make_worker(store, {"idm": register}, clock).run_once()

    assert (at_once.state, at_once.tries) == (DeliveryState.WAITING, 0)
    assert register.holds == {VILLE: FIRST} | ({MAIJA: SECOND} if how == "replaced" else {})
    assert [kind for kind, _ in register.told] == ["replaced" if how == "replaced" else "removed", "linked"]
    assert not list(store.deliveries.list_dead_letters(UNIVERSITY))


def test_swapped_ids_are_delivered_in_order(store, register, clock):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    register.holds[VILLE] = SECOND
    for person, orcid_id in ((MAIJA, make_orcid_id(3)), (VILLE, FIRST), (MAIJA, SECOND)):
        make_link(store, person, orcid_id, now=NOON + HOUR, transfers=TRANSFERS)

    # A worker that can send three at once is given one at a time
    claimed = store.deliveries.claim("worker", clock.now, HOUR, 3)
    store.deliveries.reschedule(claimed[0], "worker", "temporary", "", clock.now, clock.now)
    make_worker(store, {"idm": register}, clock).run_once()

    assert [delivery.change_number for delivery in claimed] == [3]
    assert register.holds == {MAIJA: SECOND, VILLE: FIRST}


def test_changes_that_share_nothing_do_not_wait_for_each_other(store):
    make_link(store, MAIJA, FIRST, transfers=["idm", "ldap"])
    make_link(store, VILLE, SECOND, transfers=["idm", "ldap"])

    assert len(store.deliveries.claim("worker", NOON, HOUR, 9)) == 4


def test_changes_of_another_transfer_or_organisation_do_not_block(store):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON, transfers=["idm"])
    make_link(store, VILLE, FIRST, transfers=["ldap"])
    make_link(store, MAIJA, FIRST, "amk", transfers=["idm"])

    claimed = store.deliveries.claim("worker", NOON, HOUR, 9)

    assert sorted((delivery.transfer, delivery.change_number) for delivery in claimed) == [
        ("idm", 1),
        ("idm", 1),
        ("ldap", 3),
    ]


def lose(store, now):
    """Let the oldest delivery that waits become a dead letter."""
    (delivery,) = store.deliveries.claim("worker", now, HOUR, 1)
    assert store.deliveries.dead_letter(delivery, "worker", "refused", "no", now)


def test_a_conflict_that_an_earlier_waiting_delivery_explains_is_temporary(store, register, clock):
    make_link(store, MAIJA, FIRST, transfers=TRANSFERS)
    make_worker(store, {"idm": register}, clock).run_once()
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", clock.now)
    make_link(store, VILLE, FIRST, now=clock.now, transfers=TRANSFERS)
    (link,) = store.deliveries.claim("worker", clock.now, HOUR, 1)
    # The operator asks for what was never queued while the link is on its way
    assert list(store.deliveries.backfill(UNIVERSITY, "idm", clock.now)) == [[MAIJA]]

    event = make_dispatcher(store, {"idm": register}, clock).try_delivery(link, "worker", 1.0)
    clock.now += HOUR
    make_worker(store, {"idm": register}, clock).run_once()

    assert event == "rescheduled"
    assert register.holds == {VILLE: FIRST}


def move(store, account, new_account):
    return store.links.move(UNIVERSITY, account, new_account, "operator", "renamed", NOON, transfers=TRANSFERS)


RELATED = {
    "the same person": [(make_link, MAIJA, SECOND), (make_link, MAIJA, FIRST)],
    "the iD that was taken away": [(LEAVES["removed"],), (make_link, VILLE, FIRST)],
    "the iD that was replaced": [(LEAVES["replaced"],), (make_link, VILLE, FIRST)],
    "the account that was left": [(make_link, MAIJA, SECOND), (move, MAIJA, VILLE)],
    "the account that was left before": [(move, MAIJA, VILLE), (make_link, MAIJA, SECOND)],
    "the account that was moved to": [(move, MAIJA, VILLE), (make_link, VILLE, SECOND)],
}


@pytest.mark.parametrize("shared", RELATED)
def test_a_dead_letter_is_not_retried_while_a_later_change_with_the_same_person_or_id_is_leased(store, clock, shared):
    make_link(store, MAIJA, FIRST)
    for make, *values in RELATED[shared]:
        make(store, *values, **({"transfers": TRANSFERS} if make is make_link else {}))
    lose(store, clock.now)
    (later,) = store.deliveries.claim("worker", clock.now, HOUR, 9)

    assert store.deliveries.retry(UNIVERSITY, "idm", clock.now) == 0
    store.deliveries.dead_letter(later, "worker", "refused", "no", clock.now)
    assert store.deliveries.retry(UNIVERSITY, "idm", clock.now) == 2
    (first,) = store.deliveries.claim("worker", clock.now, HOUR, 9)
    assert first.change_number == later.change_number - 1


@pytest.mark.parametrize("change_number", [1, 2])
def test_a_dead_letter_is_retried_whatever_else_is_leased(store, clock, change_number):
    make_link(store, MAIJA, FIRST, transfers=TRANSFERS)
    make_link(store, VILLE, SECOND, transfers=TRANSFERS)
    claimed = {each.change_number: each for each in store.deliveries.claim("worker", clock.now, HOUR, 9)}
    store.deliveries.dead_letter(claimed[change_number], "worker", "refused", "no", clock.now)

    assert store.deliveries.retry(UNIVERSITY, "idm", clock.now) == 1


def test_an_unexplained_conflict_is_a_dead_letter(store, dispatcher, register, clock):
    register.holds[MAIJA] = FIRST
    change = make_link(store, VILLE, SECOND, now=clock.now, transfers=TRANSFERS)
    register.holds["somebody@yliopisto.example"] = SECOND
    # What waits behind it explains nothing: it would wait for the outcome of what it explains
    store.links.remove(UNIVERSITY, VILLE, "person", "asked to", clock.now, transfers=TRANSFERS)

    (delivery,) = dispatcher.deliver_now(change)

    assert (delivery.state, delivery.outcome) == (DeliveryState.DEAD_LETTER, "conflict")


# What is left out is made up for


@pytest.mark.parametrize("lost", [0, 1, 2], ids=lambda lost: f"{lost} lost")
@pytest.mark.parametrize("how", [*LEAVES, "linked again"])
def test_a_later_change_removes_an_id_whose_replacement_failed(store, register, clock, how, lost):
    make_link(store, MAIJA, FIRST)
    register.holds[MAIJA] = FIRST
    for number in (3, 4):
        make_link(store, MAIJA, make_orcid_id(number), now=NOON + HOUR, transfers=TRANSFERS)
    for _ in range(lost):
        lose(store, clock.now)

    if how == "linked again":
        LEAVES["removed"](store)
        lose(store, clock.now) if lost == 2 else None
        make_link(store, MAIJA, SECOND, now=NOON + HOUR, transfers=TRANSFERS)
    else:
        LEAVES[how](store)
    make_worker(store, {"idm": register}, clock).run_once()

    assert register.holds == ({MAIJA: SECOND} if how in {"replaced", "linked again"} else {})
    assert not list(store.deliveries.list_dead_letters(UNIVERSITY))


def test_a_missed_removal_is_made_up_for_once(store, register, clock):
    make_link(store, MAIJA, FIRST)
    register.holds[MAIJA] = FIRST
    LEAVES["replaced"](store)
    lose(store, clock.now)
    LEAVES["removed"](store)
    worker = make_worker(store, {"idm": register}, clock)
    worker.run_once()
    # The organisation has entered the iD itself since
    register.holds[MAIJA] = FIRST

    make_link(store, MAIJA, SECOND, now=NOON + HOUR, transfers=TRANSFERS)
    worker.run_once()

    assert register.holds == {MAIJA: FIRST}


def test_a_later_change_waits_for_the_missed_removal(store, register, clock):
    make_link(store, MAIJA, FIRST)
    register.holds[MAIJA] = FIRST
    LEAVES["replaced"](store)
    lose(store, clock.now)
    LEAVES["removed"](store)
    register.loses_answers = True
    worker = make_worker(store, {"idm": register}, clock)
    worker.run_once()
    told = list(register.told)

    register.loses_answers = False
    clock.now += HOUR
    worker.run_once()

    assert (told, register.told[1:]) == ([("removed", MAIJA)], [("removed", MAIJA)] * 2)
    assert register.holds == {}


def test_a_receiver_without_removals_gets_the_new_id_alone(store, register, clock):
    make_link(store, MAIJA, FIRST)
    LEAVES["replaced"](store)
    lose(store, clock.now)
    register.removal_probe = register
    make_link(store, MAIJA, make_orcid_id(3), now=NOON + HOUR, transfers=TRANSFERS)

    make_worker(store, {"idm": register}, clock).run_once()

    assert register.told == [("replaced", MAIJA)]
