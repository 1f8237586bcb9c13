"""The round of look-ups at ORCID: its pace, what is made of each state, and what organisations see of it."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.resolver import current_orcid_ids
from shibboleth.orcid_id import Registry
from sql.errors import StoreUnavailable
from sql.records import CONFIRMED_AFTER, RecordState, StatusBatch
from sql.replica import Replica, write_replica
from sql.store import open_store
from tests.support.database import attest_many, make_sqlite
from tests.support.delivery import UniqueRegister, make_worker
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_client, make_link, make_orcid_id
from tests.support.service import ORGANISATIONS, Clock, ask
from webapp.checks.links.records import check_records
from webapp.linking.public_api import LookupFailed, LookupPaused, RecordAnswer
from webapp.linking.status_round import BATCH_INTERVAL, BATCH_REQUESTS, RECHECK, RETRY, RecordPolicy, StatusRound

TOKEN = "t" * 40
MAIJA, AKE = "maija@yliopisto.example", "ake@yliopisto.example"
FIRST, SECOND, THIRD = (make_orcid_id(number) for number in (1, 2, 3))
OK, DEPRECATED, DEACTIVATED, LOCKED, NOT_FOUND = RecordState
DAY = timedelta(days=1)
MONTH = timedelta(days=30)


@dataclass
class Orcid:
    """An ORCID that answers what it is told to, and remembers when it was asked for what."""

    answers: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    """Failures by the number of the request."""
    requests: list = field(default_factory=list)

    def check_status(self, now):
        self._request(None, now)

    def look_up(self, orcid_id, now):
        self._request(orcid_id, now)
        answer = self.answers.get(orcid_id, RecordAnswer(OK))
        if isinstance(answer, LookupFailed):
            raise answer
        return answer

    def _request(self, orcid_id, now):
        self.requests.append((now, orcid_id))
        if failure := self.failures.get(len(self.requests)):
            raise failure

    @property
    def looked_up(self):
        return [orcid_id for _, orcid_id in self.requests if orcid_id]


@pytest.fixture
def orcid():
    return Orcid()


def make_round(store, orcid, **other):
    policy = RecordPolicy(transfers=("idm",), **other)
    return StatusRound(store, orcid, Registry.PRODUCTION, {UNIVERSITY: policy}, MONTH)


def run_until(status_round, start, end, step=BATCH_INTERVAL):
    now = start
    while now <= end:
        status_round.run(now)
        now += step


def twice(status_round, now=NOON):
    """Look up what is due, and again an hour later, and give the time."""
    later = now + CONFIRMED_AFTER
    status_round.run(now)
    status_round.run(later)
    return later


# Pace


@pytest.fixture
def quick_store(tmp_path):
    """A store in memory where the system has such a directory: 20,000 commits wait for no disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory:
        url = make_sqlite(directory)
        store = open_store(url)
        yield store, url
        store.close()


