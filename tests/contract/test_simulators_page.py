"""The page about the simulators: its commands work, and its tables say what the simulators do."""

import base64
import contextlib
import copy
import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from demo.idm.app import ACCOUNTS, PASSWORD, USER, Idm
from demo.idm.faults import FAULTS as IDM_FAULTS
from demo.idm.server import serve
from demo.orcid import admin
from demo.orcid.affiliations import IDENTIFIERS
from demo.orcid.client import SimulatorClient
from demo.orcid.errors import ERRORS
from demo.orcid.faults import FAULTS
from demo.orcid.people import PEOPLE
from demo.orcid.simulator import Client, Options, OrcidSimulator
from tests.support import docs
from tests.support.ports import free_port

PAGE = (docs.DOCS / "simulators.md").read_text("utf-8")
ORCID_PART, IDM_PART = PAGE.split("\n## Identity management\n")
MAIJA, AKE = "0009-0000-0001-1111", "0009-0000-0002-2224"
REDIRECT_URI = "https://link.example.org/callback"
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Example University", (REDIRECT_URI,), kind="member")
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (REDIRECT_URI,))
OTHER = Client("APP-OTHER00000000001", "secret-of-other", "Other University", (REDIRECT_URI,), kind="member")
SCOPES = ("/read-limited", "/activities/update")
AUTHORIZATION = urlencode(
    {
        "client_id": MEMBER.client_id,
        "response_type": "code",
        "scope": " ".join(SCOPES),
        "redirect_uri": REDIRECT_URI,
        "state": "s" * 43,
    }
)


def table(part, heading, column=0):
    """Return the rows of the table whose first column has this heading, by the code in a column."""
    (found,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", part, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return {code: row for row in rows for code in re.findall("`([^`]+)`", row[column])}


@pytest.fixture
def simulator():
    simulator = OrcidSimulator("http://127.0.0.1:8000/orcid", clients=[MEMBER, PUBLIC, OTHER])
    yield simulator
    simulator.faults.release()


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


# Commands


@contextlib.contextmanager
def started(command, port):
    """Start a simulator as the page says, on a free port."""
    words = re.sub(r"--port \d+", f"--port {port}", command).split()
    assert words[0] == ".venv/bin/python"
    with subprocess.Popen([sys.executable, *words[1:]], cwd=docs.ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        yield
        process.terminate()


def test_the_commands_of_the_page_work_in_their_order(tmp_path):
    start_orcid, *orcid_blocks = docs.blocks(ORCID_PART, "sh")
    start_idm, *idm_blocks = docs.blocks(IDM_PART, "sh")
    orcid, idm = free_port(), free_port()
    script = "\necho '-----'\n".join([*orcid_blocks, *idm_blocks])
    for port, name in ((orcid, "8100"), (idm, "8200")):
        script = script.replace(f"127.0.0.1:{name}", f"127.0.0.1:{port}")

    with started(start_orcid, orcid), started(start_idm, idm):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail"],
            input=script.replace("curl ", "curl -sS --fail-with-body "),
            env={"PATH": os.environ["PATH"]},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    discovery, _consent, person, employment, control, faults, stored, idm_faults = ran.stdout.split("-----\n")
    assert '"issuer"' in discovery
    assert '"Maija"' in person
    assert " 201 " in employment
    assert f'"path": "/{MAIJA}/employment/1001"' in control
    assert '"live": true' in control
    assert '"secret": "***"' in control
    assert '"code": 9018' in faults
    assert faults.endswith("[]")
    assert '"identities stored"' in stored
    assert "0000-0002-1825-0097" in stored.partition("Resources")[2]
    assert idm_faults == ""


# What the page lists


def test_the_page_lists_all_that_the_simulators_have():
    options = table(ORCID_PART, "option")
    actions = table(ORCID_PART, "path")
    methods = {
        (method, path.removeprefix("/admin/"))
        for path, row in actions.items()
        for method, cell in zip(("GET", "POST", "DELETE"), row[1:], strict=True)
        if cell
    }

    assert list(table(ORCID_PART, "iD")) == [user.orcid for user in PEOPLE]
    assert list(options) == [field.name for field in dataclasses.fields(Options)]
    assert methods == set(admin.ACTIONS)
    assert set(IDM_FAULTS) == set(table(IDM_PART, "fault"))
    assert set(Idm().receivers) == set(table(IDM_PART, "receiver"))
    assert {name: row[1] for name, row in table(ORCID_PART, "fault").items()} == {
        name: ", ".join(f"`{place}`" for place in kind.places) for name, kind in FAULTS.items()
    }


def test_the_page_states_the_initial_options(browser):
    stated = {name: row[1].strip("`") for name, row in table(ORCID_PART, "option").items()}

    assert {name: json.dumps(value) for name, value in browser.get("/admin/options").json.items()} == stated


