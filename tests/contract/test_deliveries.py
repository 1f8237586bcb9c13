"""What the outbox promises, on each engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from sql.engines.base import queries
from sql.records import ChangeKind, DeliveryState
from sql.store import open_store
from tests.support.database import driver_of
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, answered, make_consent, make_orcid_id
from tests.support.store_faults import InjectedFailure, fail, make_failing_store

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
LEASE = timedelta(minutes=1)
MINUTE = timedelta(minutes=1)
LINKS = iter(range(1, 1_000_000))


def link(store, person=MAIJA, orcid_id=FIRST, transfers=("idm",), *, organisation=UNIVERSITY, now=NOON):
    """Link a person to an iD, in place of whatever they had, and owe it to transfers."""
    current = store.links.get(organisation, person)
    attempt = answered(store, person, orcid_id, organisation, now)
    replacing = current.orcid_id if current else None
    link_id = f"outbox link {next(LINKS)}"
    return store.links.add(attempt, "", make_consent(at=now), replacing, now, link_id, transfers)


def unlink(store, person=MAIJA, transfers=("idm",), now=NOON):
    """End a person's link, and owe it to transfers."""
    return store.links.remove(UNIVERSITY, person, "person", "asked to", now, transfers=transfers)


def claim(store, worker="worker", now=NOON, limit=100, only=None):
    """Claim what there is."""
    return store.deliveries.claim(worker, now, LEASE, limit, only)


def numbers(deliveries):
    """Tell which changes these deliveries are of."""
    return [delivery.change_number for delivery in deliveries]


def kinds(store):
    """Tell what stands in the audit."""
    return [event.kind for event in store.audit.list_events(UNIVERSITY)]


# Made with the change


def test_a_change_has_a_delivery_for_each_transfer(store):
    change = link(store, transfers=("idm", "ldap"))

    owed = store.deliveries.list_for_change(UNIVERSITY, change.number)

    assert [(delivery.transfer, delivery.state) for delivery in owed] == [
        ("idm", DeliveryState.WAITING),
        ("ldap", DeliveryState.WAITING),
    ]
    first = owed[0]
    assert (first.change, first.person_key, first.kind) == (change, MAIJA, ChangeKind.LINKED)
    assert (first.created_at, first.queued_at, first.next_try_at) == (NOON, NOON, NOON)
    assert (first.tries, first.outcome, first.message, first.finished_at) == (0, None, "", None)
    assert first.waiting


def test_without_transfers_there_are_no_deliveries(store):
    change = link(store, transfers=())

    assert store.deliveries.list_for_change(UNIVERSITY, change.number) == []
    assert store.deliveries.counts(UNIVERSITY) == []
    assert claim(store) == []


def test_a_confirmation_of_the_same_id_has_no_delivery(store):
    link(store)

    assert link(store) is None
    assert numbers(store.deliveries.list_for_person(UNIVERSITY, MAIJA)) == [1]


def test_deliveries_of_a_person_are_listed_newest_first(store):
    link(store, orcid_id=FIRST)
    link(store, orcid_id=SECOND)
    unlink(store)

    owed = store.deliveries.list_for_person(UNIVERSITY, MAIJA)

    assert [delivery.kind for delivery in owed] == [ChangeKind.REMOVED, ChangeKind.REPLACED, ChangeKind.LINKED]
    assert [(delivery.change.orcid_id, delivery.change.previous) for delivery in owed] == [
        (None, SECOND),
        (SECOND, FIRST),
        (FIRST, None),
    ]


def test_the_id_of_a_change_is_its_own_and_stays(store):
    first, second = link(store), unlink(store)

    assert first.id != second.id
    assert len(first.id) == 32
    assert [change.id for change in store.changes.list_after(UNIVERSITY, 0, 10)] == [first.id, second.id]


def test_a_claim_says_what_to_deliver(store):
    change = link(store)

    (delivery,) = claim(store)

    assert delivery.change == change
    assert (delivery.leased_by, delivery.lease_expires_at, delivery.tries) == ("worker", NOON + LEASE, 1)


