"""Arming of the ORCID simulator's faults, its admin interface, and the simulator behind a real server.

`test_simulators_page.py` tests the effect of each fault.
"""

import random
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
import waitress

from demo.orcid.__main__ import main
from demo.orcid.app import make_simulator_app
from demo.orcid.client import SimulatorClient
from demo.orcid.simulator import Client, OrcidSimulator
from tests.support.service import end_serving

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
REDIRECT_URI = "https://link.example.org/orcid/callback"
MAIJA = "0009-0000-0001-1111"
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (REDIRECT_URI,))
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Member service", (REDIRECT_URI,), kind="member")
REPOSITORY = Path(__file__).parents[2]


def make_simulator(base="http://127.0.0.1:8000/orcid", **settings):
    return OrcidSimulator(base, clients=[PUBLIC, MEMBER], clock=lambda: NOON, **settings)


@pytest.fixture
def simulator():
    return make_simulator()


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


def code_for(simulator, client=PUBLIC, scopes=("/authenticate",)):
    return simulator.issue_code(client.client_id, MAIJA, scopes, REDIRECT_URI).value


def exchange(simulator, browser, client=PUBLIC, scopes=("/authenticate",)):
    return browser.token(client, code=code_for(simulator, client, scopes), redirect_uri=REDIRECT_URI)


# Faults


def test_callback_faults_concern_denials_too(simulator, browser):
    simulator.faults.arm("callback", "state_dropped")
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": REDIRECT_URI,
        "state": "s",
    }

    denied = browser.get("/oauth/authorize/deny", asked)

    assert set(denied.redirect_params) == {"error", "error_description"}


def test_a_fault_may_concern_one_client_until_cleared(simulator, browser):
    simulator.faults.arm_always("token", "5xx", client_id=MEMBER.client_id)

    others = exchange(simulator, browser)
    members = [exchange(simulator, browser, MEMBER).status for _ in range(3)]
    simulator.faults.clear()

    assert others.status == 200
    assert members == [503, 503, 503]
    assert exchange(simulator, browser, MEMBER).status == 200


def test_a_fault_may_concern_several_requests(simulator, browser):
    simulator.faults.arm("token", "5xx", times=2)

    assert [exchange(simulator, browser).status for _ in range(3)] == [503, 503, 200]


def test_a_fault_may_concern_the_client_of_an_access_token_or_consent(simulator, browser):
    simulator.faults.arm_always("api", "5xx", client_id=MEMBER.client_id)
    simulator.faults.arm_always("authorize", "5xx", client_id=MEMBER.client_id)
    asked = {"response_type": "code", "scope": "openid", "redirect_uri": REDIRECT_URI}
    browser.sign_in(MAIJA)

    for client, api, consent in ((PUBLIC, 200, 303), (MEMBER, 503, 503)):
        token = simulator.issue_tokens(client.client_id, MAIJA, ("/authenticate",)).access
        headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"}
        assert browser.get(f"/pub/v3.0/{MAIJA}/person", **headers).status == api
        assert browser.press_authorize(asked | {"client_id": client.client_id}).status == consent


@pytest.mark.parametrize(
    ("place", "fault", "settings"),
    [
        ("token", "nonsense", {}),
        ("nowhere", "html", {}),
        ("token", "state_dropped", {}),
        ("token", "html", {"status": 999}),
        ("token", "html", {"times": 0}),
        ("token", "slow", {"seconds": 1e9}),
        ("api", "api_error", {"code": 9000}),
    ],
)
def test_unknown_faults_and_settings_are_rejected(simulator, place, fault, settings):
    with pytest.raises(ValueError, match=r"there is no fault|status is one of"):
        simulator.faults.arm(place, fault, **settings)


def test_a_delayed_response_can_be_released(simulator, browser):
    simulator.faults.arm("token", "timeout", seconds=60)
    code = code_for(simulator)
    replies = []
    held = threading.Thread(target=lambda: replies.append(browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI)))

    held.start()
    while simulator.data.codes[code].tokens is None:
        time.sleep(0.001)
    assert replies == []
    simulator.faults.release()
    held.join(60)

    assert replies[0].status == 200


# Admin


def test_the_admin_interface_answers_loopback_only(simulator):
    for peer, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 404), ("", 404)):
        assert SimulatorClient(simulator, peer).get("/admin/users").status == status
    for header in ("X-Forwarded-For", "Forwarded"):
        assert SimulatorClient(simulator).get("/admin/users", **{header: "for=127.0.0.1"}).status == 404


def test_the_admin_interface_can_be_turned_off():
    assert SimulatorClient(make_simulator(admin=False)).get("/admin/users").status == 404


def test_the_admin_interface_rejects_forms(browser):
    assert browser.post("/admin/reset", {}).status == 415


def test_admin_adds_and_changes_people(simulator, browser):
    changed = browser.send("POST", "/admin/users", {"orcid": MAIJA, "state": "locked"})
    added = browser.send("POST", "/admin/users", {"orcid": "0009-0001-0000-0428", "given": "Uusi", "acts_for": [MAIJA]})

    assert changed.json["state"] == "locked"
    assert simulator.users[MAIJA].state == "locked"
    assert added.json["given"] == "Uusi"
    assert added.json["orcid"] in {user["orcid"] for user in browser.get("/admin/users").json}


