"""The simulated identity management: its page, authentication and command."""

import json
import re
import subprocess
import sys

import pytest
import requests

from demo.idm.app import ACCOUNTS, PASSWORD, USER, Idm
from demo.idm.faults import FAULTS
from demo.idm.server import CONNECTION_FAULTS, serve
from tests.support.transfers.harness import CscHarness, make_change


@pytest.fixture
def server():
    with serve(Idm()) as server:
        yield server


def deliver(server, account=ACCOUNTS[0]):
    return CscHarness.make(server.address, None).deliver(make_change(account=account), now=make_change().at, timeout=20)


def test_the_page_shows_accounts_and_requests_escaped(server):
    server.idm.directory.add("<b>@pohjoinen.example")
    deliver(server, "<b>@pohjoinen.example")

    page = requests.get(server.address, timeout=20)

    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "&lt;b&gt;@pohjoinen.example" in page.text
    assert "<b>@" not in page.text
    assert "POST /csc · 200" in page.text
    assert "https://orcid.org/0000-0000-0000-001X" in page.text


def test_the_page_sets_and_clears_faults(server):
    requests.post(server.address, data={"fault": "422"}, timeout=20)
    refused = deliver(server)
    requests.post(server.address, data={"fault": ""}, timeout=20)
    stored = deliver(server)

    assert (refused.outcome, stored.outcome) == ("refused", "stored")


def test_unauthenticated_requests_are_refused(server):
    for credential in (None, (USER, "wrong"), ("wrong", PASSWORD), (USER, "\xe9")):
        answer = requests.get(f"{server.address}/scim/v2/Users", auth=credential, timeout=20)
        assert answer.status_code == 401
        assert ACCOUNTS[0] not in answer.text


PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PAIR_OF_NUMBERS = [
    {"friendlyName": name, "identifierValue": 1} for name in ("eduPersonOrcid", "eduPersonPrincipalName")
]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/csc", '{"identifier": [{"friendlyName": "eduPersonOrcid", "identifierValue": 1}]}'),
        ("/csc", "[" * 10_000),
        ("/csc", json.dumps({"identifier": PAIR_OF_NUMBERS})),
        ("/scim/v2/Users/p1", json.dumps({"schemas": [PATCH], "Operations": [{"op": 1}]})),
    ],
)
def test_malformed_requests_are_answered_with_400(server, path, body):
    response = requests.patch(server.address + path, body, auth=(USER, PASSWORD), timeout=20)

    assert response.status_code == 400


def test_the_page_offers_every_fault(server):
    page = requests.get(server.address, timeout=20).text

    assert re.findall('<option value="([^"]+)"', page) == list(FAULTS)
    assert {fault.connection_fault for fault in FAULTS.values()} == set(CONNECTION_FAULTS)
    with pytest.raises(ValueError, match="there is no fault"):
        server.idm.set_fault("otherwise")


def test_the_command_prints_the_address_once_ready():
    command = [sys.executable, "-m", "demo.idm", "--port", "0", "--account", "somebody@example.org"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        page = requests.get(address, timeout=20)
        process.terminate()

    assert "somebody@example.org" in page.text
