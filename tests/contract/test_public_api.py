"""ORCID's public API: what its answers say of a record, and that every other answer says nothing."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from demo.orcid.people import PEOPLE
from shibboleth.orcid_id import Registry
from sql.records import RecordState
from tests.support.factories import NOON
from tests.support.service import AKE, MAIJA, orcid_id, run_orcid_simulator, serve_app
from webapp.linking.public_api import LookupFailed, PublicApi, RecordAnswer

OLD = orcid_id("0009-0000-0015-5545")
"""Merged into Maija's."""
STATE_OF = {each.state: orcid_id(each.orcid) for each in PEOPLE}


def make_api(address, **other):
    return PublicApi(address, Registry.SANDBOX, **{"connect_timeout": 2, "read_timeout": 2, **other})


@pytest.fixture(scope="module")
def running_simulator():
    with run_orcid_simulator() as (simulator, _client):
        yield simulator


@pytest.fixture
def simulator(running_simulator):
    running_simulator.reset()
    options = running_simulator.options
    yield running_simulator
    running_simulator.options = options


@pytest.fixture
def api(simulator):
    return make_api(f"{simulator.base_url}/pub/v3.0")


# The simulated ORCID


@pytest.mark.parametrize("fault", ["", "numbers_as_text"])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (orcid_id(MAIJA), RecordAnswer(RecordState.OK)),
        (OLD, RecordAnswer(RecordState.DEPRECATED, orcid_id(MAIJA))),
        (STATE_OF["deactivated"], RecordAnswer(RecordState.DEACTIVATED)),
        (STATE_OF["locked"], RecordAnswer(RecordState.LOCKED)),
        (orcid_id("0009-9999-9999-9992"), RecordAnswer(RecordState.NOT_FOUND)),
    ],
    ids=lambda given: getattr(given, "state", None),
)
def test_the_state_of_a_record_is_read_without_a_token(simulator, api, asked, expected, fault):
    if fault:
        simulator.faults.arm("api", fault)

    assert api.look_up(asked, NOON) == expected


def test_an_unclaimed_record_has_no_state(api):
    with pytest.raises(LookupFailed):
        api.look_up(STATE_OF["unclaimed"], NOON)


@pytest.mark.parametrize("fault", ["html", "5xx", "cut", "wrong_json", "empty_body", "other_types", "timeout"])
@pytest.mark.parametrize("asked", [orcid_id(MAIJA), STATE_OF["locked"]], ids=["in use", "locked"])
def test_a_failure_of_orcid_is_no_record_state(simulator, api, asked, fault):
    simulator.faults.arm("api", fault, seconds=5 if fault == "timeout" else None)

    with pytest.raises(LookupFailed):
        make_api(api.base_url, connect_timeout=0.2, read_timeout=0.2).look_up(asked, NOON)
    simulator.faults.clear()


def test_orcids_status_page_is_read(simulator, api):
    api.check_status(NOON)

    simulator.options = replace(simulator.options, api_ok=False)
    with pytest.raises(LookupFailed, match="ORCID says"):
        api.check_status(NOON)


@pytest.mark.parametrize(("limits", "status"), [({"burst": 1, "per_second": 0}, 503), ({"per_day": 1}, 429)])
def test_a_rate_limit_is_no_record_state(simulator, api, limits, status):
    simulator.options = replace(simulator.options, limits=True, **limits)
    api.look_up(orcid_id(MAIJA), NOON)

    with pytest.raises(LookupFailed, match=f"status {status}"):
        api.look_up(orcid_id(MAIJA), NOON)


# Any other answer


class Scripted:
    """An ORCID that gives one answer to everything."""

    status, headers, body = "200 OK", (), b""

    def __call__(self, environ, start_response):
        self.asked = environ
        start_response(self.status, [("Content-Type", "application/json"), *self.headers])
        return [self.body]


@pytest.fixture(scope="module")
def scripted_server():
    script = Scripted()
    with serve_app(script) as address:
        yield script, make_api(f"{address}/v3.0")


def error(code, message="", **more):
    said = {"response-code": 404, "developer-message": message, "user-message": "", "error-code": code, **more}
    return json.dumps(said).encode()


def merged(*into, old=OLD.bare):
    accounts = " ".join(f"https://sandbox.orcid.org/{each}" for each in into)
    return error(
        9007, f"301 Moved Permanently: Please refer to account: {accounts}. ORCID https://sandbox.orcid.org/{old}"
    )


def location(bare, section="address"):
    return (("Location", f"http://elsewhere.example/v3.0/{bare}/{section}"),)


