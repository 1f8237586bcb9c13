"""What is owed is delivered: at once, by the worker, in order, and whatever the other side does."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from unittest.mock import Mock

import pytest

from demo.idm.app import SECRET
from demo.idm.app import Idm as DemoIdm
from demo.idm.server import serve
from resolver_connector.delivery.backoff import BACKOFF, MAX_AGE
from resolver_connector.delivery.dispatcher import make_worker_id
from resolver_connector.delivery.settings import WorkerSettings
from resolver_connector.delivery.worker import Job
from resolver_connector.transfers.base import DeliveryResult, Outcome
from resolver_connector.transfers.rest import RestTransfer
from sql.errors import StoreUnavailable
from sql.records import DeliveryState
from sql.store import open_store
from tests.support.delivery import (
    AWAY,
    STORED,
    Broken,
    Idm,
    LogRecorder,
    Running,
    eventually,
    make_dispatcher,
    make_worker,
)
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock

MAIJA = "maija@yliopisto.example"
AKE = "ake@yliopisto.example"
MINUTE = timedelta(minutes=1)
WAITING, DONE, DEAD_LETTER = DeliveryState.WAITING, DeliveryState.DONE, DeliveryState.DEAD_LETTER


@pytest.fixture
def clock():
    return Clock()


def link(store, person=MAIJA, number=1, transfers=("idm",), now=NOON):
    """Link a person to the iD of a number."""
    return make_link(store, person, make_orcid_id(number), now=now, transfers=transfers)


def unlink(store, person=MAIJA, transfers=("idm",), now=NOON):
    """End a person's link."""
    return store.links.remove(UNIVERSITY, person, "person", "asked to", now, transfers=transfers)


def standing(store, person=MAIJA):
    """Tell how a person's deliveries stand, newest first."""
    return [(each.state, each.outcome) for each in store.deliveries.list_for_person(UNIVERSITY, person)]


# At once


def test_a_change_is_delivered_at_once_to_each_transfer(store, clock):
    idm, ldap = Idm(), Idm(DeliveryResult(Outcome.ALREADY_THERE, "We have it"))
    change = link(store, transfers=("idm", "ldap"))

    told = make_dispatcher(store, {"idm": idm, "ldap": ldap}, clock).deliver_now(change)

    assert [(each.transfer, each.state, each.outcome, each.message) for each in told] == [
        ("idm", DONE, "stored", ""),
        ("ldap", DONE, "already-there", "We have it"),
    ]
    (change_message,) = idm.got
    assert (change_message.id, change_message.kind, change_message.account, change_message.orcid_id) == (
        change.id,
        change.kind,
        MAIJA,
        make_orcid_id(1),
    )
    assert (change_message.organisation, change_message.key, change_message.previous, change_message.at) == (
        UNIVERSITY,
        "eppn",
        None,
        NOON,
    )


def test_transfers_are_tried_in_parallel(store, clock):
    together = threading.Barrier(2, timeout=20)

    class Meeting(Idm):
        def deliver(self, message, *, now, timeout):
            together.wait()
            return STORED

    change = link(store, transfers=("idm", "ldap"))

    told = make_dispatcher(store, {"idm": Meeting(), "ldap": Meeting()}, clock).deliver_now(change)

    assert [each.state for each in told] == [DONE, DONE]


def test_a_slow_delivery_is_not_awaited_and_ends_in_its_thread(store, clock):
    slow, quick = Idm(), Idm()
    slow.open.clear()
    change = link(store, transfers=("quick", "slow"))

    told = make_dispatcher(store, {"slow": slow, "quick": quick}, clock, interactive_timeout=0.5).deliver_now(change)

    assert [(each.transfer, each.state) for each in told] == [("quick", DONE), ("slow", WAITING)]
    assert told[1].lease_expires_at == NOON + WorkerSettings().lease_duration
    slow.open.set()
    eventually(lambda: standing(store) == [(DONE, "stored")] * 2)


def test_a_person_waits_for_ten_seconds_at_most_and_a_lease_outlasts_every_try():
    settings = WorkerSettings()

    longest = max(settings.interactive_timeout, settings.try_timeout)
    assert settings.interactive_try_timeout < settings.interactive_timeout <= 10
    assert settings.lease_duration > timedelta(seconds=2 * longest)