# Faults of ORCID


def request_at(simulator, browser, place):
    """Send the request that a fault at a place concerns; return its response, and whether the call had its effect."""
    if place == "token":
        code = simulator.issue_code(MEMBER.client_id, MAIJA, ("openid", *SCOPES), REDIRECT_URI)
        return browser.token(MEMBER, code=code.value, redirect_uri=REDIRECT_URI), code.tokens is not None
    if place == "revoke":
        token = simulator.issue_tokens(MEMBER.client_id, MAIJA, SCOPES)
        form = {"client_id": MEMBER.client_id, "client_secret": MEMBER.secret, "token": token.access}
        return browser.post("/oauth/revoke", form), token.revoked is not None
    if place == "api":
        before = len(simulator.items(MAIJA))
        return send(simulator, browser), len(simulator.items(MAIJA)) > before
    if place in {"consent", "callback"}:
        browser.sign_in(MAIJA)
        response = browser.press_authorize(AUTHORIZATION)
        return response, response.status == 303
    path, query = {
        "userinfo": ("/oauth/userinfo", "access_token=unknown"),
        "discovery": ("/.well-known/openid-configuration", ""),
        "jwks": ("/oauth/jwks", ""),
        "authorize": ("/oauth/authorize", AUTHORIZATION),
    }[place]
    return browser.get(path, query), None