GONE, MOVED, CONFLICT, FINE = "404 Not Found", "301 Moved Permanently", "409 Conflict", "200 OK"
PATH = json.dumps({"path": f"/{OLD.bare}/address"})[1:-1]
NOTHING = {
    "an empty answer": (FINE, b""),
    "a web page": (FINE, b"<!doctype html><title>Just a moment</title>"),
    "a web page for gone": (GONE, b"<!doctype html><title>404</title>"),
    "no object": (FINE, b"[]"),
    "deep": (FINE, b"[" * 60_000),
    "deep inside": (FINE, b'{%s, "address": %s}' % (PATH.encode(), b"[" * 5_000 + b"]" * 5_000)),
    "huge": (FINE, b'{%s, "address": "%s"}' % (PATH.encode(), b"x" * 1_000_000)),
    "a member twice": (FINE, b"{%s, %s}" % (PATH.encode(), PATH.encode())),
    "another record": (FINE, b'{"path": "/%s/address"}' % MAIJA.encode()),
    "no path": (FINE, b"{}"),
    "path no text": (FINE, b'{"path": ["/%s/address"]}' % OLD.bare.encode()),
    "gone without a code": (GONE, b'{"error": "not found"}'),
    "gone by another code": (GONE, error(9011)),
    "gone with another status": (FINE, error(9016)),
    "gone with an error of the server": ("500 Oops", error(9016)),
    "another's token": ("401 Unauthorized", error(9017)),
    "bad code": (GONE, error([9016])),
    "code true": (GONE, error(code=True)),
    "code in other digits": (GONE, error("٩٠١٦")),
    "long code": (GONE, error("9" * 5000)),
    "locked, another record": (CONFLICT, error(9018, f"ORCID {AKE} Full validation error: {AKE} is locked")),
    "a redirect without a code": (MOVED, b"{}", location(MAIJA)),
    "a redirect elsewhere": ("302 Found", merged(MAIJA), location(MAIJA)),
    "merged into itself": (MOVED, merged(OLD.bare), location(OLD.bare)),
    "merged into itself by Location": (MOVED, merged(), location(OLD.bare)),
    "merged into nothing": (MOVED, merged()),
    "merged into two": (MOVED, merged(MAIJA, AKE)),
    "merged, with another Location": (MOVED, merged(MAIJA), location(AKE)),
    "merged into no iD": (MOVED, merged("0009-0000-0001-1112")),
    "merged into no iD by Location": (MOVED, merged(), location("someone")),
    "merged into another section": (MOVED, merged(MAIJA), location(MAIJA, "works")),
    "merged, Location a root": (MOVED, merged(MAIJA), (("Location", "/"),)),
    "merged, Location no address": (MOVED, merged(MAIJA), (("Location", "http://[x/"),)),
    "merged, another record": (MOVED, merged(MAIJA, old=AKE)),
}


@pytest.mark.parametrize("case", NOTHING)
def test_an_unexpected_response_is_no_record_state(scripted_server, case):
    script, api = scripted_server
    script.status, script.body, script.headers = (*NOTHING[case], ())[:3]

    with pytest.raises(LookupFailed):
        api.look_up(OLD, NOON)


@pytest.mark.parametrize(
    "answer",
    [
        (MOVED, merged(MAIJA), ()),
        (MOVED, merged(), location(MAIJA)),
        (MOVED, error(9007, developer=1), location(MAIJA)),
        (CONFLICT, merged(MAIJA), location(MAIJA)),
    ],
    ids=["message alone", "Location alone", "no message", "409"],
)
def test_either_place_names_the_primary_id_and_no_redirect_is_followed(scripted_server, answer):
    script, api = scripted_server
    script.status, script.body, script.headers = answer

    assert api.look_up(OLD, NOON) == RecordAnswer(RecordState.DEPRECATED, orcid_id(MAIJA))
    assert script.asked["PATH_INFO"] == f"/v3.0/{OLD.bare}/address"
    assert script.asked["HTTP_ACCEPT"] == "application/json"
    assert "HTTP_AUTHORIZATION" not in script.asked


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Thu, 15 Jan 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("Thu, 15 Jan 2026 11:00:00 GMT", timedelta()),
        ("999999999999", timedelta(days=1)),
        ("soon", None),
        (None, None),
    ],
)
def test_orcid_says_how_long_to_wait(scripted_server, status, header, wait):
    script, api = scripted_server
    script.status, script.body = status, b"Too Many Requests"
    script.headers = () if header is None else (("Retry-After", header),)

    with pytest.raises(LookupFailed) as failed:
        api.look_up(OLD, NOON)

    assert failed.value.retry_after == wait


@pytest.mark.parametrize("body", [b"{}", b'{"overallOk": "true"}', b"<html>", b'{"overallOk": false}'])
def test_only_an_explicit_status_means_that_the_api_works(scripted_server, body):
    script, api = scripted_server
    script.status, script.body, script.headers = FINE, body, ()

    with pytest.raises(LookupFailed):
        api.check_status(NOON)


def test_an_unreachable_orcid_is_no_record_state():
    with pytest.raises(LookupFailed, match="cannot be reached"):
        make_api("http://127.0.0.1:1").look_up(OLD, NOON)