def test_ten_thousand_links_are_each_looked_up_once_a_month_at_the_pace_of_orcid(quick_store):
    store, url = quick_store
    people = [(f"p{n}@yliopisto.example", make_orcid_id(n)) for n in range(10_000)]
    attest_many(store, url, people)
    clock = Clock()
    orcid = Orcid(
        failures={
            300: LookupFailed("status 429", timedelta(hours=2)),
            301: LookupFailed("status 429"),
            900: LookupFailed("status 503", timedelta(minutes=10)),
            **{number: LookupFailed("no answer in time") for number in range(1500, 1520)},
        }
    )
    status_round = StatusRound(store, orcid, Registry.PRODUCTION, {}, MONTH, daily_requests=3_000)

    while store.record_statuses.oldest_due(Registry.PRODUCTION) <= clock():
        asked = len(orcid.requests)
        status_round.run(clock())
        # In a pause the clock goes faster: a worker asks the store every few seconds
        clock.passes(seconds=10 if len(orcid.requests) > asked else 60)
        assert clock() < NOON + timedelta(days=8)

    answered = [orcid_id for number, (_, orcid_id) in enumerate(orcid.requests, 1) if number not in orcid.failures]
    assert Counter(filter(None, answered)) == Counter(orcid_id for _, orcid_id in people)
    per_batch = Counter(now for now, _ in orcid.requests)
    times = sorted(per_batch)
    assert max(per_batch.values()) <= BATCH_REQUESTS
    assert min(later - earlier for earlier, later in pairwise(times)) >= BATCH_INTERVAL
    assert max(Counter(now.date() for now, _ in orcid.requests).values()) <= 3_000
    at = [now for now, _ in orcid.requests]
    assert at[300] - at[299] >= timedelta(hours=2)
    assert at[900] - at[899] >= timedelta(minutes=10)
    pauses = [at[number] - at[number - 1] for number in range(1500, 1520)]
    assert pauses == sorted(pauses)
    assert (pauses[0] // timedelta(minutes=1), pauses[-1] // timedelta(minutes=1)) == (1, 60)
    # Nothing more is asked until the month is over
    asked = len(orcid.requests)
    status_round.run(clock())
    assert len(orcid.requests) == asked


def test_two_workers_look_up_together_what_one_would(store, orcid):
    for number in range(1, 10):
        make_link(store, f"p{number}@yliopisto.example", make_orcid_id(number))
    one, other = make_round(store, orcid), make_round(store, orcid)
    assert store.record_statuses.batch(Registry.PRODUCTION, NOON) == StatusBatch(failures=0, requests=0)

    one.run(NOON)
    other.run(NOON)
    assert len(orcid.requests) <= BATCH_REQUESTS
    other.run(NOON + BATCH_INTERVAL)

    assert sorted(orcid.looked_up) == [make_orcid_id(number) for number in range(1, 10)]


def test_an_id_of_two_organisations_is_looked_up_once_and_both_learn_it(store, orcid):
    make_link(store, MAIJA, FIRST)
    make_link(store, "maija@amk.example", FIRST, POLYTECHNIC)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)

    make_round(store, orcid).run(NOON)

    assert orcid.looked_up == [FIRST]
    links = store.links.get(UNIVERSITY, MAIJA), store.links.get(POLYTECHNIC, "maija@amk.example")
    assert [(each.record.state, each.record.since, each.record.checked_at) for each in links] == [
        (LOCKED, NOON, NOON)
    ] * 2


def test_a_failed_look_up_changes_nothing_and_delays_no_other(store, orcid):
    make_link(store, MAIJA, FIRST)
    make_link(store, AKE, SECOND, now=NOON + timedelta(seconds=1))
    orcid.answers[FIRST] = LookupFailed("status 200 without JSON")
    status_round = make_round(store, orcid)

    run_until(status_round, NOON + timedelta(minutes=1), NOON + timedelta(minutes=5))

    assert orcid.looked_up == [FIRST, SECOND]
    assert store.links.get(UNIVERSITY, MAIJA).record is None
    orcid.answers[FIRST] = RecordAnswer(OK)
    status_round.run(NOON + timedelta(minutes=1) + RETRY)
    assert store.links.get(UNIVERSITY, MAIJA).record.state is OK


def test_a_disabled_round_sends_no_request(store, orcid):
    make_link(store, MAIJA, FIRST)

    StatusRound(store, orcid, Registry.PRODUCTION, {}, timedelta()).run(NOON)

    assert orcid.requests == []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_batch_runs_in_a_thread_and_an_error_ends_it_alone(store, orcid, monkeypatch, caplog):
    caplog.set_level("INFO")
    make_link(store, MAIJA, FIRST)
    status_round = make_round(store, orcid)
    # The lease of a batch that ended so has to expire before the next
    for error, minutes in ((StoreUnavailable("locked"), 0), (ZeroDivisionError("a bug"), 11)):
        with monkeypatch.context() as patch:
            patch.setattr(orcid, "check_status", lambda _now, error=error: (_ for _ in ()).throw(error))
            status_round.start_batch(NOON + timedelta(minutes=minutes))
            status_round._thread.join()
    assert "store-unavailable" in caplog.text
    assert "bug" in caplog.text

    status_round.start_batch(NOON + timedelta(minutes=22))
    status_round._thread.join()

    assert orcid.looked_up == [FIRST]