def test_only_the_change_that_was_just_made_is_tried_while_a_person_waits(store, clock):
    idm = Idm()
    link(store, AKE, 2)
    change = link(store, MAIJA)

    make_dispatcher(store, {"idm": idm}, clock).deliver_now(change)

    assert idm.accounts() == [MAIJA]


def test_without_transfers_there_is_no_wait(store, clock):
    assert make_dispatcher(store, {}, clock).deliver_now(link(store, transfers=())) == []


def test_an_unavailable_store_does_not_fail_the_request(store, clock, tmp_path):
    log = LogRecorder()
    gone = open_store(f"sqlite://{tmp_path}/none/links.db")

    told = make_dispatcher(gone, {"idm": Idm()}, clock, log).deliver_now(link(store))

    assert (told, log.words(), log.bugs) == ([], ["store-unavailable"], [])


def test_a_bug_in_a_transfer_loses_nothing(store, clock):
    log = LogRecorder()

    (told,) = make_dispatcher(store, {"idm": Broken()}, clock, log).deliver_now(link(store))

    assert (told.state, told.outcome) == (WAITING, "temporary")
    assert MAIJA not in told.message
    assert [type(bug) for bug in log.bugs] == [ZeroDivisionError]


# What each answer comes to


@pytest.mark.parametrize(
    ("outcome", "word", "state"),
    [
        (Outcome.STORED, "delivered", DONE),
        (Outcome.ALREADY_THERE, "delivered", DONE),
        (Outcome.UNKNOWN_PERSON, "dead-letter", DEAD_LETTER),
        (Outcome.CONFLICT, "dead-letter", DEAD_LETTER),
        (Outcome.REFUSED, "dead-letter", DEAD_LETTER),
        (Outcome.TEMPORARY, "rescheduled", WAITING),
        (Outcome.MISCONFIGURED, "rescheduled", WAITING),
    ],
)
def test_temporary_failures_are_retried_and_refusals_are_not(store, clock, outcome, word, state):
    log = LogRecorder()
    link(store)
    worker = make_worker(store, {"idm": Idm(DeliveryResult(outcome, "Their words"))}, clock, log)

    told = worker.run_once()

    (delivery,) = store.deliveries.list_for_person(UNIVERSITY, MAIJA)
    assert told == {word: 1}
    assert (delivery.state, delivery.outcome, delivery.message) == (state, outcome.value, "Their words")
    assert log.lines == [(word, {"organisation": "yliopisto", "transfer": "idm", "outcome": outcome.value, "tries": 1})]


def test_the_log_contains_no_personal_data(store, clock):
    log = LogRecorder()
    link(store)

    make_worker(store, {"idm": Idm(DeliveryResult(Outcome.REFUSED, f"We do not like {MAIJA}"))}, clock, log).run_once()

    assert "maija" not in str(log.lines)
    assert "0000-0000" not in str(log.lines)


def test_a_failure_is_retried_for_three_days_and_then_a_dead_letter(store, clock):
    idm = Idm(AWAY)
    link(store)
    worker = make_worker(store, {"idm": idm}, clock)
    tries = []

    while store.deliveries.list_for_person(UNIVERSITY, MAIJA)[0].waiting:
        clock.now = max(clock.now, store.deliveries.list_for_person(UNIVERSITY, MAIJA)[0].next_try_at)
        tries.append(clock.now - NOON)
        worker.run_once()

    assert tries[:4] == [timedelta(), BACKOFF[0], sum(BACKOFF[:2], timedelta()), sum(BACKOFF[:3], timedelta())]
    assert tries[-1] == MAX_AGE
    assert len(tries) == len(idm.got) == 10
    assert standing(store) == [(DEAD_LETTER, "temporary")]
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked", "dead-letter"]


def test_misconfigured_transfers_are_tried_less_often(store, clock):
    idm = Idm(DeliveryResult(Outcome.MISCONFIGURED))
    change = link(store)

    (told,) = make_dispatcher(store, {"idm": idm}, clock).deliver_now(change)

    assert told.next_try_at == NOON + BACKOFF[2]


def test_a_removed_transfer_is_reported(store, clock):
    link(store, transfers=("gone",))

    make_worker(store, {"idm": Idm()}, clock).run_once()

    (delivery,) = store.deliveries.list_for_person(UNIVERSITY, MAIJA)
    assert (delivery.state, delivery.outcome) == (WAITING, "misconfigured")
    assert "no longer has a transfer of this name" in delivery.message


