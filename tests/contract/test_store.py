"""What the store promises, on each engine."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from shibboleth.orcid_id import Registry
from sql.engines.base import queries
from sql.errors import (
    AttemptClosed,
    AttemptNotAuthenticated,
    ConstraintViolation,
    InvalidUrl,
    LinkChanged,
    OrcidIdInUse,
    StoreUnavailable,
    UnstorableText,
)
from sql.records import ChangeKind, PersonStatus
from sql.store import open_store
from tests.support.database import driver_of, make_sqlite, opened
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    answered,
    make_attempt,
    make_consent,
    make_link,
    make_orcid_id,
)
from tests.support.store_faults import InjectedFailure, fail, make_failing_store, replace_link, steps_to_replace
from webapp.linking.attempt_cleanup import AttemptCleanup

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND, THIRD = make_orcid_id(1), make_orcid_id(2), make_orcid_id(3)
LATER = NOON + timedelta(minutes=5)


def at_once(*actions):
    """Do several things at the same moment, each in its own thread, and give what each gave or raised."""
    barrier = Barrier(len(actions))

    def run(action):
        barrier.wait()
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - what was raised is what is asked for
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def meddle(store, statement):
    """Change the database as somebody with its password could."""
    with store.engine.transaction() as session:
        session.script(statement + ";")


def take(store, attempt, now, **other):
    """Take an attempt by the state with the hash `hash`, as who began it, or otherwise."""
    who = {
        "person_key": attempt.person_key,
        "browser_hash": attempt.browser_hash,
        "organisation_id": attempt.organisation,
    }
    said = {"state_hash": "hash", **who, **other}
    return store.attempts.consume_state(
        said["state_hash"], said["organisation_id"], said["person_key"], said["browser_hash"], now
    )


# Attempts


def test_an_attempt_is_found_by_its_state_and_by_its_id(store):
    attempt = make_attempt()

    store.attempts.add(attempt, "hash")

    assert store.attempts.get_by_state("hash") == attempt
    assert store.attempts.get(attempt.id) == attempt


def test_an_unknown_state_finds_nothing(store):
    store.attempts.add(make_attempt(), "hash")

    assert store.attempts.get_by_state("another") is None
    assert store.attempts.get("another") is None


def test_a_state_is_unique(store):
    store.attempts.add(make_attempt(), "hash")

    with pytest.raises(ConstraintViolation):
        store.attempts.add(make_attempt(), "hash")


def test_a_state_is_consumed_once(store):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    taken = take(store, attempt, LATER), take(store, attempt, LATER + timedelta(minutes=1))

    assert taken == (replace(attempt, consumed_at=LATER), None)
    assert store.attempts.get(attempt.id).consumed_at == LATER


def test_of_eight_concurrent_callbacks_one_consumes_the_state(store):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    taken = at_once(*[lambda: take(store, attempt, LATER)] * 8)

    assert Counter(taken) == {replace(attempt, consumed_at=LATER): 1, None: 7}


@pytest.mark.parametrize(
    "other",
    [{"organisation_id": POLYTECHNIC}, {"person_key": VILLE}, {"browser_hash": "another"}, {"state_hash": "another"}],
)
def test_a_state_is_bound_to_its_person_and_browser(store, other):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    assert take(store, attempt, LATER, **other) is None
    assert take(store, attempt, LATER) is not None


def test_an_expired_state_cannot_be_consumed(store):
    early, late = make_attempt(), make_attempt()
    store.attempts.add(early, "early")
    store.attempts.add(late, "late")

    assert take(store, early, early.expires_at - timedelta(microseconds=1), state_hash="early") is not None
    assert take(store, late, late.expires_at, state_hash="late") is None


def test_the_state_of_a_closed_attempt_cannot_be_consumed(store):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    store.attempts.close(attempt.id, "cancelled", LATER)

    assert take(store, attempt, LATER) is None


def test_orcids_answer_is_stored_until_the_attempt_ends(store):
    attempt = answered(store, orcid_id=FIRST)

    ended = store.attempts.close(attempt.id, "declined", LATER)

    assert (attempt.orcid_id, attempt.orcid_name) == (FIRST, "Maija Mäkelä")
    assert ended
    after = store.attempts.get(attempt.id)
    assert (after.orcid_id, after.orcid_name, after.outcome, after.closed_at) == (None, "", "declined", LATER)


def test_an_attempt_ends_once(store):
    attempt = answered(store)
    store.attempts.close(attempt.id, "declined", LATER)

    again = store.attempts.close(attempt.id, "cancelled", LATER)

    assert not again
    assert store.attempts.get(attempt.id).outcome == "declined"


def test_an_answer_after_the_end_of_the_attempt_is_not_stored(store):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")
    store.attempts.close(attempt.id, "cancelled", LATER)

    kept = (
        store.attempts.save_orcid_answer(attempt.id, FIRST, "Maija"),
        store.attempts.save_orcid_answer(attempt.id, FIRST, "", if_free=True),
    )

    assert kept == (False, False)
    assert store.attempts.get(attempt.id).orcid_id is None


def test_an_answer_is_kept_if_no_account_of_the_organisation_has_the_id(store):
    make_link(store, VILLE, FIRST)
    make_link(store, "someone@amk.example", SECOND, POLYTECHNIC)
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    assert not store.attempts.save_orcid_answer(attempt.id, FIRST, "Maija", if_free=True)
    assert store.attempts.get(attempt.id).orcid_id is None
    assert store.attempts.save_orcid_answer(attempt.id, SECOND, "Maija", if_free=True)
    assert store.attempts.get(attempt.id).orcid_id == SECOND


def test_a_name_with_characters_that_no_database_holds_arrives_without_them(store):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    store.attempts.save_orcid_answer(attempt.id, FIRST, "Mai\0ja \ud800 Mäkelä 😀")

    assert store.attempts.get(attempt.id).orcid_name == "Maija ? Mäkelä 😀"


def test_attempts_a_day_out_of_date_are_deleted(store):
    old, young = make_attempt(started_at=NOON), make_attempt(started_at=NOON + timedelta(hours=2))
    store.attempts.add(old, "old")
    store.attempts.add(young, "young")

    AttemptCleanup().run(store.attempts, NOON + timedelta(hours=25, seconds=1))

    assert store.attempts.get(old.id) is None
    assert store.attempts.get(young.id) == young


def test_all_expired_attempts_are_deleted_however_many_they_are(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.attempts.DELETE_BATCH", 2)
    attempts = [make_attempt() for _ in range(5)]
    for attempt in attempts:
        store.attempts.add(attempt, f"hash of {attempt.id}")

    store.attempts.delete_expired(NOON + timedelta(hours=2))

    assert [store.attempts.get(each.id) for each in attempts] == [None] * 5


def test_expired_attempts_are_not_looked_for_each_time(store):
    cleanup, old = AttemptCleanup(), make_attempt(started_at=NOON - timedelta(days=9))
    cleanup.run(store.attempts, NOON)
    store.attempts.add(old, "old")

    cleanup.run(store.attempts, NOON + timedelta(minutes=9))
    soon = store.attempts.get(old.id)
    cleanup.run(store.attempts, NOON + timedelta(minutes=11))

    assert soon is not None
    assert store.attempts.get(old.id) is None


def test_a_time_without_a_zone_is_refused(store):
    with pytest.raises(ValueError, match="zone"):
        take(store, make_attempt(), datetime(2026, 1, 15))  # noqa: DTZ001 - the very thing that is refused


# Links


def test_a_person_links_an_orcid_id(store):
    attempt = answered(store, orcid_id=FIRST, account="Maija@yliopisto.example")
    consent = make_consent(at=LATER)

    change = store.links.add(attempt, "2019-08-01", consent, None, LATER, "link-1")

    link = store.links.get(UNIVERSITY, MAIJA)
    assert (change.number, change.kind, change.orcid_id, change.previous) == (1, ChangeKind.LINKED, FIRST, None)
    assert (change.person_key, change.account, change.at) == (MAIJA, "Maija@yliopisto.example", LATER)
    assert (link.id, link.orcid_id, link.account, link.account_issued_at) == (
        "link-1",
        FIRST,
        "Maija@yliopisto.example",
        "2019-08-01",
    )
    assert (link.consent, link.linked_at, link.current) == (consent, LATER, True)
    assert store.links.get_by_orcid_id(UNIVERSITY, FIRST) == link
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert list(store.links.list_current(UNIVERSITY)) == [link]
    assert store.links.count(UNIVERSITY) == 1
    assert store.attempts.get(attempt.id).outcome == "linked"
    assert store.attempts.get(attempt.id).orcid_id is None


def test_a_new_store_has_no_links(store):
    assert store.links.get(UNIVERSITY, MAIJA) is None
    assert store.links.get_by_orcid_id(UNIVERSITY, FIRST) is None
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []
    assert list(store.links.list_current(UNIVERSITY)) == []
    assert store.links.count(UNIVERSITY) == 0
    assert store.changes.last_number(UNIVERSITY) == 0
    assert store.changes.list_after(UNIVERSITY, 0, 10) == []


def test_another_orcid_id_replaces_the_first(store):
    make_link(store, MAIJA, FIRST)
    attempt = answered(store, MAIJA, SECOND)

    change = store.links.add(attempt, "", make_consent(), FIRST, LATER, "link-2")

    assert (change.number, change.kind, change.orcid_id, change.previous) == (2, ChangeKind.REPLACED, SECOND, FIRST)
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [SECOND]
    assert store.links.get_by_orcid_id(UNIVERSITY, FIRST) is None
    assert store.links.count(UNIVERSITY) == 1
    assert store.attempts.get(attempt.id).outcome == "replaced"


@pytest.mark.parametrize("shown", [None, FIRST])
def test_the_same_orcid_id_again_changes_nothing(store, shown):
    make_link(store, MAIJA, FIRST)
    before = store.links.get(UNIVERSITY, MAIJA)
    attempt = answered(store, MAIJA, FIRST)

    change = store.links.add(attempt, "", make_consent(), shown, LATER, "link-2")

    assert change is None
    assert store.links.get(UNIVERSITY, MAIJA) == before
    assert store.changes.last_number(UNIVERSITY) == 1
    assert store.attempts.get(attempt.id).outcome == "unchanged"
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked", "unchanged"]


def test_an_account_issued_again_begins_a_link_of_its_own(store):
    store.links.add(answered(store, MAIJA, FIRST), "2019-08-01", make_consent(), None, NOON, "link-1")

    change = store.links.add(answered(store, MAIJA, FIRST), "2025-08-01", make_consent(), FIRST, LATER, "link-2")

    assert change.kind is ChangeKind.REPLACED
    assert store.links.get(UNIVERSITY, MAIJA).account_issued_at == "2025-08-01"


def test_the_same_time_of_issue_in_another_form_changes_nothing(store):
    store.links.add(answered(store, MAIJA, FIRST), "20190801", make_consent(), None, NOON, "link-1")

    for number, issued in enumerate(["2019-08-01", "20190801120000.0Z", "2019-08-01T12:00:00+03:00", "soon", ""]):
        attempt = answered(store, MAIJA, FIRST)
        assert store.links.add(attempt, issued, make_consent(), FIRST, LATER, f"link-1-{number}") is None

    assert store.links.get(UNIVERSITY, MAIJA).id == "link-1"


@pytest.mark.parametrize("shown", [None, THIRD])
def test_a_link_that_is_not_what_the_person_was_shown_is_not_replaced(store, shown):
    make_link(store, MAIJA, FIRST)
    current = store.links.get(UNIVERSITY, MAIJA)

    with pytest.raises(LinkChanged) as raised:
        store.links.add(answered(store, MAIJA, SECOND), "", make_consent(), shown, LATER, "link-2")

    assert raised.value.current == current
    assert store.links.get(UNIVERSITY, MAIJA) == current


def test_a_link_that_ended_meanwhile_is_not_replaced(store):
    with pytest.raises(LinkChanged) as raised:
        store.links.add(answered(store, MAIJA, SECOND), "", make_consent(), FIRST, LATER, "link-2")

    assert raised.value.current is None


def test_an_orcid_id_belongs_to_one_person_of_an_organisation(store):
    make_link(store, MAIJA, FIRST)
    attempt = answered(store, VILLE, FIRST)

    with pytest.raises(OrcidIdInUse) as raised:
        store.links.add(attempt, "", make_consent(), None, LATER, "link-2")

    assert raised.value.orcid_id == FIRST
    assert store.links.get(UNIVERSITY, VILLE) is None
    assert store.attempts.get(attempt.id) == attempt


def test_in_two_organisations_an_orcid_id_may_be_linked(store):
    make_link(store, MAIJA, FIRST, UNIVERSITY)

    change = make_link(store, "maija@amk.example", FIRST, POLYTECHNIC)

    assert change.number == 1
    assert store.links.get_by_orcid_id(POLYTECHNIC, FIRST).person_key == "maija@amk.example"


def test_the_same_number_of_the_other_registry_is_another_orcid_id(store):
    sandbox = make_orcid_id(1, Registry.SANDBOX)
    make_link(store, MAIJA, FIRST)

    make_link(store, VILLE, sandbox)

    assert store.links.get_by_orcid_id(UNIVERSITY, FIRST).person_key == MAIJA
    assert store.links.get_by_orcid_id(UNIVERSITY, sandbox).person_key == VILLE
    assert store.links.orcid_ids(UNIVERSITY, VILLE) == [sandbox]


def test_an_unlinked_orcid_id_may_be_linked_by_another_person(store):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)

    make_link(store, VILLE, FIRST)

    assert store.links.get_by_orcid_id(UNIVERSITY, FIRST).person_key == VILLE


def test_the_stored_attempt_is_linked_and_not_the_argument(store):
    attempt = answered(store, MAIJA, FIRST)

    store.links.add(replace(attempt, orcid_id=SECOND, person_key=VILLE), "", make_consent(), None, LATER, "link-1")

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert store.links.orcid_ids(UNIVERSITY, VILLE) == []


def test_confirming_is_idempotent(store):
    attempt = answered(store)
    store.links.add(attempt, "", make_consent(), None, LATER, "link-1")

    with pytest.raises(AttemptClosed) as raised:
        store.links.add(attempt, "", make_consent(), None, LATER, "link-2")

    assert raised.value.attempt.outcome == "linked"
    assert store.changes.last_number(UNIVERSITY) == 1


def test_a_deleted_attempt_counts_as_closed(store):
    attempt = make_attempt()

    with pytest.raises(AttemptClosed) as raised:
        store.links.add(attempt, "", make_consent(), None, LATER, "link-1")

    assert raised.value.attempt is None


def test_an_attempt_of_another_organisation_than_is_said_links_nothing(store):
    attempt = answered(store)

    with pytest.raises(AttemptClosed):
        store.links.add(replace(attempt, organisation=POLYTECHNIC), "", make_consent(), None, LATER, "link-1")

    assert store.changes.last_number(POLYTECHNIC) == store.changes.last_number(UNIVERSITY) == 0


def test_an_attempt_that_orcid_has_not_answered_links_nothing(store):
    attempt = make_attempt()
    store.attempts.add(attempt, "hash")

    with pytest.raises(AttemptNotAuthenticated) as raised:
        store.links.add(attempt, "", make_consent(), None, LATER, "link-1")

    assert raised.value.attempt == attempt
    assert store.links.get(UNIVERSITY, MAIJA) is None


def test_of_two_confirmations_at_once_one_links(store):
    attempt = answered(store)

    answers = at_once(
        *[
            lambda link_id=link_id: store.links.add(attempt, "", make_consent(), None, LATER, link_id)
            for link_id in ("link-1", "link-2")
        ]
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["AttemptClosed", "Change"]
    assert store.changes.last_number(UNIVERSITY) == 1
    assert store.audit.verify(UNIVERSITY) == []


def test_an_attempt_cannot_be_cancelled_while_it_is_confirmed(store):
    attempt = answered(store)
    after_the_questions = 6

    with ThreadPoolExecutor(1) as pool:
        cancelled = []

        def cancel_now():
            cancelled.append(pool.submit(store.attempts.close, attempt.id, "cancelled", LATER))
            wait(cancelled, timeout=0.1)

        make_failing_store(store, after_the_questions, cancel_now).links.add(
            attempt, "", make_consent(), None, LATER, "link-1"
        )

    assert [each.result() for each in cancelled] == [False]
    assert store.attempts.get(attempt.id).outcome == "linked"


def test_of_two_people_confirming_one_id_one_gets_it(store):
    attempts = [answered(store, person, FIRST) for person in (MAIJA, VILLE)]

    answers = at_once(
        *[
            lambda attempt=attempt: store.links.add(attempt, "", make_consent(), None, LATER, f"link of {attempt.id}")
            for attempt in attempts
        ]
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["Change", "OrcidIdInUse"]
    assert store.links.count(UNIVERSITY) == 1


@pytest.mark.parametrize("columns", ["person_key, orcid", "orcid, person_key"])
def test_the_database_itself_refuses_a_second_current_link(store, columns):
    make_link(store, MAIJA, FIRST)
    kept, other = columns.split(", ")

    with pytest.raises(ConstraintViolation):
        meddle(
            store,
            "insert into links (id, organisation, person_key, account, account_issued_at, registry, orcid, linked_at,"
            " consent_digest, consent_at) select 'forged', organisation,"
            f" {kept if kept == 'person_key' else repr('x')}, account, account_issued_at, registry,"
            f" {kept if kept == 'orcid' else repr('y')}, linked_at, consent_digest, consent_at from links",
        )

    assert other
    assert store.links.count(UNIVERSITY) == 1


# A link is whole or not at all


def whole_or_not_at_all(store, person_key, old, new):
    """Tell whether a replacement is whole; assert that it is not there by halves."""
    link = store.links.get(UNIVERSITY, person_key)
    kinds = [event.kind for event in store.audit.list_events(UNIVERSITY, person_key)]
    changes = [
        change.kind for change in store.changes.list_after(UNIVERSITY, 0, 1000) if change.person_key == person_key
    ]
    attempt = store.attempts.get(f"attempt of {person_key}")
    done = link.orcid_id == new
    assert link.orcid_id == (new if done else old)
    assert kinds == (["linked", "replaced"] if done else ["linked"])
    assert changes == (["linked", "replaced"] if done else ["linked"])
    assert attempt is None or attempt.outcome == ("replaced" if done else None)
    return done


def test_link_event_and_change_are_atomic(store):
    make_link(store, "counted", make_orcid_id(1))
    steps = steps_to_replace(store)

    done = []
    for step in range(1, steps + 1):
        person, number = f"person {step}", 2 * step + 100
        make_link(store, person, make_orcid_id(number - 1))
        with pytest.raises(InjectedFailure):
            replace_link(make_failing_store(store, step, fail), person, number)
        done.append(whole_or_not_at_all(store, person, make_orcid_id(number - 1), make_orcid_id(number)))

    assert done == [False] * (steps - 1) + [True]
    assert store.audit.verify(UNIVERSITY) == []
    numbers = [change.number for change in store.changes.list_after(UNIVERSITY, 0, 1000)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_process_killed_at_any_step_leaves_a_whole_link_or_none(store, store_url):
    make_link(store, "counted", make_orcid_id(1))
    steps = steps_to_replace(store)
    for step in range(1, steps + 1):
        make_link(store, f"person {step}", make_orcid_id(2 * step + 99))

    subprocess.run([sys.executable, "-m", "tests.support.store_faults", store_url, str(steps)], check=True)

    done = [
        whole_or_not_at_all(store, f"person {step}", make_orcid_id(2 * step + 99), make_orcid_id(2 * step + 100))
        for step in range(1, steps + 1)
    ]
    assert done == [False] * (steps - 1) + [True]
    assert store.audit.verify(UNIVERSITY) == []


REFUSE = {
    "Sqlite": "create trigger refuse before {verb} on {table} begin select raise(abort, 'refused'); end",
    "Postgres": (
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;"
        "create trigger refuse before {verb} on {table} execute function refuse()"
    ),
}


@pytest.mark.parametrize(
    ("verb", "table"),
    [
        ("update", "links"),
        ("insert", "links"),
        ("insert", "changes"),
        ("update", "attempts"),
        ("insert", "events"),
        ("update", "organisations"),
    ],
)
def test_a_failing_statement_rolls_back_the_transaction(store, verb, table):
    make_link(store, MAIJA, FIRST)
    attempt = answered(store, MAIJA, SECOND, id=f"attempt of {MAIJA}")
    meddle(store, REFUSE[type(store.engine).__name__].format(verb=verb, table=table))

    with pytest.raises((StoreUnavailable, ConstraintViolation)):
        store.links.add(attempt, "", make_consent(text="Other words"), FIRST, LATER, "link-2")

    assert not whole_or_not_at_all(store, MAIJA, FIRST, SECOND)
    assert store.attempts.get(attempt.id) == attempt


# Removing


def test_a_link_can_be_ended(store):
    make_link(store, MAIJA, FIRST)

    change = store.links.remove(UNIVERSITY, MAIJA, "operator", "wrong person", LATER)

    assert (change.number, change.kind, change.orcid_id, change.previous) == (2, ChangeKind.REMOVED, None, FIRST)
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []
    assert store.links.count(UNIVERSITY) == 0
    last = list(store.audit.list_events(UNIVERSITY))[-1]
    assert (last.kind, last.actor, last.facts["reason"]) == ("removed", "operator", "wrong person")


def test_ending_a_link_is_idempotent(store):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)

    again = store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)

    assert again is None
    assert store.changes.last_number(UNIVERSITY) == 2


def test_another_link_than_the_expected_one_is_not_ended(store):
    make_link(store, MAIJA, SECOND)

    with pytest.raises(LinkChanged) as raised:
        store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER, expected=FIRST)

    assert raised.value.current.orcid_id == SECOND
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [SECOND]


def test_the_expected_link_is_ended(store):
    make_link(store, MAIJA, FIRST)

    change = store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER, expected=FIRST)

    assert change.kind is ChangeKind.REMOVED


# Texts


@pytest.mark.parametrize(
    "person_key",
    [
        "мария@yliopisto.example",
        "李明@yliopisto.example",
        "o'neil; drop table links;--@x",
        "%(id)s :id %s @x",
        "😀\\\t@x",
    ],
)
def test_a_key_may_hold_any_script_and_any_sign(store, person_key):
    make_link(store, person_key, FIRST)

    assert store.links.orcid_ids(UNIVERSITY, person_key) == [FIRST]
    assert [link.person_key for link in store.links.list_current(UNIVERSITY)] == [person_key]
    assert [event.person_key for event in store.audit.list_events(UNIVERSITY, person_key)] == [person_key]
    assert store.audit.verify(UNIVERSITY) == []


@pytest.mark.parametrize("nobody", ["a\0b", "\ud800"])
def test_an_impossible_key_finds_nothing(store, nobody):
    make_link(store, MAIJA, FIRST)

    assert store.links.orcid_ids(UNIVERSITY, nobody) == []
    assert store.links.get(UNIVERSITY, nobody) is None
    assert list(store.links.list_current(nobody)) == []


@pytest.mark.parametrize("impossible", ["a\0b", "\ud800"])
def test_unstorable_values_are_refused_by_name(store, impossible):
    with pytest.raises(UnstorableText) as raised:
        store.attempts.add(make_attempt(person_key=impossible, account="x"), "hash")

    assert raised.value.name == "person_key"
    with pytest.raises(UnstorableText):
        store.audit.add(UNIVERSITY, "declined", "person", impossible, {}, NOON)


def test_a_changed_consent_text_is_stored_under_the_same_version(store):
    make_link(store, MAIJA, FIRST)
    consent = make_consent(text="Other words under the same version")

    store.links.add(answered(store, VILLE, SECOND), "", consent, None, LATER, "link-2")

    assert store.links.get(UNIVERSITY, VILLE).consent.text == "Other words under the same version"
    assert store.links.get(UNIVERSITY, MAIJA).consent.text == make_consent().text


# Changes and events


def test_changes_are_numbered_for_each_organisation_by_itself(store):
    for number in range(1, 6):
        make_link(store, f"person {number}", make_orcid_id(number), UNIVERSITY)
    make_link(store, "maija@amk.example", FIRST, POLYTECHNIC)

    first, second, third = (store.changes.list_after(UNIVERSITY, after, 2) for after in (0, 2, 4))

    assert [[change.number for change in page] for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
    assert store.changes.last_number(UNIVERSITY) == 5
    assert store.changes.last_number(POLYTECHNIC) == 1


def test_all_links_are_given_page_by_page(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.base.PAGE_SIZE", 2)
    for number in range(1, 6):
        make_link(store, f"person {number}", make_orcid_id(number))
    make_link(store, "elsewhere", FIRST, POLYTECHNIC)

    links = store.links.list_current(UNIVERSITY)

    assert [link.person_key for link in links] == [f"person {number}" for number in range(1, 6)]


def test_events_without_a_change_are_audited(store):
    store.audit.add(UNIVERSITY, "declined", "person", MAIJA, {"where": "at ORCID"}, LATER)

    (event,) = store.audit.list_events(UNIVERSITY)
    assert (event.number, event.kind, event.actor, event.person_key) == (1, "declined", "person", MAIJA)
    assert event.facts == {"where": "at ORCID"}
    assert store.changes.last_number(UNIVERSITY) == 0


@pytest.mark.parametrize("page", [2, 3, 100])
@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"newest_first": True}, [6, 5, 4, 3, 2, 1]),
        ({"limit": 4}, [1, 2, 3, 4]),
        ({"limit": 0}, []),
        ({"newest_first": True, "limit": 3}, [6, 5, 4]),
        ({"person_key": MAIJA}, [1, 3, 5]),
        ({"person_key": MAIJA, "newest_first": True}, [5, 3, 1]),
    ],
)
def test_events_are_given_page_by_page_either_way(store, monkeypatch, page, choice, numbers):
    monkeypatch.setattr("sql.repositories.audit_log.PAGE_SIZE", page)
    for number in range(6):
        store.audit.add(UNIVERSITY, "declined", "person", (MAIJA, VILLE)[number % 2], {}, NOON)

    assert [event.number for event in store.audit.list_events(UNIVERSITY, **choice)] == numbers


# The chain


def write_history(store):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    make_link(store, MAIJA, THIRD)
    store.links.remove(UNIVERSITY, VILLE, "person", "asked to", LATER)
    store.audit.add(UNIVERSITY, "check", "operator", None, {}, LATER)


def test_an_unchanged_audit_log_is_valid(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.audit_log.PAGE_SIZE", 2)
    write_history(store)

    assert store.audit.verify(UNIVERSITY) == []
    assert store.audit.verify(POLYTECHNIC) == []


SWAP = """
update events set number = 9 where number = 2;
update events set number = 2 where number = 3;
update events set number = 3 where number = 9
"""


@pytest.mark.parametrize(
    ("meddling", "problems"),
    [
        ("update events set kind = 'declined' where number = 3", ["event 3 was changed, or the event before it was"]),
        ("update events set actor = 'service' where number = 3", ["event 3 was changed, or the event before it was"]),
        ("update events set at = '2020' where number = 1", ["event 1 was changed, or the event before it was"]),
        (
            "update events set hash = digest where number = 2",
            [f"event {number} was changed, or the event before it was" for number in (2, 3)],
        ),
        ("update events set person_key = 'x' where number = 2", ["the facts of event 2 were changed"]),
        ("update events set facts = null where number = 2", ["the facts of event 2 were changed"]),
        (
            "update events set facts = (select facts from events where number = 1) where number = 3",
            ["the facts of event 3 were changed"],
        ),
        ("delete from events where number = 2", ["event 2 is missing"]),
        ("delete from events where number < 4", ["events 1 to 3 are missing"]),
        (
            "delete from events where number > 3",
            ["the last events are missing: 5 were written, and the last one found is 3"],
        ),
        ("delete from events", ["the last events are missing: 5 were written, and the last one found is 0"]),
        (
            SWAP,
            [f"event {number} was changed, or the event before it was" for number in (2, 3, 4)],
        ),
        (
            "update organisations set last_event_number = 4",
            [
                "event 4 is not the one that was written last",
                "there are events after number 4, which this program did not write",
            ],
        ),
        ("delete from organisations", ["there are events, but the row with their number is missing"]),
    ],
)
def test_manipulations_of_the_audit_log_are_detected(store, meddling, problems):
    write_history(store)

    meddle(store, meddling)

    assert store.audit.verify(UNIVERSITY) == problems


# How things stand


def test_an_unknown_person_has_an_empty_status(store):
    assert store.links.person_status(UNIVERSITY, MAIJA) == PersonStatus(None)


def test_the_status_is_current(store):
    make_link(store, VILLE, SECOND, transfers=("idm",))
    change = make_link(store, MAIJA, FIRST, transfers=("idm", "archive"))
    store.changes.acknowledge(UNIVERSITY, change.number, LATER)

    standing = store.links.person_status(UNIVERSITY, MAIJA)

    assert standing.link == store.links.get(UNIVERSITY, MAIJA)
    assert (standing.newest_change, standing.fetched_at) == ("linked", LATER)
    assert list(standing.deliveries) == store.deliveries.list_for_change(UNIVERSITY, change.number)
    assert [each.transfer for each in standing.deliveries] == ["archive", "idm"]
    assert store.links.person_status(UNIVERSITY, MAIJA, deliveries=False) == replace(standing, deliveries=())


def test_after_a_removal_the_newest_change_is_the_removal(store):
    change = make_link(store, MAIJA, FIRST)
    store.changes.acknowledge(UNIVERSITY, change.number, LATER)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)

    # The organisation has fetched the link, and not yet that it went
    assert store.links.person_status(UNIVERSITY, MAIJA) == PersonStatus(None, ChangeKind.REMOVED)


# The disk, the connections, the URL


DURABLE = {"Sqlite": ("pragma synchronous", 2), "Postgres": ("show synchronous_commit", "on")}


def test_every_commit_is_durable(store):
    question, durable = DURABLE[type(store.engine).__name__]

    with store.engine.connection() as connection:
        row = connection.execute(question).fetchone()

    assert list(dict(row).values()) == [durable]


def test_a_store_can_be_used_again_after_it_was_disconnected(store):
    make_link(store, MAIJA, FIRST)

    store.close()

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]


def test_a_store_that_was_not_used_can_be_disconnected(store_url):
    open_store(store_url).close()


FORK = """
import os, sys
from sql.store import open_store
store = open_store(sys.argv[1])
store.links.count("x")
store.close()
child = os.fork()
if child == 0:
    store.links.count("x")
    store.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