# States


def test_a_look_up_at_once_keeps_the_limit_of_the_day_and_the_pause_after_a_failure(store, orcid):
    make_link(store, MAIJA, FIRST)
    status_round = StatusRound(store, orcid, Registry.PRODUCTION, {}, MONTH, daily_requests=5)
    assert [status_round.check(FIRST, NOON).state for _ in range(2)] == [OK, OK]
    with pytest.raises(LookupPaused, match="of this day are used up"):
        status_round.check(FIRST, NOON)
    tomorrow = NOON + MONTH
    orcid.failures[len(orcid.requests) + 1] = LookupFailed("status 429", timedelta(hours=2))
    StatusRound(store, orcid, Registry.PRODUCTION, {}, MONTH).run(tomorrow)
    asked = len(orcid.requests)

    for wait in (timedelta(), timedelta(hours=1, minutes=59)):
        with pytest.raises(LookupPaused, match="paused") as raised:
            status_round.check(FIRST, tomorrow + wait)
        assert raised.value.retry_after == timedelta(hours=2) - wait
    assert len(orcid.requests) == asked

    assert status_round.check(FIRST, tomorrow + timedelta(hours=2)).state == OK


def test_a_normal_record_is_looked_up_again_after_the_interval_and_any_other_after_an_hour_and_then_daily(store, orcid):
    make_link(store, MAIJA, FIRST)
    make_link(store, AKE, SECOND)
    orcid.answers[SECOND] = RecordAnswer(NOT_FOUND)

    run_until(make_round(store, orcid), NOON, NOON + 3 * DAY, timedelta(minutes=10))

    times = {one: [now - NOON for now, orcid_id in orcid.requests if orcid_id == one] for one in (FIRST, SECOND)}
    assert times == {
        FIRST: [timedelta()],
        SECOND: [timedelta(), CONFIRMED_AFTER, CONFIRMED_AFTER + RECHECK, CONFIRMED_AFTER + 2 * RECHECK],
    }


CHAINS = {
    "in use": ({SECOND: OK}, SECOND),
    "merged again": ({SECOND: (DEPRECATED, THIRD), THIRD: OK}, THIRD),
    "in a circle": ({SECOND: (DEPRECATED, FIRST)}, None),
    "into itself, later": ({SECOND: (DEPRECATED, THIRD), THIRD: (DEPRECATED, SECOND)}, None),
    "deactivated": ({SECOND: DEACTIVATED}, None),
    "not there": ({SECOND: NOT_FOUND}, None),
    "too often": (
        {make_orcid_id(n): (DEPRECATED, make_orcid_id(n + 1)) for n in range(2, 9)},
        None,
    ),
}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", CHAINS)
def test_the_primary_id_is_one_that_is_in_use(store, orcid, case):
    records, expected = CHAINS[case]
    orcid.answers = {
        one: RecordAnswer(*answer) if isinstance(answer, tuple) else RecordAnswer(answer)
        for one, answer in records.items()
    } | {FIRST: RecordAnswer(DEPRECATED, SECOND)}
    make_link(store, MAIJA, FIRST)

    make_round(store, orcid).check(FIRST, NOON)

    record = store.links.get(UNIVERSITY, MAIJA).record
    assert (record.state, record.primary) == (DEPRECATED, expected)
    assert store.record_statuses.batch(Registry.PRODUCTION, NOON).requests == len(orcid.requests)
    assert store.record_statuses.batch(Registry.PRODUCTION, NOON + DAY).requests == 0


# What organisations see


