"""Whatever people and workers do in whatever order, and whichever workers die: nothing owed is lost, or out of order.

Workers claim, deliver, fail, come too late and are never heard of again, while people link, replace and remove. The
other side of a transfer is a list that writes down which change it was told of.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count, pairwise
from random import Random
from threading import Event
from time import monotonic

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sql.records import DeliveryState
from sql.store import open_store
from tests.support.factories import NOON, answered, make_consent, make_orcid_id

ORGANISATIONS = count(1)
IDS = count(1)
LEASE = timedelta(minutes=1)
REST = timedelta(minutes=3)
PEOPLE = ("maija@x", "ville@x", "third@x")
TRANSFERS = ("idm", "ldap")
people = st.sampled_from(PEOPLE[:2])
workers = st.sampled_from(["one", "two", "three"])


def link(store, organisation, person, number, *, transfers, now):
    """Link a person to the iD of a number, in place of whatever they had, and give the change."""
    orcid_id = make_orcid_id(100 * PEOPLE.index(person) + number)
    current = store.links.get(organisation, person)
    attempt = answered(store, person, orcid_id, organisation, now)
    shown = current.orcid_id if current else None
    return store.links.add(attempt, "", make_consent(at=now), shown, now, f"owed {next(IDS)}", transfers)


def arrived(store, organisation):
    """Tell which changes the audit says have arrived, by transfer and person, in order."""
    told = defaultdict(list)
    for event in store.audit.list_events(organisation):
        if event.kind == "delivered":
            told[event.facts["transfer"], event.person_key].append(int(event.facts["change"]))
    return told


class Owing(RuleBasedStateMachine):
    """Persons of one organisation, and workers that bring the news to two transfers."""

    def __init__(self, store):
        super().__init__()
        self.store = store
        self.organisation = f"https://owing-{next(ORGANISATIONS)}.example"
        self.now = NOON
        self.owed = defaultdict(list)
        self.told = defaultdict(list)
        self.in_hand = []
        self.given_up = self.retried = False
        self.failures = dict.fromkeys(TRANSFERS, 0)
        self.open_until = {}

    @rule(person=people, number=st.integers(1, 3), transfers=st.sets(st.sampled_from(TRANSFERS)))
    def link(self, person, number, transfers):
        self._owe(
            link(self.store, self.organisation, person, number, transfers=sorted(transfers), now=self.now), transfers
        )

    @rule(person=people)
    def unlink(self, person):
        change = self.store.links.remove(self.organisation, person, "person", "asked to", self.now, transfers=TRANSFERS)
        self._owe(change, TRANSFERS)

    def _owe(self, change, transfers):
        for transfer in transfers if change else ():
            self.owed[transfer, change.person_key].append(change.number)

    @precondition(lambda self: self.owed)
    @rule(worker=workers, limit=st.integers(1, 5))
    def claim(self, worker, limit):
        self._take(worker, self.store.deliveries.claim(worker, self.now, LEASE, limit))

    @precondition(lambda self: self.owed)
    @rule(worker=workers, callback_path=st.integers(0, 2))
    def claim_a_change(self, worker, callback_path):
        number = self.store.changes.last_number(self.organisation) - callback_path
        self._take(worker, self.store.deliveries.claim(worker, self.now, LEASE, 9, (self.organisation, number)))

    def _take(self, worker, claimed):
        for delivery in claimed:
            self._may_be_claimed(delivery)
            self.told[delivery.transfer, delivery.person_key].append(delivery.change_number)
            self.in_hand.append((worker, delivery))

    def _may_be_claimed(self, delivery):
        whose = delivery.transfer, delivery.person_key
        leased = [each for _, each in self.in_hand if each.lease_expires_at > self.now and self._is_held(each)]
        assert whose not in [(each.transfer, each.person_key) for each in leased]
        assert self.retried or all(number <= delivery.change_number for number in self.told[whose])
        if delivery.transfer in self.open_until:
            assert self.open_until[delivery.transfer] <= self.now
            assert delivery.transfer not in [each.transfer for each in leased]

    def _is_held(self, delivery):
        found = self.store.deliveries.list_for_change(self.organisation, delivery.change_number)
        return any(
            (each.transfer, each.lease_expires_at, each.tries)
            == (delivery.transfer, delivery.lease_expires_at, delivery.tries)
            for each in found
        )

    @precondition(lambda self: self.in_hand)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["finish", "finish", "give_up", "postpone", "die"]))
    def end(self, which, how):
        worker, delivery = self.in_hand.pop(which % len(self.in_hand))
        held = self._is_held(delivery)
        said = {
            "finish": lambda: self.store.deliveries.complete(delivery, worker, "stored", "", self.now),
            "give_up": lambda: self.store.deliveries.dead_letter(delivery, worker, "refused", "no", self.now),
            "postpone": lambda: self.store.deliveries.reschedule(
                delivery, worker, "temporary", "", self.now + timedelta(seconds=30), self.now
            ),
            "die": lambda: held,
        }[how]()
        assert said is held
        self.given_up |= how == "give_up"
        if how == "finish" and held:
            self.failures[delivery.transfer] = 0
            self.open_until.pop(delivery.transfer, None)

    @rule(seconds=st.integers(1, 200))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(transfer=st.sampled_from(TRANSFERS))
    def fail(self, transfer):
        self.store.deliveries.record_failure(
            self.organisation, transfer, self.now, failure_threshold=2, reset_timeout=REST
        )
        self.failures[transfer] += 1
        if self.failures[transfer] >= 2:
            self.open_until[transfer] = self.now + REST

    @precondition(lambda self: self.given_up)
    @rule(transfer=st.none() | st.sampled_from(TRANSFERS))
    def retry(self, transfer):
        self.retried |= self.store.deliveries.retry(self.organisation, transfer, self.now) > 0

    @invariant()
    def what_arrived_arrived_in_order(self):
        for numbers in arrived(self.store, self.organisation).values():
            assert all(earlier < later for earlier, later in pairwise(numbers))

    @invariant()
    def nothing_owed_is_lost(self):
        owed = {(transfer, number) for (transfer, _), numbers in self.owed.items() for number in numbers}
        found = [each for person in PEOPLE for each in self.store.deliveries.list_for_person(self.organisation, person)]
        assert {(each.transfer, each.change_number) for each in found} == owed

    def teardown(self):
        self.now += REST + LEASE
        for transfer in TRANSFERS:
            self.store.deliveries.record_success(self.organisation, transfer)
        self.failures, self.open_until, self.in_hand = dict.fromkeys(TRANSFERS, 0), {}, []
        while found := self.store.deliveries.claim("last", self.now, LEASE, 3):
            for delivery in found:
                self.told[delivery.transfer, delivery.person_key].append(delivery.change_number)
                assert self.store.deliveries.complete(delivery, "last", "stored", "", self.now)
        self.what_arrived_arrived_in_order()
        self._everything_was_told()
        assert self.store.audit.verify(self.organisation) == []

    def _everything_was_told(self):
        for whose, numbers in self.owed.items():
            assert set(self.told[whose]) == set(numbers)
        for each in (
            each for person in PEOPLE for each in self.store.deliveries.list_for_person(self.organisation, person)
        ):
            assert not each.waiting
            if each.change_number == self.owed[each.transfer, each.person_key][-1] and each.state is DeliveryState.DONE:
                assert self.told[each.transfer, each.person_key][-1] == each.change_number


def test_nothing_owed_is_lost_or_out_of_order(store):
    run_state_machine_as_test(
        lambda: Owing(store),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


# The same with threads, and on PostgreSQL with the transactions of several nodes


class Clock:
    """Minutes for tenths of a second."""

    def __init__(self):
        self._start = monotonic()

    def __call__(self):
        return NOON + (monotonic() - self._start) * timedelta(minutes=10)


def live(store, organisation, clock, person, seed):
    """Be a person who links, replaces and removes, and give the numbers of the changes."""
    chance, numbers = Random(seed), []
    for _ in range(12):
        if chance.random() < 0.4:
            change = store.links.remove(organisation, person, "person", "asked to", clock(), transfers=TRANSFERS)
        else:
            change = link(store, organisation, person, chance.randint(1, 5), transfers=TRANSFERS, now=clock())
        numbers += [change.number] if change else []
    return numbers


def work(store, clock, name, seed, over):
    """Be a worker who often fails, and at times is never heard of again; give what was delivered."""
    chance, told = Random(seed), []
    while True:
        finished = over.is_set()
        found = store.deliveries.claim(name, clock(), LEASE, chance.randint(1, 4))
        if finished and not found and all(count.state is not DeliveryState.WAITING for count in counts(store, told)):
            return told
        for delivery in found:
            told.append((delivery.organisation, delivery.transfer, delivery.change_number))
            if (fate := chance.random()) < 0.6:
                store.deliveries.complete(delivery, name, "stored", "", clock())
            elif fate < 0.8:
                store.deliveries.reschedule(delivery, name, "temporary", "", clock() + timedelta(seconds=30), clock())
        over.wait(0.01)


def counts(store, told):
    """Count the deliveries of every organisation that anything was delivered for."""
    return [each for organisation in {one[0] for one in told} for each in store.deliveries.counts(organisation)]


@pytest.mark.parametrize("seed", [1, 2])
def test_with_several_workers_at_once_nothing_is_lost_or_out_of_order(store_url, seed):
    stores = [open_store(store_url, timeout=5.0) for _ in range(3)]
    organisation, clock, over = f"https://busy-{next(ORGANISATIONS)}.example", Clock(), Event()

    with ThreadPoolExecutor(6) as pool:
        workers_ = [
            pool.submit(work, store, clock, f"worker {place}", 10 * seed + place, over)
            for place, store in enumerate(stores)
        ]
        lives = [
            pool.submit(live, stores[place], organisation, clock, person, 100 * seed + place)
            for place, person in enumerate(PEOPLE)
        ]
        try:
            written = [number for each in lives for number in each.result()]
        finally:
            over.set()
        told = [each for worker in workers_ for each in worker.result()]

    audit = arrived(stores[0], organisation)
    assert {(transfer, number) for _, transfer, number in told} == {(t, n) for t in TRANSFERS for n in written}
    assert sorted(number for numbers in audit.values() for number in numbers) == sorted(written * 2)
    assert all(numbers == sorted(numbers) for numbers in audit.values())
    assert stores[0].audit.verify(organisation) == []
    for store in stores:
        store.close()
