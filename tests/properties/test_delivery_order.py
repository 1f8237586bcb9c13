"""Whatever people do and whenever the receiver fails: in the end it has the links of the store."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from resolver_connector.delivery.dispatcher import Dispatcher
from shibboleth.organisation import Organisations
from sql.errors import AccountLinked, OrcidIdInUse
from tests.support.delivery import LogRecorder, UniqueRegister
from tests.support.factories import NOON, answered, make_consent, make_orcid_id, make_organisation
from tests.support.service import Clock

NUMBERS = count(1)
LEASE = timedelta(minutes=1)
TRANSFERS = ["idm"]
people = st.sampled_from(["a@x", "b@x", "c@x"])
orcid_ids = st.integers(1, 3).map(make_orcid_id)


class Histories(RuleBasedStateMachine):
    """Persons exchange iDs, accounts are renamed or merged, a worker may die, and a receiver may fail."""

    def __init__(self, store):
        super().__init__()
        self.store, self.clock, self.register = store, Clock(NOON), UniqueRegister()
        number = next(NUMBERS)
        self.organisation, self.surviving = f"order-{number}", f"surviving-{number}"
        self.registers = {self.organisation: self.register, self.surviving: UniqueRegister()}
        organisations = [
            make_organisation(each, names={"en": "x"}, scopes=frozenset({"x"}), entity_ids=(f"https://{each}",))
            for each in self.registers
        ]
        transfers = {each: {"idm": register} for each, register in self.registers.items()}
        self.dispatcher = Dispatcher(
            store, Organisations.of(organisations), transfers, LogRecorder(), self.clock, random=lambda: 0.5
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

    @rule(person=people, account=people)
    def move(self, person, account):
        with suppress(AccountLinked):
            self.store.links.move(
                self.organisation, person, account, "operator", "renamed", self.clock.now, transfers=TRANSFERS
            )

    @rule(names=st.permutations(["a@x", "b@x", "c@x", "d@x"]))
    def rekey(self, names):
        new = dict(zip(["a@x", "b@x", "c@x"], names, strict=False))
        self.store.organisations.rekey(
            self.organisation,
            lambda account: new.get(account, account),
            self.clock.now,
            key_attribute="eppn",
            transfers=TRANSFERS,
        )

    @rule()
    def merge(self):
        self.store.organisations.merge(
            self.organisation,
            self.surviving,
            str,
            self.clock.now,
            key_attribute="eppn",
            from_transfers=TRANSFERS,
            into_transfers=TRANSFERS,
        )

    @rule(limit=st.integers(1, 3))
    def claim(self, limit):
        self.leased += self.store.deliveries.claim("worker", self.clock.now, LEASE, limit)

    @precondition(lambda self: self.leased)
    @rule(index=st.integers(0, 5))
    def attempt(self, index):
        delivery = self.leased.pop(index % len(self.leased))
        # A try ends before its lease does; a worker that is too late has died
        if delivery.lease_expires_at > self.clock.now:
            self.dispatcher.try_delivery(delivery, "worker", 1.0)

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
            for organisation in self.registers:
                self.store.deliveries.retry(organisation, None, self.clock.now)
            while claimed := self.store.deliveries.claim("worker", self.clock.now, LEASE, 9):
                for delivery in claimed:
                    self.dispatcher.try_delivery(delivery, "worker", 1.0)
        for organisation, register in self.registers.items():
            linked = {link.person_key: link.orcid_id for link in self.store.links.list_current(organisation)}
            assert register.holds == linked
            assert not list(self.store.deliveries.list_waiting(organisation))
            assert self.store.audit.compare_with_links(organisation) == self.store.audit.verify(organisation) == []


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