def release(store, tmp_path):
    """Say what is released of Maija, by each way."""
    connector = Connector(
        store,
        Credentials([(Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY)))]),
        Registry.PRODUCTION,
        lambda: NOON,
    )
    asked = {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
    feed = json.loads(ask(connector, "/v1/changes", **asked).body)["changes"]
    write_replica(store, UNIVERSITY, Registry.PRODUCTION, tmp_path / "replica.db", NOON)
    with Replica(tmp_path / "replica.db") as replica:
        return {
            "connector": json.loads(ask(connector, f"/v1/people/{MAIJA}", **asked).body)["eduPersonOrcid"],
            "attribute authority": uris(
                current_orcid_ids(store, ORGANISATIONS.by_id(UNIVERSITY), MAIJA, Registry.PRODUCTION)
            ),
            "view and replica": uris(replica.orcid_of(MAIJA)),
            "feed": [each["orcid"] for each in feed if each["person"]["value"] == MAIJA],
        }


def uris(orcid_ids):
    return [each.uri for each in orcid_ids]


def released(*orcid_ids):
    return dict.fromkeys(("connector", "attribute authority", "view and replica", "feed"), uris(orcid_ids))


def changes(store):
    return [
        (each.kind.value, each.orcid_id, each.previous, each.reason and each.reason.value)
        for each in store.changes.list_after(UNIVERSITY, 0, 100)
    ]


def events(store):
    return [
        (each.kind, each.actor, each.facts.get("reason"))
        for each in store.audit.list_events(UNIVERSITY)
        if each.actor == "service"
    ]


@pytest.mark.parametrize("state", [DEACTIVATED, LOCKED])
def test_a_suspended_id_is_released_nowhere_until_its_record_is_in_use_again(store, orcid, tmp_path, state):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    orcid.answers[FIRST] = RecordAnswer(state)
    status_round = make_round(store, orcid, suspend_inactive=True)

    status_round.run(NOON)
    assert release(store, tmp_path) == released(FIRST)
    later = NOON + CONFIRMED_AFTER
    status_round.run(later)
    assert release(store, tmp_path) == released()
    assert store.links.get(UNIVERSITY, MAIJA).suspended_at == later
    # Neither another look-up nor an answer that shows nothing changes it
    status_round.run(later + RECHECK)
    orcid.answers[FIRST] = RecordAnswer(NOT_FOUND)
    status_round.run(later + 2 * RECHECK)
    assert release(store, tmp_path) == released()
    orcid.answers[FIRST] = RecordAnswer(OK)
    status_round.run(later + 3 * RECHECK)

    assert release(store, tmp_path) == released(FIRST)
    assert changes(store) == [
        ("linked", FIRST, None, None),
        ("removed", None, FIRST, "suspended"),
        ("linked", FIRST, None, "resumed"),
    ]
    assert len(store.deliveries.list_for_person(UNIVERSITY, MAIJA)) == 3
    assert events(store) == [("suspended", "service", "suspended"), ("resumed", "service", "resumed")]
    assert store.audit.compare_with_links(UNIVERSITY) == []
    assert store.audit.verify(UNIVERSITY) == []


def test_by_default_a_deactivated_id_is_released_and_a_deprecated_one_stays(store, orcid, tmp_path):
    make_link(store, MAIJA, FIRST)
    for answer in (RecordAnswer(DEACTIVATED), RecordAnswer(DEPRECATED, SECOND)):
        orcid.answers[FIRST] = answer
        twice(make_round(store, orcid), NOON + (DAY if answer.primary else timedelta()) * 2)

    assert release(store, tmp_path) == released(FIRST)
    assert changes(store) == [("linked", FIRST, None, None)]


def test_without_the_setting_a_suspended_id_is_released_again(store, orcid, tmp_path):
    make_link(store, MAIJA, FIRST)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)
    later = twice(make_round(store, orcid, suspend_inactive=True))

    make_round(store, orcid).run(later + RECHECK)

    assert release(store, tmp_path) == released(FIRST)
    assert [each[3] for each in changes(store)] == [None, "suspended", "resumed"]


