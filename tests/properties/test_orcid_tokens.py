"""Whatever people do in whatever order: at ORCID, the pairs of current links are live, and in the end no other one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from demo.orcid.simulator import OrcidSimulator
from resolver_connector.orcid.revocation import RevocationOutcome, RevocationResult
from resolver_connector.orcid.sealing import TokenPair
from resolver_connector.orcid.tokens import GrantedTokens
from shibboleth.account_holder import KnownHolder
from shibboleth.orcid_id import Registry
from sql.errors import AccountLinked, AttemptClosed, OrcidIdInUse
from tests.support.factories import CLIENT_ID, NOON, answered, make_consent, make_orcid_id
from tests.support.service import make_orcid_client, make_revocation_queue, make_token_service

KEYS = ("k" * 43 + "=",)
ORGANISATIONS, LINKS = count(1), count(1)
people = st.sampled_from(["maija@x", "мария@x"])
orcid_ids = st.builds(make_orcid_id, st.integers(1, 2), st.just(Registry.SANDBOX))
scopes = st.sampled_from([("/authenticate",), ("/read-limited",), ("/authenticate", "/activities/update")])
which = st.integers(1, 3)
"""Counted from the newest pair."""
CLIENT = make_orcid_client("https://sandbox.orcid.org")


@dataclass
class Revoker:
    """Revokes at the simulator, unless it fails."""

    simulator: OrcidSimulator
    fails: bool

    def revoke(self, _client, pair, _timeout, _now):
        if self.fails:
            return RevocationResult(RevocationOutcome.TEMPORARY, "status 500")
        self.simulator.find_tokens(pair.access_token).revoked = "CLIENT_REVOKED"
        return RevocationResult(RevocationOutcome.REVOKED)


@dataclass
class Pair:
    """A pair that ORCID gave, and what the model says it is for."""

    tokens: object
    attempt: object
    scopes: tuple
    link: str | None = None
    needed: bool = True


class TokenHistory(RuleBasedStateMachine):
    """People link, link again, cancel, move, remove and vanish, while workers come and go."""

    def __init__(self, store):
        super().__init__()
        self.store = store
        self.organisation = f"tokens-{next(ORGANISATIONS)}"
        self.simulator = OrcidSimulator("https://sandbox.orcid.org")
        self.tokens = make_token_service(store, CLIENT, KEYS)
        self.pairs = []

    def _link(self, person):
        return self.store.links.get(self.organisation, person)

    def _end(self, *, link=None, person=None):
        # What ends: the pairs of a link, and those of the person's open attempts
        for pair in self.pairs:
            of_link = link is not None and pair.link == link
            of_attempt = person is not None and pair.link is None and pair.attempt.person_key == person
            pair.needed = pair.needed and not of_link and not of_attempt

    @rule(person=people, orcid_id=orcid_ids, granted=scopes)
    def come_back_from_orcid(self, person, orcid_id, granted):
        attempt = answered(self.store, person, orcid_id, self.organisation, stable_id=f"subject-id:{person}")
        tokens = self.simulator.issue_tokens(CLIENT_ID, orcid_id.bare, granted)
        pair = GrantedTokens(TokenPair(tokens.access, tokens.refresh), frozenset(granted))
        at = NOON + timedelta(seconds=len(self.pairs))
        assert self.tokens.store_sealed(pair, attempt, CLIENT.credentials, at)
        self.pairs.append(Pair(tokens, attempt, granted))

    @rule(person=people, orcid_id=orcid_ids, granted=st.lists(scopes, min_size=1, max_size=3), fails=st.booleans())
    def link(self, person, orcid_id, granted, fails):
        for each in granted:
            self.come_back_from_orcid(person, orcid_id, each)
            self.confirm(1)
        self.work(fails)

    @rule(which=which)
    def confirm(self, which):
        if which > len(self.pairs):
            return
        pair, link_id = self.pairs[-which], f"tokens-link-{next(LINKS)}"
        before = self._link(pair.attempt.person_key)
        shown = before.orcid_id if before else None
        try:
            change = self.store.links.add(pair.attempt, "", make_consent(), shown, NOON, link_id)
        except AttemptClosed:
            return
        except OrcidIdInUse:
            self.store.attempts.close(pair.attempt.id, "held-by-someone-else", NOON)
            pair.needed = False
            return
        if change is not None and before is not None:
            self._end(link=before.id)
        self._give(pair, before.id if change is None else link_id)

    def _give(self, pair, link_id):
        pair.link = link_id
        held = [each for each in self.pairs if each.link == link_id and each.needed]
        for older in held:
            # In the order in which ORCID gave them
            later = held[held.index(older) + 1 :]
            older.needed = not any(set(older.scopes) - {"/authenticate"} <= set(newer.scopes) for newer in later)

    @rule(which=which)
    def renew(self, which):
        if which > len(self.pairs):
            return
        pair = self.pairs[-which]
        link = self._link(pair.attempt.person_key)
        if link is not None and self.store.attempts.close_for_link(pair.attempt.id, "unchanged", link, NOON):
            self._give(pair, link.id)

    @rule(which=which)
    def cancel(self, which):
        if which <= len(self.pairs) and self.store.attempts.close(self.pairs[-which].attempt.id, "cancelled", NOON):
            self.pairs[-which].needed = False

    @rule(person=people, how=st.sampled_from(["remove", "deprovision", "erase", "reassign"]))
    def end(self, person, how):
        link = self._link(person)
        if how == "remove":
            self.store.links.remove(self.organisation, person, "person", "asked to", NOON)
        elif how == "deprovision":
            self.store.retention.deprovision(self.organisation, person, NOON)
        elif how == "erase":
            self.store.erasures.erase(self.organisation, person, "person", "asked to", NOON)
        else:
            holder = KnownHolder(stable_id="subject-id:somebody-else")
            self.store.links.end_earlier_holder(self.organisation, person, holder, NOON)
            # A link without a stable id may be the new holder's
            link = None if self._link(person) else link
        self._end(link=link.id if link else None, person=None if how == "remove" else person)

    @rule(person=people, to=people)
    def move(self, person, to):
        try:
            moved = self.store.links.move(self.organisation, person, to, "operator", "renamed", NOON)
        except AccountLinked:
            return
        if moved is not None:
            self._end(person=person)

    @rule()
    def attempts_expire(self):
        self.store.orcid_tokens.make_due(NOON + timedelta(hours=2))
        for pair in self.pairs:
            pair.needed = pair.needed and pair.link is not None

    @rule(fails=st.booleans())
    def work(self, fails):
        revoker = Revoker(self.simulator, fails)
        make_revocation_queue(self.store, CLIENT, KEYS, lambda: NOON + timedelta(hours=1), revoker=revoker).run()

    @invariant()
    def what_is_needed_is_live(self):
        assert not [pair for pair in self.pairs if pair.needed and pair.tokens.revoked]

    def teardown(self):
        self.attempts_expire()
        self.store.orcid_tokens.make_revocations_due(NOON)
        self.work(fails=False)
        assert [pair.needed for pair in self.pairs] == [not pair.tokens.revoked for pair in self.pairs]
        current = {link.id for link in self.store.links.list_current(self.organisation)}
        assert {pair.link for pair in self.pairs if pair.needed} <= current


def test_in_the_end_only_the_pairs_of_current_links_are_live(store):
    run_state_machine_as_test(
        lambda: TokenHistory(store),
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
