"""Links that were made elsewhere come all together or not at all; on each engine."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest

from sql.repositories.imports import AttestedLink, ImportResult, RejectionReason
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, answered, make_consent, make_link, make_orcid_id
from tests.support.store_faults import InjectedFailure, fail, make_failing_store

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND, THIRD = make_orcid_id(1), make_orcid_id(2), make_orcid_id(3)
LONG_AGO = NOON - timedelta(days=900)
SOURCE = "the research information system"


def row(line, person, orcid_id, authenticated_at=None):
    """Give a row to import."""
    return AttestedLink(line, person, person.title(), orcid_id, authenticated_at)


def people(count):
    """Give so many persons with an iD each."""
    return (row(number, f"person {number}", make_orcid_id(100 + number)) for number in range(count))


def take_in(store, rows, **other):
    """Import rows for the university, and give what came of it and what was rejected."""
    rejected = []
    imported = store.imports.add(
        UNIVERSITY,
        rows,
        SOURCE,
        LONG_AGO,
        NOON,
        reject=lambda each, reason: rejected.append((each.line, reason)),
        **other,
    )
    return imported, rejected


def test_persons_are_linked_by_their_organisations_word(store):
    imported, rejected = take_in(store, [row(2, MAIJA, FIRST), row(3, VILLE, SECOND, NOON - timedelta(days=3))])

    maija, ville = store.links.list_current(UNIVERSITY)
    assert (imported, rejected) == (ImportResult(linked=2, unchanged=0, rejected=0, written=True), [])
    assert (maija.orcid_id, maija.account, maija.linked_at) == (FIRST, MAIJA.title(), NOON)
    assert (maija.source, maija.authenticated_at) == (SOURCE, LONG_AGO)
    assert (ville.source, ville.authenticated_at) == (SOURCE, NOON - timedelta(days=3))
    assert SOURCE in maija.consent.text
    assert maija.consent.at == LONG_AGO


def test_what_is_linked_here_was_authenticated_at_orcid(store):
    make_link(store, MAIJA, FIRST)

    link = store.links.get(UNIVERSITY, MAIJA)

    assert (link.source, link.authenticated_at) == ("orcid", None)


def test_each_imported_link_has_its_change(store):
    make_link(store, "earlier", THIRD)

    take_in(store, [row(2, MAIJA, FIRST), row(3, VILLE, SECOND)])
    make_link(store, "later", make_orcid_id(4))

    changes = store.changes.list_after(UNIVERSITY, 1, 10)
    assert [(change.number, change.kind, change.person_key, change.orcid_id) for change in changes] == [
        (2, "linked", MAIJA, FIRST),
        (3, "linked", VILLE, SECOND),
        (4, "linked", "later", make_orcid_id(4)),
    ]
    assert len({change.id for change in changes}) == 3
    assert store.changes.last_number(UNIVERSITY) == 4


def test_each_imported_link_is_owed_to_the_transfers(store):
    take_in(store, [row(2, MAIJA, FIRST), row(3, VILLE, SECOND)], transfers=("idm", "ldap"))

    owed = store.deliveries.claim("worker", NOON, timedelta(minutes=1), 10)

    assert [(delivery.transfer, delivery.change_number) for delivery in owed] == [
        ("idm", 1),
        ("idm", 2),
        ("ldap", 1),
        ("ldap", 2),
    ]


def test_the_audit_has_one_line_for_all(store):
    take_in(store, [row(2, MAIJA, FIRST), row(3, VILLE, SECOND)])

    (event,) = store.audit.list_events(UNIVERSITY)

    assert (event.kind, event.actor, event.person_key) == ("imported", "operator", None)
    assert dict(event.facts) == {
        "source": SOURCE,
        "attested_at": "2023-07-30T12:00:00.000000Z",
        "linked": "2",
        "unchanged": "0",
    }
    assert store.audit.verify(UNIVERSITY) == []


@pytest.mark.parametrize(
    ("rows", "rejected"),
    [
        ([row(2, MAIJA, SECOND)], [(2, RejectionReason.OTHER_ORCID_ID)]),
        ([row(2, VILLE, FIRST)], [(2, RejectionReason.OTHER_PERSON)]),
        ([row(2, VILLE, SECOND), row(3, VILLE, THIRD)], [(3, RejectionReason.OTHER_ORCID_ID)]),
        ([row(2, VILLE, SECOND), row(3, "third", SECOND)], [(3, RejectionReason.OTHER_PERSON)]),
        (
            [row(2, "vil\0le", SECOND), row(3, "\ud800", THIRD)],
            [(2, RejectionReason.UNSTORABLE), (3, RejectionReason.UNSTORABLE)],
        ),
    ],
)
@pytest.mark.parametrize("batch", [1, 500])
def test_nothing_is_imported_while_a_row_is_rejected(store, monkeypatch, batch, rows, rejected):
    monkeypatch.setattr("sql.repositories.imports.PAGE_SIZE", batch)
    make_link(store, MAIJA, FIRST)
    good = row(9, "good", make_orcid_id(9))

    imported, found = take_in(store, [*rows, good], transfers=("idm",))

    assert (imported.rejected, imported.written) == (len(rejected), False)
    assert found == rejected
    assert store.links.count(UNIVERSITY) == store.changes.last_number(UNIVERSITY) == 1
    assert store.deliveries.counts(UNIVERSITY) == []
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked"]


@pytest.mark.parametrize("batch", [2, 500])
def test_importing_twice_is_the_same_as_once(store, monkeypatch, batch):
    monkeypatch.setattr("sql.repositories.imports.PAGE_SIZE", batch)
    take_in(store, people(5))

    imported, rejected = take_in(store, people(7), transfers=("idm",))

    assert imported == ImportResult(linked=2, unchanged=5, rejected=0, written=True)
    assert rejected == []
    assert store.changes.last_number(UNIVERSITY) == 7
    assert [delivery.change_number for delivery in store.deliveries.claim("worker", NOON, timedelta(1), 10)] == [6, 7]


def test_the_same_line_twice_is_the_same_as_once(store):
    imported, _ = take_in(store, [row(2, MAIJA, FIRST), row(3, MAIJA, FIRST)])

    assert (imported.linked, imported.unchanged) == (1, 1)
    assert store.changes.last_number(UNIVERSITY) == 1


def test_a_dry_run_says_what_would_come_of_it_and_writes_nothing(store):
    make_link(store, MAIJA, FIRST)
    rows = [row(2, MAIJA, FIRST), row(3, VILLE, SECOND), row(4, "third", FIRST)]

    imported, rejected = take_in(store, rows, dry_run=True)

    assert imported == ImportResult(linked=1, unchanged=1, rejected=1, written=False)
    assert rejected == [(4, RejectionReason.OTHER_PERSON)]
    assert store.links.count(UNIVERSITY) == 1


def test_a_dry_run_without_a_complaint_writes_nothing_either(store):
    imported, _ = take_in(store, people(3), dry_run=True)

    assert (imported.linked, imported.written) == (3, False)
    assert store.links.count(UNIVERSITY) == store.changes.last_number(UNIVERSITY) == 0
    assert list(store.audit.list_events(UNIVERSITY)) == []


def test_without_a_listener_rejects_are_counted(store):
    imported = store.imports.add(UNIVERSITY, [row(2, "a\0", FIRST)], SOURCE, LONG_AGO, NOON)

    assert imported.rejected == 1


def test_an_import_that_fails_at_any_step_leaves_nothing(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.imports.PAGE_SIZE", 2)
    done = []

    for step in range(1, 100):
        try:
            take_in(make_failing_store(store, step, fail), people(5), transfers=("idm",))
        except InjectedFailure:
            done.append(
                (
                    store.links.count(UNIVERSITY),
                    store.changes.last_number(UNIVERSITY),
                    len(list(store.audit.list_events(UNIVERSITY))),
                )
            )
            if done[-1] != (0, 0, 0):
                break

    assert done == [(0, 0, 0)] * (len(done) - 1) + [(5, 5, 1)]
    assert len(done) > 20


def test_an_import_whose_source_breaks_off_leaves_nothing(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.imports.PAGE_SIZE", 2)

    def broken_off():
        yield from people(5)
        fail()

    with pytest.raises(InjectedFailure):
        take_in(store, broken_off())

    assert store.links.count(UNIVERSITY) == 0


def test_another_organisation_is_not_touched(store):
    make_link(store, MAIJA, FIRST, POLYTECHNIC)

    imported, _ = take_in(store, [row(2, VILLE, FIRST)])

    assert imported.written
    assert store.links.get_by_orcid_id(POLYTECHNIC, FIRST).person_key == MAIJA


def test_an_imported_link_is_replaced_by_the_person_like_any_other(store):
    take_in(store, [row(2, MAIJA, FIRST)])

    change = store.links.add(answered(store, MAIJA, SECOND), "", make_consent(), FIRST, NOON, "own")

    assert (change.kind, change.previous) == ("replaced", FIRST)
    assert store.links.get(UNIVERSITY, MAIJA).source == "orcid"


def test_an_import_of_many_links_needs_no_more_memory_than_one_of_few(store):
    def most_memory(first, count):
        rows = (row(number, f"person {number}", make_orcid_id(number)) for number in range(first, first + count))
        tracemalloc.start()
        try:
            imported, _ = take_in(store, rows, transfers=("idm",))
            return imported.linked, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_memory(1, 10)
    (_, few), (linked, many) = most_memory(1_000, 1_000), most_memory(10_000, 3_000)

    assert linked == 3_000
    assert many < 2 * few
