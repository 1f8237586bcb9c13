"""All links of an organisation get other accounts, or none does; on each engine."""

from contextlib import suppress
from datetime import timedelta

import pytest

from resolver_connector.delivery.dispatcher import Dispatcher
from resolver_connector.delivery.maintenance import KEEP_MERGED, Maintenance
from sql.records import ChangeKind, ChangeReason
from sql.repositories.base import NO_TRANSFERS
from sql.repositories.organisations import AlreadyMerged, MoveConflict, MoveResult
from tests.support.delivery import LogRecorder, UniqueRegister
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, attest, make_attempt, make_link, make_orcid_id
from tests.support.service import ORGANISATIONS, Clock
from tests.support.store_faults import InjectedFailure, fail, make_failing_store

ANNA, BEN, CAI, DAN = (f"{name}@amk.example" for name in ("anna", "ben", "cai", "dan"))
FIRST, SECOND, THIRD = (make_orcid_id(number) for number in (1, 2, 3))
LATER = NOON + timedelta(days=1)
HOUR = timedelta(hours=1)


def at_university(account):
    """Give the account of the same name there."""
    return account.replace("@amk.example", "@yliopisto.example")


def merge(store, new_account=at_university, **other):
    """Merge the polytechnic into the university, and give the result and the conflicts."""
    conflicts = []
    result = store.organisations.merge(
        POLYTECHNIC,
        UNIVERSITY,
        new_account,
        LATER,
        key_attribute="eppn",
        from_transfers=("old",),
        into_transfers=("new",),
        report=lambda link, account, reason: conflicts.append((link.account, account, reason)),
        **other,
    )
    return result, conflicts


def linked(store, organisation=UNIVERSITY):
    return {link.account: link.orcid_id for link in store.links.list_current(organisation)}


def everything(store):
    """Give what two organisations have: links, changes, deliveries and events."""
    return [
        (
            linked(store, one),
            store.changes.last_number(one),
            [each.change_number for each in store.deliveries.list_waiting(one)],
            len(list(store.audit.list_events(one))),
        )
        for one in (UNIVERSITY, POLYTECHNIC)
    ]


def assert_intact(store):
    for one in (UNIVERSITY, POLYTECHNIC):
        assert store.audit.verify(one) == []
        assert store.audit.compare_with_links(one) == []


def test_all_links_move_and_each_organisation_gets_its_changes(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC, issued="20200101")
    make_link(store, BEN, SECOND, POLYTECHNIC)
    before = store.links.get(POLYTECHNIC, ANNA)

    result, conflicts = merge(store)

    assert (result, conflicts) == (MoveResult(2, 0, 0, written=True), [])
    assert (linked(store, POLYTECHNIC), linked(store)) == (
        {},
        {at_university(ANNA): FIRST, at_university(BEN): SECOND},
    )
    after = store.links.get(UNIVERSITY, at_university(ANNA))
    assert (after.consent, after.linked_at, after.source) == (before.consent, before.linked_at, before.source)
    assert (after.account_issued_at, after.stable_id, after.release) == ("", "", None)
    removals = store.changes.list_after(POLYTECHNIC, 2, 9)
    additions = store.changes.list_after(UNIVERSITY, 0, 9)
    assert [(one.kind, one.reason, one.person_key) for one in (*removals, *additions)] == [
        (ChangeKind.REMOVED, ChangeReason.MERGED, ANNA),
        (ChangeKind.REMOVED, ChangeReason.MERGED, BEN),
        (ChangeKind.LINKED, ChangeReason.MERGED, at_university(ANNA)),
        (ChangeKind.LINKED, ChangeReason.MERGED, at_university(BEN)),
    ]
    assert [each.transfer for each in store.deliveries.list_waiting(POLYTECHNIC)] == ["old", "old"]
    assert [each.transfer for each in store.deliveries.list_waiting(UNIVERSITY)] == ["new", "new"]
    assert_intact(store)


def test_the_audit_names_both_organisations_to_each_person(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)

    merge(store)

    told = [*store.audit.list_events(POLYTECHNIC, ANNA)][-1], *store.audit.list_events(UNIVERSITY, at_university(ANNA))
    assert [(event.kind, event.actor) for event in told] == [("removed", "operator"), ("linked", "operator")]
    for event in told:
        assert (event.facts["from"], event.facts["into"], event.facts["reason"]) == (POLYTECHNIC, UNIVERSITY, "merged")


