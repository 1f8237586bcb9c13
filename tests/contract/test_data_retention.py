"""What is forgotten is gone: from the tables, and after a scrubbing from the database's files; on each engine."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from threading import Barrier, Thread

import psycopg
import pytest

from sql.errors import LinkChanged
from sql.records import DeliveryState
from sql.repositories.base import DeprovisionResult
from sql.store import open_store
from tests.support.database import driver_of
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, answered, make_attempt, make_consent, make_orcid_id

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND, THIRD = make_orcid_id(1), make_orcid_id(2), make_orcid_id(3)
LEASE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
IDS = iter(range(1, 1_000_000))


def link(store, person=MAIJA, orcid_id=FIRST, *, transfers=("idm",), organisation=UNIVERSITY, now=NOON):
    """Link a person to an iD, in place of whatever they had, and owe it to transfers."""
    current = store.links.get(organisation, person)
    attempt = answered(store, person, orcid_id, organisation, now)
    replacing = current.orcid_id if current else None
    return store.links.add(attempt, "", make_consent(at=now), replacing, now, f"forgotten {next(IDS)}", transfers)


def settle(store, *, give_up=False, now=NOON):
    """End every delivery that is due."""
    while found := store.deliveries.claim("worker", now, LEASE, 100):
        for delivery in found:
            if give_up:
                store.deliveries.dead_letter(delivery, "worker", "refused", f"no {delivery.person_key} here", now)
            else:
                store.deliveries.complete(delivery, "worker", "stored", f"{delivery.person_key} it is", now)


def rows_of(store):
    """Give all that the tables hold, as one text."""
    tables = ("attempts", "links", "changes", "deliveries", "events")
    if type(store.engine).__name__ == "Sqlite":
        driver = driver_of(store)
        return repr([tuple(row) for table in tables for row in driver.execute(f"select * from {table}")])
    with store.engine.connection() as connection:
        return repr([connection.execute(f"select * from {table}".encode()).fetchall() for table in tables])


# Forgetting what has arrived


@pytest.mark.parametrize("give_up", [False, True])
def test_a_delivered_or_dead_lettered_change_can_be_deleted(store, give_up):
    change = link(store, transfers=("idm", "ldap"))
    settle(store, give_up=give_up)

    forgotten = store.retention.delete_change(UNIVERSITY, change.number, NOON)

    kept = rows_of(store)
    assert forgotten
    assert MAIJA not in kept
    assert FIRST.bare not in kept
    assert store.links.get(UNIVERSITY, MAIJA) is None
    assert store.changes.list_after(UNIVERSITY, 0, 10) == []
    assert store.audit.verify(UNIVERSITY) == []


def test_kept_rows_show_deliveries_without_personal_data(store):
    link(store)
    settle(store, now=NOON + HOUR)
    store.retention.delete_change(UNIVERSITY, 1, NOON)

    (delivery,) = store.deliveries.list_for_change(UNIVERSITY, 1)

    assert (delivery.state, delivery.outcome, delivery.finished_at) == (DeliveryState.DONE, "stored", NOON + HOUR)
    assert (delivery.kind, delivery.person_key, delivery.change, delivery.message) == ("linked", None, None, "")
    assert [(count.state, count.count) for count in store.deliveries.counts(UNIVERSITY)] == [("done", 1)]
    assert [(event.kind, event.person_key) for event in store.audit.list_events(UNIVERSITY)] == [
        ("linked", None),
        ("delivered", None),
    ]
    assert store.links.get(UNIVERSITY, MAIJA) is None


def test_consent_texts_are_kept_without_personal_data(store):
    link(store)
    settle(store)
    store.retention.delete_change(UNIVERSITY, 1, NOON)

    link(store, VILLE, SECOND, now=NOON + HOUR)

    assert store.links.get(UNIVERSITY, VILLE).consent.text == make_consent().text


def test_a_change_with_a_waiting_delivery_is_not_deleted(store):
    link(store, transfers=("idm", "ldap"))
    (first, _) = store.deliveries.claim("worker", NOON, LEASE, 2)
    store.deliveries.complete(first, "worker", "stored", "", NOON)

    assert not store.retention.delete_change(UNIVERSITY, 1, NOON)
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert not store.retention.delete_change(UNIVERSITY, 2, NOON)


def test_deleting_a_change_is_idempotent(store):
    link(store)
    settle(store)
    store.retention.delete_change(UNIVERSITY, 1, NOON)

    assert not store.retention.delete_change(UNIVERSITY, 1, NOON)


def test_a_persons_data_is_deleted_with_their_last_change(store):
    link(store, orcid_id=FIRST)
    settle(store)
    link(store, orcid_id=SECOND)

    first = store.retention.delete_change(UNIVERSITY, 1, NOON)
    between = store.links.orcid_ids(UNIVERSITY, MAIJA)
    settle(store)
    second = store.retention.delete_change(UNIVERSITY, 2, NOON)

    assert (first, between, second) == (True, [SECOND], True)
    assert MAIJA not in rows_of(store)
    assert FIRST.bare not in rows_of(store)


def test_no_other_persons_data_is_deleted(store):
    link(store, MAIJA, FIRST)
    link(store, VILLE, SECOND)
    link(store, MAIJA, FIRST, organisation=POLYTECHNIC)
    settle(store)

    store.retention.delete_change(UNIVERSITY, 1, NOON)

    assert store.links.orcid_ids(UNIVERSITY, VILLE) == [SECOND]
    assert store.links.orcid_ids(POLYTECHNIC, MAIJA) == [FIRST]
    assert len(list(store.audit.list_events(POLYTECHNIC, MAIJA))) == 2


def test_an_open_attempt_is_kept_when_the_last_change_is_deleted(store):
    link(store)
    settle(store)
    attempt = answered(store, MAIJA, SECOND)

    store.retention.delete_change(UNIVERSITY, 1, NOON)

    change = store.links.add(attempt, "", make_consent(), None, NOON, "again", ("idm",))
    assert (change.number, change.kind, change.previous) == (2, "linked", None)
    assert store.audit.verify(UNIVERSITY) == []


def test_a_dead_letter_of_a_deleted_change_cannot_be_retried(store):
    link(store)
    settle(store, give_up=True)
    store.retention.delete_change(UNIVERSITY, 1, NOON)

    assert store.deliveries.retry(UNIVERSITY, None, NOON) == 0


def test_only_changes_settled_for_some_time_are_expired(store):
    link(store, MAIJA, FIRST, transfers=("idm", "ldap"))
    link(store, VILLE, SECOND, transfers=())
    before = store.retention.list_expired_changes(UNIVERSITY, NOON + 9 * HOUR)
    settle(store, now=NOON + HOUR)

    at_once = store.retention.list_expired_changes(UNIVERSITY, NOON + HOUR)
    later = store.retention.list_expired_changes(UNIVERSITY, NOON + HOUR + LEASE)

    assert (before, at_once, later) == ([2], [2], [1, 2])
    assert store.retention.list_expired_changes(UNIVERSITY, NOON + 2 * HOUR, limit=1) == [1]


def test_a_person_may_link_again_while_their_data_is_deleted(store):
    """Whichever comes first, what is linked afterwards is whole."""
    for number in range(1, 11):
        person = f"person {number}"
        old = link(store, person, make_orcid_id(number))
        settle(store)
        attempt = answered(store, person, make_orcid_id(number + 100))
        barrier = Barrier(2)

        def forget(number=old.number, barrier=barrier):
            barrier.wait()
            store.retention.delete_change(UNIVERSITY, number, NOON)

        thread = Thread(target=forget)
        thread.start()
        barrier.wait()
        for shown in (make_orcid_id(number), None):
            with suppress(LinkChanged):
                store.links.add(attempt, "", make_consent(), shown, NOON, f"again {number}", ("idm",))
                break
        thread.join()

        assert store.links.orcid_ids(UNIVERSITY, person) == [make_orcid_id(number + 100)]
        assert store.changes.newest_for_person(UNIVERSITY, person).orcid_id == make_orcid_id(number + 100)
        settle(store)
    assert store.audit.verify(UNIVERSITY) == []


# Scrubbing


def live_and_die(store):
    """Link many people, forget most of them, and give the words by which they would be found."""
    chance, words = random.Random(7), []
    for number in range(1, 301):
        person, orcid_id = f"person{chance.getrandbits(64):x}@yliopisto.example", make_orcid_id(10_000_000 + number)
        change = link(store, person, orcid_id)
        settle(store)
        if number % 10:
            store.retention.delete_change(UNIVERSITY, change.number, NOON)
            words += [person, orcid_id.bare]
    return words


def table_files(directory):
    """Give the files of tables and indexes, which have numbers for names; the server remakes its caches at any time."""
    return [path for path in directory.iterdir() if path.name[:1].isdigit()]


def found_in(paths, words):
    """Tell which of the words are in the files."""
    texts = [path.read_bytes() for path in paths]
    return [word for word in words if any(word.encode() in text for text in texts)]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_after_a_vacuum_no_sqlite_file_holds_deleted_data(store, tmp_path):
    words = live_and_die(store)
    files = [tmp_path / name for name in ("links.db", "links.db-wal", "links.db-shm")]
    before = found_in(files, words)

    scrubbed = store.vacuum(NOON)

    assert scrubbed
    assert before
    assert found_in(files, words) == []
    assert store.links.count(UNIVERSITY) == 30
    assert store.audit.verify(UNIVERSITY) == []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_vacuum_blocked_by_an_sqlite_reader_returns_false(store, tmp_path):
    hurried = open_store(f"sqlite://{tmp_path}/links.db", timeout=0.1)
    words = live_and_die(hurried)

    with closing(sqlite3.connect(tmp_path / "links.db", isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from links").fetchone()
        held_up = hurried.vacuum(NOON)
    again = hurried.vacuum(NOON)

    assert (held_up, again) == (False, True)
    assert found_in([tmp_path / "links.db"], words) == []
    hurried.close()


@pytest.fixture
def own_database(postgres):
    """A database of PostgreSQL that nobody else uses, as (name, store)."""
    name = postgres.make_database(template="test_1")
    store = open_store(postgres.url(name), timeout=0.5)
    yield name, store
    store.close()


def test_after_a_vacuum_no_postgresql_file_holds_deleted_data(postgres, own_database):
    name, store = own_database
    words = live_and_die(store)
    with postgres.connect(name) as other:
        other.execute("analyze")
        other.execute("checkpoint")
        (oid,) = other.execute("select oid from pg_database where datname = current_database()").fetchone()
    directory = postgres.data / "base" / str(oid)
    before = found_in(table_files(directory), words)

    scrubbed = store.vacuum(NOON)
    with postgres.connect(name) as other:
        other.execute("checkpoint")

    assert scrubbed
    assert before
    assert found_in(table_files(directory), words) == []
    assert store.links.count(UNIVERSITY) == 30
    assert store.audit.verify(UNIVERSITY) == []


def test_a_vacuum_blocked_by_a_postgresql_reader_returns_false(postgres, own_database):
    name, store = own_database
    with psycopg.connect(postgres.url(name)) as reader:
        reader.execute("select * from links")
        held_up = store.vacuum(NOON)

    assert not held_up
    assert store.vacuum(NOON)


def test_a_vacuum_without_permission_returns_false(postgres, own_database):
    name, _ = own_database
    with postgres.connect(name) as other:
        other.execute("drop role if exists guest")
        other.execute(f"create role guest login password '{postgres.password}'")
        other.execute("grant all on all tables in schema public to guest")
    guest = open_store(postgres.url(name).replace("//postgres:", "//guest:"))

    scrubbed = guest.vacuum(NOON)

    assert not scrubbed
    guest.close()
    with postgres.connect(name) as other:
        other.execute("drop owned by guest")
        other.execute("drop role guest")


def test_a_vacuum_deletes_expired_attempts(store):
    attempt = answered(store)
    store.attempts.add(make_attempt(VILLE, started_at=NOON + HOUR), "young")

    store.vacuum(NOON + HOUR + LEASE)

    assert store.attempts.get(attempt.id) is None
    assert store.attempts.get_by_state("young") is not None


# Whoever has left


def test_a_deprovisioned_persons_removal_is_delivered_and_attempts_deleted(store):
    link(store)
    open_attempt = answered(store, MAIJA, SECOND)

    gone = store.retention.deprovision(UNIVERSITY, MAIJA, NOON + HOUR, transfers=("idm", "ldap"))

    assert gone == DeprovisionResult(links=1, attempts=2, deliveries=2)
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []
    assert store.attempts.get(open_attempt.id) is None
    assert [delivery.kind for delivery in store.deliveries.list_for_change(UNIVERSITY, 2)] == ["removed", "removed"]
    last = list(store.audit.list_events(UNIVERSITY))[-1]
    assert (last.kind, last.actor, last.person_key) == ("removed", "organisation", MAIJA)
    assert last.facts["reason"] == "left the organisation"
    assert store.audit.verify(UNIVERSITY) == []


def test_deprovisioning_is_idempotent(store):
    link(store)
    store.retention.deprovision(UNIVERSITY, MAIJA, NOON)
    before = rows_of(store)

    gone = store.retention.deprovision(UNIVERSITY, MAIJA, NOON + HOUR, transfers=("idm",))

    assert gone == DeprovisionResult(0, 0, 0)
    assert rows_of(store) == before


def test_a_dry_run_of_deprovisioning_changes_nothing(store):
    link(store)
    before = rows_of(store)

    would_go = store.retention.deprovision(UNIVERSITY, MAIJA, NOON, transfers=("idm",), dry_run=True)

    assert would_go == DeprovisionResult(1, 1, 1)
    assert rows_of(store) == before
    assert store.retention.deprovision(UNIVERSITY, MAIJA, NOON, transfers=("idm",)) == would_go


def test_deprovisioning_a_person_without_a_link_is_an_audit_event(store):
    answered(store)

    gone = store.retention.deprovision(UNIVERSITY, MAIJA, NOON)

    assert gone == DeprovisionResult(0, 1, 0)
    assert [(event.kind, event.actor) for event in store.audit.list_events(UNIVERSITY)] == [
        ("deprovisioned", "organisation")
    ]


def test_no_other_person_is_deprovisioned(store):
    link(store, MAIJA, FIRST)
    link(store, VILLE, SECOND)
    link(store, MAIJA, FIRST, organisation=POLYTECHNIC)

    store.retention.deprovision(UNIVERSITY, MAIJA, NOON)

    assert store.links.orcid_ids(UNIVERSITY, VILLE) == [SECOND]
    assert store.links.orcid_ids(POLYTECHNIC, MAIJA) == [FIRST]
