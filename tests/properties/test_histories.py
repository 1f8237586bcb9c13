"""Whatever people do in whatever order: the store agrees with a model of a few lines."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from shibboleth.orcid_id import Registry
from sql.errors import AttemptClosed, LinkChanged, OrcidIdInUse
from sql.records import ChangeKind, ReleaseCounts, ReleaseState
from tests.support.factories import NOON, answered, make_consent, make_orcid_id

ORGANISATIONS = count(1)
IDS = count(1)
people = st.sampled_from(["maija@x", "ville@x", "мария@x"])
orcid_ids = st.builds(make_orcid_id, st.integers(1, 3), st.sampled_from(Registry))


class History(RuleBasedStateMachine):
    """Persons of one organisation link, replace and remove; the model is a dictionary from person to iD."""

    def __init__(self, store):
        super().__init__()
        self.store = store
        self.organisation = f"org-{next(ORGANISATIONS)}"
        self.links = {}
        self.releases = {}
        self.news = []
        self.attempts = []
        self.closed = set()

    @rule(person=people, orcid_id=orcid_ids)
    def start(self, person, orcid_id):
        attempt = answered(self.store, person, orcid_id, self.organisation)
        self.attempts.append((attempt, self.links.get(person)))

    @rule(which=st.integers(0, 5))
    def confirm(self, which):
        if which >= len(self.attempts):
            return
        attempt, shown = self.attempts[which]
        expected, told = self._expected(attempt, shown)

        try:
            change = self.store.links.add(attempt, "", make_consent(), shown, NOON, f"history {next(IDS)}")
        except (AttemptClosed, LinkChanged, OrcidIdInUse) as error:
            assert type(error) is expected
        else:
            assert expected is None
            assert (change and change.kind) == told

    def _expected(self, attempt, shown):
        """What the model says: the error or none, and the kind of change or none; and do it to the model."""
        person, orcid_id, current = attempt.person_key, attempt.orcid_id, self.links.get(attempt.person_key)
        holders = {held: holder for holder, held in self.links.items()}
        if attempt in self.closed:
            return AttemptClosed, None
        if current == orcid_id:
            self.closed.add(attempt)
            return None, None
        if current != shown:
            return LinkChanged, None
        if orcid_id in holders:
            return OrcidIdInUse, None
        self.closed.add(attempt)
        self.links[person] = orcid_id
        self.releases.pop(person, None)
        kind = ChangeKind.REPLACED if current else ChangeKind.LINKED
        self.news.append((kind, person, orcid_id, current))
        return None, kind

    @rule(person=people)
    def remove(self, person):
        change = self.store.links.remove(self.organisation, person, "person", "asked to", NOON)

        held = self.links.pop(person, None)
        self.releases.pop(person, None)
        assert (change is None) == (held is None)
        if held:
            self.news.append((ChangeKind.REMOVED, person, None, held))

    @rule(person=people, state=st.sampled_from(ReleaseState))
    def come_back(self, person, state):
        link = self.store.links.get(self.organisation, person)
        if link is None:
            return
        noted = self.store.releases.record(link, state, NOON)

        known = self.releases.get(person)
        assert noted == (known is None or list(ReleaseState).index(known) < list(ReleaseState).index(state))
        if noted:
            self.releases[person] = state

    @rule(person=people)
    def decline(self, person):
        self.store.audit.add(self.organisation, "declined", "person", person, {}, NOON)

    @invariant()
    def the_links_are_the_models(self):
        found = {link.person_key: link.orcid_id for link in self.store.links.list_current(self.organisation)}
        assert found == self.links
        assert self.store.links.count(self.organisation) == len(self.links)
        for person, orcid_id in self.links.items():
            assert self.store.links.orcid_ids(self.organisation, person) == [orcid_id]
            assert self.store.links.get_by_orcid_id(self.organisation, orcid_id).person_key == person

    @invariant()
    def the_releases_are_the_models(self):
        known = list(self.releases.values())
        counts = ReleaseCounts(len(self.links), *(known.count(state) for state in reversed(ReleaseState)))
        assert self.store.releases.counts(self.organisation) == counts
        found = {
            link.person_key: link.release.state
            for link in self.store.links.list_current(self.organisation)
            if link.release
        }
        assert found == self.releases

    @invariant()
    def the_changes_are_the_news(self):
        changes = self.store.changes.list_after(self.organisation, 0, 1000)
        told = [(change.kind, change.person_key, change.orcid_id, change.previous) for change in changes]
        assert told == self.news
        assert [change.number for change in changes] == list(range(1, len(changes) + 1))
        assert self.store.changes.last_number(self.organisation) == len(changes)

    @invariant()
    def the_changes_replay_to_the_links(self):
        replayed = {}
        for change in self.store.changes.list_after(self.organisation, 0, 1000):
            assert replayed.get(change.person_key) == change.previous
            replayed[change.person_key] = change.orcid_id
        assert {person: orcid_id for person, orcid_id in replayed.items() if orcid_id} == self.links

    @invariant()
    def the_audit_is_sound_and_tells_every_change(self):
        kinds = [event.kind for event in self.store.audit.list_events(self.organisation)]
        assert self.store.audit.verify(self.organisation) == []
        assert [kind for kind in kinds if kind in set(ChangeKind)] == [news[0] for news in self.news]


def test_any_history_leaves_what_the_model_says(store):
    run_state_machine_as_test(
        lambda: History(store),
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
