"""The feed, as an organisation's identity management fetches it, on both engines."""

import base64
import gzip
import io
import json
import logging
from datetime import timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.cursor import Cursor
from resolver_connector.feed import MAX_SNAPSHOTS
from shibboleth.orcid_id import Registry
from sql.errors import StoreUnavailable
from sql.records import RecordState
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_client, make_link, make_orcid_id
from tests.support.service import ORGANISATIONS, ask

TOKEN, OTHER = "t" * 40, "o" * 40
MAIJA, AKE, VILLE = (f"{name}@yliopisto.example" for name in ("maija", "ake", "ville"))
FIRST, SECOND, THIRD = (make_orcid_id(number) for number in (1, 2, 3))
LATER = NOON + timedelta(hours=1)
NDJSON = "application/x-ndjson"


def make_connector(store, registry=Registry.PRODUCTION):
    """Give a connector that the university and the polytechnic know."""
    pairs = [
        (Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY))),
        (Bearer(OTHER), make_client(ORGANISATIONS.by_id(POLYTECHNIC))),
    ]
    return Connector(store, Credentials(pairs), registry, lambda: LATER)


@pytest.fixture
def connector(store):
    return make_connector(store)


def get(connector, path="/v1/changes", token=TOKEN, method="GET", **environ):
    return ask(connector, path, method, HTTP_AUTHORIZATION=f"Bearer {token}", **environ)


def fetch(connector, since=None, **environ):
    """Fetch a snapshot, or what came after a token."""
    answer = get(connector, "/v1/changes" if since is None else f"/v1/changes?cursor={since}", **environ)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


def post(connector, body, token=TOKEN, **environ):
    """Acknowledge, with these octets for a body."""
    sent = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
    return get(connector, "/v1/changes/ack", token, "POST", **sent | environ)


def acknowledge(connector, token):
    return post(connector, json.dumps({"cursor": token}).encode())


def unlink(store, person=MAIJA):
    return store.links.remove(UNIVERSITY, person, "person", "asked to", LATER)


def short(changes):
    """Give what there is to see of changes in a few words."""
    return [(each["action"], each["person"]["value"], each["orcid"]) for each in changes]


# What is told


def test_a_change_has_the_person_and_the_current_id(connector, store):
    start = fetch(connector)["next_cursor"]
    change = make_link(store, MAIJA, FIRST)

    (told,) = fetch(connector, start)["changes"]

    assert told == {
        "id": change.id,
        "action": "linked",
        "organisation": UNIVERSITY,
        "person": {"attribute": "eppn", "value": MAIJA},
        "previous_person": None,
        "orcid": FIRST.uri,
        "previous": None,
        "registry": "production",
        "time": "2026-01-15T12:00:00Z",
        "reason": None,
    }


def test_a_removal_has_a_null_id(connector, store):
    make_link(store, MAIJA, FIRST)
    start = fetch(connector)["next_cursor"]
    unlink(store)

    (told,) = fetch(connector, start)["changes"]

    assert (told["action"], told["orcid"], told["previous"], told["registry"]) == (
        "removed",
        None,
        FIRST.uri,
        "production",
    )


def test_a_replacement_names_both_ids(connector, store):
    make_link(store, MAIJA, FIRST)
    start = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, SECOND)

    (told,) = fetch(connector, start)["changes"]

    assert (told["action"], told["orcid"], told["previous"]) == ("replaced", SECOND.uri, FIRST.uri)


def test_changes_come_in_the_order_in_which_they_were_made_page_by_page(connector, store):
    token = fetch(connector)["next_cursor"]
    for number in range(1, 8):
        make_link(store, MAIJA, make_orcid_id(number))
    seen, pages, more = [], 0, True

    while more:
        page = fetch(connector, f"{token}&limit=3")
        seen += [each["orcid"] for each in page["changes"]]
        token, more, pages = page["next_cursor"], page["has_more"], pages + 1

    assert seen == [make_orcid_id(number).uri for number in range(1, 8)]
    assert pages == 3


@pytest.mark.parametrize(("limit", "more"), [(2, True), (3, False), (4, False), (5000, False)])
def test_has_more_is_true_only_if_there_are_more_changes(connector, store, limit, more):
    start = fetch(connector)["next_cursor"]
    for person in (MAIJA, AKE, VILLE):
        make_link(store, person, make_orcid_id(ord(person[0])))

    page = fetch(connector, f"{start}&limit={limit}")

    assert (len(page["changes"]), page["has_more"]) == (min(limit, 3), more)