USUAL = {
    "token": (200, True),
    "revoke": (200, True),
    "userinfo": (403, None),
    "discovery": (200, None),
    "jwks": (200, None),
    "api": (201, True),
    "authorize": (200, None),
    "consent": (303, True),
    "callback": (303, True),
}
"""Status of the usual answer at a place, and whether the call has its effect."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_orcid_has_the_stated_answer_and_effect(simulator, browser, name):
    _, _, answer, done, _ = table(ORCID_PART, "fault")[name]
    stated = re.match(r"(\d{3}) (HTML|JSON)", answer)
    for place in FAULTS[name].places:
        simulator.faults.arm(place, name, seconds=0.001 if name in {"slow", "timeout"} else None)

        response, effect = request_at(simulator, browser, place)
        again, _ = request_at(simulator, browser, place)

        usual_status, usual_effect = USUAL[place]
        assert response.status == (int(stated[1]) if stated else usual_status), place
        assert effect == (usual_effect if done == "yes" or usual_effect is None else False), place
        assert again.status == usual_status, place
        if stated:
            assert stated[2].lower() in response.headers["Content-Type"]


def test_a_fault_of_orcid_shows_the_client_what_the_page_says(simulator, browser):
    def fail(place, name, **settings):
        simulator.faults.arm(place, name, **settings)
        response, _ = request_at(simulator, browser, place)
        return response

    def parameters(name):
        return parse_qsl(urlsplit(fail("callback", name).location).query)

    whole = browser.get("/oauth/jwks")
    reference = request_at(simulator, browser, "token")[0].json
    assert fail("token", "html", status=429).status == 429
    assert fail("api", "5xx", status=502).status == 502
    assert fail("revoke", "revoke_500", status=504).status == 504
    assert fail("token", "server_error_401").json["error"] == "server_error"
    assert fail("revoke", "invalid_client").json["error"] == "invalid_client"
    assert fail("api", "invalid_token").json["error"] == "invalid_token"
    assert fail("jwks", "wrong_json").body == whole.body[: len(whole.body) // 2]
    assert fail("jwks", "cut").body == whole.body[: len(whole.body) // 2]
    assert fail("token", "empty_body").body == b""
    odd = fail("token", "other_types").json
    assert (odd["access_token"], odd["expires_in"], odd.keys()) == (0, ["631138518"], reference.keys())
    assert fail("jwks", "other_types").json == {"keys": [None]}
    assert fail("token", "numbers_as_text").json["expires_in"] == "631138518"
    assert fail("token", "scope_reordered").json["scope"] == "/activities/update /read-limited openid"
    reduced = fail("token", "scope_reduced").json
    assert reduced["scope"] == "openid /read-limited"
    assert simulator.find_tokens(reduced["access_token"]).scopes == ("openid", "/read-limited")
    other = fail("token", "other_id").json
    assert (other["orcid"] != MAIJA, simulator.find_tokens(other["access_token"]).orcid) == (True, MAIJA)
    code = simulator.data.codes[dict(parameters("other_id"))["code"]]
    assert code.orcid != MAIJA
    ahead, usual = (claims(fail("token", "clock_skew", seconds=at).json["id_token"])["iat"] for at in (-900, 0))
    assert 890 <= usual - ahead <= 910
    assert fail("jwks", "stale_jwks").json["keys"][0]["kid"] != whole.json["keys"][0]["kid"]
    assert 'id="authorize-button"' in fail("consent", "consent_fails").text
    (_, changed) = parameters("state_changed")
    assert changed[1] not in {"s" * 43, ""}
    assert [key for key, _ in parameters("state_dropped")] == ["code"]
    repeated = parameters("repeated_parameters")
    assert [key for key, _ in repeated] == ["code", "state", "code", "state"]
    assert repeated[0] != repeated[2]
    assert parameters("empty_answer") == []


def claims(id_token):
    payload = id_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


def test_the_fault_api_error_answers_with_any_error_of_the_record_api(simulator, browser):
    for code, kind in ERRORS.items():
        simulator.faults.arm("api", "api_error", code=code)

        response = send(simulator, browser)

        assert (response.status, response.json["error-code"]) == (kind.status, code)
        assert "{" not in response.json["developer-message"]


# Errors of the record API

EMPLOYMENT = {
    "department-name": "Department of Examples",
    "role-title": "Lecturer",
    "start-date": {"year": {"value": "2024"}, "month": {"value": "08"}, "day": {"value": "01"}},
    "organization": {
        "name": "University of Helsinki",
        "address": {"city": "Helsinki", "region": None, "country": "FI"},
        "disambiguated-organization": {
            "disambiguated-organization-identifier": "https://ror.org/040af2s02",
            "disambiguation-source": "ROR",
        },
    },
}
ORGANISATION = "organization.disambiguated-organization"
EXTERNAL_ID = {"external-id-type": "source-work-id", "external-id-value": "emp:1", "external-id-relationship": "self"}
WITH_EXTERNAL_ID = EMPLOYMENT | {"external-ids": {"external-id": [EXTERNAL_ID]}}
LOCKED, DEACTIVATED, DEPRECATED, UNCLAIMED = (
    "0009-0000-0013-332X",
    "0009-0000-0014-4432",
    "0009-0000-0015-5545",
    "0009-0000-0016-6658",
)


def bearer(simulator, client=MEMBER, orcid=MAIJA, scopes=SCOPES):
    """Return the header of a new token."""
    return {"Authorization": f"Bearer {simulator.issue_tokens(client.client_id, orcid, scopes).access}"}


def send(simulator, browser, method="POST", section="employment", body=EMPLOYMENT, **other):
    """Send a request to the record API; `token` is None for an anonymous one."""
    orcid, host = other.get("orcid", MAIJA), other.get("host", "api")
    token = other.get("token", {"orcid": orcid})
    headers = {"Accept": "application/json"} | (bearer(simulator, **token) if token else {}) | other.get("headers", {})
    return browser.send(method, f"/{host}/v3.0/{orcid}/{section}", None if method in READING else body, **headers)


READING = {"GET", "DELETE"}


def changed(path, value, body=EMPLOYMENT):
    """Return an item with one member changed; the path is written with dots."""
    found = copy.deepcopy(body)
    *parents, last = path.split(".")
    at = found
    for key in parents:
        at = at[key]
    at[last] = value
    return found


def item(simulator, client=MEMBER, visibility="public", body=WITH_EXTERNAL_ID):
    """Add an item to Maija's record; return its section."""
    put_code = simulator.add_item(MAIJA, "employment", client and client.client_id, body).put_code
    simulator.set_item_visibility(MAIJA, put_code, visibility)
    return f"employment/{put_code}"