def test_a_completed_delivery_is_done(store):
    link(store)
    (delivery,) = claim(store)

    done = store.deliveries.complete(delivery, "worker", "stored", "OK", NOON + MINUTE)

    (after,) = store.deliveries.list_for_person(UNIVERSITY, MAIJA)
    assert done
    assert (after.state, after.outcome, after.message) == (DeliveryState.DONE, "stored", "OK")
    assert (after.finished_at, after.last_try_at, after.leased_by) == (NOON + MINUTE, NOON + MINUTE, None)
    assert claim(store, now=NOON + timedelta(9)) == []


def test_a_delivery_is_made_with_its_change_or_not_at_all(store):
    attempt = answered(store, MAIJA, FIRST)
    done = []

    for step in range(1, 100):
        try:
            make_failing_store(store, step, fail).links.add(
                attempt, "", make_consent(), None, NOON, f"step {step}", ["idm", "ldap"]
            )
        except InjectedFailure:
            changes = store.changes.last_number(UNIVERSITY)
            done.append((changes, len(store.deliveries.list_for_change(UNIVERSITY, 1))))
            if changes:
                break

    assert done == [(0, 0)] * (len(done) - 1) + [(1, 2)]
    assert len(done) > 10


# Leases


def test_a_leased_delivery_is_not_claimed_again(store):
    link(store)
    claim(store, "one")

    assert claim(store, "two", NOON + LEASE - timedelta(seconds=1)) == []


def test_an_expired_lease_is_reclaimed(store):
    link(store)
    claim(store, "one")

    (delivery,) = claim(store, "two", NOON + LEASE)

    assert (delivery.leased_by, delivery.tries) == ("two", 2)


@pytest.mark.parametrize("second", ["one", "two"])
def test_a_worker_without_a_lease_cannot_store_a_result(store, second):
    link(store)
    (lost,) = claim(store, "one")
    (held,) = claim(store, second, NOON + LEASE)

    later = NOON + LEASE + MINUTE
    said = [
        store.deliveries.complete(lost, "one", "stored", "", later),
        store.deliveries.dead_letter(lost, "one", "refused", "", later),
        store.deliveries.reschedule(lost, "one", "temporary", "", later, later),
    ]

    assert said == [False] * 3
    assert store.deliveries.list_for_person(UNIVERSITY, MAIJA) == [held]
    assert kinds(store) == ["linked"]
    assert store.deliveries.complete(held, second, "stored", "", later)


def test_a_late_result_is_stored_if_the_lease_was_not_reclaimed(store):
    link(store)
    (delivery,) = claim(store)

    assert store.deliveries.complete(delivery, "worker", "stored", "", NOON + 2 * LEASE)


def test_a_rescheduled_delivery_is_claimed_when_it_is_due(store):
    link(store)
    (delivery,) = claim(store)

    postponed = store.deliveries.reschedule(
        delivery, "worker", "temporary", "Busy", NOON + timedelta(hours=1), NOON + MINUTE
    )

    (after,) = store.deliveries.list_for_person(UNIVERSITY, MAIJA)
    assert postponed
    assert (after.state, after.outcome, after.message) == (DeliveryState.WAITING, "temporary", "Busy")
    assert (after.last_try_at, after.finished_at, after.leased_by) == (NOON + MINUTE, None, None)
    assert claim(store, now=NOON + timedelta(minutes=59)) == []
    assert [each.tries for each in claim(store, now=NOON + timedelta(hours=1))] == [2]


def test_unstorable_characters_are_removed_from_a_receivers_message(store):
    link(store, MAIJA)
    (delivery,) = claim(store)

    store.deliveries.reschedule(delivery, "worker", "temporary", "N\0o \ud800 😀", NOON, NOON)

    assert store.deliveries.list_for_person(UNIVERSITY, MAIJA)[0].message == "No ? 😀"


def test_one_change_can_be_claimed_by_itself(store):
    link(store, MAIJA, FIRST)
    change = link(store, VILLE, SECOND, transfers=("idm", "ldap"))

    claimed = claim(store, only=(UNIVERSITY, change.number))

    assert sorted((delivery.change_number, delivery.transfer) for delivery in claimed) == [(2, "idm"), (2, "ldap")]
    assert numbers(claim(store, "other")) == [1]


