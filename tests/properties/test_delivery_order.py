"""Whatever people do and whenever the receiver fails: in the end it has the links of the store."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from resolver_connector.delivery.dispatcher import Dispatcher
from shibboleth.organisation import Organisations
from sql.errors import OrcidIdInUse
from tests.support.delivery import LogRecorder, UniqueRegister
from tests.support.factories import NOON, answered, make_consent, make_orcid_id, make_organisation
from tests.support.service import Clock

NUMBERS = count(1)
LEASE = timedelta(minutes=1)
TRANSFERS = ["idm"]
people = st.sampled_from(["a@x", "b@x", "c@x"])
orcid_ids = st.integers(1, 3).map(make_orcid_id)


class Histories(RuleBasedStateMachine):
    """Persons who exchange iDs, a worker that may die, and a receiver that may be away or lose its answers."""

    def __init__(self, store):
        super().__init__()
        self.store, self.clock, self.register = store, Clock(NOON), UniqueRegister()
        self.organisation = f"order-{next(NUMBERS)}"
        organisation = make_organisation(self.organisation, names={"en": "x"}, scopes=frozenset({"x"}))
        transfers = {self.organisation: {"idm": self.register}}
        self.dispatcher = Dispatcher(
            store, Organisations.of([organisation]), transfers, LogRecorder(), self.clock, random=lambda: 0.5
        )
        self.leased = []

    @rule(person=people, orcid_id=orcid_ids, at_once=st.booleans())
    def link(self, person, orcid_id, at_once):
        current = self.store.links.get(self.organisation, person)
        attempt = answered(self.store, person, orcid_id, self.organisation, self.clock.now)
        shown, consent, number = current and current.orcid_id, make_consent(at=self.clock.now), next(NUMBERS)
        try:
            change = self.store.links.add(attempt, "", consent, shown, self.clock.now, f"order {number}", TRANSFERS)
        except OrcidIdInUse:
            return
        if change and at_once:
            self.dispatcher.deliver_now(change)

    @rule(person=people, how=st.sampled_from(["remove", "deprovision", "erase"]))
    def leave(self, person, how):
        {
            "remove": lambda: self.store.links.remove(
                self.organisation, person, "person", "asked to", self.clock.now, transfers=TRANSFERS
            ),
            "deprovision": lambda: self.store.retention.deprovision(
                self.organisation, person, self.clock.now, transfers=TRANSFERS
            ),
            "erase": lambda: self.store.erasures.erase(
                self.organisation, person, "person", "asked to", self.clock.now, transfers=TRANSFERS
            ),
        }[how]()

    @rule(limit=st.integers(1, 3))
    def claim(self, limit):
        self.leased += self.store.deliveries.claim("worker", self.clock.now, LEASE, limit)

    @precondition(lambda self: self.leased)
    @rule(index=st.integers(0, 5))
    def attempt(self, index):
        delivery = self.leased.pop(index % len(self.leased))
        # An attempt ends before its lease does; a worker that is too late has died
        if delivery.lease_expires_at > self.clock.now:
            self.dispatcher.attempt(delivery, "worker", 1.0)

    @rule()
    def refuse(self):
        for delivery in self.store.deliveries.claim("worker", self.clock.now, LEASE, 1):
            self.store.deliveries.dead_letter(delivery, "worker", "refused", "no", self.clock.now)

    @rule(away=st.booleans(), loses_answers=st.booleans())
    def disturb(self, away, loses_answers):
        self.register.away, self.register.loses_answers = away, loses_answers

    @rule(minutes=st.sampled_from([1, 10, 60, 5000]))
    def wait(self, minutes):
        self.clock.now += timedelta(minutes=minutes)

    @rule()
    def retry(self):
        self.store.deliveries.retry(self.organisation, None, self.clock.now)

    def teardown(self):
        self.register.away = self.register.loses_answers = False
        for _ in range(20):
            self.clock.now += timedelta(days=1)
            self.store.deliveries.retry(self.organisation, None, self.clock.now)
            while claimed := self.store.deliveries.claim("worker", self.clock.now, LEASE, 9):
                for delivery in claimed:
                    self.dispatcher.attempt(delivery, "worker", 1.0)
        linked = {link.person_key: link.orcid_id for link in self.store.links.list_current(self.organisation)}
        assert self.register.holds == linked
        assert not list(self.store.deliveries.list_waiting(self.organisation))


def test_in_the_end_the_receiver_has_the_links_of_the_store(store):
    run_state_machine_as_test(
        lambda: Histories(store),
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