def own_item(simulator, method="PUT", **changes):
    """Return the request that changes an item of the client."""
    section = item(simulator)
    put_code = int(section.partition("/")[2])
    return {"method": method, "section": section, "body": EMPLOYMENT | {"put-code": put_code} | changes}


ANONYMOUS = {"host": "pub", "token": None, "method": "GET"}
BARE = changed(ORGANISATION, None)
CAUSES = {
    (9001, 405): [{"method": "PUT"}, {"section": "employment/1"}, {"section": "person"}, {"host": "pub"}],
    (9001, 406): [{"method": "GET", "headers": {"Accept": "text/turtle"}}],
    (9001, 415): [{"headers": {"Content-Type": kind}} for kind in ("application/xml", "text/plain", "")],
    (9007, 301): [ANONYMOUS | {"orcid": DEPRECATED, "section": each} for each in ("record", "person")],
    (9007, 409): [{"orcid": DEPRECATED}, {"orcid": DEPRECATED, "method": "DELETE", "section": "employment/1"}],
    (9010, 403): [
        lambda simulator: own_item(simulator, method="DELETE") | {"token": {"client": OTHER}},
        lambda simulator: own_item(simulator) | {"token": {"client": OTHER}},
        lambda simulator: {"method": "DELETE", "section": item(simulator, client=None)},
    ],
    (9013, 403): [lambda simulator: {"method": "GET", "section": item(simulator, OTHER, "private")}],
    (9016, 404): [
        ANONYMOUS | {"orcid": "0009-9999-9999-9992", "section": "person"},
        ANONYMOUS | {"orcid": "nonsense", "section": "person"},
        ANONYMOUS | {"section": "nonsense"},
        {"method": "DELETE", "section": "employment/77"},
    ],
    (9017, 401): [
        {"token": {"orcid": AKE}},
        {"token": {"orcid": AKE}, "method": "GET", "host": "pub"},
        {"token": {"client": PUBLIC}, "method": "GET"},
    ],
    (9018, 409): [{"orcid": LOCKED}, ANONYMOUS | {"orcid": LOCKED, "section": "person"}],
    (9019, 400): [
        lambda simulator: own_item(simulator, **{"put-code": 1}),
        lambda simulator: own_item(simulator, **{"put-code": None}),
    ],
    (9021, 409): [lambda simulator: {"section": item(simulator) and "employment", "body": WITH_EXTERNAL_ID}],
    (9024, 400): [{"body": EMPLOYMENT | {"put-code": 7}}],
    (9034, 400): [{"method": each, "section": "employment/abc"} for each in ("GET", "PUT", "DELETE")]
    + [{"method": "DELETE", "section": f"employment/{'1' * 5000}"}],
    (9035, 403): [lambda simulator: own_item(simulator, visibility="private")],
    (9036, 409): [{"orcid": UNCLAIMED}, ANONYMOUS | {"orcid": UNCLAIMED, "section": "person"}],
    (9038, 403): [
        {"token": {"scopes": ("/read-limited",)}},
        lambda simulator: {
            "method": "GET",
            "section": item(simulator, OTHER, "limited"),
            "token": {"scopes": ("/activities/update",)},
        },
    ],
    (9039, 403): [
        lambda simulator: ANONYMOUS | {"section": item(simulator, visibility="limited")},
        lambda simulator: ANONYMOUS | {"section": item(simulator, visibility="private")},
    ],
    (9041, 404): [ANONYMOUS | {"section": "biography"}],
    (9044, 409): [{"orcid": DEACTIVATED}, ANONYMOUS | {"orcid": DEACTIVATED, "section": "person"}],
    (9045, 400): [{"body": BARE}, {"body": BARE, "section": "education"}]
    + [
        {"body": changed(f"{ORGANISATION}.disambiguated-organization-identifier", each)}
        for each in ("https://ror.org/unknown", "http://ror.org/040af2s02", "040af2s02", "grid.7737.4", "", None)
    ],
    (9046, 400): [
        {"body": changed("organization", None)},
        {"body": changed("organization.name", "")},
        {"body": changed("organization", {"address": {}}, WITH_EXTERNAL_ID), "section": "membership"},
        {"body": changed("organization", None), "section": "membership"},
    ],
    (9047, 400): [
        {"body": []},
        {"body": changed("organization", "University of Helsinki")},
        {"body": changed("external-ids", {"external-id": [{"external-id-type": "source-work-id"}]})},
        {"body": changed("external-ids", "emp:1")},
        {"body": changed("start-date", "2024")},
    ],
    (9049, 400): [{"body": changed("start-date.day", {"value": each})} for each in ("32", "first")],
    (9051, 400): [
        {"body": changed(f"{ORGANISATION}.disambiguation-source", "WIKI")},
        {"body": changed("organization.address.country", "Finland")},
    ],
    (9055, 400): [{"body": changed("end-date", {"year": {"value": "2023"}, "month": None, "day": None})}],
    (9057, 409): [lambda simulator: {"token": deactivate(simulator, OTHER)}],
    (9060, 400): [{"body": changed(f"organization.address.{each}", None)} for each in ("city", "country")],
    (9061, 400): [{"body": changed("organization.address.country", None), "section": "membership"}],
    (9062, 400): [{"body": BARE, "section": "service"}],
}
"""Requests that lead to each error, by code and status."""