def test_the_same_cursor_gives_the_same_changes(connector, store):
    start = fetch(connector)["next_cursor"]
    make_link(store)

    assert fetch(connector, start) == fetch(connector, start)


def test_an_organisation_reads_only_its_own_changes(connector, store):
    start = fetch(connector)["next_cursor"], fetch(connector, token=OTHER)["next_cursor"]
    make_link(store, MAIJA)
    make_link(store, "liisa@amk.example", organisation=POLYTECHNIC)

    university, polytechnic = fetch(connector, start[0]), fetch(connector, start[1], token=OTHER)

    assert [each["person"]["value"] for each in university["changes"]] == [MAIJA]
    assert [each["person"]["value"] for each in polytechnic["changes"]] == ["liisa@amk.example"]


def test_ids_of_another_registry_are_left_out(connector, store):
    start = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, make_orcid_id(1, Registry.SANDBOX))
    make_link(store, AKE, FIRST)

    page, snapshot = fetch(connector, f"{start}&limit=1"), fetch(connector)

    assert (page["changes"], page["has_more"]) == ([], True)
    assert short(fetch(connector, page["next_cursor"])["changes"]) == [("linked", AKE, FIRST.uri)]
    assert short(snapshot["changes"]) == [("linked", AKE, FIRST.uri)]


def test_a_change_between_registries_has_only_the_id_of_the_services_registry(connector, store):
    start = fetch(connector)["next_cursor"]
    for orcid_id in (FIRST, make_orcid_id(2, Registry.SANDBOX), THIRD):
        make_link(store, MAIJA, orcid_id)

    changes = fetch(connector, start)["changes"]

    assert [(each["action"], each["orcid"], each["previous"]) for each in changes] == [
        ("linked", FIRST.uri, None),
        ("removed", None, FIRST.uri),
        ("linked", THIRD.uri, None),
    ]


# The snapshot


def test_a_snapshot_has_every_current_link(connector, store):
    make_link(store, MAIJA, FIRST)
    make_link(store, MAIJA, SECOND)
    make_link(store, AKE, THIRD)
    make_link(store, VILLE, FIRST)
    unlink(store, VILLE)

    snapshot = fetch(connector)

    assert sorted(short(snapshot["changes"])) == [("linked", AKE, THIRD.uri), ("linked", MAIJA, SECOND.uri)]
    assert snapshot["has_more"] is False


def test_a_snapshot_has_the_state_of_each_record_at_orcid(connector, store):
    states = [None, *RecordState]
    for number, state in enumerate(states, 1):
        make_link(store, f"p{number}@yliopisto.example", make_orcid_id(number))
        if state is not None:
            store.record_statuses.save(make_orcid_id(number), state, None, LATER)

    assert [each["status"] for each in fetch(connector)["changes"]] == states


def test_an_empty_snapshot_has_a_cursor(connector, store):
    snapshot = fetch(connector)
    make_link(store)

    assert (snapshot["changes"], snapshot["has_more"]) == ([], False)
    assert len(fetch(connector, snapshot["next_cursor"])["changes"]) == 1


def read(connector, path="/v1/changes", **environ):
    """Ask as a server does, and give the pieces of the answer as they come."""
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_AUTHORIZATION": f"Bearer {TOKEN}", **environ}
    return connector(asked, lambda *_: None)


def test_changes_during_a_snapshot_come_after_it(connector, store):
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, THIRD)
    pieces = read(connector)
    begun = next(iter(pieces))
    unlink(store, VILLE)
    make_link(store, MAIJA, SECOND)

    snapshot = json.loads(begun + b"".join(pieces))
    pieces.close()

    held = {each["person"]["value"]: each["orcid"] for each in snapshot["changes"]}
    held |= {each["person"]["value"]: each["orcid"] for each in fetch(connector, snapshot["next_cursor"])["changes"]}
    assert snapshot["has_more"] is True
    assert held == {MAIJA: SECOND.uri, VILLE: None}


def test_a_snapshot_is_streamed_page_by_page(connector, store, monkeypatch):
    monkeypatch.setattr("sql.repositories.base.PAGE_SIZE", 2)
    monkeypatch.setattr("resolver_connector.feed.BATCH_SIZE", 2)
    for number in range(7):
        make_link(store, f"person-{number}@yliopisto.example", make_orcid_id(number + 1))
    asked = []
    monkeypatch.setattr(store.engine, "fetch_all", lambda query, **values: asked.append(query) or all_(query, **values))
    all_ = type(store.engine).fetch_all.__get__(store.engine)

    pieces = read(connector, HTTP_ACCEPT=NDJSON)
    first = next(iter(pieces))
    after_first = asked.count("list_link_summaries")
    rest = list(pieces)
    pieces.close()

    assert first.count(b"\n") == 2
    assert after_first == 1
    assert len(rest) == 4
    assert asked.count("list_link_summaries") == 5


