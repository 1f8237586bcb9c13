"""Links that an organisation attests: what becomes of each row; on each engine."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from datetime import timedelta

import pytest

from shibboleth.account_holder import KnownHolder
from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from sql.errors import LinkedByPerson
from sql.replica import Replica, write_replica
from sql.repositories.attested_links import REFUSAL_TEXTS, AttestedLink, Outcome, Refusal, RowResult
from sql.repositories.base import NO_TRANSFERS, Attester
from sql.repositories.deletion.removals import PendingRemovals
from sql.store import open_store
from tests.support.database import TABLES
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    answered,
    attest,
    make_consent,
    make_link,
    make_orcid_id,
)
from tests.support.store_faults import InjectedFailure, fail, make_failing_store

MAIJA, VILLE = "maija@yliopisto.example", "ville@yliopisto.example"
FIRST, SECOND, THIRD = make_orcid_id(1), make_orcid_id(2), make_orcid_id(3)
HOUR = timedelta(hours=1)
LONG_AGO = NOON - timedelta(days=900)


def row(account=MAIJA, orcid_id=FIRST, at=LONG_AGO, source="Pure", line=1):
    """Give a row."""
    return AttestedLink(line, fold(account), account, orcid_id, at, source)


def become(store, *rows, now=NOON, transfers=(), credential=None, dry_run=False):
    """Give the outcome or the refusal of each row."""
    system = Attester(credential, transfers)
    results = store.attested_links.add(UNIVERSITY, rows, "organisation", now, system=system, dry_run=dry_run)
    return [each.refusal or each.outcome for each in results]


def events(store, person=MAIJA):
    return [(each.kind, each.actor) for each in store.audit.list_events(UNIVERSITY, person)]


def changes(store):
    return [
        (each.kind, each.person_key, each.orcid_id, each.previous, each.reason, each.attested_by)
        for each in store.changes.list_after(UNIVERSITY, 0, 99)
    ]


def test_a_row_becomes_a_link_with_change_deliveries_and_event(store):
    assert become(store, row("Maija@Yliopisto.example"), transfers=("idm",), credential="cris") == ["linked"]

    link = store.links.get(UNIVERSITY, MAIJA)
    assert (link.account, link.orcid_id, link.linked_at) == ("Maija@Yliopisto.example", FIRST, NOON)
    assert (link.source, link.authenticated_at, link.attested) == ("Pure", LONG_AGO, True)
    assert "Pure" in link.consent.text
    assert changes(store) == [("linked", MAIJA, FIRST, None, "attested", "cris")]
    (delivery,) = store.deliveries.claim("worker", NOON, HOUR, 9)
    assert (delivery.transfer, delivery.change_number) == ("idm", 1)
    (event,) = store.audit.list_events(UNIVERSITY, MAIJA)
    assert (event.kind, event.actor) == ("linked", "organisation")
    assert dict(event.facts) == {
        "orcid": FIRST.uri,
        "account": "Maija@Yliopisto.example",
        "link": link.id,
        "source": "Pure",
        "authenticated_at": "2023-07-30T12:00:00.000000Z",
        "credential": "cris",
    }
    assert store.audit.verify(UNIVERSITY) == store.audit.compare_with_links(UNIVERSITY) == []


def person_removed(store):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "person", "mine", NOON)


def deprecated(store):
    attest(store, [(MAIJA, FIRST)])
    store.engine.execute("end_link", id=store.links.get(UNIVERSITY, MAIJA).id, now=text(NOON), actor="service")
    statement = f"update links set record_state = 'deprecated', record_since = linked_at, record_checked_at = linked_at, record_primary = '{SECOND.bare}'"  # noqa: E501 - of this test
    with store.engine.transaction() as session:
        session.script(statement + ";")
    attest(store, [(MAIJA, SECOND)], now=NOON + HOUR)


def deprecated_twice(store):
    deprecated(store)
    attest(store, [(MAIJA, THIRD)], now=NOON + HOUR)


def sign_in(store, **known):
    store.links.record_sign_in(store.links.get(UNIVERSITY, MAIJA), KnownHolder(**known), NOON)


def reassigned(store):
    attest(store, [(MAIJA, FIRST)])
    sign_in(store, stable_id="subject-id:old@x")
    new = KnownHolder(stable_id="subject-id:new@x")
    assert store.links.end_earlier_holder(UNIVERSITY, MAIJA, new, NOON).kind == "removed"


def issued_later(store):
    attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO)
    assert store.links.end_earlier_holder(UNIVERSITY, MAIJA, KnownHolder("20260101"), NOON).kind == "removed"


def renamed_then_removed(store):
    attest(store, [("old@yliopisto.example", FIRST)])
    store.links.move(UNIVERSITY, "old@yliopisto.example", "new@x", "person", "renamed", NOON)
    store.links.remove(UNIVERSITY, "new@x", "person", "mine", NOON)


def renamed_away(store):
    attest(store, [(MAIJA, FIRST)])
    store.links.move(UNIVERSITY, MAIJA, "new@x", "person", "renamed", NOON)
    store.retention.deprovision(UNIVERSITY, "new@x", NOON)


def removed_by(actor, reason="the person asked"):
    def before(store):
        attest(store, [(MAIJA, FIRST)])
        store.links.remove(UNIVERSITY, MAIJA, actor, reason, NOON)

    return before


def left(store):
    make_link(store, MAIJA, FIRST)
    store.retention.deprovision(UNIVERSITY, MAIJA, NOON)


def left_then_attested(store):
    left(store)
    attest(store, [(MAIJA, SECOND)], "Pure", NOON + HOUR)


def removed_then_own(store):
    person_removed(store)
    make_link(store, MAIJA, SECOND)
    store.retention.deprovision(UNIVERSITY, MAIJA, NOON + HOUR)


def removed_then_attested(store):
    person_removed(store)
    attest(store, [(MAIJA, SECOND)], now=NOON + HOUR)


def reassigned_then_attested(store):
    reassigned(store)
    attest(store, [(MAIJA, SECOND)], now=NOON + HOUR)


def reassigned_then_same(store):
    reassigned(store)
    attest(store, [(MAIJA, FIRST)], "Pure", NOON + HOUR)


def removed_by_list(source):
    def before(store):
        attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO)
        words = {"max_percent": 100, "source": source}
        store.removals.schedule(UNIVERSITY, frozenset(), NOON, "operator", NOON, **words)
        assert store.removals.execute_due(lambda *_: NO_TRANSFERS, NOON + HOUR) == 1

    return before


def replaced_then_withdrawn(store):
    attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO)
    attest(store, [(MAIJA, SECOND)], "Pure", LONG_AGO)
    store.attested_links.remove(UNIVERSITY, MAIJA, NOON)


def text(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def erasure_pending(store):
    make_link(store, MAIJA, FIRST, transfers=("idm",))
    store.erasures.erase(UNIVERSITY, MAIJA, "person", "all", NOON, transfers=("idm",))


CASES = {
    "nothing is stored": (lambda _store: None, row(), "linked"),
    "the same": (lambda store: attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO), row(), "unchanged"),
    "another time": (lambda store: attest(store, [(MAIJA, FIRST)], "Pure"), row(), "updated"),
    "an earlier time": (lambda store: attest(store, [(MAIJA, FIRST)], "Pure", NOON), row(), "updated"),
    "another source, later": (lambda store: attest(store, [(MAIJA, FIRST)], "CRIS", LONG_AGO), row(at=NOON), "updated"),
    "another source": (lambda store: attest(store, [(MAIJA, FIRST)], "CRIS", LONG_AGO), row(), "unchanged"),
    "another source, earlier": (lambda store: attest(store, [(MAIJA, FIRST)], "CRIS", NOON), row(), "unchanged"),
    "another attested iD": (lambda store: attest(store, [(MAIJA, SECOND)]), row(), "replaced"),
    "the person's own": (lambda store: make_link(store, MAIJA, FIRST), row(), "unchanged"),
    "another own": (lambda store: make_link(store, MAIJA, SECOND), row(), "linked-by-person"),
    "the iD at another account": (lambda store: make_link(store, VILLE, FIRST), row(), "orcid-in-use"),
    "attested for another account": (lambda store: attest(store, [(VILLE, FIRST)]), row(), "orcid-in-use"),
    "the iD elsewhere": (lambda store: make_link(store, VILLE, FIRST, POLYTECHNIC), row(), "linked"),
    "has since been removed": (person_removed, row(), "removed-by-person"),
    "authenticated since": (person_removed, row(at=NOON + HOUR), "linked"),
    "erasure": (erasure_pending, row(at=NOON + HOUR), "erasure-pending"),
    "left": (left, row(), "left-organisation"),
    "left at the same time": (left, row(at=NOON), "left-organisation"),
    "left, and authenticated since": (left, row(at=NOON + HOUR), "linked"),
    "left with another iD": (left, row(orcid_id=SECOND), "left-organisation"),
    "left, and came back with another iD": (left_then_attested, row(), "left-organisation"),
    "left, and came back": (left_then_attested, row(orcid_id=SECOND, at=NOON + HOUR), "unchanged"),
    "merged at ORCID": (deprecated, row(), "deprecated"),
    "merged at ORCID twice": (deprecated_twice, row(), "deprecated"),
    "reassigned since": (reassigned, row(), "account-reassigned"),
    "reassigned at the same time": (reassigned, row(at=NOON), "account-reassigned"),
    "reassigned before": (reassigned, row(at=NOON + HOUR), "linked"),
    "another iD of the new holder": (reassigned_then_attested, row(), "account-reassigned"),
    "an older time of the new holder's": (reassigned_then_same, row(), "account-reassigned"),
    "issued after the sign-in": (issued_later, row(), "account-reassigned"),
    "removed under the new account": (renamed_then_removed, row(), "removed-by-person"),
    "the earlier account's row": (renamed_away, row(), "account-reassigned"),
    "removed by the operator": (removed_by("operator"), row(), "removed-by-person"),
    "removed by the service": (removed_by("service"), row(), "linked"),
    "removed and another ended since": (removed_then_own, row(), "removed-by-person"),
    "removed and another is attested": (removed_then_attested, row(), "removed-by-person"),
    "removed by the operator's list": (removed_by_list("Pure"), row(), "linked"),
    "removed by a list of accounts": (removed_by_list(None), row(), "left-organisation"),
    "withdrawn after a replacement": (replaced_then_withdrawn, row(), "linked"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_outcome_of_a_row_depends_on_the_stored_data(store, case):
    before, attested, outcome = CASES[case]
    before(store)
    stored, count = store.links.get(UNIVERSITY, MAIJA), len(changes(store))

    assert become(store, attested, now=NOON + 2 * HOUR, dry_run=True) == [outcome]
    assert (store.links.get(UNIVERSITY, MAIJA), len(changes(store))) == (stored, count)
    assert become(store, attested, now=NOON + 2 * HOUR) == [outcome]

    link = store.links.get(UNIVERSITY, MAIJA)
    if outcome in {"linked", "replaced", "updated"}:
        assert (link.orcid_id, link.source, link.authenticated_at) == (FIRST, "Pure", attested.authenticated_at)
        assert events(store)[-1] == ("attested-updated" if outcome == "updated" else outcome, "organisation")
        assert become(store, attested, now=NOON + 3 * HOUR) == ["unchanged"]
    else:
        assert link == stored
    assert len(changes(store)) == count + (outcome in {"linked", "replaced"})
    assert store.audit.compare_with_links(UNIVERSITY) == []


@pytest.mark.parametrize("outcome", ["replaced", "moved"])
def test_a_sign_in_records_the_holder_of_an_attested_link(store, outcome):
    attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO)
    sign_in(store, stable_id="subject-id:old@x", account_issued_at="20200101")

    if outcome == "replaced":
        become(store, row(orcid_id=SECOND))
        link = store.links.get(UNIVERSITY, MAIJA)
        assert (link.stable_id, link.account_issued_at) == ("subject-id:old@x", "20200101")
        assert link.last_seen_on == NOON.date()
    else:
        # The account that the link moved to is issued later than the sign-in at the other system
        store.links.move(UNIVERSITY, MAIJA, VILLE, "operator", "renamed", NOON)
        assert store.links.end_earlier_holder(UNIVERSITY, VILLE, KnownHolder("20260115"), NOON) is None
        store.links.record_sign_in(store.links.get(UNIVERSITY, VILLE), KnownHolder("20260115"), NOON)
        assert store.links.get(UNIVERSITY, VILLE).account_issued_at == "20260115"


def test_look_up_and_replica_return_the_last_day_the_holder_had_the_account(store, tmp_path):
    attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO)
    make_link(store, VILLE, SECOND)
    path = tmp_path / "replica.db"

    for held_on in ("2023-07-30", "2026-01-15"):
        link = store.links.get(UNIVERSITY, MAIJA)
        assert link.held_on == held_on
        row_ = store.engine.fetch_one("get_current_orcid_id", organisation=UNIVERSITY, person_key=MAIJA)
        assert row_["held_on"] == held_on
        write_replica(store, UNIVERSITY, Registry.PRODUCTION, path, NOON)
        with Replica(path) as replica:
            released = replica.orcid_of(MAIJA, KnownHolder("20240101"))
            assert released == ([] if held_on < "2024" else [FIRST])
            assert replica.orcid_of(VILLE, KnownHolder("20270101")) == [SECOND]
        sign_in(store)
    assert store.links.get(UNIVERSITY, VILLE).held_on == ""


def test_a_repeated_row_cancels_the_pending_removal_and_is_audited(store):
    attest(store, [(MAIJA, FIRST)], "Pure", LONG_AGO)
    words = {"max_percent": 100, "source": "Pure", "credential": "cris"}
    store.removals.schedule(UNIVERSITY, frozenset(), NOON, "organisation", NOON, **words)

    assert become(store, row(), credential="cris") == ["unchanged"]

    assert store.removals.pending(UNIVERSITY) == PendingRemovals()
    *_, event = store.audit.list_events(UNIVERSITY, MAIJA)
    assert (event.kind, event.actor, event.facts["credential"]) == ("attested-again", "organisation", "cris")
    assert store.audit.verify(UNIVERSITY) == []


READ_ROWS = """
select (select sum(idx_tup_read) from pg_stat_user_indexes) + (select sum(seq_tup_read) from pg_stat_user_tables)
"""


def test_a_new_postgresql_database_without_statistics_reads_few_rows_for_each_of_a_first_list(postgres):
    name = postgres.make_database("test_1")
    with postgres.connect(name) as connection:
        for table in TABLES:
            connection.execute(f"alter table {table} set (autovacuum_enabled = false)")
    rows = [row(f"p{n}@x", make_orcid_id(10_000 + n), line=n) for n in range(2_000)]
    with closing(open_store(postgres.url(name), timeout=5.0)) as store:
        results = store.attested_links.add(UNIVERSITY, rows, "operator", NOON, system=Attester("cris", ("idm",)))
        for number, result in enumerate(results):
            assert result.outcome == "linked"
            if number % 50 == 0:
                # Others link meanwhile
                make_link(store, f"q{number}@x", make_orcid_id(number), transfers=("idm",))
                store.links.person_status(UNIVERSITY, f"q{number}@x")

    with postgres.connect(name) as connection:
        (read,) = connection.execute(READ_ROWS).fetchone()
    # An index by which one query reads all links of the organisation would make it a thousand
    assert read < 100 * len(rows)


def test_each_refusal_has_a_text():
    assert REFUSAL_TEXTS.keys() == set(Refusal) - {Refusal.INVALID}


def test_a_differing_id_is_recorded_for_the_person_once(store):
    make_link(store, MAIJA, SECOND)

    for each in (row(), row(orcid_id=THIRD), row(at=NOON), row(orcid_id=THIRD, source="Converis"), row()):
        become(store, each)

    told = [each.facts["orcid"] for each in store.audit.list_events(UNIVERSITY, MAIJA) if each.actor != "person"]
    assert told == [FIRST.uri, THIRD.uri]
    assert events(store)[-1] == ("attestation-refused", "organisation")
    # Of another link it is another question
    make_link(store, MAIJA, make_orcid_id(4))
    become(store, row())
    assert events(store)[-1] == ("attestation-refused", "organisation")


@pytest.mark.parametrize("batch", [1, 500])
@pytest.mark.parametrize("dry_run", [True, False])
def test_each_row_has_one_result_in_its_order(store, monkeypatch, batch, dry_run):
    monkeypatch.setattr("sql.repositories.attested_links.BATCH_SIZE", batch)
    attest(store, [(MAIJA, FIRST), (VILLE, SECOND)])
    invalid = RowResult(4, "", Outcome.REFUSED, Refusal.INVALID, "it is not JSON")
    fourth, fifth = make_orcid_id(4), make_orcid_id(5)

    results = become(
        store,
        row(MAIJA, THIRD),  # and FIRST is free from here on
        row(VILLE, FIRST),
        row("a@x", SECOND),
        invalid,
        row("B@x", fourth),
        row("b@x", fifth),
        row("c@x", fourth),
        row("d@x", fifth),
        dry_run=dry_run,
    )

    expected = ["replaced", "replaced", "linked", "invalid", "linked", "repeated", "repeated", "repeated"]
    assert results == expected
    assert store.links.count(UNIVERSITY) == (2 if dry_run else 4)
    assert len({change.id for change in store.changes.list_after(UNIVERSITY, 0, 99)}) == (2 if dry_run else 6)


def test_no_row_is_stored_before_the_first_result_is_read(store):
    results = store.attested_links.add(UNIVERSITY, [row()], "operator", NOON)

    assert store.links.count(UNIVERSITY) == 0
    next(results)
    assert store.links.count(UNIVERSITY) == 1


def test_an_interrupted_list_leaves_whole_transactions_and_can_be_repeated(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.attested_links.BATCH_SIZE", 2)
    rows = [row(f"{n}@x", make_orcid_id(10 + n), line=n) for n in range(5)]
    left = set()

    for step in range(1, 200):
        try:
            become(make_failing_store(store, step, fail), *rows, transfers=("idm",))
            break
        except InjectedFailure:
            number = store.links.count(UNIVERSITY)
            left.add(number)
            assert store.changes.last_number(UNIVERSITY) == number
            assert store.audit.compare_with_links(UNIVERSITY) == []

    assert left - {5} == {0, 2, 4}
    assert become(store, *rows) == ["unchanged"] * 5
    assert len(list(store.deliveries.list_waiting(UNIVERSITY))) == 5


def test_others_can_write_between_two_transactions(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.attested_links.BATCH_SIZE", 1)
    monkeypatch.setattr("sql.repositories.attested_links.MAX_BUSY", 0)
    paused = []
    monkeypatch.setattr("sql.repositories.attested_links.sleep", paused.append)

    results = store.attested_links.add(UNIVERSITY, [row(), row(VILLE, SECOND)], "operator", NOON)
    next(results)
    make_link(store, VILLE, THIRD)

    assert [each.refusal for each in results] == ["linked-by-person"]
    assert len(paused) == 2


def test_a_person_may_replace_an_attested_id_or_make_it_their_own(store):
    attest(store, [(MAIJA, FIRST), (VILLE, SECOND)])

    assert store.links.add(answered(store, MAIJA, FIRST), "", make_consent(at=NOON), FIRST, NOON, "x") is None
    change = store.links.add(answered(store, VILLE, THIRD), "", make_consent(at=NOON), SECOND, NOON, "y")

    assert (change.kind, change.previous) == ("replaced", SECOND)
    own = store.links.get(UNIVERSITY, MAIJA)
    assert (own.orcid_id, own.attested, own.consent) == (FIRST, False, make_consent(at=NOON))
    assert events(store) == [("linked", "operator"), ("authenticated", "person")]
    assert become(store, row(orcid_id=THIRD), row(VILLE, SECOND)) == ["orcid-in-use", "linked-by-person"]
    assert store.audit.compare_with_links(UNIVERSITY) == []


def test_put_and_remove_check_their_precondition(store):
    class NotAsRequired(Exception):
        pass

    def refuse(link):
        seen.append(link)
        raise NotAsRequired

    seen = []
    put, remove = store.attested_links.put, store.attested_links.remove
    with pytest.raises(NotAsRequired):
        put(UNIVERSITY, row(), NOON, precondition=refuse)
    result, link = put(UNIVERSITY, row(), NOON, system=Attester("cris", ("idm",)))
    with pytest.raises(NotAsRequired):
        remove(UNIVERSITY, MAIJA, NOON, precondition=refuse)

    assert seen == [None, link]
    assert (result.outcome, link.orcid_id) == ("linked", FIRST)
    assert remove(UNIVERSITY, MAIJA, NOON, dry_run=True).links == 1
    assert store.links.count(UNIVERSITY) == 1
    assert remove(UNIVERSITY, MAIJA, NOON, system=Attester("cris", ("idm",))).links == 1
    assert remove(UNIVERSITY, MAIJA, NOON).links == 0
    assert changes(store)[-1] == ("removed", MAIJA, None, FIRST, "attested", "cris")
    # The organisation may attest again what it did not attest any more
    assert put(UNIVERSITY, row(), NOON)[0].outcome == "linked"


def test_a_link_that_the_person_made_is_not_removed(store):
    make_link(store, MAIJA, FIRST)

    with pytest.raises(LinkedByPerson):
        store.attested_links.remove(UNIVERSITY, MAIJA, NOON)

    assert store.links.count(UNIVERSITY) == 1


def test_an_attested_id_that_orcid_merged_stays_attested(store):
    deprecated(store)

    assert store.links.get(UNIVERSITY, MAIJA).attested


def test_many_rows_need_little_more_memory_than_few(store):
    def most_memory(first, count):
        rows = (row(f"person {number}", make_orcid_id(number)) for number in range(first, first + count))
        tracemalloc.start()
        try:
            linked = sum(
                1 for _ in store.attested_links.add(UNIVERSITY, rows, "operator", NOON, system=Attester(None, ("idm",)))
            )
            return linked, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_memory(1, 10)
    (_, few), (linked, many) = most_memory(1_000, 1_000), most_memory(10_000, 3_000)

    assert linked == 3_000
    # An account and an iD of each row, to find repeated ones
    assert many - few < 400 * 2_000