def test_dead_letters_are_retried_on_request(store, clock):
    idm = Idm(DeliveryResult(Outcome.UNKNOWN_PERSON))
    link(store)
    worker = make_worker(store, {"idm": idm}, clock)
    worker.run_once()
    worker.run_once()
    idm.answer = STORED

    store.deliveries.retry(UNIVERSITY, None, clock.now)
    worker.run_once()

    assert len(idm.got) == 2
    assert standing(store) == [(DONE, "stored")]


# Leaving the other side alone


def test_a_requested_wait_holds_for_all_workers(store, clock):
    busy, other = Idm(DeliveryResult(Outcome.TEMPORARY, "Later", timedelta(minutes=7))), Idm()
    link(store, MAIJA, 1, ("busy", "other"))
    worker = make_worker(store, {"busy": busy, "other": other}, clock)
    worker.run_once()
    link(store, AKE, 2, ("busy", "other"))

    clock.passes(minutes=6)
    worker.run_once()
    assert (busy.accounts(), other.accounts()) == ([MAIJA], [MAIJA, AKE])

    busy.answer = STORED
    clock.passes(minutes=1)
    worker.run_once()
    worker.run_once()
    assert sorted(busy.accounts()[1:]) == [AKE, MAIJA]


def test_after_five_failures_a_transfer_is_probed_with_one_delivery_at_a_time(store, clock):
    idm = Idm(AWAY)
    for number in range(1, 10):
        link(store, f"person{number}@yliopisto.example", number)
    worker = make_worker(store, {"idm": idm}, clock, max_workers_per_transfer=1)

    worker.run_once()
    assert len(idm.got) == 5

    clock.passes(seconds=61)
    worker.run_once()
    assert len(idm.got) == 6

    idm.answer = STORED
    clock.passes(seconds=61)
    worker.run_once()
    clock.passes(days=1)
    worker.run_once()
    assert store.deliveries.breakers(UNIVERSITY)[0].open_until is None
    assert [(each.state, each.count) for each in store.deliveries.counts(UNIVERSITY)] == [(DONE, 9)]


def test_a_refusal_closes_the_breaker(store, clock):
    idm = Idm(AWAY)
    link(store, AKE, 2)
    worker = make_worker(store, {"idm": idm}, clock)
    worker.run_once()
    idm.answer = DeliveryResult(Outcome.UNKNOWN_PERSON)
    link(store, MAIJA)

    worker.run_once()

    (breaker,) = store.deliveries.breakers(UNIVERSITY)
    assert (breaker.consecutive_failures, breaker.open_until) == (0, None)


def test_an_unreachable_receiver_delays_no_other_delivery(store, clock):
    dead, live = Idm(AWAY), Idm()
    dead.open.clear()
    worker = make_worker(store, {"dead": dead, "live": live}, clock, max_workers=4, max_workers_per_transfer=2)
    for number in range(1, 11):
        link(store, f"person{number}@yliopisto.example", number, ("dead", "live"))

    with Running(worker):
        # The dead one holds as many hands as it may, and all its deliveries are due
        eventually(lambda: dead.waiting == 2)
        eventually(lambda: len(live.got) == 10)
        assert len(dead.got) == 2
        dead.open.set()

    assert (live.waiting, dead.waiting) == (0, 0)


# In order


def test_a_removal_never_overtakes_its_link(store, clock):
    idm = Idm(AWAY)
    dispatcher, worker = make_dispatcher(store, {"idm": idm}, clock), make_worker(store, {"idm": idm}, clock)
    dispatcher.deliver_now(link(store, number=1))
    dispatcher.deliver_now(link(store, number=2))
    (last,) = dispatcher.deliver_now(unlink(store))
    assert (idm.kinds(), last.state, last.tries) == (["linked"], WAITING, 0)

    idm.answer = STORED
    clock.passes(minutes=1)
    worker.run_once()

    assert idm.kinds() == ["linked", "linked", "replaced", "removed"]
    assert standing(store) == [(DONE, "stored")] * 3


