"""Attested iDs by the connector's API, and the organisation's list of links; on each engine."""

from __future__ import annotations

import gc
import io
import json
import sys
from datetime import timedelta
from random import Random
from urllib.parse import quote, urlencode

import pytest

from resolver_connector.app import Connector
from resolver_connector.attested.bulk import MAX_BULK_BYTES
from resolver_connector.credentials import Bearer, Client, Credentials, Right
from resolver_connector.http import spool_body
from shibboleth.account_holder import KnownHolder
from shibboleth.orcid_id import Registry
from sql.repositories.base import Repository
from sql.repositories.deletion.removals import REMOVAL_DELAY
from tests.support.database import contents
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, attest, make_client, make_link, make_orcid_id
from tests.support.service import ORGANISATIONS, Clock, ask

TOKENS = {"cris": "c" * 40, "idm": "i" * 40, "amk": "a" * 40, "pure": "p" * 40}
MAIJA, VILLE, AKE = (f"{name}@yliopisto.example" for name in ("maija", "ville", "ake"))
FIRST, SECOND, THIRD = (make_orcid_id(number) for number in (1, 2, 3))
LATER = NOON + timedelta(hours=1)
ROW = {"orcid": FIRST.uri, "authenticated_at": "2026-01-10T12:00:00+02:00", "source": "Pure"}


NOT_SIXTEEN = "it is not sixteen characters in four groups"


@pytest.fixture
def clock():
    return Clock(LATER)


@pytest.fixture
def connector(store, clock):
    university, other = (ORGANISATIONS.by_id(each) for each in (UNIVERSITY, POLYTECHNIC))
    rights = frozenset({Right.ATTEST, Right.FEED, Right.REVERSE})
    clients = {
        "cris": Client(university, "cris", rights),
        "idm": Client(university, "idm", frozenset(Right), own_changes=True),
        "amk": make_client(other),
        "pure": Client(university, "pure", frozenset({Right.ATTEST}), source="Pure"),
    }
    pairs = [(Bearer(TOKENS[name]), client) for name, client in clients.items()]
    return Connector(
        store,
        Credentials(pairs),
        Registry.PRODUCTION,
        clock,
        {UNIVERSITY: ("idm", "pure")},
        transfer_credentials={(UNIVERSITY, "pure"): "cris"},
    )


@pytest.fixture
def send(connector):
    def sent(method, path, body=None, *, who="cris", kind="application/json", **environ):
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": kind}
        return ask(connector, path, method, HTTP_AUTHORIZATION=f"Bearer {TOKENS[who]}", **environ)

    return sent


def put(send, account=MAIJA, /, **other):
    environ = {name: other.pop(name) for name in [*other] if name.startswith("HTTP_")}
    return send("PUT", f"/v1/people/{account}", {**ROW, **other}, **environ)


def post(send, rows, query="", *, who="cris", kind="application/x-ndjson"):
    body = rows if isinstance(rows, bytes) else "".join(json.dumps(each) + "\n" for each in rows).encode()
    return send("POST", f"/v1/people?{query}", body, kind=kind, who=who)


def lines(answer):
    return [json.loads(line) for line in answer.body.splitlines()]


def test_an_id_is_put_again_without_effect(send, store, store_url):
    made = put(send)

    stored = {**ROW, "outcome": "linked", "account": MAIJA, "authenticated_at": "2026-01-10T10:00:00Z"}
    assert (made.status, json.loads(made.body)) == (201, stored)
    assert [each.transfer for each in store.deliveries.list_waiting(UNIVERSITY)] == ["idm"]
    before = contents(store_url)
    again = put(send, "MAIJA@Yliopisto.example")
    assert (again.status, json.loads(again.body)) == (200, {**stored, "outcome": "unchanged"})
    assert again.header("ETag") == made.header("ETag")
    assert contents(store_url) == before

    changed = put(send, orcid=SECOND.bare.replace("-", ""))
    assert (changed.status, json.loads(changed.body)["outcome"]) == (200, "replaced")
    assert changed.header("ETag") != made.header("ETag")
    converis = {**ROW, "orcid": SECOND.uri, "source": "Converis", "authenticated_at": "2026-01-11T12:00:00+02:00"}
    by_query = send("PUT", f"/v1/people?account={quote(MAIJA)}", converis)
    assert json.loads(by_query.body)["outcome"] == "updated"