def deactivate(simulator, client):
    simulator.add_client(dataclasses.replace(client, state="deactivated"))
    return {"client": client}


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_a_request_leads_to_the_stated_error(simulator, browser, cause):
    for each in CAUSES[cause]:
        request = each(simulator) if callable(each) else each

        response = send(simulator, browser, **request)

        assert (response.json["error-code"], response.status) == cause, request
        assert response.json["response-code"] == response.status


def test_the_page_states_every_error_that_a_request_leads_to():
    stated = {
        (int(code), int(status))
        for code, row in table(ORCID_PART, "code").items()
        for status in re.findall(r"\d+", row[1])
    }

    assert stated == set(CAUSES)


def test_organisations_are_known_by_the_form_of_their_identifier(simulator, browser):
    stated = {source: row[1].strip("`") for source, row in table(ORCID_PART, "`disambiguation-source`").items()}
    assert stated.keys() == IDENTIFIERS.keys()
    for source, identifier in stated.items():
        organisation = {"disambiguated-organization-identifier": identifier, "disambiguation-source": source}
        body = changed(ORGANISATION, organisation)

        assert send(simulator, browser, body=body).status == 201
        simulator.set_options(unknown_organisations=(identifier,))
        assert send(simulator, browser, body=body).json["error-code"] == 9045


# Faults of the identity management


@pytest.mark.parametrize("name", IDM_FAULTS)
def test_a_fault_of_the_identity_management_has_the_stated_answer_and_effect(name):
    _, answer, stored, _ = table(IDM_PART, "fault")[name]
    pair = [
        {"friendlyName": "eduPersonOrcid", "identifierValue": "https://orcid.org/0000-0002-1825-0097"},
        {"friendlyName": "eduPersonPrincipalName", "identifierValue": ACCOUNTS[0]},
    ]
    with serve(Idm()) as server:
        ended = threading.Timer(0.3, server.idm.clear_fault)
        if name in {"hang", "drip"}:
            ended.start()
        set_ = requests.post(server.address, {"fault": name, "times": "1", "receiver": "/csc"}, timeout=60)
        try:
            status = str(post(f"{server.address}/csc", {"identifier": pair}).status_code)
        except requests.RequestException:
            status = "none"
        held = server.idm.get_ids(ACCOUNTS[0])
        again = post(f"{server.address}/csc", {"identifier": pair})

    assert set_.status_code == 200
    assert (status, "yes" if held else "no") == (answer, stored)
    assert again.json() == {"status": "identities stored"}


def post(url, value):
    return requests.post(url, json=value, auth=(USER, PASSWORD), timeout=60, allow_redirects=False)


@pytest.mark.parametrize(
    "form", [{"fault": "otherwise"}, {"fault": "503", "receiver": "/nowhere"}, {"fault": "503", "times": "x"}]
)
def test_an_unknown_fault_of_the_identity_management_is_refused(form):
    with serve(Idm()) as server:
        assert requests.post(server.address, form, timeout=60).status_code == 400
        assert server.idm.fault is None