def test_admin_adds_and_changes_clients_without_showing_secrets(simulator, browser):
    client = {
        "client_id": "APP-NEW",
        "secret": "new-secret",
        "name": "New",
        "redirect_uris": [REDIRECT_URI],
        "kind": "member",
    }

    browser.send("POST", "/admin/clients", client)

    assert simulator.clients["APP-NEW"].redirect_uris == (REDIRECT_URI,)
    browser.send("POST", "/admin/clients", {"client_id": "APP-NEW", "state": "locked"})
    assert (simulator.clients["APP-NEW"].state, simulator.clients["APP-NEW"].secret) == ("locked", "new-secret")
    assert "new-secret" not in browser.get("/admin/clients").text
    assert PUBLIC.secret not in browser.get("/admin/clients").text


def test_admin_lists_and_revokes_tokens_without_showing_them(simulator, browser):
    kept, revoked = (simulator.issue_tokens(each.client_id, MAIJA, ("openid",)) for each in (PUBLIC, MEMBER))

    browser.send("DELETE", f"/admin/tokens?orcid={MAIJA}&client_id={MEMBER.client_id}")

    every = browser.get("/admin/tokens", {"orcid": MAIJA})
    (live,) = browser.get("/admin/tokens", {"orcid": MAIJA, "live": "true"}).json
    assert [(row["client_id"], row["live"], row["revoked"]) for row in every.json] == [
        (PUBLIC.client_id, True, None),
        (MEMBER.client_id, False, "USER_REVOKED"),
    ]
    assert live["client_id"] == PUBLIC.client_id
    assert [each.revoked for each in (kept, revoked)] == [None, "USER_REVOKED"]
    for each in (kept, revoked):
        assert each.access not in every.text
        assert each.refresh not in every.text


def test_admin_adds_hides_and_deletes_affiliations(simulator, browser):
    organisation = {"name": "University of Helsinki", "address": {"country": "FI"}}
    external = {"external-id": [{"external-id-type": "grant_number", "external-id-value": "1"}]}
    body = {"organization": organisation, "external-ids": external}
    added = {"orcid": MAIJA, "kind": "membership", "body": body}

    browser.send("POST", "/admin/items", added)
    by_person, by_client = browser.send("POST", "/admin/items", added | {"client_id": MEMBER.client_id}).json
    hidden = {"orcid": MAIJA, "put_code": by_client["put-code"], "visibility": "private"}
    browser.send("POST", "/admin/items", hidden)
    browser.send("DELETE", f"/admin/items?orcid={MAIJA}&put_code={by_person['put-code']}")

    assert by_person["source"]["source-orcid"]["path"] == MAIJA
    assert by_client["source"]["source-client-id"]["path"] == MEMBER.client_id
    (left,) = browser.get("/admin/items", {"orcid": MAIJA}).json
    assert (left["put-code"], left["visibility"]) == (by_client["put-code"], "private")


def test_admin_sets_clock_and_options_and_resets_all(simulator, browser):
    assert browser.send("POST", "/admin/clock", {"minutes": 11}).json["offset_seconds"] == 660
    assert browser.send("POST", "/admin/options", {"interstitials": ["domains"]}).json["interstitials"] == ["domains"]
    simulator.faults.arm("token", "html")

    browser.send("POST", "/admin/reset", {})

    assert browser.get("/admin/clock").json["now"] == NOON.isoformat()
    assert browser.get("/admin/options").json["interstitials"] == []
    assert browser.get("/admin/faults").json == []


def test_admin_arms_and_disarms_faults(simulator, browser):
    browser.send("POST", "/admin/faults", {"place": "token", "fault": "5xx", "always": True, "status": 502})
    browser.send("POST", "/admin/faults", {"place": "token", "fault": "html", "times": 2})

    armed = browser.get("/admin/faults").json

    assert [(fault["fault"], fault["times"]) for fault in armed] == [("5xx", None), ("html", 2)]
    assert exchange(simulator, browser).status == 502
    assert len(browser.send("POST", "/admin/faults", {"release": True}).json) == 2
    browser.send("DELETE", "/admin/faults")
    assert exchange(simulator, browser).status == 200