def test_a_change_leased_by_another_worker_cannot_be_claimed(store):
    change = link(store)
    claim(store, "one")

    assert claim(store, "two", only=(UNIVERSITY, change.number)) == []
    assert numbers(claim(store, "two", NOON + LEASE, only=(UNIVERSITY, change.number))) == [1]


def test_no_more_is_claimed_than_was_asked_for_and_transfers_share_it(store):
    for number in range(1, 7):
        link(store, f"person {number}", make_orcid_id(number), ("idm",), now=NOON)
    link(store, "late", make_orcid_id(7), ("ldap",), now=NOON + MINUTE)

    claimed = claim(store, now=NOON + MINUTE, limit=3)

    assert [(delivery.transfer, delivery.change_number) for delivery in claimed] == [
        ("idm", 1),
        ("idm", 2),
        ("ldap", 7),
    ]
    assert len(claim(store, now=NOON + MINUTE, limit=1)) == 1


def test_the_longest_waiting_delivery_comes_first(store):
    link(store, "young", make_orcid_id(1), ("new",), now=NOON + MINUTE)
    link(store, "old", make_orcid_id(2), ("aged",), now=NOON)

    (delivery,) = claim(store, now=NOON + MINUTE, limit=1)

    assert delivery.person_key == "old"


def test_organisations_do_not_mix(store):
    link(store, MAIJA, FIRST)
    link(store, MAIJA, FIRST, organisation=POLYTECHNIC)

    claimed = claim(store)

    assert sorted(delivery.organisation for delivery in claimed) == [POLYTECHNIC, UNIVERSITY]
    assert store.deliveries.complete(claimed[0], "worker", "stored", "", NOON)
    assert len(store.deliveries.list_for_person(claimed[0].organisation, MAIJA)) == 1


# Order


def test_a_removal_never_overtakes_its_link(store):
    link(store)
    unlink(store)

    (first,) = claim(store)
    while_on_its_way = claim(store, "other")
    only_the_removal = claim(store, "other", only=(UNIVERSITY, 2))
    store.deliveries.reschedule(first, "worker", "temporary", "", NOON + timedelta(hours=1), NOON)
    while_it_waits = claim(store, "other", NOON + MINUTE)
    (again,) = claim(store, now=NOON + timedelta(hours=1))
    store.deliveries.complete(again, "worker", "stored", "", NOON + timedelta(hours=1))

    assert (while_on_its_way, only_the_removal, while_it_waits) == ([], [], [])
    assert numbers(claim(store, now=NOON + timedelta(hours=1))) == [2]


def test_a_dead_letter_blocks_no_delivery(store):
    link(store)
    unlink(store)
    (first,) = claim(store)

    store.deliveries.dead_letter(first, "worker", "refused", "No", NOON)

    assert numbers(claim(store)) == [2]


def test_a_failing_delivery_blocks_no_other_person(store):
    link(store, MAIJA, FIRST)
    unlink(store, MAIJA)
    link(store, VILLE, SECOND)
    store.deliveries.reschedule(claim(store, limit=1)[0], "worker", "temporary", "", NOON + timedelta(9), NOON)

    assert [delivery.person_key for delivery in claim(store)] == [VILLE]


def test_a_failing_transfer_does_not_delay_others(store):
    link(store, transfers=("idm", "ldap"))
    unlink(store, transfers=("idm", "ldap"))
    for delivery in claim(store):
        if delivery.transfer == "idm":
            store.deliveries.reschedule(delivery, "worker", "temporary", "", NOON + timedelta(9), NOON)
        else:
            store.deliveries.complete(delivery, "worker", "stored", "", NOON)

    assert [(delivery.change_number, delivery.transfer) for delivery in claim(store)] == [(2, "ldap")]


# Several workers


def at_once(*actions):
    """Do several things at the same moment, each in its own thread, and give what each gave."""
    barrier = Barrier(len(actions))

    def run(action):
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def test_two_workers_never_claim_the_same_delivery(store):
    for number in range(1, 41):
        link(store, f"person {number}", make_orcid_id(number), ("idm", "ldap"))

    claims = at_once(*[lambda name=f"worker {number}": claim(store, name, limit=7) for number in range(6)])

    claimed = [(delivery.change_number, delivery.transfer) for found in claims for delivery in found]
    assert len(claimed) == len(set(claimed)) == 42