def test_delivering_once_includes_what_becomes_due_meanwhile(store, clock, monkeypatch):
    idm, claim = Idm(), store.deliveries.claim
    idm.open.clear()
    link(store)
    unlink(store)

    def slowly(*arguments, **words):
        found = claim(*arguments, **words)
        if not found and not idm.open.is_set():
            idm.open.set()
            eventually(lambda: (DONE, "stored") in standing(store))
            time.sleep(0.1)
        return found

    monkeypatch.setattr(store.deliveries, "claim", slowly)

    assert make_worker(store, {"idm": idm}, clock).run_once() == {"delivered": 2}


def test_two_workers_at_once_deliver_everything_once_and_in_order(store, store_url, clock):
    idm = Idm()
    people = [f"person{number}@yliopisto.example" for number in range(1, 13)]
    for number, person in enumerate(people, 1):
        link(store, person, number)
        link(store, person, number + 100)
        unlink(store, person)

    with ExitStack() as stack:
        for _ in range(2):
            own = open_store(store_url)
            stack.callback(own.close)
            stack.enter_context(
                Running(make_worker(own, {"idm": idm}, clock, max_workers=3, max_workers_per_transfer=3))
            )
        eventually(lambda: [each.state for each in store.deliveries.counts(UNIVERSITY)] == [DONE])

    assert len({change_message.id for change_message in idm.got}) == len(idm.got) == 36
    for person in people:
        assert [change_message.kind.value for change_message in idm.got if change_message.account == person] == [
            "linked",
            "replaced",
            "removed",
        ]


# The worker itself


def test_the_delivery_of_a_dead_worker_is_reclaimed_after_its_lease(store, clock):
    idm = Idm()
    link(store)
    lease = WorkerSettings().lease_duration
    store.deliveries.claim("one that died", NOON, lease, 10)
    worker = make_worker(store, {"idm": idm}, clock)

    assert worker.run_once() == {}
    clock.passes(seconds=lease.total_seconds())
    assert worker.run_once() == {"delivered": 1}


def test_a_worker_that_lost_its_lease_stores_no_result(store, clock):
    log, idm = LogRecorder(), Idm()
    idm.open.clear()
    link(store)

    with Running(make_worker(store, {"idm": idm}, clock, log)):
        eventually(lambda: idm.waiting == 1)
        later = NOON + 2 * WorkerSettings().lease_duration
        (taken,) = store.deliveries.claim("another", later, WorkerSettings().lease_duration, 10)
        idm.open.set()
        eventually(lambda: log.words() == ["lease-lost"])

    assert store.deliveries.list_for_person(UNIVERSITY, MAIJA) == [taken]


def test_a_worker_delivers_what_comes_while_it_runs(store, clock):
    idm = Idm()

    with Running(make_worker(store, {"idm": idm}, clock)):
        link(store)
        eventually(lambda: standing(store) == [(DONE, "stored")])


def test_a_worker_that_is_stopped_lets_its_tries_end(store, clock):
    idm = Idm()
    idm.open.clear()
    link(store)
    worker = make_worker(store, {"idm": idm}, clock, poll_interval=30)

    with Running(worker) as running:
        eventually(lambda: idm.waiting == 1)
        link(store, AKE, 2)
        worker.stop()
        running.thread.join(0.2)
        assert running.thread.is_alive()
        idm.open.set()

    assert standing(store, MAIJA) == [(DONE, "stored")]
    assert standing(store, AKE) == [(WAITING, None)]


def test_a_worker_outlives_a_store_that_is_away(clock, tmp_path):
    log = LogRecorder()
    gone = open_store(f"sqlite://{tmp_path}/none/links.db")

    with Running(make_worker(gone, {"idm": Idm()}, clock, log)):
        eventually(lambda: len(log.lines) > 2)

    assert set(log.words()) == {"store-unavailable"}


def failing(error):
    """Make a job that raises this error."""
    return Job("mail", Mock(side_effect=error))


def test_a_bug_in_a_job_stops_no_delivery_and_no_other_job(store, clock):
    log, runs = LogRecorder(), []
    jobs = [failing(ZeroDivisionError), Job("count", runs.append)]

    with Running(make_worker(store, {"idm": Idm()}, clock, log, jobs, error_interval=60)):
        eventually(lambda: len(runs) > 2)
        link(store)
        eventually(lambda: standing(store) == [(DONE, "stored")])

    assert [type(each) for each in log.bugs] == [ZeroDivisionError]


def test_a_job_that_failed_runs_again_after_an_interval(store, clock):
    log = LogRecorder()

    with Running(make_worker(store, {}, clock, log, [failing(ZeroDivisionError)], error_interval=0.05)):
        begun = time.monotonic()
        eventually(lambda: len(log.bugs) == 4)

    assert time.monotonic() - begun > 3 * 0.05