def test_admin_shows_and_clears_the_journal(simulator, browser):
    exchange(simulator, browser)

    assert [call["path"] for call in browser.get("/admin/journal?path=/oauth/token").json] == ["/oauth/token"]
    browser.send("DELETE", "/admin/journal")
    assert browser.get("/admin/journal?path=/oauth/token").json == []


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("users", {"orcid": "0009-0000-0001-1112", "given": "Wrong"}, 400),
        ("users", {"given": "Nobody"}, 400),
        ("users", {"orcid": MAIJA, "shoe_size": 38}, 400),
        ("options", {"pkce": "perhaps"}, 400),
        ("faults", {"place": "token", "fault": "nonsense"}, 400),
        ("faults", {"place": "token", "fault": "slow", "seconds": "long"}, 400),
        ("faults", {"place": "token"}, 400),
        ("items", {"orcid": MAIJA, "kind": "work", "body": {}}, 400),
        ("items", {"orcid": MAIJA, "kind": "employment", "body": {}}, 400),
        ("items", {"orcid": MAIJA, "put_code": 1, "visibility": "loud"}, 400),
        ("items", {"orcid": "0009-0000-0001-1112"}, 400),
        ("clock", {"fortnights": 1}, 400),
        ("clock", {"days": 5_000_000}, 400),
        ("options", {"limits": 1}, 400),
        ("options", {"burst": "many"}, 400),
        ("options", {"code_seconds": None}, 400),
        ("clock", [], 400),
        ("faults", {"place": "token", "fault": "slow", "seconds": float("nan")}, 400),
        ("nonsense", {}, 404),
    ],
)
def test_admin_rejects_invalid_values(browser, path, value, status):
    reply = browser.send("POST", f"/admin/{path}", value)

    assert reply.status == status
    assert reply.json["error"]


# Behind a real server


@pytest.fixture
def served_simulator():
    """The simulator below /orcid on a real port."""
    simulator = make_simulator()
    server = serve_somewhere(simulator)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield simulator
    simulator.faults.release()
    end_serving(server, thread)


def serve_somewhere(simulator):
    for _ in range(50):
        port = random.randint(20000, 30000)
        simulator.base_url = f"http://127.0.0.1:{port}/orcid"
        try:
            return waitress.create_server(
                make_simulator_app(simulator), host="127.0.0.1", port=port, url_prefix="/orcid", threads=2
            )
        except OSError:
            continue
    raise AssertionError("no free port")


def test_authorisation_and_exchange_through_a_real_server(served_simulator):
    base = served_simulator.base_url
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": REDIRECT_URI,
        "state": "s",
    }
    with requests.Session() as browser:
        page = browser.get(f"{base}/oauth/authorize", params=asked, timeout=60)
        assert f'action="{base}/signin"' in page.text

        page = browser.post(f"{base}/signin", data={"orcid": MAIJA}, timeout=60)
        assert "Maija Meikäläinen" in page.text

        form = {"request": urlencode(asked)}
        callback_path = browser.post(f"{base}/oauth/authorize", data=form, timeout=60, allow_redirects=False)

    assert callback_path.status_code == 303
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": dict(parse_qsl(urlsplit(callback_path.headers["Location"]).query))["code"],
        "redirect_uri": REDIRECT_URI,
    }
    answer = requests.post(f"{base}/oauth/token", data=form, timeout=60)
    assert answer.json()["orcid"] == MAIJA


def test_cut_closes_the_connection_after_the_code_is_used(served_simulator, caplog):
    code = code_for(served_simulator)
    served_simulator.faults.arm("token", "cut")
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
    }

    with pytest.raises(requests.exceptions.RequestException, match="IncompleteRead|Connection broken"):
        requests.post(f"{served_simulator.base_url}/oauth/token", data=form, timeout=60)

    assert served_simulator.data.codes[code].tokens is not None
    assert "too few bytes" in caplog.text
    assert code not in caplog.text


def test_timeout_exceeds_the_clients_read_timeout_after_the_code_is_used(served_simulator):
    code = code_for(served_simulator)
    served_simulator.faults.arm("token", "timeout", seconds=60)
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": code,
    }

    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{served_simulator.base_url}/oauth/token", data=form, timeout=0.3)

    served_simulator.faults.release()
    assert served_simulator.data.codes[code].tokens is not None


def test_the_command_prints_the_base_url_once_ready():
    for _ in range(10):
        port = random.randint(20000, 30000)
        command = [
            sys.executable,
            "-m",
            "demo.orcid",
            "--port",
            str(port),
            "--client-id",
            "APP-MINE",
            "--redirect-uri",
            REDIRECT_URI,
        ]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline()
            try:
                if address:
                    clients = requests.get(f"{address.strip()}admin/clients", timeout=60).json()
                    proxied = {"X-Forwarded-For": "127.0.0.1"}
                    through_proxy = requests.get(f"{address.strip()}admin/clients", headers=proxied, timeout=60)
            finally:
                process.terminate()
            if address:
                break

    assert address == f"http://127.0.0.1:{port}/\n"
    assert [(client["client_id"], client["redirect_uris"]) for client in clients] == [("APP-MINE", [REDIRECT_URI])]
    assert through_proxy.status_code == 404


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "is not a loopback address"),
        (["--host", "localhost"], "invalid loopback value"),
        (["--port", "99999"], "99999 is not a port"),
    ],
)
def test_the_command_rejects_other_addresses_than_loopback(capsys, arguments, words):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert words in capsys.readouterr().err


def test_the_command_says_why_it_cannot_start(capsys):
    assert main(["--registry-prefix", "https://orcid.org"]) == 2
    assert "must not use the prefix https://orcid.org" in capsys.readouterr().err