def test_workers_of_several_nodes_share_what_there_is(migrated_postgres):
    stores = [open_store(migrated_postgres) for _ in range(3)]
    for number in range(1, 31):
        link(stores[0], f"person {number}", make_orcid_id(number))

    def work(store, name):
        done = []
        while found := claim(store, name, limit=2):
            done += [each.change_number for each in found if store.deliveries.complete(each, name, "stored", "", NOON)]
        return done

    shares = at_once(
        *[lambda store=store, name=f"node {place}": work(store, name) for place, store in enumerate(stores)]
    )

    assert sorted(number for share in shares for number in share) == list(range(1, 31))
    assert stores[0].audit.verify(UNIVERSITY) == []
    for store in stores:
        store.close()


def test_a_delivery_that_ends_while_it_is_claimed_again_ends_once(store):
    link(store)
    (delivery,) = claim(store, "slow")

    finished, claimed = at_once(
        lambda: store.deliveries.complete(delivery, "slow", "stored", "", NOON + LEASE),
        lambda: claim(store, "quick", NOON + LEASE),
    )

    assert finished is not bool(claimed)
    assert kinds(store).count("delivered") == int(finished)


# Given up, and taken up again


def test_a_dead_letter_is_stored_and_reported(store):
    link(store)
    (delivery,) = claim(store)

    ended = store.deliveries.dead_letter(delivery, "worker", "unknown-person", "No such user", NOON + MINUTE)

    (after,) = store.deliveries.list_dead_letters(UNIVERSITY)
    assert ended
    assert (after.state, after.outcome, after.message) == (DeliveryState.DEAD_LETTER, "unknown-person", "No such user")
    assert claim(store, now=NOON + timedelta(9)) == []