@pytest.mark.parametrize(
    ("headers", "linked", "status"),
    [
        ({"HTTP_IF_NONE_MATCH": "*"}, False, 201),
        ({"HTTP_IF_NONE_MATCH": "*"}, True, 412),
        ({"HTTP_IF_NONE_MATCH": 'W/"x", {etag}'}, True, 412),
        ({"HTTP_IF_NONE_MATCH": '"x"'}, True, 200),
        ({"HTTP_IF_MATCH": "*"}, False, 412),
        ({"HTTP_IF_MATCH": "*"}, True, 200),
        ({"HTTP_IF_MATCH": '"x" , {etag}'}, True, 200),
        ({"HTTP_IF_MATCH": "W/{etag}"}, True, 412),
        ({"HTTP_IF_MATCH": '"x"'}, True, 412),
        ({"HTTP_IF_MATCH": "x"}, True, 400),
    ],
)
def test_conditions_are_those_of_http(send, store, headers, linked, status):
    etag = put(send).header("ETag") if linked else None
    headers = {name: value.format(etag=etag) for name, value in headers.items()}

    answer = put(send, orcid=SECOND.uri, **headers)

    assert answer.status == status
    if status == 412:
        assert answer.header("ETag") == etag
        assert store.links.orcid_ids(UNIVERSITY, MAIJA) == ([FIRST] if linked else [])


def own(store):
    make_link(store, MAIJA, SECOND)


def removed(store):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "person", "mine", NOON)


def reassigned(store):
    make_link(store, MAIJA, FIRST, issued="20200101")
    store.links.end_earlier_holder(UNIVERSITY, MAIJA, KnownHolder("20260101"), NOON)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (own, "linked-by-person"),
        (lambda store: make_link(store, VILLE, FIRST), "orcid-in-use"),
        (removed, "removed-by-person"),
        (reassigned, "account-reassigned"),
    ],
)
def test_a_conflict_has_a_code_and_changes_no_link(send, store, before, code):
    before(store)
    links = list(store.links.list_current(UNIVERSITY))

    answer = put(send)

    assert (answer.status, json.loads(answer.body)["code"]) == (409, code)
    assert list(store.links.list_current(UNIVERSITY)) == links


@pytest.mark.parametrize(
    ("account", "changed", "member"),
    [
        (MAIJA, {"orcid": "0000-0000-0000-0000"}, "orcid"),
        (MAIJA, {"orcid": "https://sandbox.orcid.org/0000-0002-1825-0097"}, "orcid"),
        (MAIJA, {"orcid": 7}, "orcid"),
        (MAIJA, {"orcid": None}, "orcid"),
        (MAIJA, {"authenticated_at": None}, "authenticated_at"),
        (MAIJA, {"authenticated_at": "2026-01-10"}, "authenticated_at"),
        (MAIJA, {"authenticated_at": "2026-01-10T12:00:00"}, "authenticated_at"),
        (MAIJA, {"authenticated_at": "2026-01-15T13:05:01Z"}, "authenticated_at"),
        (MAIJA, {"authenticated_at": "0001-01-01T00:00:00+14:00"}, "authenticated_at"),
        (MAIJA, {"authenticated_at": "2012-09-30T23:59:59Z"}, "authenticated_at"),
        (MAIJA, {"source": None}, "source"),
        (MAIJA, {"source": "two\nlines"}, "source"),
        (MAIJA, {"source": "orcid"}, "source"),
        (MAIJA, {"source": "ORCID"}, "source"),
        (MAIJA, {"source": " "}, "source"),
        (MAIJA, {"source": "orcid "}, "source"),
        (MAIJA, {"source": " Pure"}, "source"),
        (MAIJA, {"source": "x" * 201}, "source"),
        (MAIJA, {"orcd": "x"}, "orcd"),
        (MAIJA, {"account": MAIJA}, "account"),
        ("maija@elsewhere.example", {}, "account"),
        ("mai\u200bja@yliopisto.example", {}, "account"),
    ],
)
def test_a_member_that_is_wrong_is_named(send, store, account, changed, member):
    answer = put(send, account, **changed)

    assert (answer.status, json.loads(answer.body)["member"]) == (422, member)
    assert store.links.count(UNIVERSITY) == 0