def test_a_job_runs_again_when_its_interval_has_passed_since_it_succeeded(store, clock):
    runs = []
    worker = make_worker(store, {}, clock, jobs=[Job("count", runs.append, 15 * MINUTE)])

    for _ in range(4):
        worker.run_once()
        clock.passes(minutes=7.5)

    assert runs == [NOON, NOON + 15 * MINUTE]


@pytest.mark.parametrize("error", [ZeroDivisionError(), StoreUnavailable("away")], ids=["bug", "store away"])
def test_a_failed_job_is_named_in_the_log_and_counted(store, clock, error):
    log = LogRecorder()
    link(store)

    events = make_worker(store, {"idm": Idm()}, clock, log, [failing(error)]).run_once()

    assert events == {"delivered": 1, "job-failed": 1}
    assert log.lines[1] == ("job-failed", {"job": "mail"})
    assert (log.bugs or log.lines[2:]) == ([error] if log.bugs else [("store-unavailable", {"reason": "away"})])


def test_a_worker_that_gets_no_thread_just_now_delivers_when_it_gets_one(store, clock, monkeypatch):
    log, submit, refusals = LogRecorder(), ThreadPoolExecutor.submit, [RuntimeError("can't start new thread")] * 20

    def sometimes(pool, *work):
        if refusals:
            raise refusals.pop()
        return submit(pool, *work)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", sometimes)
    link(store)

    with Running(make_worker(store, {"idm": Idm()}, clock, log, lease_duration=timedelta(0))):
        eventually(lambda: standing(store) == [(DONE, "stored")])

    assert len(log.bugs) == 20


def test_a_worker_continues_despite_a_failing_organisation(store, clock):
    idm = Idm()
    make_link(store, "ville@amk.example", make_orcid_id(9), POLYTECHNIC, transfers=["theirs"])
    link(store)

    told = make_worker(store, {"idm": idm}, clock).run_once()

    assert told == {"delivered": 1, "rescheduled": 1}


def test_no_two_workers_have_the_same_name():
    assert make_worker_id() != make_worker_id()
    assert make_worker_id().count(":") == 3


# Receivers over HTTP


@pytest.fixture
def idm():
    """A made-up identity management, and a transfer to it."""
    idm = DemoIdm([MAIJA, AKE], now=NOON.timestamp)
    with serve(idm) as server:
        yield idm, RestTransfer(url=f"{server.address}/v1", signing_secrets=(SECRET,))


def test_a_link_a_replacement_and_a_removal_arrive_over_http(store, clock, idm):
    there, transfer = idm
    dispatcher = make_dispatcher(store, {"idm": transfer}, clock)
    held = []

    for change in (lambda: link(store, number=1), lambda: link(store, number=2), lambda: unlink(store)):
        dispatcher.deliver_now(change())
        held.append(there.get_ids(MAIJA))

    assert held == [{make_orcid_id(1).bare}, {make_orcid_id(2).bare}, set()]
    assert standing(store) == [(DONE, "stored")] * 3


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("hang", ("temporary", NOON + BACKOFF[0])),
        ("reset", ("temporary", NOON + BACKOFF[0])),
        ("500", ("temporary", NOON + BACKOFF[0])),
        ("429", ("temporary", NOON + timedelta(seconds=120))),
        ("503", ("temporary", NOON + 5 * MINUTE)),
        ("html", ("misconfigured", NOON + BACKOFF[2])),
        ("301", ("misconfigured", NOON + BACKOFF[2])),
    ],
)
def test_a_failing_receiver_is_retried_until_the_change_arrives(store, clock, idm, how, expected):
    there, transfer = idm
    outcome, next_at = expected
    there.set_fault(how)
    dispatcher = make_dispatcher(store, {"idm": transfer}, clock, interactive_try_timeout=0.5)

    (told,) = dispatcher.deliver_now(link(store))

    assert (told.state, told.outcome, told.next_try_at) == (WAITING, outcome, next_at)
    there.clear_fault()
    clock.now = next_at
    there.webhook.now = clock.now.timestamp
    make_worker(store, {"idm": transfer}, clock).run_once()
    assert there.get_ids(MAIJA) == {make_orcid_id(1).bare}