def test_a_merged_organisation_has_no_open_attempt_and_no_identity_provider(store):
    attempt = make_attempt(ANNA, POLYTECHNIC, LATER)
    store.attempts.add(attempt, "hash")
    store.organisations.record_sign_in(POLYTECHNIC, "https://idp.amk.example", NOON)

    merge(store)

    assert store.attempts.get(attempt.id).outcome == "cancelled"
    assert [one.organisation for one in store.organisations.identity_providers()] == [UNIVERSITY]
    assert store.organisations.list_merged() == {POLYTECHNIC}
    assert [(one.id, one.merged_into, one.key_attribute) for one in store.organisations.list_stored()] == [
        (POLYTECHNIC, UNIVERSITY, None),
        (UNIVERSITY, None, "eppn"),
    ]


def test_the_history_of_people_at_the_organisation_that_ended_is_erased_after_a_month(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    store.audit.add(POLYTECHNIC, "declined", "person", BEN, {}, NOON)
    merge(store)
    for delivery in store.deliveries.claim("worker", LATER, timedelta(minutes=1), 9):
        store.deliveries.complete(delivery, "worker", "stored", "", LATER)
    maintenance = Maintenance(store, [], LogRecorder())

    maintenance.run((LATER + KEEP_MERGED - timedelta(days=2)).replace(hour=2))
    before = [event.person_key for event in store.audit.list_events(POLYTECHNIC)]
    maintenance.run((LATER + KEEP_MERGED + timedelta(days=2)).replace(hour=2))

    assert {ANNA, BEN} <= {*before}
    assert {event.person_key for event in store.audit.list_events(POLYTECHNIC)} == {None}
    assert store.links.list_for_person(POLYTECHNIC, ANNA) == []
    assert store.changes.list_for_person(POLYTECHNIC, ANNA) == []
    assert linked(store) == {at_university(ANNA): FIRST}
    assert_intact(store)


CONFLICTS = {
    "another iD at the new account": (
        lambda store: make_link(store, at_university(ANNA), THIRD),
        at_university,
        (ANNA, at_university(ANNA), MoveConflict.OTHER_ORCID_ID),
    ),
    "the same iD at another account": (
        lambda store: make_link(store, "dan@yliopisto.example", FIRST),
        at_university,
        (ANNA, at_university(ANNA), MoveConflict.OTHER_PERSON),
    ),
    "no new account": (
        lambda store: None,
        lambda account: MoveConflict.NOT_MAPPED if account == ANNA else at_university(account),
        (ANNA, "", MoveConflict.NOT_MAPPED),
    ),
    "one new account for two": (
        lambda store: None,
        lambda account: "one@yliopisto.example",
        (BEN, "one@yliopisto.example", MoveConflict.OTHER_ORCID_ID),
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_with_a_conflict_nothing_is_moved(store, name):
    prepare, new_account, conflict = CONFLICTS[name]
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    make_link(store, BEN, SECOND, POLYTECHNIC)
    prepare(store)
    before = everything(store)

    result, conflicts = merge(store, new_account)

    assert (conflicts, result.conflicts, result.written) == ([conflict], 1, False)
    assert everything(store) == before
    assert store.organisations.list_merged() == frozenset()


def test_a_new_account_that_has_the_same_id_is_no_conflict(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    make_link(store, at_university(ANNA), FIRST)

    result, _ = merge(store)

    assert (result.moved, result.already_there, result.written) == (0, 1, True)
    assert (linked(store), linked(store, POLYTECHNIC)) == ({at_university(ANNA): FIRST}, {})
    assert store.changes.last_number(UNIVERSITY) == 1
    assert_intact(store)


def test_a_dry_run_changes_nothing(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    before = everything(store)

    result, _ = merge(store, dry_run=True)

    assert (result.moved, result.written) == (1, False)
    assert everything(store) == before


def test_links_made_after_a_merger_are_moved_by_another_one(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    merge(store)
    make_link(store, BEN, SECOND, POLYTECHNIC, LATER)

    result, _ = merge(store)

    assert (result.moved, len(linked(store))) == (1, 2)


def test_a_merged_organisation_cannot_be_merged_into(store):
    merge(store)

    with pytest.raises(AlreadyMerged):
        store.organisations.merge(UNIVERSITY, POLYTECHNIC, at_university, LATER, key_attribute="eppn")


def test_attested_links_keep_their_source_in_a_merger(store):
    attest(store, [(ANNA, FIRST)], organisation=POLYTECHNIC, key_attribute="eppn")

    merge(store)

    assert store.links.get(UNIVERSITY, at_university(ANNA)).source == "CRIS"
    assert_intact(store)


@pytest.mark.parametrize("own", [True, False])
def test_what_the_person_linked_stays_theirs_where_it_was_attested(store, own):
    attest(store, [(at_university(ANNA), FIRST)], source="Pure", key_attribute="eppn")
    if own:
        make_link(store, ANNA, FIRST, POLYTECHNIC, NOON - HOUR)
    else:
        attest(store, [(ANNA, FIRST)], organisation=POLYTECHNIC)
    before = store.links.get(POLYTECHNIC, ANNA), store.links.get(UNIVERSITY, at_university(ANNA))

    assert merge(store)[0].already_there == 1

    after = store.links.get(UNIVERSITY, at_university(ANNA))
    said = before[0] if own else before[1]
    assert (after.id, after.account) == (before[1].id, before[1].account)
    assert (after.source, after.consent, after.linked_at) == (said.source, said.consent, said.linked_at)
    another = [each.refusal or each.outcome for each in attest(store, [(at_university(ANNA), SECOND)], now=LATER)]
    assert another == (["linked-by-person"] if own else ["replaced"])
    if own:
        event = [*store.audit.list_events(UNIVERSITY, at_university(ANNA))][-2]
        assert (event.kind, event.actor, event.facts["previous_source"]) == ("authenticated", "operator", "Pure")
    assert_intact(store)


def test_a_removal_of_attested_links_spares_what_a_merger_made_the_persons_own(store):
    attest(store, [(at_university(ANNA), FIRST)], source="Pure", key_attribute="eppn")
    make_link(store, ANNA, FIRST, POLYTECHNIC, NOON - HOUR)
    made_at = NOON + HOUR
    store.removals.schedule(UNIVERSITY, frozenset(), made_at, "operator", made_at, max_percent=100, source="Pure")
    merge(store)

    assert store.removals.execute_due(lambda *_: NO_TRANSFERS, LATER) == 0
    assert linked(store) == {at_university(ANNA): FIRST}


def test_many_links_are_moved_in_pages(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.organisations.PAGE_SIZE", 2)
    for number in range(5):
        make_link(store, f"p{number}@amk.example", make_orcid_id(number + 10), POLYTECHNIC)

    assert merge(store)[0].moved == 5
    assert len(linked(store)) == 5
    assert_intact(store)


def test_an_interrupted_merger_changes_nothing(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    make_link(store, BEN, SECOND, POLYTECHNIC)
    before, step = everything(store), 1
    while everything(store) == before:
        with suppress(InjectedFailure):
            merge(make_failing_store(store, step, fail))
        assert (linked(store, POLYTECHNIC) == {}) == (len(linked(store)) == 2)
        step += 1

    assert step > 20
    assert linked(store, POLYTECHNIC) == {}
    assert_intact(store)


# All accounts of an organisation are renamed


def rekey(store, new_account, **other):
    """Rename accounts of the polytechnic, and give the result and the conflicts."""
    conflicts = []
    result = store.organisations.rekey(
        POLYTECHNIC,
        new_account,
        LATER,
        key_attribute="subject-id",
        transfers=("old",),
        report=lambda link, account, reason: conflicts.append((link.account, account, reason)),
        **other,
    )
    return result, conflicts


@pytest.mark.parametrize("names", [{ANNA: BEN, BEN: ANNA, CAI: DAN}, {ANNA: BEN, BEN: CAI, CAI: ANNA}])
def test_accounts_that_are_exchanged_in_a_circle_are_a_conflict(store, names):
    for person, orcid_id in zip(names, (FIRST, SECOND, THIRD), strict=True):
        make_link(store, person, orcid_id, POLYTECHNIC)
    before = everything(store)

    result, conflicts = rekey(store, names.__getitem__)

    circle = [(old, new, MoveConflict.CIRCLE) for old, new in names.items() if new in names]
    assert (result.written, conflicts) == (False, circle)
    assert everything(store) == before


def test_accounts_in_a_circle_are_renamed_by_way_of_an_unused_one_and_a_receiver_loses_no_id(store):
    clock, register = Clock(LATER), UniqueRegister()
    dispatcher = Dispatcher(store, ORGANISATIONS, {POLYTECHNIC: {"old": register}}, LogRecorder(), clock)
    for person, orcid_id in ((ANNA, FIRST), (BEN, SECOND)):
        make_link(store, person, orcid_id, POLYTECHNIC, transfers=("old",))
    store.links.move(POLYTECHNIC, ANNA, CAI, "operator", "renamed", LATER, transfers=("old",))

    result, conflicts = rekey(store, {BEN: ANNA, CAI: BEN}.__getitem__)
    while claimed := store.deliveries.claim("worker", clock.now, timedelta(minutes=1), 9):
        for delivery in claimed:
            dispatcher.try_delivery(delivery, "worker", 1.0)

    assert (result, conflicts) == (MoveResult(2, 0, 0, written=True), [])
    assert register.holds == linked(store, POLYTECHNIC) == {ANNA: SECOND, BEN: FIRST}
    assert [one.key_attribute for one in store.organisations.list_stored()] == ["subject-id"]
    assert_intact(store)


def test_a_rename_of_all_tells_the_holder_of_the_earlier_account_from_a_later_one(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC, stable_id="subject-id:a@amk.example", issued="20240115")

    rekey(store, {ANNA: BEN}.__getitem__)

    events = {each.kind: each.facts for each in store.audit.list_events(POLYTECHNIC) if each.kind.startswith("moved")}
    common = {"link": events["moved"]["link"], "change": "2", "reason": "moved"}
    assert events == {
        "moved": common | {"orcid": FIRST.uri, "account": BEN, "previous_account": ANNA},
        "moved-away": common
        | {"account": ANNA, "stable_id": "subject-id:a@amk.example", "account_issued_at": "20240115"},
    }


def test_an_account_that_another_one_gets_is_left_first(store):
    names = {ANNA: BEN, BEN: CAI}
    for person, orcid_id in zip(names, (FIRST, SECOND), strict=True):
        make_link(store, person, orcid_id, POLYTECHNIC)

    rekey(store, names.__getitem__)

    assert linked(store, POLYTECHNIC) == {BEN: FIRST, CAI: SECOND}
    earlier = {key: store.audit.earlier_accounts(POLYTECHNIC, key) for key in (BEN, CAI)}
    assert {key: [(one.person_key, one.since) for one in found] for key, found in earlier.items()} == {
        BEN: [(ANNA, None)],
        CAI: [(BEN, None)],
    }
    assert_intact(store)


def test_accounts_that_stay_are_left_as_they_are(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    make_link(store, BEN, SECOND, POLYTECHNIC)

    result, _ = rekey(store, lambda account: account.replace("anna@", "anne@"))

    assert result.moved == 1
    changes = store.changes.list_after(POLYTECHNIC, 2, 9)
    assert [(one.kind, one.person_key, one.reason) for one in changes] == [
        ("moved", "anne@amk.example", None),
    ]
    assert [each.change_number for each in store.deliveries.list_waiting(POLYTECHNIC)] == [3]
    assert [one.person_key for one in store.audit.earlier_accounts(POLYTECHNIC, "anne@amk.example")] == [ANNA]
    assert_intact(store)


def test_accounts_that_no_one_has_mapped_stop_a_rename(store):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    make_link(store, BEN, SECOND, POLYTECHNIC)
    before = everything(store)

    result, conflicts = rekey(store, lambda account: MoveConflict.NOT_MAPPED if account == BEN else CAI)

    assert (result.conflicts, conflicts) == (1, [(BEN, "", MoveConflict.NOT_MAPPED)])
    assert everything(store) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_rename_onto_an_account_that_stays_is_a_conflict(store, dry_run):
    make_link(store, ANNA, FIRST, POLYTECHNIC)
    make_link(store, BEN, SECOND, POLYTECHNIC)
    before = everything(store)

    result, conflicts = rekey(store, lambda account: BEN, dry_run=dry_run)

    assert (result.conflicts, conflicts) == (1, [(ANNA, BEN, MoveConflict.OTHER_ORCID_ID)])
    assert everything(store) == before