def test_concurrent_snapshots_are_limited_and_a_disconnect_frees_a_slot(connector, store):
    make_link(store)
    under_way = [read(connector) for _ in range(MAX_SNAPSHOTS)]
    next(iter(under_way[0]))

    refused = get(connector)
    people = get(connector, f"/v1/people/{MAIJA}")
    looked = get(connector, method="HEAD")
    for each in under_way:
        each.close()
        each.close()
    after = get(connector)

    assert (refused.status, refused.header("Retry-After"), set(json.loads(refused.body))) == (503, "10", {"error"})
    assert (people.status, looked.status, after.status) == (200, 200, 200)


class BreaksOff:
    """A store that goes away in the middle of a snapshot."""

    def lookup(self):
        return self

    def ping(self):
        pass

    def merged_organisations(self):
        return frozenset()

    @property
    def changes(self):
        return self

    def list_after(self, *_asked):
        return []

    def snapshot(self, _organisation_id):
        return 0, self._links()

    def _links(self):
        raise StoreUnavailable("the server is away")
        yield


@pytest.mark.parametrize("form", [{}, {"HTTP_ACCEPT_ENCODING": "gzip"}, {"HTTP_ACCEPT": NDJSON}])
def test_an_interrupted_snapshot_is_recognisable(form, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    connector = make_connector(BreaksOff())
    pieces, sent = read(connector, **form), []

    with pytest.raises(StoreUnavailable):
        sent.extend(pieces)
    pieces.close()

    assert b"next_cursor" not in b"".join(sent)
    assert [record.facts for record in caplog.records] == [
        {"error": "StoreUnavailable", "reason": "the server is away"},
    ]
    assert connector.feed.snapshot_slots.acquire(blocking=False)


# The forms of an answer


@pytest.mark.parametrize(("query", "headers"), [("", {"HTTP_ACCEPT": NDJSON}), ("format=ndjson", {})])
@pytest.mark.parametrize("packed", [False, True])
def test_ndjson_has_the_same_content_as_json(connector, store, query, headers, packed):
    start = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, FIRST)
    make_link(store, "äke@yliopisto.example", SECOND)
    headers = headers | ({"HTTP_ACCEPT_ENCODING": "gzip, br"} if packed else {})

    for since in ("", f"cursor={start}&"):
        answer = get(connector, f"/v1/changes?{since}{query}", **headers)
        lines = (gzip.decompress(answer.body) if packed else answer.body).decode().splitlines()
        *changes, end = map(json.loads, lines)

        assert answer.header("Content-Type") == NDJSON
        assert {"changes": changes, **end} == json.loads(get(connector, f"/v1/changes?{since}").body)


@pytest.mark.parametrize(
    ("asked", "packed"),
    [
        (None, False),
        ("gzip", True),
        ("GZIP;q=0.5, identity", True),
        ("deflate, gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("\tgzip\t;\tQ=0\t", False),
        ("\tgzip\t", True),
        ("\xa0gzip", False),
        ("gzip\x85, br", False),
        ("br", False),
        ("*", False),
    ],
)
def test_a_response_is_compressed_on_request(connector, store, asked, packed):
    start = fetch(connector)["next_cursor"]
    make_link(store)
    headers = {} if asked is None else {"HTTP_ACCEPT_ENCODING": asked}

    for path in ("/v1/changes", f"/v1/changes?cursor={start}"):
        plain, answer = get(connector, path), get(connector, path, **headers)

        assert answer.header("Content-Encoding") == ("gzip" if packed else None)
        assert (gzip.decompress(answer.body) if packed else answer.body) == plain.body
        assert answer.header("Vary") == "Accept, Accept-Encoding"


def test_responses_that_are_not_streamed_have_a_content_length(connector, store):
    start = fetch(connector)["next_cursor"]
    make_link(store)

    for headers in ({}, {"HTTP_ACCEPT_ENCODING": "gzip"}):
        asked, looked = (
            get(connector, f"/v1/changes?cursor={start}", method=how, **headers) for how in ("GET", "HEAD")
        )

        assert int(asked.header("Content-Length")) == len(asked.body)
        assert (looked.status, looked.body, looked.headers) == (200, b"", asked.headers)


def test_head_of_a_snapshot_reads_no_links(connector, store):
    make_link(store)
    asked = get(connector)

    looked = get(connector, method="HEAD")

    assert (looked.status, looked.body, looked.headers) == (200, b"", asked.headers)


def test_responses_must_not_be_cached(connector):
    assert get(connector).header("Cache-Control") == "no-store"


# Whoever has seen it already


@pytest.mark.parametrize("written", ['W/"{}"', '"{}"', '"other", W/"{}"'])
def test_unchanged_content_is_answered_304(connector, store, written):
    make_link(store)
    token = fetch(connector)["next_cursor"]

    for path in ("/v1/changes", f"/v1/changes?cursor={token}"):
        answer = get(connector, path, HTTP_IF_NONE_MATCH=written.format(token))

        assert (answer.status, answer.body) == (304, b"")
        assert answer.header("ETag") == f'W/"{token}"'


def test_the_entity_tag_of_the_last_response_is_accepted(connector, store):
    start = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, FIRST)
    page = get(connector, f"/v1/changes?cursor={start}")
    path, tag = f"/v1/changes?cursor={json.loads(page.body)['next_cursor']}", page.header("ETag")

    before = get(connector, path, HTTP_IF_NONE_MATCH=tag)
    make_link(store, MAIJA, SECOND)
    after = get(connector, path, HTTP_IF_NONE_MATCH=tag)

    assert (before.status, after.status) == (304, 200)
    assert short(json.loads(after.body)["changes"]) == [("replaced", MAIJA, SECOND.uri)]