def test_a_clock_may_be_five_minutes_ahead(send, store):
    assert put(send, authenticated_at="2026-01-15T13:05:00Z").status == 201
    assert store.links.get(UNIVERSITY, MAIJA).authenticated_at == LATER


def test_a_malformed_request_is_refused(send):
    assert send("PUT", f"/v1/people/{MAIJA}?dry_run=true", ROW).status == 400
    assert send("PUT", f"/v1/people/{MAIJA}", b"[]").status == 400
    assert send("PUT", f"/v1/people/{MAIJA}", b'{"orcid": 1, "orcid": 2}').status == 400
    assert send("PUT", "/v1/people", ROW).status == 400
    assert send("POST", f"/v1/people/{MAIJA}", ROW).status == 405


def test_with_attest_alone_an_attested_link_is_removed_and_no_other(send, store):
    put(send)
    make_link(store, VILLE, SECOND)
    store.deliveries.claim("worker", LATER, timedelta(days=1), 99)
    etag = json.loads(send("GET", f"/v1/people?orcid={FIRST.bare}").body)["people"][0]["etag"]

    path = f"/v1/people/{MAIJA}"
    assert send("DELETE", path, HTTP_IF_MATCH='"x"').status == 412
    assert send("DELETE", path, who="idm", HTTP_IF_MATCH='"x"').status == 412
    tried = send("DELETE", path + "?dry_run=true", HTTP_IF_MATCH=etag)
    assert json.loads(tried.body) == {"dry_run": True, "links": 1, "attempts": 0, "deliveries": 1}
    assert store.links.count(UNIVERSITY) == 2
    assert json.loads(send("DELETE", path).body)["links"] == 1
    assert json.loads(send("DELETE", path).body)["links"] == 0
    refused = send("DELETE", f"/v1/people/{VILLE}")
    assert (refused.status, json.loads(refused.body)["code"]) == (409, "linked-by-person")
    assert json.loads(send("DELETE", f"/v1/people/{VILLE}", who="idm").body)["links"] == 1


@pytest.mark.parametrize("who", ["cris", "idm"])
def test_a_link_that_changed_since_it_was_read_is_not_removed(send, store, monkeypatch, who):
    etag = put(send).header("ETag")

    def overtaken(*args, **words):
        monkeypatch.undo()
        store.links.remove(UNIVERSITY, MAIJA, "person", "mine", LATER)
        make_link(store, MAIJA, THIRD)
        return transaction(*args, **words)

    # Between the arrival of the request and its transaction
    transaction = store.retention.organisation_transaction
    monkeypatch.setattr(Repository, "organisation_transaction", lambda _self, *args, **words: overtaken(*args, **words))

    assert send("DELETE", f"/v1/people/{MAIJA}", who=who, HTTP_IF_MATCH=etag).status == 412
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [THIRD]


CSV = f"""account;ORCID;authenticated_at;source
{MAIJA};{FIRST.bare};2026-01-10;

{VILLE};x;2026-01-10;Converis
"""


@pytest.mark.parametrize(
    ("body", "kind", "numbers"),
    [
        (CSV.encode("utf-16"), "text/csv; charset=utf-16", (2, 4)),
        (
            json.dumps({"account": MAIJA, "orcid": FIRST.bare, "authenticated_at": "2026-01-10"}).encode()
            + b"\n\n"
            + json.dumps({"account": VILLE, **ROW, "orcid": "x"}).encode(),
            "Application/X-NDJSON",
            (1, 3),
        ),
    ],
)
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_each_row_of_a_list_has_its_result(send, store, body, kind, numbers, dry_run):  # noqa: PLR0917 - one for each word
    answer = post(send, body, f"source=Pure&dry_run={dry_run}", kind=kind)

    linked, refused, end = lines(answer)
    assert (answer.status, answer.header("Content-Type")) == (200, "application/x-ndjson")
    assert linked == {"line": numbers[0], "account": MAIJA, "outcome": "linked"}
    assert (refused.pop("line"), refused.pop("error")) == (numbers[1], "orcid: it is no ORCID iD: " + NOT_SIXTEEN)
    assert refused == {"account": VILLE, "outcome": "refused", "code": "invalid", "member": "orcid"}
    assert end == {
        "dry_run": dry_run == "true",
        "rows": 2,
        "linked": 1,
        "replaced": 0,
        "updated": 0,
        "unchanged": 0,
        "refused": 1,
    }
    link = store.links.get(UNIVERSITY, MAIJA)
    assert (link and link.source) == (None if dry_run == "true" else "Pure")


