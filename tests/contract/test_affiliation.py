"""Affiliations on ORCID records, on each engine, against the simulator."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from resolver_connector.orcid.member_api import LONGEST_WAIT, ApiAnswer, MemberApi
from resolver_connector.orcid.sealing import TokenSealer
from resolver_connector.transfers.base import DeliveryFailed
from resolver_connector.transfers.orcid import End
from shibboleth.deadline import Deadline
from shibboleth.orcid_id import Registry
from sql.engines.base import queries
from sql.migrate import migrate
from sql.records import AffiliationSection, DeliveryState
from sql.store import open_store
from tests.support.affiliation import (
    ACCOUNT,
    BOTH,
    KEY,
    MAIJA,
    MEMBER,
    NAME,
    NOTHING,
    OTHER,
    REQUIRED,
    ROR,
    SETTINGS,
    STAFF,
    STUDENT,
    Bench,
)
from tests.support.configuration import write_configuration
from tests.support.database import driver_of
from tests.support.factories import NOON, UNIVERSITY, make_attempt, make_consent, make_link, make_orcid_id
from tests.support.service import orcid_id, serve_app
from tests.support.store_faults import InjectedFailure, fail, make_failing_store
from webapp.checks.deliveries import check_deliveries
from webapp.cli.main import main
from webapp.config.loader import load

ANOTHER_ROR = "https://ror.org/05dxps055"
DELETE = SETTINGS.model_copy(update={"end": End.DELETE})


@pytest.fixture
def bench(store, running_simulator):
    simulator, _ = running_simulator
    simulator.reset()
    bench = Bench(store, simulator)
    bench.link()
    return bench


def external_ids(item):
    return [each["external-id-value"] for each in item.body["external-ids"]["external-id"]]


def test_an_affiliation_is_written_once_and_as_the_settings_say(bench):
    bench.permit()

    assert bench.work() == "stored"

    (item,) = bench.items()
    assert item.body == {
        "department-name": "Department of Examples",
        "role-title": "University Lecturer",
        "start-date": None,
        "end-date": None,
        "organization": {
            "name": "Example University",
            "address": {"city": "Helsinki", "region": None, "country": "FI"},
            "disambiguated-organization": {
                "disambiguated-organization-identifier": ROR,
                "disambiguation-source": "ROR",
            },
        },
        "url": None,
        "external-ids": {
            "external-id": [
                {
                    "external-id-type": "source-work-id",
                    "external-id-value": f"orcid-connect:{bench.current.id}:employment",
                    "external-id-url": None,
                    "external-id-relationship": "self",
                }
            ]
        },
    }
    assert bench.rows() == [("employment", "written")]
    assert bench.requests() == ["GET employments", "POST employment"]


def test_without_a_permission_nothing_is_sent(bench):
    assert bench.work() == "already-there"
    assert bench.requests() == []


def test_a_change_is_put_and_the_same_again_sends_nothing(bench):
    bench.permit(BOTH)
    bench.work()
    assert len(bench.items()) == len(bench.items("education")) == 1
    bench.simulator.set_item_visibility(MAIJA, bench.items()[0].put_code, "private")

    assert not bench.say(BOTH)
    assert bench.say(replace(BOTH, department="Department of Others"))
    assert bench.work() == "stored"

    (item,) = bench.items()
    assert (item.body["department-name"], item.visibility) == ("Department of Others", "private")
    assert "visibility" not in item.body
    assert bench.requests().count("PUT employment/n") == 1
    assert "PUT education/n" not in bench.requests()


@pytest.mark.parametrize(("end", "left"), [(End.DATE, 1), (End.DELETE, 0)])
@pytest.mark.parametrize("how", ["stop", "remove", "say nothing"])
def test_the_end_is_a_date_or_a_deletion(bench, end, left, how):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()

    {"stop": bench.stop, "remove": bench.remove, "say nothing": lambda: bench.say(NOTHING)}[how]()

    assert bench.work() == "stored"
    items = bench.items()
    assert len(items) == left
    dates = [{name: each["value"] for name, each in item.body["end-date"].items()} for item in items]
    assert dates == [{"year": "2026", "month": "01", "day": "15"}] * left
    assert bench.rows() == [("employment", "closed")] * left


def test_from_student_to_staff(bench):
    bench.permit(STUDENT)
    bench.work()

    bench.say(STAFF)
    bench.work()

    assert [bool(each.body["end-date"]) for each in (*bench.items("education"), *bench.items())] == [True, False]


def test_an_ended_item_is_opened_again_and_none_is_added(bench):
    bench.permit()
    bench.work()
    bench.say(NOTHING)
    bench.work()

    bench.say(STAFF)
    assert bench.work() == "stored"
    assert [each.body["end-date"] for each in bench.items()] == [None]

    # Also after another link, which knows nothing of the item
    bench.remove()
    bench.work()
    bench.link()
    bench.permit()
    assert bench.work() == "stored"
    (item,) = bench.items()
    assert item.body["end-date"] is None
    assert len(external_ids(item)) == 2


def test_what_the_person_deleted_at_orcid_is_not_written_before_they_tick_again(bench):
    bench.permit()
    bench.work()
    bench.simulator.remove_item(MAIJA, bench.items()[0].put_code)

    bench.say(replace(STAFF, title="Professor"))
    assert bench.work() == "stored"
    assert bench.delivery().message == "the person deleted the item at ORCID; it is not written again"
    bench.say(STAFF)
    assert bench.work() == "already-there"
    assert (bench.items(), bench.rows()) == ([], [("employment", "deleted")])

    bench.permit()
    bench.work()
    assert (len(bench.items()), bench.rows()) == (1, [("employment", "written")])


@pytest.mark.parametrize("end", End)
def test_what_the_person_deleted_at_orcid_needs_no_end(bench, end):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()
    bench.simulator.remove_item(MAIJA, bench.items()[0].put_code)

    bench.remove()
    assert bench.work() == "stored"
    assert bench.rows() == []


@pytest.mark.parametrize("fault", ["cut", "empty_body", "timeout", "wrong_json"])
def test_an_item_whose_answer_was_lost_is_found_and_not_added_again(bench, fault):
    bench.permit()
    bench.simulator.faults.arm("api", "slow", seconds=0)  # the list
    bench.simulator.faults.arm("api", fault, seconds=3)

    assert bench.work() in {"temporary", "stored"}
    bench.simulator.faults.release()
    bench.say(replace(STAFF, title="Professor"))
    bench.work(minutes=30)

    (item,) = bench.items()
    assert item.body["role-title"] == "Professor"
    assert bench.rows() == [("employment", "written")]


@pytest.mark.parametrize("end", End)
def test_an_item_whose_answer_was_lost_is_ended_too(bench, end):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.simulator.faults.arm("api", "slow", seconds=0)
    bench.simulator.faults.arm("api", "cut")
    assert bench.work() == "temporary"
    assert (len(bench.items()), bench.rows()) == (1, [("employment", "pending")])

    bench.remove()
    assert bench.work(minutes=30) == "already-there"  # the delivery before it has done it
    assert [bool(each.body["end-date"]) for each in bench.items()] == ([True] if end is End.DATE else [])


def test_an_item_that_was_opened_again_is_ended_though_the_answer_was_lost(bench):
    bench.permit()
    bench.work()
    bench.say(NOTHING)
    bench.work()
    assert bench.rows() == [("employment", "closed")]
    bench.say(STAFF)
    bench.simulator.faults.arm("api", "slow", seconds=0)  # the item
    bench.simulator.faults.arm("api", "cut")
    assert bench.work() == "temporary"
    assert [each.body["end-date"] for each in bench.items()] == [None]
    assert bench.rows() == [("employment", "written")]

    bench.remove()
    bench.work(minutes=30)

    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]


def test_an_item_that_another_system_made_room_for_is_ended_though_the_answer_was_lost(bench):
    other = bench.add_item_of_another_system()
    bench.permit()
    bench.work()
    assert bench.rows() == [("employment", "left")]
    bench.simulator.remove_item(MAIJA, other.put_code)
    bench.say(replace(STAFF, title="Professor"))
    bench.simulator.faults.arm("api", "slow", seconds=0)  # the list
    bench.simulator.faults.arm("api", "cut")
    assert bench.work() == "temporary"
    assert [each.body["end-date"] for each in bench.items()] == [None]
    assert bench.rows() == [("employment", "pending")]

    bench.remove()
    bench.work(minutes=30)

    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]


def test_a_duplicate_that_the_list_did_not_show_is_read_back(bench):
    """The item is added between the list and the request."""
    bench.permit()
    bench.work()
    (item,) = bench.items()
    (row,) = bench.store.affiliations.list_items(UNIVERSITY, ACCOUNT)
    bench.store.affiliations.delete_item(UNIVERSITY, ACCOUNT, row, bench.now)
    bench.simulator.remove_item(MAIJA, item.put_code)
    handle, added = bench.simulator.items, []

    def once(orcid, kind):
        if not added:
            added.append(bench.simulator.add_item(MAIJA, "employment", MEMBER.client_id, item.body))
            return []
        return handle(orcid, kind)

    bench.simulator.items = once
    try:
        bench.say(replace(STAFF, title="Professor"))
        assert bench.work() == "stored"
    finally:
        del bench.simulator.items
    assert [each.body["role-title"] for each in bench.items()] == ["Professor"]
    assert bench.requests() == ["GET employments", "POST employment", "GET employment/n", "PUT employment/n"]


@pytest.mark.parametrize("settings", [SETTINGS, DELETE], ids=["date", "delete"])
def test_an_item_of_another_system_of_the_organisation_is_never_changed_or_ended(bench, settings):
    bench.settings = settings
    theirs = bench.add_item_of_another_system()
    before = dict(theirs.body)

    bench.permit()
    assert bench.work() == "stored"
    bench.say(replace(STAFF, title="Lecturer"))
    assert bench.work() == "already-there"
    assert bench.rows() == [("employment", "left")]
    bench.remove()
    bench.work()

    assert [each.body for each in bench.items()] == [before]
    assert bench.requests() == []


@pytest.mark.parametrize("settings", [SETTINGS, DELETE], ids=["date", "delete"])
def test_the_end_of_an_item_that_never_arrived_ends_no_item_of_another_system(bench, settings):
    bench.settings = settings
    bench.permit()
    bench.store.affiliations.add_item(bench.current.id, AffiliationSection.EMPLOYMENT, MEMBER.client_id, bench.now)
    theirs = bench.add_item_of_another_system()
    before = dict(theirs.body)

    bench.stop()
    bench.work()

    assert [each.body for each in bench.items()] == [before]
    assert bench.rows() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"end-date": {"year": {"value": "2025"}, "month": None, "day": None}},
        {"organization": {"name": "Another", "address": {"city": "Turku", "region": None, "country": "FI"}}},
    ],
    ids=["past", "another organisation"],
)
def test_another_affiliation_on_the_record_keeps_none_from_being_added(bench, changes):
    bench.add_item_of_another_system(**changes)

    bench.permit()
    assert bench.work() == "stored"

    assert len(bench.items()) == 2
    assert bench.rows() == [("employment", "written")]


def test_an_item_that_another_system_has_ended_is_no_reason_any_more(bench):
    theirs = bench.add_item_of_another_system()
    bench.permit()
    bench.work()

    bench.simulator.remove_item(MAIJA, theirs.put_code)
    bench.say(replace(STAFF, title="Lecturer"))
    assert bench.work() == "stored"

    assert bench.rows() == [("employment", "written")]


def test_a_replaced_id_ends_the_item_on_the_old_record(bench):
    bench.permit()
    bench.work()

    bench.link(OTHER)
    bench.work()
    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]
    assert bench.items(bare=OTHER) == []  # the person permitted it for the other record

    bench.permit()
    bench.work()
    assert len(bench.items(bare=OTHER)) == 1


def test_an_item_stays_when_the_account_is_renamed(bench):
    bench.permit()
    bench.work()

    new = "maija.makela@yliopisto.example"
    bench.store.links.move(UNIVERSITY, ACCOUNT, new, "person", "renamed", bench.now, transfers=(NAME,))
    bench.work()
    assert [each.body["end-date"] for each in bench.items()] == [None]
    assert bench.store.deliveries.newest_of_transfer(UNIVERSITY, new, NAME).outcome == "already-there"

    link = bench.store.links.get(UNIVERSITY, new)
    assert bench.store.affiliations.record_said(link, replace(STAFF, title="Professor"), NAME, bench.now)
    bench.work()
    assert [each.body["role-title"] for each in bench.items()] == ["Professor"]


def test_an_item_ends_when_another_person_claims_the_id(bench):
    bench.permit()
    bench.work()
    attempt = make_attempt("ville@yliopisto.example", started_at=bench.now)
    bench.store.attempts.add(attempt, state_hash="hash")
    claim = {"holder": attempt, "claim": attempt.id, "transfers": (NAME,)}
    bench.store.links.move(UNIVERSITY, ACCOUNT, attempt.account, "person", "given", bench.now, **claim)
    bench.work()
    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]


# The permission at ORCID


def test_a_permission_that_was_taken_back_at_orcid_is_recorded_and_nothing_fails(bench):
    bench.permit()
    bench.work()
    bench.grant()
    bench.simulator.revoke_grants(MAIJA, MEMBER.client_id)

    bench.say(replace(STAFF, title="Professor"))
    assert bench.work() == "already-there"
    found = bench.store.orcid_tokens.list_for_person(UNIVERSITY, ACCOUNT)
    assert [each.withdrawn_at for each in found if each.revocation_due_at is None] == [bench.now]
    assert bench.permission().refused_at == bench.now
    assert bench.work() == "already-there"

    bench.grant()
    bench.store.affiliations.queue(bench.current, NAME, bench.now)
    assert bench.permission().refused_at is None
    assert bench.work() == "stored"
    assert bench.items()[0].body["role-title"] == "Professor"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("act", "requests"),
    [
        ("permit", ["GET employments", "POST employment"]),
        ("say", ["GET employment/n", "PUT employment/n"]),
        ("remove", ["GET employment/n", "PUT employment/n"]),
    ],
)
@pytest.mark.parametrize("refused", [0, 1])
def test_one_refusal_of_an_access_token_is_no_withdrawal(bench, act, requests, refused):
    if act != "permit":
        bench.permit()
        bench.work()
    acts = {"permit": bench.permit, "say": lambda: bench.say(replace(STAFF, title="Professor")), "remove": bench.remove}
    acts[act]()
    for _ in range(refused):
        bench.simulator.faults.arm("api", "slow", seconds=0)
    bench.simulator.faults.arm("api", "invalid_token")

    assert bench.work() == "stored"

    assert bench.requests() == sorted([*requests, requests[refused]])
    found = bench.store.orcid_tokens.list_for_person(UNIVERSITY, ACCOUNT)
    assert [each.withdrawn_at for each in found] == [None]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_record_of_a_refused_permission_is_looked_up(bench):
    """ORCID ends the tokens of a deactivated record."""
    bench.permit()
    bench.simulator.revoke_grants(MAIJA, MEMBER.client_id)
    bench.store.record_statuses.schedule(orcid_id(MAIJA), bench.now + timedelta(days=1))

    bench.work()

    assert bench.requests() == ["GET employments"] * 2
    assert bench.store.record_statuses.count_due(Registry.SANDBOX, bench.now) == 1


@pytest.mark.parametrize("end", End)
def test_an_item_is_deleted_with_a_permission_that_was_taken_back(bench, end):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()
    bench.simulator.revoke_grants(MAIJA, MEMBER.client_id)

    bench.remove()
    assert bench.work() == "stored"
    assert (bench.items(), bench.rows()) == ([], [])


def test_an_item_that_cannot_be_ended_is_a_dead_letter_and_known(bench):
    bench.permit()
    bench.work()
    bench.tokens = replace(bench.tokens, sealer=TokenSealer([Fernet.generate_key().decode()]))

    bench.remove()
    assert bench.work() == "refused"
    assert bench.delivery().state is DeliveryState.DEAD_LETTER
    assert bench.rows() == [("employment", "written")]


def test_without_the_scope_nothing_is_sent(bench):
    bench.link(OTHER, ("/read-limited",))
    bench.permit()

    assert bench.work() == "already-there"
    assert bench.requests() == []
    assert bench.permission().refused_at is not None


# Queueing


def test_a_change_while_an_attempt_runs_is_not_lost(bench):
    bench.permit()
    deliveries = bench.store.deliveries
    (leased,) = deliveries.claim("worker", bench.now, timedelta(minutes=1), 10)

    bench.say(replace(STAFF, title="Professor"))
    # No other attempt beside it, and what it did does not count
    assert deliveries.claim("other", bench.now, timedelta(minutes=1), 10) == []
    assert not deliveries.complete(leased, "worker", "stored", "", bench.now)
    assert bench.work() == "stored"
    assert bench.items()[0].body["role-title"] == "Professor"


def test_a_link_older_than_the_transfer_gets_a_delivery(bench):
    other = "ville@yliopisto.example"
    make_link(bench.store, other, now=bench.now)
    link = bench.store.links.get(UNIVERSITY, other)

    assert bench.store.affiliations.permit(link, make_consent(), STAFF, NAME, bench.now)
    assert bench.store.deliveries.newest_of_transfer(UNIVERSITY, other, NAME).waiting

    bench.store.engine.execute("delete_changes_of_person", organisation=UNIVERSITY, person_key=other, number=99)
    assert bench.store.affiliations.withdraw(link, NAME, bench.now)
    assert bench.store.changes.newest_for_person(UNIVERSITY, other).kind == "linked"


def test_the_permission_of_a_former_link_counts_no_more(bench):
    bench.permit()
    former = bench.current
    bench.link(OTHER)

    assert not bench.store.affiliations.permit(former, make_consent(), STAFF, NAME, bench.now)
    assert bench.permission() is None
    assert not bench.stop()
    assert not bench.say(STUDENT)
    assert [each.link_id for each in bench.store.affiliations.list_permissions(UNIVERSITY, ACCOUNT)] == [former.id]


def test_all_processes_share_the_slots_of_a_client(store):
    step, longest, reserve = timedelta(milliseconds=50), timedelta(milliseconds=100), store.affiliations.reserve_request

    assert [reserve("APP-1", NOON, step, longest) for _ in range(4)] == [0, 0.05, 0.1, None]
    assert reserve("APP-2", NOON, step, longest) == 0
    assert reserve("APP-1", NOON + timedelta(seconds=1), step, longest) == 0
    # A machine whose clock was a second ahead
    assert reserve("APP-1", NOON, step, longest) == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("list_affiliation_permissions_of_person", ["links_of_a_person"]),
        ("list_affiliation_items_of_person", ["links_of_a_person"]),
        ("get_newest_delivery_of_person", ["deliveries_of_a_person", "changes_of_a_person"]),
    ],
)
def test_what_is_known_of_a_person_is_found_by_an_index(store, query, expected):
    values = {"organisation": "o", "person_key": "p", "transfer": "t", "limit": 1}

    plan = [row["detail"] for row in driver_of(store).execute("explain query plan " + queries()[query], values)]

    assert [index for index in expected if not any(f"INDEX {index} " in step for step in plan)] == []
    assert {step for step in plan if step.startswith("SCAN")} <= {"SCAN CONSTANT ROW", "SCAN always"}
    assert not any(step.endswith("(organisation=?)") for step in plan)


# What ORCID answers


def result_of(status, *, code=None, error=None, body=None, headers=()):
    """Answer a request to the member API with this, and return the result."""
    content = {"error-code": code, "developer-message": "of 3f2c1b0a"} if code else {"error": error} if error else {}
    data = json.dumps(content).encode() if body is None else body

    def app(_environ, start_response):
        start_response(f"{status} Status", [("Content-Length", str(len(data))), *headers])
        return [data]

    with serve_app(app) as address:
        api = MemberApi(address, lambda _client: 0.0, 2, 2)
        return api.request("POST", MAIJA, "APP-1", "3f2c1b0a", NOON, Deadline(5), {}).failure()


@pytest.mark.parametrize(
    ("answer", "outcome", "message"),
    [
        # The code decides, whatever the status is, and may be text
        ({"status": 301, "code": 9007}, "refused", "merged"),
        ({"status": 409, "code": 9007}, "refused", "merged"),
        ({"status": 401, "code": "9017"}, "refused", "another record"),
        ({"status": 403, "code": 9038}, "refused", "does not permit"),
        ({"status": 409, "code": 9038}, "refused", "does not permit"),
        ({"status": 403, "code": 9010}, "refused", "another ORCID client"),
        ({"status": 403, "code": 9035}, "refused", "this service"),
        ({"status": 404, "code": 9016}, "refused", "not at ORCID"),
        ({"status": 404, "code": 9011}, "refused", "not at ORCID"),
        ({"status": 409, "code": 9018}, "temporary", "locked"),
        ({"status": 409, "code": 9044}, "refused", "deactivated"),
        ({"status": 409, "code": 9036}, "refused", "claimed"),
        ({"status": 409, "code": 9021}, "conflict", "external id"),
        ({"status": 409, "code": 9057}, "misconfigured", "client"),
        ({"status": 400, "code": 9045}, "misconfigured", "ROR"),
        ({"status": 400, "code": 9046}, "misconfigured", "organisation"),
        ({"status": 400, "code": 9060}, "misconfigured", "city"),
        ({"status": 400, "code": 9051}, "misconfigured", "country"),
        ({"status": 400, "code": 9047}, "refused", "this service"),
        ({"status": 400, "code": 9049}, "refused", "this service"),
        ({"status": 400, "code": 9055}, "refused", "today"),
        ({"status": 500, "code": 9008}, "temporary", "at ORCID"),
        ({"status": 400, "code": 9999}, "refused", "9999"),
        # The other form
        ({"status": 401, "error": "invalid_token"}, "refused", "no longer accepts the permission"),
        ({"status": 403, "error": "forbidden"}, "misconfigured", "member"),
        ({"status": 401, "error": "invalid_client"}, "misconfigured", "client"),
        ({"status": 403, "error": "something"}, "refused", "403"),
        # The edge
        ({"status": 403, "body": b"<!doctype html>Just a moment"}, "temporary", "without JSON"),
        ({"status": 404, "body": b"<!doctype html>"}, "temporary", "without JSON"),
        ({"status": 429, "body": b"Too Many Requests"}, "temporary", "429"),
        ({"status": 503, "body": b""}, "temporary", "503"),
        ({"status": 502}, "temporary", "502"),
        ({"status": 302, "headers": [("Location", "https://orcid.org/elsewhere")]}, "misconfigured", "redirects"),
        ({"status": 418}, "refused", "418"),
    ],
)
def test_each_answer_has_its_outcome_and_no_text_of_orcids(answer, outcome, message):
    result = result_of(**answer)

    assert (result.outcome.value, message in result.message, "3f2c1b0a" in result.message) == (outcome, True, False)


def test_a_wait_that_orcid_asks_for_is_kept():
    assert result_of(503, body=b"", headers=[("Retry-After", "120")]).retry_after == timedelta(minutes=2)


def test_a_request_that_has_to_wait_too_long_is_not_sent():
    for delay in (None, 7.0):
        api = MemberApi("http://127.0.0.1:9", lambda _client, delay=delay: delay)
        with pytest.raises(DeliveryFailed) as failed:
            api.request("GET", MAIJA, "APP-1", "token", NOON, Deadline(5))
        assert failed.value.result.retry_after == LONGEST_WAIT


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("locked", "temporary"), ("deactivated", "refused"), ("deprecated", "refused"), ("unclaimed", "refused")],
)
def test_the_state_of_a_record_is_said_and_looked_up(bench, state, outcome):
    primary = {"primary": OTHER} if state == "deprecated" else {}
    bench.permit()
    bench.work()
    bench.simulator.users[MAIJA] = replace(bench.simulator.users[MAIJA], state=state, **primary)

    bench.say(replace(STAFF, title="Professor"))

    assert bench.work() == outcome
    # Nothing that was written is left to be ended on a record that is not in use any more
    bench.remove()
    gone = state in {"deactivated", "deprecated"}
    # Of a locked record, the delivery before is still tried
    assert bench.work(minutes=60) == ("stored" if gone else None if state == "locked" else "refused")
    assert bench.rows() == ([] if gone else [("employment", "written")])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("end", End)
def test_an_item_on_a_locked_record_ends_when_the_lock_is_lifted(bench, end):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()
    person = bench.simulator.users[MAIJA]
    bench.simulator.users[MAIJA] = replace(person, state="locked")
    bench.remove()
    assert bench.work() == "temporary"
    assert bench.delivery().state is DeliveryState.WAITING

    bench.simulator.users[MAIJA] = person
    assert bench.work(minutes=600) == "stored"
    assert [bool(each.body["end-date"]) for each in bench.items()] == ([True] if end is End.DATE else [])


def test_numbers_as_text_make_no_difference(bench):
    bench.permit()
    bench.simulator.faults.arm_always("api", "numbers_as_text")
    assert bench.work() == "stored"
    bench.say(replace(STAFF, title="Professor"))
    assert bench.work() == "stored"
    bench.remove()
    assert bench.work() == "stored"
    assert bench.rows() == [("employment", "closed")]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_json_of_another_form_is_tried_again(bench, monkeypatch):
    """Nothing is added by it, and it is no error of the service."""
    bench.permit()
    summary = {"put-code": 7, "source": {"source-client-id": {"path": MEMBER.client_id}}}
    odd = [
        *(None, "x", {}, {"summaries": None}, {"summaries": [None]}, {"summaries": [{"employment-summary": "x"}]}),
        *(
            {"summaries": [{"employment-summary": {**summary, **each}}]}
            for each in (
                *({"source": "x"}, {"source": {"source-client-id": ["x"]}}, {"put-code": ""}, {"put-code": None}),
                *({"external-ids": "x"}, {"external-ids": {"external-id": [None]}}, {"external-ids": [1]}),
                *({"organization": "x"}, {"organization": {"disambiguated-organization": "x"}}),
            )
        ),
    ]
    real, answers = MemberApi.request, []

    def request(api, method, *args):
        return ApiAnswer(200, answers[0]) if method == "GET" else real(api, method, *args)

    monkeypatch.setattr(MemberApi, "request", request)
    for each in odd:
        answers[:] = [{"affiliation-group": [each]}]
        assert bench.work(minutes=300) == "temporary"
        bench.store.affiliations.queue(bench.current, NAME, bench.now)
    answers[:] = [{"affiliation-group": None}]
    assert bench.work(minutes=300) == "temporary"
    monkeypatch.undo()
    bench.store.affiliations.queue(bench.current, NAME, bench.now)
    assert bench.work(minutes=300) == "stored"
    assert len(bench.items()) == 1

    # The item itself
    bench.say(replace(STAFF, title="Professor"))
    monkeypatch.setattr(MemberApi, "request", request)
    answers[:] = [{"put-code": bench.items()[0].put_code, "external-ids": [None]}]
    assert bench.work(minutes=300) == "temporary"


@pytest.mark.parametrize("fault", ["html", "5xx", "empty_body", "wrong_json", "cut"])
@pytest.mark.parametrize("end", End)
def test_no_failure_of_a_later_request_leaves_a_wrong_record(bench, fault, end):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()

    bench.say(replace(STAFF, title="Professor"))
    for number in range(1, 3):
        for _ in range(1, number):
            bench.simulator.faults.arm("api", "slow", seconds=0)
        bench.simulator.faults.arm("api", fault)
        assert bench.work(minutes=60) in {"temporary", "stored"}
    assert bench.work(minutes=60) in {"stored", "already-there"}
    assert [each.body["role-title"] for each in bench.items()] == ["Professor"]

    bench.remove()
    bench.simulator.faults.arm("api", fault)
    bench.work(minutes=60)
    bench.work(minutes=60)
    assert [bool(each.body["end-date"]) for each in bench.items()] == ([True] if end is End.DATE else [])
    assert bench.rows() == ([("employment", "closed")] if end is End.DATE else [])


def test_an_access_token_is_in_no_log_line_and_no_message(bench, caplog):
    caplog.set_level("DEBUG")
    token = bench.grant()
    bench.permit()
    bench.work()
    bench.simulator.revoke_grants(MAIJA)
    bench.say(STUDENT)
    bench.work()

    assert token not in caplog.text
    assert token not in repr(bench.store.deliveries.list_for_person(UNIVERSITY, ACCOUNT))


def test_an_item_ends_before_the_permission_is_given_back(bench):
    """The revocation waits for the delivery, and nothing is left at ORCID then."""
    bench.permit()
    bench.work()
    bench.remove()

    bench.revoke()
    assert len(bench.simulator.live_tokens(MAIJA)) == 1
    bench.work()
    bench.revoke()
    assert bench.simulator.live_tokens(MAIJA) == []
    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]


def test_the_permission_at_orcid_and_the_tick_end_together(bench):
    bench.permit()
    bench.work()
    link = bench.current

    for step in range(1, 100):
        failing = make_failing_store(bench.store, step, fail)
        with suppress(InjectedFailure):
            failing.orcid_tokens.revoke_for_link(link, bench.now, NAME)
        ended = bench.permission() is None
        assert ended == (bench.store.orcid_tokens.list_for_link(link.id) == [])
        if ended:
            break
    assert step > 5
    bench.revoke()
    assert len(bench.simulator.live_tokens(MAIJA)) == 1
    bench.work()
    bench.revoke()
    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]
    assert bench.simulator.live_tokens(MAIJA) == []


# Another client


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("former", [True, False])
def test_what_a_former_client_wrote_is_deleted_by_it_and_written_by_the_new_one(bench, end, former):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()

    bench.change_client(former=former)
    if not former:  # the next reason to look at the record
        bench.say(replace(STAFF, title="Professor"))
    bench.revoke()
    assert len(bench.simulator.live_tokens(MAIJA)) == 1
    assert bench.work() == "stored"
    bench.revoke()
    assert (bench.simulator.items(MAIJA, "employment"), bench.rows()) == ([], [])
    assert len(bench.simulator.live_tokens(MAIJA)) == (0 if former else 1)
    assert bench.permission().refused_at is not None

    bench.grant()
    bench.store.affiliations.queue(bench.current, NAME, bench.now)
    assert bench.work() == "stored"
    assert [each.client_id for each in bench.simulator.items(MAIJA, "employment")] == [bench.client.client_id]
    assert bench.rows() == [("employment", "written")]


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("former", [True, False])
def test_what_a_former_client_wrote_is_ended_with_the_link(bench, end, former):
    bench.settings = SETTINGS.model_copy(update={"end": end})
    bench.permit()
    bench.work()
    bench.change_client(former=False)
    bench.grant()
    if former:
        bench.change_client(former=True)

    bench.remove()
    assert bench.work() == "stored"
    bench.revoke()

    items = bench.simulator.items(MAIJA, "employment")
    assert [bool(each.body["end-date"]) for each in items] == ([True] if end is End.DATE else [])
    assert bench.rows() == ([("employment", "closed")] if end is End.DATE else [])


def test_an_item_that_a_former_client_closed_stays_and_the_new_one_adds_its_own(bench):
    bench.permit()
    bench.work()
    bench.stop()
    bench.work()
    bench.change_client(former=True)
    bench.grant()

    bench.permit()
    assert bench.work() == "stored"

    found = {each.client_id: bool(each.body["end-date"]) for each in bench.simulator.items(MAIJA, "employment")}
    assert found == {MEMBER.client_id: True, bench.client.client_id: False}


def test_nothing_is_added_beside_what_a_former_client_wrote_and_cannot_end(bench):
    bench.permit()
    bench.work()
    bench.tokens = replace(bench.tokens, sealer=TokenSealer([Fernet.generate_key().decode()]))
    bench.change_client(former=True)
    bench.grant()
    bench.store.affiliations.queue(bench.current, NAME, bench.now)

    assert bench.work() == "refused"

    assert [each.client_id for each in bench.simulator.items(MAIJA, "employment")] == [MEMBER.client_id]
    assert bench.store.affiliations.count_items_to_end(UNIVERSITY, NAME, bench.client.client_id) == 1


def test_a_former_client_without_a_transfer_keeps_its_permissions_for_a_week(bench):
    bench.permit()
    bench.work()

    bench.change_client(former=True, transfers={})
    assert not bench.delivery().waiting
    bench.revoke()
    assert bench.store.affiliations.count_items_to_end(UNIVERSITY, NAME, bench.client.client_id) == 1
    assert len(bench.simulator.live_tokens(MAIJA)) == 1

    bench.now += timedelta(days=8)
    bench.revoke()
    assert bench.simulator.live_tokens(MAIJA) == []


# The settings


def test_changed_settings_reach_the_records_by_a_backfill(bench):
    bench.permit()
    bench.work()
    bench.settings = SETTINGS.model_copy(update={"organisation": "University of Examples", "ror": ANOTHER_ROR})

    assert bench.store.affiliations.queue_all(UNIVERSITY, NAME, bench.now) == 1
    assert bench.work() == "stored"

    (item,) = bench.items()
    organisation = item.body["organization"]
    assert organisation["name"] == "University of Examples"
    assert organisation["disambiguated-organization"]["disambiguated-organization-identifier"] == ANOTHER_ROR


@pytest.mark.parametrize("how", ["linked", "ended", "stopped and ended"])
def test_all_that_was_written_is_ended_at_once(bench, how):
    """Also where the link ended while the transfer was not configured."""
    bench.permit()
    bench.work()
    kept = how == "linked"
    if how == "stopped and ended":
        bench.store.engine.execute("delete_affiliation_permission", link_id=bench.current.id)
    if not kept:
        bench.store.links.remove(UNIVERSITY, ACCOUNT, "person", "own wish", bench.now)
        bench.store.engine.execute("delete_changes_of_person", organisation=UNIVERSITY, person_key=ACCOUNT, number=99)
        bench.revoke()
    assert bench.store.affiliations.count_items_to_end(UNIVERSITY, NAME, MEMBER.client_id) == (0 if kept else 1)
    assert bench.store.affiliations.count_open_items() == {UNIVERSITY: 1}

    assert bench.store.affiliations.withdraw_all(UNIVERSITY, NAME, bench.now) == 1
    assert bench.work() == "stored"
    bench.revoke()

    assert [bool(each.body["end-date"]) for each in bench.items()] == [True]
    assert len(bench.simulator.live_tokens(MAIJA)) == (1 if kept else 0)
    assert bench.store.affiliations.count_open_items() == {}
    assert bench.store.affiliations.withdraw_all(UNIVERSITY, NAME, bench.now) == 0
    newest = bench.store.changes.newest_for_person(UNIVERSITY, ACCOUNT).kind
    assert newest == ("linked" if kept else "removed")


# The command and the check


def test_check_says_which_items_nothing_ends_and_the_commands_end_them(tmp_path, running_simulator):
    path = write_records(tmp_path, running_simulator[0].base_url)
    config = load(path, {})
    store = open_store(config.store.reveal())
    migrate(store.engine, NOON)
    for number, person in enumerate(("one@yliopisto.example", "two@yliopisto.example")):
        make_link(store, person, make_orcid_id(number), transfers=(NAME,))
        link = store.links.get(UNIVERSITY, person)
        store.affiliations.permit(link, make_consent(), STAFF, NAME, NOON)
        store.affiliations.add_item(link.id, AffiliationSection.EMPLOYMENT, MEMBER.client_id, NOON)

    def checked(path):
        output = run(path, "check", "--json")[1]
        return [each for each in json.loads(output)["results"] if each["subject"] == "affiliations"]

    def run(path, *words):
        done = CliRunner().invoke(main, ["--config", str(path), *words])
        return done.exit_code, done.output

    assert checked(path) == []
    command = ("transfer", "withdraw", UNIVERSITY, NAME)
    assert run(path, *command, "--dry-run")[1] == "2 affiliations on ORCID records of yliopisto would be ended\n"
    backfill = ("transfer", "backfill", UNIVERSITY, NAME)
    assert "2 affiliations on ORCID records of yliopisto would be compared" in run(path, *backfill, "--dry-run")[1]
    assert store.affiliations.permission(store.links.get(UNIVERSITY, "one@yliopisto.example").id)

    renamed = write_records(tmp_path, running_simulator[0].base_url, name="orcid")
    store.links.remove(UNIVERSITY, "one@yliopisto.example", "person", "own wish", NOON, transfers=())
    (found,) = checked(renamed)
    assert (found["level"], "2 items on ORCID records, of which 1 has to be ended" in found["text"]) == ("error", True)
    assert "orcid-connect transfer backfill yliopisto orcid" in found["fix"]
    assert run(renamed, "transfer", "backfill", UNIVERSITY, "orcid") == (
        0,
        "2 affiliations on ORCID records of yliopisto queued to be compared\n",
    )
    assert checked(renamed) == []

    removed = write_records(tmp_path, running_simulator[0].base_url, name=None)
    (found,) = checked(removed)
    assert found["text"] == "yliopisto, 2 items on ORCID records that no transfer keeps up to date or ends"
    assert run(removed, *command)[0] == 1

    path = write_records(tmp_path, running_simulator[0].base_url)
    assert run(path, *command) == (0, "2 affiliations on ORCID records of yliopisto queued to be ended\n")
    assert store.affiliations.permission(store.links.get(UNIVERSITY, "two@yliopisto.example").id) is None
    events = store.audit.list_events(UNIVERSITY, "two@yliopisto.example")
    assert [each.actor for each in events if each.kind == "affiliation-withdrawn"] == ["operator"]
    store.close()


def test_the_test_of_the_transfer_writes_to_nobodys_record(tmp_path, running_simulator):
    simulator, _ = running_simulator
    simulator.reset()
    path = write_records(tmp_path, simulator.base_url)

    done = CliRunner().invoke(main, ["--config", str(path), "transfer", "test", "yliopisto"])
    assert (done.exit_code, "the member API works; no record was written" in done.output) == (0, True)
    assert {each["path"].rpartition("/")[2] for each in simulator.call_log.list_requests()} == {"apiStatus"}

    for make_fail in (
        lambda: replace(simulator.options, api_ok=False),
        lambda: simulator.faults.arm("api", "html") and simulator.options,
        lambda: simulator.faults.arm("api", "cut") and simulator.options,
    ):
        simulator.options = make_fail()
        done = CliRunner().invoke(main, ["--config", str(path), "transfer", "test", "yliopisto"])
        assert (done.exit_code, "temporary" in done.output) == (1, True)
        simulator.options = replace(simulator.options, api_ok=True)


def test_a_link_without_a_permission_is_not_missing_at_orcid(tmp_path, running_simulator):
    path = write_records(tmp_path, running_simulator[0].base_url)
    config = load(path, {})
    store = open_store(config.store.reveal())
    migrate(store.engine, NOON)
    make_link(store)

    found = [each.text for each in check_deliveries(config.organisation_settings[UNIVERSITY], store, NOON)]
    assert found == ["yliopisto, nothing waits for records"]
    assert len(config.organisation_settings[UNIVERSITY].transfers) == 1


def write_records(directory, orcid_url, name=NAME):
    """Write the configuration of an organisation that writes to ORCID records, unless the transfer's name is None."""
    transfers = [{"name": name, "kind": "orcid", **REQUIRED}] if name else []
    own = {"client_id": MEMBER.client_id, "client_secret": "file:secrets/own", "scopes": ["/activities/update"]}
    return write_configuration(
        directory,
        organisations={"yliopisto": {"orcid": own, "transfer": transfers}},
        orcid={"base_url": orcid_url, "token_keys": ["file:secrets/key"]},
        secrets={"own": "s" * 40, "key": KEY},
    )