def test_dead_letters_are_listed_in_pages(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.delivery.deliveries.PAGE_SIZE", 2)
    for number in range(1, 6):
        link(store, f"person {number}", make_orcid_id(number), ("a", "b"))
    for delivery in claim(store):
        store.deliveries.dead_letter(delivery, "worker", "refused", "", NOON)

    found = [(delivery.transfer, delivery.change_number) for delivery in store.deliveries.list_dead_letters(UNIVERSITY)]

    assert found == [(transfer, number) for transfer in ("a", "b") for number in range(1, 6)]
    assert list(store.deliveries.list_dead_letters(POLYTECHNIC)) == []


@pytest.mark.parametrize(("transfer", "taken_up"), [(None, ["a", "b"]), ("a", ["a"]), ("c", [])])
def test_dead_letters_can_be_retried(store, transfer, taken_up):
    link(store, transfers=("a", "b"))
    for delivery in claim(store):
        store.deliveries.dead_letter(delivery, "worker", "refused", "", NOON)

    moved = store.deliveries.retry(UNIVERSITY, transfer, NOON + MINUTE)

    again = claim(store, now=NOON + MINUTE)
    assert moved == len(taken_up)
    assert sorted(delivery.transfer for delivery in again) == taken_up
    assert {(each.tries, each.created_at, each.queued_at) for each in again} <= {(1, NOON, NOON + MINUTE)}
    assert kinds(store).count("dead-letters-retried") == bool(taken_up)


def test_retried_dead_letters_keep_their_order(store):
    link(store)
    unlink(store)
    for _ in range(2):
        store.deliveries.dead_letter(claim(store)[0], "worker", "refused", "", NOON)

    store.deliveries.retry(UNIVERSITY, None, NOON)

    assert numbers(claim(store)) == [1]


def test_a_dead_letter_is_not_retried_after_a_later_change_was_delivered(store):
    link(store)
    unlink(store)
    store.deliveries.dead_letter(claim(store)[0], "worker", "refused", "", NOON)
    store.deliveries.complete(claim(store)[0], "worker", "stored", "", NOON)

    moved = store.deliveries.retry(UNIVERSITY, None, NOON)

    assert moved == 0
    assert list(store.deliveries.list_dead_letters(UNIVERSITY)) == []
    newest, oldest = store.deliveries.list_for_person(UNIVERSITY, MAIJA)
    assert (newest.outcome, oldest.outcome, oldest.state) == ("stored", "superseded", DeliveryState.DONE)


def test_a_dead_letter_is_not_retried_while_a_later_change_is_leased(store):
    link(store)
    unlink(store)
    store.deliveries.dead_letter(claim(store)[0], "worker", "refused", "", NOON)
    (removal,) = claim(store)

    while_on_its_way = store.deliveries.retry(UNIVERSITY, None, NOON + 9 * LEASE)
    store.deliveries.dead_letter(removal, "worker", "refused", "", NOON)

    assert while_on_its_way == 0
    assert store.deliveries.retry(UNIVERSITY, None, NOON) == 2


def test_a_delivery_of_another_person_or_transfer_does_not_block_a_retry(store):
    link(store, MAIJA, FIRST, ("a", "b"))
    link(store, VILLE, SECOND, ("a",))
    for delivery in claim(store):
        store.deliveries.dead_letter(delivery, "worker", "refused", "", NOON)
    unlink(store, MAIJA, ("a", "b"))
    for delivery in claim(store):
        if delivery.transfer == "a":
            store.deliveries.complete(delivery, "worker", "stored", "", NOON)

    left = [(delivery.transfer, delivery.person_key) for delivery in store.deliveries.list_dead_letters(UNIVERSITY)]

    assert left == [("a", VILLE), ("b", MAIJA)]


# What the audit and the counts tell


def test_deliveries_are_in_the_audit_log(store):
    link(store, transfers=("idm",))
    store.deliveries.complete(claim(store)[0], "worker", "stored", "OK", NOON + MINUTE)
    unlink(store, transfers=("idm",))
    store.deliveries.dead_letter(claim(store)[0], "worker", "refused", "No", NOON + 2 * MINUTE)

    told = [event for event in store.audit.list_events(UNIVERSITY, MAIJA) if event.kind in {"delivered", "dead-letter"}]

    assert [(event.kind, event.actor, event.at) for event in told] == [
        ("delivered", "service", NOON + MINUTE),
        ("dead-letter", "service", NOON + 2 * MINUTE),
    ]
    assert [dict(event.facts) for event in told] == [
        {"transfer": "idm", "change": "1", "outcome": "stored", "orcid": FIRST.uri},
        {"transfer": "idm", "change": "2", "outcome": "refused", "message": "No"},
    ]
    assert store.audit.verify(UNIVERSITY) == []


def test_the_end_of_a_delivery_and_its_event_are_atomic(store):
    link(store)
    (delivery,) = claim(store)

    for step in range(1, 100):
        with pytest.raises(InjectedFailure):
            make_failing_store(store, step, fail).deliveries.complete(delivery, "worker", "stored", "", NOON)
        done = store.deliveries.list_for_person(UNIVERSITY, MAIJA)[0].state is DeliveryState.DONE
        assert ("delivered" in kinds(store)) is done
        if done:
            break

    assert done
    assert store.audit.verify(UNIVERSITY) == []


def test_deliveries_are_counted_by_transfer(store):
    link(store, "one", make_orcid_id(1), ("a", "b"), now=NOON)
    link(store, "two", make_orcid_id(2), ("a",), now=NOON + MINUTE)
    link(store, "three", make_orcid_id(3), ("a",), now=NOON + 2 * MINUTE)
    later = NOON + timedelta(hours=1)
    done, given_up = (claim(store, now=later, only=(UNIVERSITY, number)) for number in (1, 2))
    store.deliveries.complete(next(each for each in done if each.transfer == "a"), "worker", "stored", "", later)
    store.deliveries.dead_letter(given_up[0], "worker", "refused", "", later)

    counts = [
        (count.transfer, count.state.value, count.count, count.oldest) for count in store.deliveries.counts(UNIVERSITY)
    ]

    assert counts == [
        ("a", "dead-letter", 1, NOON + MINUTE),
        ("a", "done", 1, NOON),
        ("a", "waiting", 1, NOON + 2 * MINUTE),
        ("b", "waiting", 1, NOON),
    ]


# Breakers

REST = timedelta(minutes=10)


def break_it(store, transfer="idm", times=3, now=NOON):
    """Let a transfer fail so often that its breaker opens at the third time."""
    for _ in range(times):
        store.deliveries.record_failure(UNIVERSITY, transfer, now, failure_threshold=3, reset_timeout=REST)


def test_a_breaker_opens_after_failures_in_a_row(store):
    link(store)

    break_it(store, times=2)
    (before,) = store.deliveries.breakers(UNIVERSITY)
    break_it(store, times=1)
    (after,) = store.deliveries.breakers(UNIVERSITY)

    assert (before.consecutive_failures, before.open_until) == (2, None)
    assert (after.consecutive_failures, after.open_until) == (3, NOON + REST)


def test_a_success_closes_a_breaker(store):
    link(store)
    break_it(store)

    store.deliveries.record_success(UNIVERSITY, "idm")
    break_it(store, times=2)

    assert [
        (breaker.consecutive_failures, breaker.open_until) for breaker in store.deliveries.breakers(UNIVERSITY)
    ] == [(2, None)]
    assert len(claim(store)) == 1


def test_the_first_failure_may_open_a_new_breaker(store):
    store.deliveries.record_failure(UNIVERSITY, "idm", NOON, failure_threshold=1, reset_timeout=REST)

    assert [breaker.open_until for breaker in store.deliveries.breakers(UNIVERSITY)] == [NOON + REST]


def test_nothing_is_sent_while_a_breaker_is_open_and_others_go_on(store):
    link(store, transfers=("idm", "ldap"))
    break_it(store)

    by_itself = claim(store, only=(UNIVERSITY, 1))
    at_large = claim(store, "other", NOON + LEASE)

    assert [delivery.transfer for delivery in by_itself] == ["ldap"]
    assert [delivery.transfer for delivery in at_large] == ["ldap"]


@pytest.mark.parametrize("by_itself", [False, True])
def test_a_half_open_breaker_allows_one_delivery_at_a_time(store, by_itself):
    for number in range(1, 4):
        link(store, f"person {number}", make_orcid_id(number))
    break_it(store)
    later = NOON + REST

    probe = claim(store, now=later, only=(UNIVERSITY, 2) if by_itself else None)
    meanwhile = [claim(store, "other", later), claim(store, "other", later, only=(UNIVERSITY, 3))]
    store.deliveries.complete(probe[0], "worker", "stored", "", later)

    assert numbers(probe) == [2 if by_itself else 1]
    assert meanwhile == [[], []]
    assert len(claim(store, now=later)) == 2


def test_a_probe_that_fails_opens_the_breaker_again(store):
    link(store)
    break_it(store)
    later = NOON + REST
    (probe,) = claim(store, now=later)

    store.deliveries.reschedule(probe, "worker", "temporary", "", later, later)
    store.deliveries.record_failure(UNIVERSITY, "idm", later, failure_threshold=3, reset_timeout=REST)

    assert claim(store, now=later + REST - MINUTE) == []
    assert len(claim(store, now=later + REST)) == 1


@pytest.mark.parametrize("first", ["long", "short"])
def test_a_breaker_stays_open_as_long_as_the_longest_wait_that_was_asked_for(store, first):
    waits = [timedelta(hours=1), REST]
    for wait in waits if first == "long" else reversed(waits):
        store.deliveries.record_failure(UNIVERSITY, "idm", NOON, 1, wait)

    assert [breaker.open_until for breaker in store.deliveries.breakers(UNIVERSITY)] == [NOON + timedelta(hours=1)]


def test_a_probe_whose_worker_died_is_followed_by_another(store):
    link(store)
    link(store, VILLE, SECOND)
    break_it(store)
    claim(store, "one", NOON + REST)

    assert len(claim(store, "two", NOON + REST + LEASE)) == 1


# What a worker has room for, and what is not to wait


def test_a_claim_respects_the_capacity_of_each_transfer(store):
    for number in range(1, 5):
        link(store, f"person {number}", make_orcid_id(number), transfers=("dead", "idm", "ldap"))
    room = {"dead": 0, "idm": 1, "ldap": 9}

    claimed = store.deliveries.claim("worker", NOON, LEASE, 6, capacity=lambda _organisation, transfer: room[transfer])

    assert [(delivery.transfer, delivery.change_number) for delivery in claimed] == [
        ("idm", 1),
        ("ldap", 1),
        ("ldap", 2),
        ("ldap", 3),
    ]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_delivery_that_waits_for_an_earlier_one_hides_no_other_transfers(store, limit):
    link(store, transfers=("a", "b"))
    for delivery in claim(store):
        store.deliveries.reschedule(delivery, "worker", "temporary", "", NOON + timedelta(days=1), NOON)
    unlink(store, transfers=("a", "b"))
    link(store, VILLE, SECOND, transfers=("c",), now=NOON + MINUTE)

    claimed = claim(store, now=NOON + MINUTE, limit=limit)

    assert [(delivery.transfer, delivery.person_key) for delivery in claimed] == [("c", VILLE)]


def test_waiting_deliveries_can_be_made_due(store):
    link(store, transfers=("idm", "ldap"))
    for delivery in claim(store):
        store.deliveries.reschedule(delivery, "worker", "temporary", "", NOON + timedelta(days=1), NOON)

    hurried = store.deliveries.make_due(UNIVERSITY, "idm", NOON + MINUTE)

    assert hurried == 1
    assert [delivery.transfer for delivery in claim(store, now=NOON + MINUTE)] == ["idm"]
    assert store.deliveries.make_due(UNIVERSITY, None, NOON + MINUTE) == 1


def test_waiting_deliveries_can_be_listed(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.delivery.deliveries.PAGE_SIZE", 2)
    for number in range(1, 6):
        link(store, f"person {number}", make_orcid_id(number), transfers=("idm", "ldap"))
    (first, _) = claim(store, only=(UNIVERSITY, 1))
    store.deliveries.complete(first, "worker", "stored", "", NOON)

    waiting = [(delivery.transfer, delivery.change_number) for delivery in store.deliveries.list_waiting(UNIVERSITY)]

    assert waiting == [*(("idm", number) for number in range(2, 6)), *(("ldap", number) for number in range(1, 6))]


# Speed by construction

RELATED_DELIVERIES = (
    *("claim_deliveries", "claim_deliveries_of_change"),
    *("get_earlier_waiting_delivery", "retry_dead_letters"),
)


@pytest.mark.parametrize(
    ("query", "values", "index"),
    [
        ("list_due_transfers", {"now": ""}, "deliveries_due"),
        ("list_due_transfers", {"now": ""}, "deliveries_leased"),
        ("claim_deliveries", {}, "deliveries_due"),
        *(
            (query, {"change_number": 1}, index)
            for query in RELATED_DELIVERIES
            for index in (
                "changes_of_a_person",
                "changes_by_previous_person",
                "changes_by_orcid",
                "changes_by_previous_orcid",
                "INDEX sqlite_autoindex_deliveries_1 (organisation=? AND change_number=?",
            )
        ),
        ("claim_deliveries_of_change", {"change_number": 1}, "(organisation=? AND change_number=?)"),
        ("list_deliveries_of_person", {"person_key": ""}, "deliveries_of_a_person"),
        ("list_deliveries_of_change", {"change_number": 1}, "(organisation=? AND change_number=?)"),
        ("list_deliveries_in_state", {"after": 1, "state": "s"}, "deliveries_by_state"),
        ("expedite_deliveries", {}, "deliveries_due"),
        ("count_deliveries", {}, "COVERING INDEX deliveries_by_state"),
        ("supersede_dead_letters", {"change_number": 1, "person_key": ""}, "deliveries_of_a_person"),
        ("list_missed_changes", {"change_number": 1, "person_key": ""}, "missed USING INDEX deliveries_of_a_person"),
        ("list_missed_changes", {"change_number": 1, "person_key": ""}, "arrived USING INDEX deliveries_of_a_person"),
    ],
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_no_query_scans_a_table(store, query, values, index):
    common = {"organisation": "o", "transfer": "t", "worker": "w", "now": "n", "lease_expires_at": "u", "limit": 1}
    text = "explain query plan " + queries()[query]

    plan = [row["detail"] for row in driver_of(store).execute(text, {**common, **values})]

    assert any(index in step for step in plan)
    assert [step for step in plan if step.startswith("SCAN")] in ([], ["SCAN circuit_breakers"], ["SCAN free"])
    # What is related to a delivery is found by a number, a person or an iD
    assert query not in RELATED_DELIVERIES or not any(step.endswith("(organisation=?)") for step in plan)