def test_the_entity_tag_changes_when_there_are_more_changes(connector, store):
    start = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, FIRST)
    path = f"/v1/changes?cursor={start}&limit=1"
    tag = get(connector, path).header("ETag")
    make_link(store, MAIJA, SECOND)

    assert get(connector, path, HTTP_IF_NONE_MATCH=tag).status == 200


# Tokens


def damaged(token):
    """Give this token with each of its letters changed, and otherwise mistreated."""
    for at, letter in enumerate(token):
        yield token[:at] + ("B" if letter == "A" else "A") + token[at + 1 :]
    yield from (
        token[:-1],
        token + "A",
        token + "====",
        token[:-4],
        f"%20{token}",
        token + "%0A",
        token + "%00",
        token * 9,
    )


@pytest.mark.parametrize("limit", ["", "0", "-1", "5001", "99999999999999999999", "1.5", "x", "%D9%A3", "1_0", "+1"])
def test_a_limit_is_a_number_from_1_to_5000(connector, limit):
    start = fetch(connector)["next_cursor"]

    answer = get(connector, f"/v1/changes?cursor={start}&limit={limit}")

    assert (answer.status, json.loads(answer.body)) == (400, {"error": "limit must be an integer from 1 to 5000"})


@pytest.mark.parametrize(
    "query",
    ["cursor=", "cursor=0", "cursor=1", "cursor=2026-01-15", "cursor=%FF", "format=xml", "format=", "a=1&" * 20],
)
def test_invalid_parameters_are_refused_with_a_reason(connector, query):
    answer = get(connector, f"/v1/changes?{query}")

    assert answer.status == 400
    assert answer.header("Content-Type") == "application/json"
    assert set(json.loads(answer.body)) == {"error"}


def test_two_cursors_are_refused(connector):
    start = fetch(connector)["next_cursor"]

    assert get(connector, f"/v1/changes?cursor={start}&cursor={start}").status == 400


def test_a_damaged_cursor_is_refused(connector, store):
    make_link(store)
    token = fetch(connector)["next_cursor"]

    answers = {(other, get(connector, f"/v1/changes?cursor={other}").status) for other in damaged(token)}

    assert {status for _, status in answers} == {400}


def test_a_cursor_of_another_organisation_is_refused(connector, store):
    make_link(store)
    make_link(store, organisation=POLYTECHNIC)
    foreign = fetch(connector, token=OTHER)["next_cursor"]

    assert get(connector, f"/v1/changes?cursor={foreign}").status == 400
    assert acknowledge(connector, foreign).status == 400


def test_a_cursor_is_url_safe_and_contains_no_time(connector, store):
    make_link(store)

    token = fetch(connector)["next_cursor"]

    assert len(token) == 32
    assert len(base64.urlsafe_b64decode(token)) == 24
    assert token == fetch(make_connector(store))["next_cursor"]