def test_while_its_organisation_is_left_out_a_suspended_id_stays_so_and_is_looked_up_daily(store, orcid, tmp_path):
    make_link(store, MAIJA, FIRST)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)
    later = twice(make_round(store, orcid, suspend_inactive=True))
    orcid.answers[FIRST] = RecordAnswer(OK)

    StatusRound(store, orcid, Registry.PRODUCTION, {}, MONTH, misconfigured={UNIVERSITY}).run(later + RECHECK)
    assert store.links.get(UNIVERSITY, MAIJA).suspended_at is not None
    make_round(store, orcid, suspend_inactive=True).run(later + 2 * RECHECK)

    assert release(store, tmp_path) == released(FIRST)


def test_a_deprecated_id_is_replaced_by_its_primary_id(store, orcid, tmp_path):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    consent = store.links.get(UNIVERSITY, MAIJA).consent
    orcid.answers[FIRST] = RecordAnswer(DEPRECATED, SECOND)
    status_round = make_round(store, orcid, replace_deprecated=True)

    status_round.run(NOON)
    assert release(store, tmp_path) == released(FIRST)
    later = NOON + CONFIRMED_AFTER
    status_round.run(later)

    assert release(store, tmp_path) == released(SECOND)
    assert changes(store) == [("linked", FIRST, None, None), ("replaced", SECOND, FIRST, "deprecated")]
    assert events(store) == [("replaced", "service", "deprecated")]
    new, old = store.links.list_for_person(UNIVERSITY, MAIJA)
    assert (new.orcid_id, new.consent, new.linked_at, new.authenticated_at) == (SECOND, consent, later, NOON)
    assert (old.orcid_id, old.ended_at, old.ended_by) == (FIRST, later, "service")
    assert store.links.reassigned_at(UNIVERSITY, MAIJA) is None
    assert store.audit.compare_with_links(UNIVERSITY) == []
    # The new one is looked up like any other
    status_round.run(later + BATCH_INTERVAL)
    assert store.links.get(UNIVERSITY, MAIJA).record.state is OK


def test_an_id_that_was_locked_and_then_merged_is_resumed_and_then_replaced(store, orcid, tmp_path):
    make_link(store, MAIJA, FIRST)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)
    status_round = make_round(store, orcid, suspend_inactive=True, replace_deprecated=True)
    later = twice(status_round)
    orcid.answers[FIRST] = RecordAnswer(DEPRECATED, SECOND)

    twice(status_round, later + RECHECK)

    assert release(store, tmp_path) == released(SECOND)
    assert [(kind, reason) for kind, _, _, reason in changes(store)] == [
        ("linked", None),
        ("removed", "suspended"),
        ("linked", "resumed"),
        ("replaced", "deprecated"),
    ]


def test_a_primary_id_of_another_account_is_never_given_away_and_is_reported(store, orcid, caplog):
    caplog.set_level("INFO")
    make_link(store, MAIJA, FIRST)
    make_link(store, AKE, SECOND)
    orcid.answers[FIRST] = RecordAnswer(DEPRECATED, SECOND)

    twice(make_round(store, orcid, replace_deprecated=True))

    assert store.links.get(UNIVERSITY, MAIJA).orcid_id == FIRST
    assert store.links.get(UNIVERSITY, AKE).orcid_id == SECOND
    assert "record-primary-in-use" in caplog.text
    counts = store.record_statuses.counts(UNIVERSITY)
    assert (counts.by_state, counts.suspended, counts.conflicts) == ({DEPRECATED: 1}, 0, 1)
    found = list(check_records(store, ORGANISATIONS.by_id(UNIVERSITY)))
    assert [each.level for each in found] == ["info", "warning"]
    assert list(check_records(store, ORGANISATIONS.by_id(POLYTECHNIC))) == []