@pytest.mark.parametrize(
    "line",
    [b"x", b"[]", b"1", b'{"account": 1, "account": 2}', b"\xff", b"[" * 9_000, b"x" * 20_001, b'{"account": {}}'],
)
def test_an_unreadable_line_is_refused_and_the_next_is_read(send, line):
    good = json.dumps({"account": MAIJA, **ROW}).encode()

    refused, linked, _ = lines(post(send, b"\xef\xbb\xbf" + line + b"\n" + good))

    assert (refused["line"], refused["code"]) == (1, "invalid")
    assert (linked["line"], linked["outcome"]) == (2, "linked")


def test_a_list_is_sent_in_batches(send, store):
    rows = [{"account": f"p{n}@yliopisto.example", **ROW, "orcid": make_orcid_id(n).bare} for n in range(250)]

    *results, end = lines(post(send, rows))

    assert [each["line"] for each in results] == list(range(1, 251))
    assert (end["linked"], store.links.count(UNIVERSITY)) == (250, 250)


@pytest.mark.parametrize(
    ("query", "kind", "status"),
    [
        ("dryrun=true", "text/csv", 400),
        ("mode=delete", "text/csv", 400),
        ("rows=1", "text/csv", 400),
        ("mode=replace&source=Pure&rows=1", "text/csv", 400),
        ("mode=replace&source=Pure&made_at=2026-01-15T13:00:00Z", "text/csv", 400),
        ("mode=replace&rows=1&made_at=2026-01-15T13:00:00Z", "text/csv", 422),
        ("source=orcid", "text/csv", 422),
        ("", "application/json", 415),
        ("", "text/csv", 400),
        ("", " Text/CSV ; charset=utf-8", 400),
        ("", "text/csv\xa0", 415),
        ("", "\x85text/csv", 415),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_as_a_whole(send, store, query, kind, status):
    assert post(send, b"account,orcid\nx,y\n", query, kind=kind).status == status
    assert store.links.count(UNIVERSITY) == 0


def test_a_list_that_is_too_large_is_refused(send, monkeypatch):
    assert post(send, b"x" * (MAX_BULK_BYTES + 1)).status == 413
    monkeypatch.setattr("resolver_connector.attested.bulk.MAX_ROWS", 1)
    assert b"more than 1 rows" in post(send, [{"account": MAIJA, **ROW}] * 2).body


def test_only_so_many_lists_are_processed_at_once(send, connector):
    slots = connector.feed.snapshot_slots
    slots.acquire()
    # Each answer has freed its slot, also that of a list that was refused
    for _ in range(3):
        assert post(send, [{"account": MAIJA, **ROW}]).status == 200
        assert post(send, b"x", kind="text/csv").status == 400
    slots.acquire()
    assert post(send, []).status == 503
    assert send("GET", "/v1/people").status == 503


@pytest.mark.parametrize("read", [0, 1, 99])
def test_a_sender_that_disconnects_leaves_nothing_open(send, connector, monkeypatch, recwarn, read):
    body = b"account,orcid,authenticated_at,source\n" + b"x,y,z,w\n" * 3_000
    errors, files = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: errors.append(repr(error.exc_value)))

    def spooled(*args):
        files.append(spool_body(*args))
        return files[0]

    monkeypatch.setattr("resolver_connector.app.spool_body", spooled)
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "text/csv"}
    environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/people", "QUERY_STRING": ""}
    answer = connector({**environ, "HTTP_AUTHORIZATION": f"Bearer {TOKENS['cris']}"}, lambda *_: None)
    for _ in zip(range(read), answer, strict=False):
        pass
    answer.close()
    answer.close()
    del answer
    gc.collect()

    assert files[0].closed
    assert (errors, [str(each.message) for each in recwarn]) == ([], [])
    assert connector.feed.snapshot_slots.acquire(blocking=False)
    assert connector.feed.snapshot_slots.acquire(blocking=False)