store.links.count("x")
store.close()
sys.exit(status)
"""


def test_after_a_disconnect_parent_and_child_of_a_fork_each_have_their_own_connections(store_url):
    done = subprocess.run([sys.executable, "-c", FORK, store_url], check=False, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")


FORKED_WRITE = """
import os, sys
from tests.support.factories import NOON
from sql.store import open_store
from tests.support.database import driver_of
store = open_store(sys.argv[1])
store.links.count("x")
store.close()
child = os.fork()
if child == 0:
    store.audit.add("x", "imported", "operator", None, {}, NOON)
    store.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert len(list(store.audit.list_events("x"))) == 1
store.close()
sys.exit(status)
"""


def test_the_first_thing_that_a_child_of_a_fork_does_may_be_to_write(store, store_url):
    done = subprocess.run([sys.executable, "-c", FORKED_WRITE, store_url], check=False, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")


def test_values_larger_than_a_network_buffer_are_stored(store):
    text = "x" * 8_000_000

    store.audit.add(UNIVERSITY, "imported", "operator", None, {"source": text}, NOON)

    assert [len(event.facts["source"]) for event in store.audit.list_events(UNIVERSITY)] == [len(text)]


def test_a_table_with_a_new_column_can_be_read(store, store_url):
    make_link(store, MAIJA, FIRST)
    # So often that a driver prepares the statement
    for _ in range(20):
        assert store.links.get(UNIVERSITY, MAIJA) is not None
    other = open_store(store_url)
    meddle(other, "alter table links add column another text")
    try:
        failed = 0
        for _ in range(20):
            try:
                assert store.links.get(UNIVERSITY, MAIJA) is not None
            except StoreUnavailable:
                failed += 1
        # On PostgreSQL the first to ask learns of it by an error
        assert failed <= 1
    finally:
        meddle(other, "alter table links drop column another")
        other.close()


def test_many_threads_read_and_write_at_once(store):
    def one(number):
        make_link(store, f"person {number}", make_orcid_id(number))
        return store.links.orcid_ids(UNIVERSITY, f"person {number}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(1, 41)))

    assert found == [[make_orcid_id(number)] for number in range(1, 41)]
    assert store.audit.verify(UNIVERSITY) == []
    assert [change.number for change in store.changes.list_after(UNIVERSITY, 0, 100)] == list(range(1, 41))


@pytest.mark.parametrize("slashes", ["///", "////"])
def test_the_path_of_a_file_is_absolute_however_many_slashes(tmp_path, slashes):
    store = open_store(f"sqlite:{slashes}{str(tmp_path)[1:]}/my%20links%25.db")

    store.engine.create()

    assert [path.name for path in tmp_path.iterdir()] == ["my links%.db"]


def test_a_file_is_made_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        open_store(f"sqlite://{tmp_path}/links.db").engine.create()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "links.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "url",
    [
        "",
        "links.db",
        "/var/lib/links.db",
        "mysql://localhost/links",
        "sqlite:links.db",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/links.db",
        "sqlite:///links.db?mode=ro",
        "sqlite:///links.db#part",
        "postgresql://user:hunter2@[host/links",
    ],
)
def test_a_url_that_names_no_store_is_refused_without_quoting_it(url):
    with pytest.raises(InvalidUrl) as raised:
        open_store(url)

    assert "hunter2" not in str(raised.value)


def test_without_its_driver_postgresql_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "sql.engines.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(InvalidUrl, match=r"pip install 'orcid-connect\[postgres\]'"):
        open_store("postgresql://user@127.0.0.1/links")


# Speed by construction


ATTESTED = {"organisation": "o", "person_key": "p", "registry": "r", "orcid": "x"}


@pytest.mark.parametrize(
    ("query", "values", "index"),
    [
        ("get_current_orcid_id", {"organisation": "o", "person_key": "p"}, "one_current_link_for_a_person"),
        ("get_link", {"organisation": "o", "person_key": "p"}, "one_current_link_for_a_person"),
        ("list_links", {"organisation": "o", "after": "", "limit": 1}, "one_current_link_for_a_person"),
        ("list_link_summaries", {"organisation": "o", "after": "", "limit": 1}, "one_current_link_for_a_person"),
        ("get_link_by_orcid_id", {"organisation": "o", "registry": "r", "orcid": "x"}, "one_person_for_an_orcid_id"),
        ("lock_attempt", {"id": "x"}, "one_current_link_for_a_person"),
        ("lock_attempt", {"id": "x"}, "one_person_for_an_orcid_id"),
        (
            "save_orcid_answer_if_free",
            {"id": "x", "registry": "r", "orcid": "x", "orcid_name": ""},
            "one_person_for_an_orcid_id",
        ),
        (
            "consume_attempt",
            {"state_hash": "h", "organisation": "o", "person_key": "p", "browser_hash": "b", "now": "t"},
            "(state_hash=?)",
        ),
        (
            "get_person_status",
            {"organisation": "o", "person_key": "p", "stable_id": "s", "account_issued_at": ""},
            "one_current_link_for_a_person",
        ),
        (
            "get_person_status",
            {"organisation": "o", "person_key": "p", "stable_id": "s", "account_issued_at": ""},
            "changes_of_a_person",
        ),
        ("list_deliveries_of_newest_change", {"organisation": "o", "person_key": "p"}, "changes_of_a_person"),
        ("list_changes_after", {"organisation": "o", "after": 0, "limit": 1}, "(organisation=? AND number>?)"),
        ("list_events_after", {"organisation": "o", "after": 0, "limit": 1}, "(organisation=? AND number>?)"),
        (
            "list_person_events_before",
            {"organisation": "o", "person_key": "p", "before": 9, "limit": 1, "without": ""},
            "events_of_a_person",
        ),
        (
            "has_change_of_others",
            {"organisation": "o", "person_key": "p", "orcid": "x", "credential": "c"},
            "changes_of_a_person",
        ),
        (
            "has_change_of_others",
            {"organisation": "o", "person_key": "p", "orcid": "x", "credential": "c"},
            "changes_by_previous_person",
        ),
        (
            "has_change_of_others",
            {"organisation": "o", "person_key": "p", "orcid": "x", "credential": "c"},
            "changes_by_orcid",
        ),
        (
            "has_change_of_others",
            {"organisation": "o", "person_key": "p", "orcid": "x", "credential": "c"},
            "changes_by_previous_orcid",
        ),
        ("delete_links_of_person", {"organisation": "o", "person_key": "p"}, "links_of_a_person"),
        ("get_attestation_history", ATTESTED, "links_of_a_person"),
        ("get_attestation_history", ATTESTED, "ended_links_by_orcid_id"),
        ("get_attestation_history", ATTESTED, "events_of_a_person"),
        (
            "delete_ended_links_of_person",
            {"organisation": "o", "person_key": "p", "event_number": 1},
            "links_of_a_person",
        ),
        ("get_attempt_by_state", {"state_hash": "h"}, "(state_hash=?)"),
        ("list_expired_attempts", {"before": "t", "limit": 1}, "attempts_by_expiry"),
        (
            "list_claims",
            {"organisation": "o", "registry": "production", "orcid": "i", "now": "t"},
            "attempts_that_claim",
        ),
    ],
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_no_query_scans_a_table(store, query, values, index):
    text = "explain query plan " + queries()[query]

    plan = [row["detail"] for row in driver_of(store).execute(text, values)]

    assert any(index in step for step in plan)
    # A subquery that is one row of its own is no table
    assert not any(step.startswith("SCAN") and step not in {"SCAN CONSTANT ROW", "SCAN person"} for step in plan)
    assert not any("TEMP B-TREE" in step for step in plan)


QUERIES_OF_A_PERSON = (
    "list_links_of_person",
    "delete_links_of_person",
    "list_affiliation_permissions_of_person",
    "list_affiliation_items_of_person",
    "list_tokens_of_person",
    "revoke_tokens_of_person",
)
VALUES_OF_A_PERSON = {"organisation": "o", "person_key": "p", "limit": 1, "now": "t"}


def test_sqlite_finds_current_and_former_links_of_a_person_by_an_index(tmp_path):
    with closing(open_store(make_sqlite(tmp_path))) as store:
        for query in QUERIES_OF_A_PERSON:
            found = driver_of(store).execute("explain query plan " + queries()[query], VALUES_OF_A_PERSON)
            plan = "\n".join(row["detail"] for row in found)

            index = r"USING (COVERING )?INDEX links_of_a_person \(person_key=\? AND organisation=\?\)"
            assert re.search(index, plan), query
            assert not re.search(r"^SCAN", plan, re.MULTILINE), query


def test_postgresql_finds_current_and_former_links_of_a_person_by_an_index(postgres):
    # A new database: what other tests left in the statistics of a table would change the plan
    with opened(postgres.url(postgres.make_database(template="test_1"))) as connection:
        connection.execute("set enable_seqscan = off")
        for query in QUERIES_OF_A_PERSON:
            text = "explain (costs off) " + re.sub(r":(\w+)", r"%(\1)s", queries()[query])
            plan = "\n".join(row for (row,) in connection.execute(text, VALUES_OF_A_PERSON))

            condition = r"Index Cond: \(\(person_key = 'p'::text\) AND \(organisation = 'o'::text\)\)"
            assert re.search(rf"links_of_a_person.*\s+{condition}", plan), query
            assert "Seq Scan" not in plan, query
