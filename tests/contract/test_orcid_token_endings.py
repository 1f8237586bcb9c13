"""Whatever ends an attempt or a link makes ORCID's tokens due to be revoked, and nothing else does; on each engine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shibboleth.account_holder import KnownHolder
from sql.records import AffiliationItemState, AffiliationSection, RecordState
from sql.repositories.base import Attester
from sql.repositories.deletion.erasures import MAX_WAIT
from sql.repositories.deletion.removals import REMOVAL_DELAY
from sql.repositories.orcid.tokens import EXPIRY_MARGIN, HELD_FOR
from tests.support.factories import (
    CLIENT_ID,
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    answered,
    make_attempt,
    make_attested_link,
    make_consent,
    make_orcid_id,
    store_token,
)
from tests.support.store_faults import make_store_with_hook

MAIJA, OTHER = "maija@yliopisto.example", "mm@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SCOPES = "/activities/update /authenticate"
OWN = "APP-OF-THE-ORGANISATION"


def confirm(store, attempt, link_id="link", replacing=None, **other):
    """Let the person of an attempt confirm it."""
    return store.links.add(attempt, "", make_consent(), replacing, NOON, link_id, **other)


@pytest.fixture
def linked(store):
    """A link with a pair, whose id is given."""
    attempt = answered(store, MAIJA, FIRST, stable_id="subject-id:maija@x")
    token = store_token(store, attempt, scope=SCOPES)
    confirm(store, attempt, transfers=("idm",), stable_id="subject-id:maija@x")
    return token


def due(store, now=NOON, client_id=CLIENT_ID):
    """Give the ids of the pairs that a worker would revoke now."""
    found = []
    while token := store.orcid_tokens.claim(client_id, "worker", now, HOUR):
        found.append(token.id)
    return found


def current(store):
    return store.links.get(UNIVERSITY, MAIJA)


def deprecated(store):
    """Let a look-up find that the iD was merged into another one."""
    for at in (NOON, NOON + 2 * HOUR):
        (link,) = store.record_statuses.save(FIRST, RecordState.DEPRECATED, SECOND, at)
    return link


def claim(store):
    """Let another account claim the iD, and the holder give it."""
    attempt = make_attempt(OTHER)
    store.attempts.add(attempt, "claim")
    store.attempts.save_claim(attempt.id, FIRST, "Maija", NOON + HOUR)
    store_token(store, attempt)
    store.links.move(UNIVERSITY, MAIJA, OTHER, "person", "given by the holder", NOON, expected=FIRST, claim=attempt.id)


def remove_by_list(store):
    store.removals.schedule(UNIVERSITY, (), NOON + DAY, "organisation", NOON, max_percent=100)
    store.removals.execute_due(lambda *_: Attester(), NOON + REMOVAL_DELAY)


def merge(store, **other):
    """Merge the university into the polytechnic."""
    store.organisations.merge(UNIVERSITY, POLYTECHNIC, lambda account: account, NOON, key_attribute="eppn", **other)


def forget(store):
    """Delete the last change of the person, as with `keep = "nothing"`, when its delivery has ended."""
    (delivery,) = store.deliveries.claim("worker", NOON, HOUR, 9)
    store.deliveries.complete(delivery, "worker", "stored", "", NOON)
    store.retention.delete_change(UNIVERSITY, 1, NOON)


def confirm_again(store, scope):
    """Let the person confirm the same iD again, and ORCID give another pair."""
    attempt = answered(store, MAIJA, FIRST)
    store_token(store, attempt, scope=scope, now=NOON + timedelta(seconds=1))
    confirm(store, attempt, "another", FIRST)


LINK_ENDINGS = {
    "removed by the person": lambda store: store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON),
    "removed by the operator": lambda store: store.links.remove(UNIVERSITY, MAIJA, "operator", "asked to", NOON),
    "left the organisation": lambda store: store.retention.deprovision(UNIVERSITY, MAIJA, NOON),
    "missing from a list": remove_by_list,
    "replaced": lambda store: confirm(store, answered(store, MAIJA, SECOND), "new", FIRST),
    "erased": lambda store: store.erasures.erase(UNIVERSITY, MAIJA, "person", "asked to", NOON),
    "erased, and told nobody": lambda store: (
        store.erasures.erase(UNIVERSITY, MAIJA, "person", "asked to", NOON, transfers=("idm",)),
        store.erasures.finish_due(NOON + MAX_WAIT + DAY),
    ),
    "account reassigned": lambda store: store.links.end_earlier_holder(
        UNIVERSITY, MAIJA, KnownHolder(stable_id="subject-id:ville@x"), NOON
    ),
    "deprecated and replaced": lambda store: store.record_statuses.replace_deprecated(deprecated(store), NOON),
    "claimed by another account": claim,
    "merged where the client does not serve": merge,
    "kept nothing": forget,
    "covered by another pair": lambda store: confirm_again(store, "/activities/update /read-limited"),
}


@pytest.mark.parametrize("end", LINK_ENDINGS.values(), ids=LINK_ENDINGS)
def test_what_ends_a_link_makes_its_pair_due_in_the_same_transaction(store, linked, end):
    end(store)

    assert due(store, NOON + 2 * HOUR) == [linked]
    assert store.orcid_tokens.make_due(NOON + DAY) == 0


LINK_GOES_ON = {
    "nothing": lambda _store: None,
    "another account of the person": lambda store: store.links.move(
        UNIVERSITY, MAIJA, OTHER, "operator", "renamed", NOON
    ),
    "all accounts renamed": lambda store: store.organisations.rekey(
        UNIVERSITY, lambda account: f"new-{account}", NOON, key_attribute="eppn"
    ),
    "merged with the client": lambda store: merge(store, orcid_clients=(OWN, CLIENT_ID)),
    "suspended and resumed": lambda store: (
        store.record_statuses.save(FIRST, RecordState.LOCKED, None, NOON),
        store.record_statuses.suspend(current(store), NOON),
        store.record_statuses.resume(current(store), NOON),
    ),
    "confirmed with less": lambda store: confirm_again(store, "/authenticate"),
    "taken back at ORCID": lambda store: store.orcid_tokens.record_withdrawn(
        store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)[0].id, NOON
    ),
}


@pytest.mark.parametrize("act", LINK_GOES_ON.values(), ids=LINK_GOES_ON)
def test_a_pair_of_a_link_that_goes_on_is_not_due(store, linked, act):
    act(store)

    assert due(store) == []
    assert store.orcid_tokens.make_due(NOON + DAY) == 0
    (count,) = {(each.due, each.client_id) for each in store.orcid_tokens.counts()}
    assert count == (False, CLIENT_ID)
    assert linked in {token_id for token_id, _ in store.orcid_tokens.list_sealed()}


def test_a_merger_brings_the_pair_to_the_link_that_is_there(store, linked):
    there = answered(store, MAIJA, FIRST, POLYTECHNIC)
    store_token(store, there, client_id=OWN)
    confirm(store, there, "there")

    merge(store, orcid_clients=(OWN, CLIENT_ID))

    (found,) = {each.link for each in store.orcid_tokens.list_for_person(POLYTECHNIC, MAIJA)}
    assert found == "there"
    assert {each.organisation for each in store.orcid_tokens.counts()} == {POLYTECHNIC}
    assert due(store) == []


def test_a_link_that_was_attested_keeps_the_pair_of_the_person_who_confirmed_it(store):
    make_attested_link(store, MAIJA, FIRST)
    attempt = answered(store, MAIJA, FIRST)
    token = store_token(store, attempt)
    confirm(store, attempt, replacing=FIRST)

    assert due(store) == []
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    assert due(store) == [token]


def test_a_renewed_permission_belongs_to_the_link(store, linked):
    attempt = answered(store, MAIJA, FIRST)
    token = store_token(store, attempt, scope="/read-limited")

    link = store.links.get(UNIVERSITY, MAIJA)

    assert store.attempts.close_for_link(attempt.id, "unchanged", link, NOON)
    assert not store.attempts.close_for_link(attempt.id, "unchanged", link, NOON)

    assert {each.id for each in store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)} == {linked, token}
    assert due(store) == []
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    assert set(due(store)) == {linked, token}


ATTEMPT_ENDINGS = {
    "cancelled": lambda store, attempt: store.attempts.close(attempt.id, "cancelled", NOON),
    "refused": lambda store, attempt: store.attempts.close(attempt.id, "orcid-refused", NOON),
    "held by someone else": lambda store, attempt: store.attempts.close(attempt.id, "held-by-someone-else", NOON),
    "deleted": lambda store, _attempt: store.attempts.delete_expired(NOON + 2 * HOUR),
    "the organisation was merged": lambda store, _attempt: merge(store),
    "all accounts renamed": lambda store, _attempt: store.organisations.rekey(
        UNIVERSITY, lambda account: account, NOON, key_attribute="eppn"
    ),
    "erased": lambda store, _attempt: store.erasures.erase(UNIVERSITY, MAIJA, "person", "asked to", NOON),
    "left the organisation": lambda store, _attempt: store.retention.deprovision(UNIVERSITY, MAIJA, NOON),
    "account reassigned": lambda store, _attempt: store.links.end_earlier_holder(
        UNIVERSITY, MAIJA, KnownHolder(stable_id="subject-id:ville@x"), NOON
    ),
}


@pytest.mark.parametrize("end", ATTEMPT_ENDINGS.values(), ids=ATTEMPT_ENDINGS)
def test_what_ends_an_attempt_makes_its_pair_due_in_the_same_transaction(store, end):
    attempt = answered(store, MAIJA, FIRST, stable_id="subject-id:maija@x")
    token = store_token(store, attempt)
    assert due(store) == []

    end(store, attempt)

    assert due(store, NOON + 3 * HOUR) == [token]


def test_the_sweep_finds_what_an_attempt_that_expired_has_left(store):
    attempt = answered(store, MAIJA, FIRST)
    token = store_token(store, attempt)
    end = attempt.expires_at + EXPIRY_MARGIN

    assert store.orcid_tokens.make_due(end - timedelta(seconds=1)) == 0
    assert store.orcid_tokens.make_due(end) == 1
    assert store.orcid_tokens.make_due(end) == 0
    assert due(store, end) == [token]


def test_the_sweep_leaves_a_pair_that_was_confirmed_meanwhile(store):
    attempt = answered(store, MAIJA, FIRST)
    store_token(store, attempt)
    meanwhile = make_store_with_hook(store, "list_unneeded_tokens", lambda: confirm(store, attempt))

    assert meanwhile.orcid_tokens.make_due(NOON + DAY) == 0

    assert due(store, NOON + DAY) == []


@pytest.mark.parametrize("gone", ["closed", "deleted", "never there"])
def test_a_pair_that_comes_when_the_attempt_is_over_is_due_at_once(store, gone):
    attempt = make_attempt(MAIJA) if gone == "never there" else answered(store, MAIJA, FIRST)
    store.attempts.close(attempt.id, "orcid-unavailable", NOON)
    if gone == "deleted":
        store.attempts.delete_expired(NOON + 2 * HOUR)

    token = store_token(store, attempt)

    assert due(store) == [token]


def test_what_is_revoked_stays_for_a_while_without_the_tokens(store, linked):
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    token = store.orcid_tokens.claim(CLIENT_ID, "worker", NOON, HOUR)

    store.orcid_tokens.complete(token, NOON)
    store.orcid_tokens.complete(token, NOON + DAY)

    (kept,) = store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)
    assert (kept.id, kept.sealed, kept.revoked_at, kept.leased_by) == (linked, None, NOON, None)
    assert store.orcid_tokens.counts() == []
    assert store.statistics.totals(UNIVERSITY)["revocation", "revoked"] == 1
    store.orcid_tokens.delete_revoked(NOON)
    assert store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)
    store.orcid_tokens.delete_revoked(NOON + timedelta(seconds=1))
    assert store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA) == []


def test_a_lease_is_for_one_worker_until_it_expires(store, linked):
    tokens = store.orcid_tokens
    assert tokens.list_due_clients(NOON) == []
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    assert tokens.list_due_clients(NOON) == [CLIENT_ID]
    assert tokens.claim(OWN, "one", NOON, HOUR) is None

    late = tokens.claim(CLIENT_ID, "one", NOON, HOUR)
    assert tokens.claim(CLIENT_ID, "two", NOON, HOUR) is None
    assert tokens.list_due_clients(NOON) == []
    second = tokens.claim(CLIENT_ID, "two", NOON + HOUR, HOUR)

    # A worker that lost its lease cannot report a failure
    tokens.reschedule(late, "temporary", NOON + DAY, NOON + HOUR)
    assert store.statistics.totals(UNIVERSITY)["revocation", "failed"] == 0
    tokens.reschedule(second, "misconfigured", NOON + DAY, NOON + HOUR)
    assert store.statistics.totals(UNIVERSITY)["revocation", "failed"] == 1
    assert tokens.claim(CLIENT_ID, "two", NOON + 2 * HOUR, HOUR) is None
    assert tokens.make_revocations_due(NOON + 2 * HOUR) == 1
    assert tokens.claim(CLIENT_ID, "two", NOON + 2 * HOUR, HOUR).tries == 3
    # A success counts, whoever reports it
    tokens.complete(late, NOON + 2 * HOUR)
    assert tokens.counts() == []


@pytest.mark.parametrize(
    ("scope", "client_id", "state", "held"),
    [
        (SCOPES, CLIENT_ID, AffiliationItemState.WRITTEN, True),
        (SCOPES, CLIENT_ID, AffiliationItemState.CLOSED, False),
        (SCOPES, OWN, AffiliationItemState.WRITTEN, False),
        ("/authenticate", CLIENT_ID, AffiliationItemState.WRITTEN, False),
    ],
    ids=["open item", "ended item", "item of another client", "other permission"],
)
def test_a_pair_is_held_for_a_week_only_where_it_can_still_end_an_item(store, scope, client_id, state, held):
    attempt = answered(store, MAIJA, FIRST)
    token = store_token(store, attempt, scope=scope)
    confirm(store, attempt)
    store.affiliations.add_item("link", AffiliationSection.EMPLOYMENT, client_id, NOON)
    (item,) = store.affiliations.list_items(UNIVERSITY, MAIJA)
    store.affiliations.set_item(UNIVERSITY, MAIJA, item, state, NOON, put_code="7")
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    assert due(store, NOON) == ([] if held else [token])
    assert due(store, NOON + HELD_FOR + HOUR) == [token]


def test_a_pair_is_not_held_where_a_newer_one_can_end_the_item(store, linked):
    store.affiliations.add_item("link", AffiliationSection.EMPLOYMENT, CLIENT_ID, NOON)
    again = answered(store, MAIJA, FIRST)
    store_token(store, again, scope=SCOPES)
    store.attempts.close_for_link(again.id, "unchanged", current(store), NOON)

    assert len(due(store)) == 1


def test_a_pair_for_a_link_that_has_just_ended_is_due(store, linked):
    attempt = answered(store, MAIJA, FIRST)
    token = store_token(store, attempt, scope="/read-limited")
    link = store.links.get(UNIVERSITY, MAIJA)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    assert store.attempts.close_for_link(attempt.id, "unchanged", link, NOON)

    assert set(due(store)) == {linked, token}
    kinds = [each.kind for each in store.audit.list_events(UNIVERSITY, MAIJA)]
    assert kinds == ["linked", "permitted", "removed"]


def test_the_sweep_leaves_an_attempt_whose_claim_can_still_be_accepted(store):
    attempt = make_attempt(OTHER)
    store.attempts.add(attempt, "claim")
    store.attempts.save_claim(attempt.id, FIRST, "Maija", attempt.expires_at + HOUR)
    store_token(store, attempt)

    assert store.orcid_tokens.make_due(attempt.expires_at + HOUR) == 0
    assert store.orcid_tokens.make_due(attempt.expires_at + HOUR + EXPIRY_MARGIN) == 1


def test_an_erasure_leaves_no_personal_data(store, linked):
    store.erasures.erase(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    store.erasures.finish_due(NOON + MAX_WAIT)

    assert store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA) == []
    token = store.orcid_tokens.claim(CLIENT_ID, "worker", NOON, HOUR)
    assert token.id == linked


def test_a_permission_that_was_taken_back_is_recorded_once(store, linked):
    orphan = store_token(store, make_attempt(OTHER))

    confirm_again(store, "/read-limited")
    (newer, older) = store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)

    assert store.orcid_tokens.record_withdrawn(orphan, NOON) is None
    assert (older.id, newer.scope) == (linked, "/read-limited")
    assert store.orcid_tokens.record_withdrawn(newer.id, NOON).withdrawn_at == NOON
    assert store.orcid_tokens.record_withdrawn(linked, NOON + DAY) is None

    # ORCID has ended all that the client had
    assert {each.withdrawn_at for each in store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)} == {NOON}
    events = [each for each in store.audit.list_events(UNIVERSITY, MAIJA) if each.kind == "permission-withdrawn"]
    assert [(each.actor, each.facts["scope"], each.facts["orcid"]) for each in events] == [
        ("service", f"{SCOPES} /read-limited", FIRST.uri)
    ]
    assert store.audit.verify(UNIVERSITY) == []
    assert current(store).current


def test_what_was_permitted_after_the_refused_pair_may_work(store, linked):
    confirm_again(store, "/read-limited")

    store.orcid_tokens.record_withdrawn(linked, NOON)

    found = store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)
    assert [each.withdrawn_at for each in found] == [None, NOON]


def test_a_person_who_removed_the_link_is_not_told_of_a_lost_permission(store, linked):
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    assert store.orcid_tokens.record_withdrawn(linked, NOON) is None

    (kept,) = store.orcid_tokens.list_for_person(UNIVERSITY, MAIJA)
    assert kept.withdrawn_at == NOON
    assert [each.kind for each in store.audit.list_events(UNIVERSITY, MAIJA)] == ["linked", "permitted", "removed"]


def test_sealed_texts_are_replaced_and_given_up_where_nothing_else_has_happened(store, linked):
    other = store_token(store, answered(store, OTHER, SECOND), sealed="other")

    changed = store.orcid_tokens.replace_sealed(lambda _id, sealed: None if sealed == "other" else sealed.upper())

    assert changed == 1
    assert dict(store.orcid_tokens.list_sealed()) == {linked: "SEALED", other: "other"}
    assert store.orcid_tokens.discard([(linked, "sealed"), (other, "other")], NOON) == 1
    assert dict(store.orcid_tokens.list_sealed()) == {linked: "SEALED"}
    assert store.statistics.totals(UNIVERSITY)["revocation", "lost"] == 1