def test_a_cursor_older_than_the_kept_changes_is_expired(connector, store):
    start = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, FIRST)
    between = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, SECOND, now=LATER)
    store.changes.delete_before(before=LATER)

    gone, kept = (get(connector, f"/v1/changes?cursor={token}") for token in (start, between))

    assert (gone.status, kept.status) == (410, 200)
    assert "start over" in json.loads(gone.body)["error"]
    assert len(json.loads(kept.body)["changes"]) == 1


def test_a_reader_up_to_date_continues_after_all_changes_were_deleted(connector, store):
    make_link(store, MAIJA, FIRST)
    token = fetch(connector)["next_cursor"]
    store.changes.delete_before(before=LATER)

    quiet = fetch(connector, token)
    make_link(store, MAIJA, SECOND, now=LATER)

    assert quiet == {"changes": [], "next_cursor": token, "has_more": False}
    assert short(fetch(connector, token)["changes"]) == [("replaced", MAIJA, SECOND.uri)]
    assert short(fetch(connector, fetch(connector)["next_cursor"])["changes"]) == []


def test_a_cursor_newer_than_a_restored_backup_is_expired(connector, store):
    make_link(store)
    ahead = Cursor(2).encode(UNIVERSITY)

    answer = get(connector, f"/v1/changes?cursor={ahead}")

    assert (answer.status, acknowledge(connector, ahead).status) == (410, 410)
    assert "start over" in json.loads(answer.body)["error"]


def test_a_cursor_of_a_reused_change_number_is_expired(connector, store):
    lost = make_link(store)
    token = fetch(connector)["next_cursor"]
    with store.engine.transaction() as session:
        session.script(f"update changes set id = 'another' where id = '{lost.id}';")

    assert get(connector, f"/v1/changes?cursor={token}").status == 410
    assert acknowledge(connector, token).status == 410


# Acknowledgement


def test_an_organisation_acknowledges_changes(connector, store):
    make_link(store, MAIJA, FIRST)
    make_link(store, AKE, SECOND)
    token = fetch(connector)["next_cursor"]

    answer = acknowledge(connector, token)

    assert (answer.status, answer.body, answer.header("Content-Type")) == (204, b"", None)
    assert store.changes.acknowledged(UNIVERSITY) == (2, LATER)
    assert store.changes.acknowledged(POLYTECHNIC) is None


@pytest.mark.parametrize(
    "twice", ['{{"cursor": "x", "cursor": "{0}"}}', '{{"cursor": "{0}", "a": {{"b": 1, "b": 1}}}}']
)
def test_a_member_that_comes_twice_is_refused(connector, store, twice):
    make_link(store, MAIJA, FIRST)

    answer = post(connector, twice.format(fetch(connector)["next_cursor"]).encode())

    assert (answer.status, json.loads(answer.body)) == (
        400,
        {"error": "the body has a member more than once"},
    )
    assert store.changes.acknowledged(UNIVERSITY) is None


def test_an_acknowledgement_may_be_repeated_and_never_goes_back(connector, store):
    make_link(store, MAIJA, FIRST)
    early = fetch(connector)["next_cursor"]
    make_link(store, MAIJA, SECOND)
    late = fetch(connector)["next_cursor"]

    statuses = [acknowledge(connector, token).status for token in (late, late, early)]

    assert statuses == [204, 204, 204]
    assert store.changes.acknowledged(UNIVERSITY)[0] == 2


def test_a_cursor_older_than_the_kept_changes_can_be_acknowledged(connector, store):
    make_link(store)
    token = fetch(connector)["next_cursor"]
    store.changes.delete_before(before=LATER)

    assert acknowledge(connector, token).status == 204


def test_an_acknowledgement_before_the_first_change_is_accepted(connector):
    assert acknowledge(connector, fetch(connector)["next_cursor"]).status == 204


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"cursor": null}',
        b'{"cursor": 7}',
        b'{"cursor": ["x"]}',
        b'{"cursor": "x"}',
        b'{"cursor": "\\u00e4"}',
        b"[" * 4000,
    ],
)
def test_an_invalid_acknowledgement_is_refused(connector, body):
    answer = post(connector, body)

    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"error"}


def test_no_more_than_4_kib_is_read(connector):
    answer = post(connector, b" " * 4097)

    assert (answer.status, json.loads(answer.body)) == (413, {"error": "the body is larger than 4096 bytes"})


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "٣", "9" * 5000])
def test_an_invalid_content_length_is_refused(connector, length):
    told = []
    asked = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/changes/ack",
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        "CONTENT_LENGTH": length,
        "wsgi.input": io.BytesIO(b"{}"),
    }

    connector(asked, lambda status, _headers: told.append(status[:3]))

    assert told == ["413" if length.startswith("9") else "400"]