def test_a_list_takes_a_slot_only_after_its_body_was_read(send, connector):
    slots, free = connector.feed.snapshot_slots, []

    class Body(io.BytesIO):
        def read(self, *args):
            free.append(slots.acquire(blocking=False) and slots.acquire(blocking=False))
            slots.release(2)
            return super().read(*args)

    body = json.dumps({"account": MAIJA, **ROW}).encode()
    environ = {"wsgi.input": Body(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/x-ndjson"}

    assert send("POST", "/v1/people", **environ).status == 200
    assert free == [True] * len(free) != []


@pytest.fixture
def twenty(store):
    """Attest twenty people of one source, and two others."""
    attest(store, [(f"p{n}@yliopisto.example", make_orcid_id(100 + n)) for n in range(20)], "Pure", credential="cris")
    attest(store, [(AKE, THIRD)], "Converis")
    make_link(store, VILLE, SECOND)


def rows_of(numbers):
    return [{"account": f"p{n}@yliopisto.example", **ROW, "orcid": make_orcid_id(100 + n).bare} for n in numbers]


def replace(send, rows, /, *, who="cris", **stated):
    stated = {"mode": "replace", "source": "Pure", "rows": len(rows), "made_at": "2026-01-15T12:30:00Z"} | stated
    return post(send, rows, urlencode(stated), who=who)


def execute(connector, clock):
    return connector.store.removals.execute_due(connector.receivers.attester, clock() + REMOVAL_DELAY)


def test_a_list_that_replaces_removes_what_it_lacks_after_an_hour(send, store, connector, clock, twenty):
    end = lines(replace(send, rows_of(range(1, 20)), dry_run="true"))[-1]
    assert (end["removals"], end["accounts"]) == (1, ["p0@yliopisto.example"])
    assert json.loads(send("GET", "/v1/reconciliation").body)["removals"] == 0

    end = lines(replace(send, rows_of(range(1, 20))))[-1]

    assert (end["updated"], end["removals"], end["due_at"]) == (19, 1, "2026-01-15T14:00:00Z")
    assert json.loads(send("GET", "/v1/reconciliation").body)["removals"] == 1
    # Another list waits, whoever sends it
    assert replace(send, rows_of(range(1, 20))).status == 409
    assert execute(connector, clock) == 1
    assert store.links.count(UNIVERSITY) == 21
    (change,) = store.changes.list_after(UNIVERSITY, store.changes.last_number(UNIVERSITY) - 1, 9)
    assert (change.kind, change.person_key, change.reason, change.attested_by) == (
        "removed",
        "p0@yliopisto.example",
        "attested",
        "cris",
    )
    assert [each.transfer for each in store.deliveries.list_waiting(UNIVERSITY)] == ["idm"]


def test_a_removal_does_not_happen_if_it_is_cancelled_or_the_link_changed(send, store, connector, clock, twenty):
    for undo in (
        lambda: send("DELETE", "/v1/reconciliation"),
        lambda: post(send, rows_of([0])),
        lambda: make_link(store, "p0@yliopisto.example", make_orcid_id(100)),
    ):
        assert lines(replace(send, rows_of(range(1, 20)), made_at=clock().isoformat()))[-1]["removals"] == 1
        undo()
        assert execute(connector, clock) == 0
        clock.now += timedelta(minutes=1)
        assert store.links.count(UNIVERSITY) == 22


def test_a_link_that_was_attested_anew_after_the_list_was_made_is_not_removed(send, twenty):
    assert json.loads(put(send, "p0@yliopisto.example", orcid=make_orcid_id(100).uri).body)["outcome"] == "updated"

    assert lines(replace(send, rows_of(range(1, 20))))[-1]["removals"] == 0


def test_the_hour_begins_when_the_rows_are_stored(send, store, clock, twenty, monkeypatch):
    add = store.attested_links.add

    def slow(*args, **words):
        yield from add(*args, **words)
        clock.passes(minutes=50)

    monkeypatch.setattr(store.attested_links, "add", slow)

    end = lines(replace(send, rows_of(range(1, 20))))[-1]

    assert (end["requested_at"], end["due_at"]) == ("2026-01-15T13:50:00Z", "2026-01-15T14:50:00Z")


def test_a_list_of_accounts_is_not_cancelled_with_attest_alone(send, twenty):
    path = "/v1/reconciliation?rows=21&made_at=2026-01-15T13:00:00Z"
    accounts = "".join(f"{each}\n" for each in ["account", VILLE, *(f"p{n}@yliopisto.example" for n in range(20))])
    assert send("POST", path, accounts.encode(), who="idm", kind="text/csv").status == 200

    assert json.loads(send("DELETE", "/v1/reconciliation").body)["cancelled"] == 0
    assert json.loads(send("DELETE", "/v1/reconciliation", who="idm").body)["cancelled"] == 1


@pytest.mark.parametrize(
    ("count", "stated", "status"),
    [
        (18, {}, 409),
        (18, {"max_percent": 10}, 200),
        (19, {"rows": 20}, 400),
        (0, {"rows": 1}, 400),
        (19, {"made_at": "2026-01-14T12:59:59Z"}, 400),
        (19, {"source": "Converis"}, 400),
    ],
)
def test_a_list_that_replaces_is_refused_as_a_whole(send, store_url, twenty, count, stated, status):  # noqa: PLR0917 - one for each word
    before = contents(store_url)

    assert replace(send, rows_of(range(count)), **stated).status == status

    assert (contents(store_url) == before) is (status != 200)


def test_a_list_that_replaces_is_not_advised_to_be_split(send, twenty, monkeypatch):
    monkeypatch.setattr("resolver_connector.attested.bulk.MAX_ROWS", 2)

    refused = replace(send, rows_of(range(3)), rows=2), post(send, rows_of(range(3)))

    assert [each.status for each in refused] == [400, 400]
    assert [json.loads(each.body)["error"].partition("; ")[2] for each in refused] == [
        "send it in parts with mode=merge, not replace",
        "send it in parts",
    ]


def test_a_list_that_replaces_has_no_invalid_row(send, store_url, twenty):
    before = contents(store_url)

    answer = replace(send, [*rows_of(range(1, 20)), {"account": "p0@yliopisto.example", **ROW, "orcid": "x"}])

    assert (answer.status, b"line 20: orcid" in answer.body) == (400, True)
    assert contents(store_url) == before


def test_a_removal_that_became_impossible_is_reported_on_the_last_line(send, store, twenty, monkeypatch):
    checks = []
    schedule = store.removals.schedule

    def overtaken(*args, **words):
        checks.append(words["dry_run"])
        if not words["dry_run"]:
            schedule(*args, **words)
        return schedule(*args, **words)

    monkeypatch.setattr(store.removals, "schedule", overtaken)

    end = lines(replace(send, rows_of(range(1, 20))))[-1]

    assert "cancel them first" in end["error"]
    assert checks == [True, False]


def test_a_credential_of_one_source_attests_and_withdraws_for_it_alone(send, store, connector, clock):
    attest(store, [(AKE, THIRD)], "Converis")
    row = {name: ROW[name] for name in ("orcid", "authenticated_at")}
    of_others = {**row, "source": "Converis"}

    refused = send("PUT", f"/v1/people/{MAIJA}", of_others, who="pure")
    assert (refused.status, json.loads(refused.body)["member"]) == (422, "source")
    for query in ("source=Converis", "source=Converis&mode=replace&rows=1&made_at=2026-01-15T13:00:00Z"):
        refused = post(send, [{"account": MAIJA, **of_others}], query, who="pure")
        assert (refused.status, json.loads(refused.body)["member"]) == (422, "source")
    refused = lines(post(send, [{"account": MAIJA, **of_others}], who="pure"))[0]
    assert (refused["outcome"], refused["member"]) == ("refused", "source")
    refused = send("DELETE", f"/v1/people/{AKE}", who="pure")
    assert (refused.status, json.loads(refused.body)["code"]) == (409, "other-source")
    assert [each.source for each in store.links.list_current(UNIVERSITY)] == ["Converis"]

    assert json.loads(send("PUT", f"/v1/people/{MAIJA}", row, who="pure").body)["source"] == "Pure"
    assert lines(post(send, [{"account": VILLE, **row, "orcid": SECOND.uri}], who="pure"))[0]["outcome"] == "linked"
    assert json.loads(send("DELETE", f"/v1/people/{VILLE}", who="pure").body)["links"] == 1
    assert json.loads(send("DELETE", f"/v1/people/{VILLE}", who="pure").body)["links"] == 0

    clock.passes(hours=2)
    rest = [{"account": VILLE, **row, "orcid": SECOND.uri}]
    for source, cancelled in (("Converis", 0), ("Pure", 1)):
        assert (
            lines(replace(send, rest, source=source, max_percent=100, made_at="2026-01-15T14:00:00Z"))[-1]["removals"]
            == 1
        )
        assert json.loads(send("DELETE", "/v1/reconciliation", who="pure").body)["cancelled"] == cancelled
        send("DELETE", "/v1/reconciliation")


def test_a_system_does_not_receive_the_changes_it_attested(send):
    cursor = json.loads(send("GET", "/v1/changes").body)["next_cursor"]
    put(send)
    send("DELETE", f"/v1/people/{MAIJA}")
    put(send, VILLE, orcid=SECOND.uri)

    def told(who):
        answer = json.loads(send("GET", f"/v1/changes?cursor={cursor}", who=who).body)
        return answer["next_cursor"], [(each["action"], each["reason"]) for each in answer["changes"]]

    assert told("idm")[1] == [("linked", "attested"), ("removed", "attested"), ("linked", "attested")]
    assert told("cris") == (told("idm")[0], [])
    assert len(json.loads(send("GET", "/v1/changes").body)["changes"]) == 1


def by_person(links, changes):
    """Apply changes of the feed as docs/idm-owner-fetch.md says."""
    for change in changes:
        links.pop(change["previous_person"] and change["previous_person"]["value"], None)
        links[change["person"]["value"]] = change["orcid"]
        if change["orcid"] is None:
            del links[change["person"]["value"]]


def delivered(store, links):
    """Apply the waiting changes of the transfer to the system, in their order."""
    numbers = [each.change_number for each in store.deliveries.list_waiting(UNIVERSITY) if each.transfer == "pure"]
    for change in store.changes.list_after(UNIVERSITY, 0, 10_000):
        if change.number in numbers:
            links.pop(change.previous_person_key, None)
            links[change.person_key] = change.orcid_id and change.orcid_id.uri
            if change.orcid_id is None:
                del links[change.person_key]


STEPS = (
    "put first",
    "put second",
    "put elsewhere",
    "list",
    "delete",
    "replace",
    "other put",
    "linked",
    "removed",
    "moved",
    "fetched",
)
"""What happens to a person: the system's own doings, those of others, and that the system fetches its feed."""
REVIEWED = (
    ("linked", "removed", "put first"),
    ("put first", "moved", "delete elsewhere"),
    ("put first", "moved", "put second"),
    ("linked", "removed", "put elsewhere"),
    ("put first", "linked", "removed", "list", "put second", "replace"),
    ("other put", "put second", "delete"),
    ("put first", "put second", "delete", "list", "replace"),
)


def test_a_system_that_applies_its_feed_and_transfer_has_the_links_of_the_service(send, store, connector, clock):  # noqa: C901, PLR0915 - a model
    generator = Random(20)
    walks = [*REVIEWED, *(tuple(generator.choices(STEPS, k=5)) for _ in range(40))]
    fetched_links, cursor = {}, json.loads(send("GET", "/v1/changes").body)["next_cursor"]
    handed_in = {}

    def fetch():
        nonlocal cursor
        page = json.loads(send("GET", f"/v1/changes?limit=5000&cursor={cursor}").body)
        cursor = page["next_cursor"]
        by_person(fetched_links, page["changes"])

    def own(account, orcid_id):
        for links in (fetched_links, handed_in):
            links.pop(account, None)
            links.update({} if orcid_id is None else {account: orcid_id.uri})

    for number, walk in enumerate(walks):
        here, elsewhere = (f"{name}{number}@yliopisto.example" for name in ("here", "elsewhere"))
        first, second = make_orcid_id(1000 + 2 * number), make_orcid_id(1001 + 2 * number)
        for minute, step in enumerate(walk):
            clock.now = LATER + timedelta(hours=3 * number, minutes=minute)
            now, at = clock(), clock().isoformat()
            account = elsewhere if step.endswith("elsewhere") else here
            orcid_id = second if step == "put second" else first
            asked = {"account": account, **ROW, "orcid": orcid_id.uri, "authenticated_at": at}
            transfers = ("idm", "pure")
            match step.split()[0]:
                case "put" if put(send, account, orcid=orcid_id.uri, authenticated_at=at).status < 300:
                    own(account, orcid_id)
                case "list" if lines(post(send, [asked]))[0]["outcome"] != "refused":
                    own(account, orcid_id)
                case "delete" if send("DELETE", f"/v1/people/{account}").status == 200:
                    own(account, None)
                case "replace":
                    rest = [each for each in lines(send("GET", "/v1/people"))[:-1] if each["source"] == "Pure"]
                    rest = [each for each in rest if each["account"] != account]
                    assert replace(send, rest, made_at=at, max_percent=100).status == 200
                    before = store.links.get(UNIVERSITY, account)
                    if execute(connector, clock):
                        assert before.attested
                        own(account, None)
                case "other":
                    body = {**ROW, "orcid": orcid_id.uri, "authenticated_at": at}
                    send("PUT", f"/v1/people/{account}", body, who="idm")
                case "linked" if store.links.get_by_orcid_id(UNIVERSITY, second) is None:
                    make_link(store, account, second, now=now, transfers=transfers)
                case "removed":
                    store.links.remove(UNIVERSITY, account, "person", "mine", now, transfers=transfers)
                case "moved" if store.links.get(UNIVERSITY, account) and not store.links.get(UNIVERSITY, elsewhere):
                    store.links.move(
                        UNIVERSITY, account, elsewhere, "organisation", "renamed", now, transfers=transfers
                    )
                case "fetched":
                    fetch()
        fetch()
        stored = {each.account: each.orcid_id.uri for each in store.links.list_current(UNIVERSITY)}
        assert fetched_links == stored, walk
    delivered(store, handed_in)
    assert handed_in == stored
    own_changes = [each for each in store.changes.list_after(UNIVERSITY, 0, 9_999) if each.attested_by == "cris"]
    assert own_changes


def test_the_account_of_an_id_is_found_in_the_own_organisation_and_audited(send, store):
    make_link(store, MAIJA, FIRST)
    make_link(store, "x@amk.example", SECOND, POLYTECHNIC)

    (found,) = json.loads(send("GET", f"/v1/people?orcid={quote(FIRST.uri, '')}").body)["people"]

    assert {**found, "etag": ""} == {
        "account": MAIJA,
        "orcid": FIRST.uri,
        "source": "orcid",
        "authenticated_at": "2026-01-15T12:00:00Z",
        "etag": "",
    }
    assert json.loads(send("GET", f"/v1/people?orcid={SECOND.bare}").body) == {"people": []}
    assert send("GET", "/v1/people?orcid=x").status == 400
    assert send("GET", f"/v1/people?orcid={FIRST.bare}&format=csv").status == 400
    *_, event = store.audit.list_events(UNIVERSITY, MAIJA)
    assert (event.kind, event.actor, event.facts["credential"]) == ("person-looked-up", "organisation", "cris")


def test_the_list_of_links_can_be_sent_back(send, store):
    make_link(store, MAIJA, FIRST)
    attest(store, [("=ville@yliopisto.example", SECOND)], "+Pure")
    make_link(store, "x@amk.example", THIRD, POLYTECHNIC)

    *people, end = lines(send("GET", "/v1/people"))
    table = send("GET", "/v1/people", HTTP_ACCEPT="text/csv").body

    assert ([each["account"] for each in people], end) == (["=ville@yliopisto.example", MAIJA], {"count": 2})
    assert table.splitlines()[1].startswith(b"'=ville@yliopisto.example,")
    assert b",'+Pure" in table
    assert send("GET", "/v1/people?format=csv").body == table
    assert [each["outcome"] for each in lines(post(send, table, "source=x", kind="text/csv"))[:2]] == ["unchanged"] * 2
    assert send("HEAD", "/v1/people").body == b""
    assert send("GET", "/v1/people?format=xml").status == 400
    assert send("GET", "/v1/people?limit=1").status == 400
    events = [each for each in store.audit.list_events(UNIVERSITY) if each.kind == "links-listed"]
    assert [dict(each.facts) for each in events] == [{"credential": "cris"}] * 3


def test_a_suspended_id_and_one_of_another_registry_are_not_listed(send, store):
    make_link(store, MAIJA, make_orcid_id(9, Registry.SANDBOX))
    make_link(store, VILLE, FIRST)
    store.engine.execute("suspend_link", id=store.links.get(UNIVERSITY, VILLE).id, now="2026-01-15T12:00:00.000000Z")

    assert lines(send("GET", "/v1/people")) == [{"count": 0}]
    assert json.loads(send("GET", f"/v1/people?orcid={FIRST.bare}").body) == {"people": []}