def test_a_concurrent_change_by_the_person_is_kept(store, orcid):
    """The store decides under its lock: a link that was read before may have ended, or have another state by now."""
    make_link(store, MAIJA, FIRST)
    statuses = store.record_statuses
    (link,) = statuses.save(FIRST, LOCKED, None, NOON)
    (newer,) = statuses.save(FIRST, DEPRECATED, SECOND, NOON + DAY)

    assert statuses.suspend(link, NOON) is None
    assert statuses.resume(newer, NOON) is None
    assert statuses.replace_deprecated(link, NOON) is None
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    assert statuses.replace_deprecated(newer, NOON) is None
    assert statuses.suspend(newer, NOON) is None
    assert [kind for kind, *_ in changes(store)] == ["linked", "removed"]


def test_a_state_is_not_taken_over_by_the_next_link(store, orcid):
    make_link(store, MAIJA, FIRST)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)
    twice(make_round(store, orcid, suspend_inactive=True))

    make_link(store, MAIJA, SECOND, now=NOON + DAY)

    link = store.links.get(UNIVERSITY, MAIJA)
    assert (link.record, link.suspended_at) == (None, None)
    assert [kind for kind, *_ in changes(store)] == ["linked", "removed", "replaced"]


def test_a_merger_takes_the_states_along_and_the_next_look_up_acts_on_them(store, orcid, tmp_path):
    make_link(store, "maija@amk.example", FIRST, POLYTECHNIC)
    for now in (NOON, NOON + DAY):
        (link,) = store.record_statuses.save(FIRST, LOCKED, None, now)
    store.record_statuses.suspend(link, NOON + DAY)

    store.organisations.merge(POLYTECHNIC, UNIVERSITY, lambda _account: MAIJA, NOON + 2 * DAY, key_attribute="eppn")

    assert store.links.get(UNIVERSITY, MAIJA).record == link.record
    assert release(store, tmp_path) == released(FIRST)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)
    make_round(store, orcid, suspend_inactive=True).run(NOON + 2 * DAY)
    assert release(store, tmp_path) == released()
    assert [each[3] for each in changes(store)] == ["merged", "suspended"]


def test_a_suspended_link_that_moves_is_suspended_again_by_the_next_look_up(store, orcid, tmp_path):
    make_link(store, AKE, FIRST)
    orcid.answers[FIRST] = RecordAnswer(LOCKED)
    status_round = make_round(store, orcid, suspend_inactive=True)
    later = twice(status_round)

    store.links.move(UNIVERSITY, AKE, MAIJA, "operator", "renamed", later + BATCH_INTERVAL)
    assert release(store, tmp_path) == released(FIRST)
    status_round.run(later + BATCH_INTERVAL)

    assert release(store, tmp_path) == released()
    assert [(kind, reason) for kind, _, _, reason in changes(store)] == [
        ("linked", None),
        ("removed", "suspended"),
        ("moved", None),
        ("removed", "suspended"),
    ]


def test_two_interfaces_are_told_of_each_step_in_its_order(store, orcid):
    registers = {"idm": UniqueRegister(), "directory": UniqueRegister()}
    registers["directory"].away = True
    policy = RecordPolicy(suspend_inactive=True, replace_deprecated=True, transfers=tuple(registers))
    status_round = StatusRound(store, orcid, Registry.PRODUCTION, {UNIVERSITY: policy}, MONTH)
    clock = Clock()
    make_link(store, MAIJA, FIRST, transfers=policy.transfers)
    for answer in (RecordAnswer(LOCKED), RecordAnswer(OK), RecordAnswer(DEPRECATED, SECOND)):
        orcid.answers[FIRST] = answer
        status_round.check(FIRST, clock())
        clock.passes(hours=1)
        status_round.check(FIRST, clock())
        make_worker(store, registers, clock).run_once()
        clock.passes(hours=1)

    assert registers["idm"].told == [(kind, MAIJA) for kind in ("linked", "removed", "linked", "replaced")]
    assert registers["idm"].holds == {MAIJA: SECOND}
    registers["directory"].away = False
    clock.passes(days=2)
    make_worker(store, registers, clock).run_once()
    assert registers["directory"].holds == {MAIJA: SECOND}
