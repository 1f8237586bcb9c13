"""Whatever happens, and whenever somebody sweeps, counts or forgets: the counts are what happened."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sql.counts import STARTED
from sql.records import ReleaseState
from sql.repositories import statistics
from tests.support.factories import NOON, attest, make_attempt, make_link, make_orcid_id

ORGANISATIONS = count(1)
NUMBERS = count(1)
people = st.sampled_from(["maija@x", "ville@x", "мария@x"])
LEASE = timedelta(hours=1)


class Days(RuleBasedStateMachine):
    """The model is a counter of what was done on each day."""

    def __init__(self, store):
        super().__init__()
        self.store = store
        self.organisation = f"org-{next(ORGANISATIONS)}"
        self.now = NOON
        self.happened = Counter()
        self.open = []
        self.linked = set()

    def _counts(self, *words):
        self.happened.update((self.now.date(), *word) for word in words)

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours):
        self.now += timedelta(hours=hours)

    @rule(person=people)
    def start(self, person):
        attempt = make_attempt(person, self.organisation, self.now)
        self.store.attempts.add(attempt, state_hash=f"state of {attempt.id}")
        self._counts(STARTED)
        self.open.append(attempt)

    @precondition(lambda self: self.open)
    @rule(outcome=st.sampled_from(["declined", "cancelled", "orcid-refused"]))
    def end(self, outcome):
        attempt = self.open.pop()
        if self.store.attempts.close(attempt.id, outcome, self.now):
            self._counts(("attempt", outcome))

    @rule(person=people)
    def link(self, person):
        kind = "replaced" if person in self.linked else "linked"
        make_link(self.store, person, make_orcid_id(next(NUMBERS)), self.organisation, self.now, ["idm"])
        self._counts(STARTED, ("attempt", kind), ("event", kind))
        self.linked.add(person)

    @rule(person=people)
    def remove(self, person):
        if self.store.links.remove(self.organisation, person, "person", "wanted", self.now, transfers=["idm"]):
            self._counts(("event", "removed"))
        self.linked.discard(person)

    @rule(many=st.integers(0, 5))
    def bring_in(self, many):
        rows = [(f"import-{n}@x", make_orcid_id(n)) for n in (next(NUMBERS) for _ in range(many))]
        attest(self.store, rows, now=self.now, organisation=self.organisation)
        self._counts(*[("event", "linked")] * many)

    @rule(well=st.booleans())
    def deliver(self, well):
        end, word = (
            (self.store.deliveries.complete, "delivered")
            if well
            else (self.store.deliveries.dead_letter, "dead-letter")
        )
        oldest = next(self.store.deliveries.list_waiting(self.organisation), None)
        only = (self.organisation, oldest.change_number if oldest else 0)
        for delivery in self.store.deliveries.claim("worker", self.now, LEASE, 1, only):
            if end(delivery, "worker", "stored" if well else "refused", "", self.now):
                self._counts(("event", word))

    @rule(person=people)
    def deprovision(self, person):
        gone = self.store.retention.deprovision(self.organisation, person, self.now)
        self.open = [each for each in self.open if each.person_key != person]
        self.linked.discard(person)
        if gone.links:
            self._counts(("event", "removed"))
        elif gone.attempts:
            self._counts(("event", "deprovisioned"))

    @rule()
    def forget_what_is_settled(self):
        for number in self.store.retention.list_expired_changes(self.organisation, self.now):
            change = next(each for each in self.store.changes.list_after(self.organisation, number - 1, 1))
            had = self.store.links.get(self.organisation, change.person_key)
            self.store.retention.delete_change(self.organisation, number, self.now)
            if had and self.store.links.get(self.organisation, change.person_key) is None:
                self.linked.discard(change.person_key)
                self.happened[change.at.date(), "event", "forgotten"] += 1

    @rule()
    def sweep(self):
        self.store.attempts.delete_expired(self.now)

    @rule()
    def update_counts(self):
        self.store.statistics.update_counts()

    @invariant()
    def the_counts_are_what_happened(self):
        by_day = self.store.statistics.by_day(self.organisation, date(2000, 1, 1))
        found = {(day, *word): count for day, words in by_day.items() for word, count in words.items()}
        assert found == self.happened

    @invariant()
    def the_links_are_those_that_came_and_have_not_gone(self):
        totals = self.store.statistics.totals(self.organisation)
        assert self.store.statistics.release_counts(self.organisation, totals) == self.store.releases.counts(
            self.organisation
        )

    @rule(person=people, state=st.sampled_from(ReleaseState))
    def see_release(self, person, state):
        link = self.store.links.get(self.organisation, person)
        if link and self.store.releases.record(link, state, self.now) and state is ReleaseState.SEEN:
            self._counts(("event", "release-seen"))

    @invariant()
    def the_totals_are_the_days_together(self):
        together = Counter()
        for (_, *word), number in self.happened.items():
            together[tuple(word)] += number
        assert self.store.statistics.totals(self.organisation) == together


def test_counts_are_independent_of_when_attempts_are_deleted(store, monkeypatch):
    monkeypatch.setattr(statistics, "EVENT_BATCH", 2)
    monkeypatch.setattr("sql.repositories.attempts.DELETE_BATCH", 2)

    run_state_machine_as_test(
        lambda: Days(store),
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
