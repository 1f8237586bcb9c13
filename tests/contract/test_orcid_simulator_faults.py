"""The simulator's faults, its admin interface, and the whole of it behind a real server."""

import json
import random
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import requests
import waitress

from demo.orcid import jwt
from demo.orcid.__main__ import main
from demo.orcid.app import make_simulator_app
from demo.orcid.client import SimulatorClient
from demo.orcid.faults import FAULTS
from demo.orcid.simulator import Client, OrcidSimulator
from tests.support.service import end_serving

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BACK = "https://link.example.org/orcid/callback"
MAIJA = "0009-0000-0001-1111"
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (BACK,))
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Member service", (BACK,), kind="member")
REPOSITORY = Path(__file__).parents[2]


def new_world(base="http://127.0.0.1:8000/orcid", **settings):
    return OrcidSimulator(base, clients=[PUBLIC, MEMBER], clock=lambda: NOON, **settings)


@pytest.fixture
def simulator():
    return new_world()


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


def code_for(simulator, client=PUBLIC, scopes=("/authenticate",)):
    return simulator.issue_code(client.client_id, MAIJA, scopes, BACK).value


def exchange(simulator, browser, client=PUBLIC, scopes=("/authenticate",)):
    return browser.token(client, code=code_for(simulator, client, scopes), redirect_uri=BACK)


def callback(browser, **changes):
    """Every parameter that comes back after consent, in order."""
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "/authenticate",
        "redirect_uri": BACK,
        "state": "s" * 43,
    }
    browser.sign_in(MAIJA)
    location = browser.press_authorize(urlencode(asked | changes, quote_via=quote)).location
    return parse_qsl(urlsplit(location).query)


# Faults at the token endpoint


@pytest.mark.parametrize(
    ("fault", "settings", "status", "code_is_used"),
    [
        ("html", {}, 403, False),
        ("html", {"status": 503}, 503, False),
        ("5xx", {}, 503, False),
        ("5xx", {"status": 502}, 502, False),
        ("server_error_401", {}, 401, False),
        ("wrong_json", {}, 200, True),
        ("empty_body", {}, 200, True),
        ("numbers_as_text", {}, 200, True),
        ("scope_reordered", {}, 200, True),
        ("scope_reduced", {}, 200, True),
        ("other_id", {}, 200, True),
        ("slow", {"seconds": 0.01}, 200, True),
        ("timeout", {"seconds": 0.01}, 200, True),
        ("cut", {}, 200, True),
        ("clock_skew", {}, 200, True),
    ],
)
def test_a_fault_happens_once_and_does_or_does_not_use_the_code(  # noqa: PLR0917 - a column each
    simulator, browser, fault, settings, status, code_is_used
):
    code = code_for(simulator)
    simulator.faults.arm("token", fault, **settings)

    faulty = browser.token(PUBLIC, code=code, redirect_uri=BACK)
    again = browser.token(PUBLIC, code=code, redirect_uri=BACK)

    assert faulty.status == status
    assert again.status == (400 if code_is_used else 200)
    assert simulator.faults.armed() == []


def test_a_challenge_is_a_page(simulator, browser):
    simulator.faults.arm("token", "html")

    assert exchange(simulator, browser).headers["Content-Type"].startswith("text/html")


def test_a_server_error_is_json(simulator, browser):
    simulator.faults.arm("token", "server_error_401")

    assert exchange(simulator, browser).json["error"] == "server_error"


def test_wrong_json_cannot_be_read(simulator, browser):
    simulator.faults.arm("token", "wrong_json")

    with pytest.raises(ValueError, match="Unterminated|Expecting"):
        _ = exchange(simulator, browser).json


def test_numbers_come_as_text(simulator, browser):
    simulator.faults.arm("token", "numbers_as_text")
    simulator.faults.arm("api", "numbers_as_text")

    assert exchange(simulator, browser).json["expires_in"] == "631138518"
    assert browser.get("/pub/v3.0/nobody/person", Accept="application/json").json["error-code"] == "9016"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("scope_reordered", "/activities/update /read-limited"), ("scope_reduced", "/read-limited")],
)
def test_scopes_come_in_another_order_or_fewer(simulator, browser, fault, expected):
    simulator.faults.arm("token", fault)

    answer = exchange(simulator, browser, MEMBER, ("/read-limited", "/activities/update")).json

    assert answer["scope"] == expected


def test_another_id_comes_in_the_answer_only_so_that_the_id_token_gives_it_away(simulator, browser):
    simulator.faults.arm("token", "other_id")

    answer = exchange(simulator, browser, scopes=("openid",)).json

    assert answer["orcid"] != MAIJA
    assert simulator.find_tokens(answer["access_token"]).orcid == MAIJA


def test_the_id_tokens_clock_is_wrong(simulator, browser):
    simulator.faults.arm("token", "clock_skew", seconds=-900)

    token = exchange(simulator, browser, scopes=("openid",)).json["id_token"]

    claims = json.loads(jwt.base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["iat"] == int(NOON.timestamp()) - 900


def test_a_stale_key_signed_nothing(simulator, browser):
    good = browser.get("/oauth/jwks").json["keys"][0]
    simulator.faults.arm("jwks", "stale_jwks")

    stale = browser.get("/oauth/jwks").json["keys"][0]

    assert stale["kid"] != good["kid"]
    assert stale["n"] != good["n"]
    assert browser.get("/oauth/jwks").json["keys"][0] == good


def test_a_revoke_that_fails_revokes_nothing(simulator, browser):
    token = exchange(simulator, browser).json["access_token"]
    form = {"client_id": PUBLIC.client_id, "client_secret": PUBLIC.secret, "token": token}
    simulator.faults.arm("revoke", "revoke_500")

    failed = browser.post("/oauth/revoke", form)

    assert failed.status == 500
    assert len(simulator.live_tokens(MAIJA)) == 1
    assert browser.post("/oauth/revoke", form).status == 200
    assert simulator.live_tokens(MAIJA) == []


# Faults on the way back


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        ("state_changed", ["code", "state"]),
        ("state_dropped", ["code"]),
        ("repeated_parameters", ["code", "state", "code", "state"]),
        ("empty_answer", []),
    ],
)
@pytest.mark.parametrize("place", ["callback", "authorize"])
def test_the_way_back_goes_wrong(simulator, browser, fault, keys, place):
    simulator.faults.arm(place, fault)

    pairs = callback(browser)

    assert [key for key, _ in pairs] == keys
    if fault == "state_changed":
        assert pairs[1][1] != "s" * 43
        assert len(pairs[1][1]) == 43
    if fault == "repeated_parameters":
        assert pairs[0] != pairs[2]


def test_a_denial_goes_wrong_too(simulator, browser):
    simulator.faults.arm("callback", "state_dropped")
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": BACK,
        "state": "s",
    }

    denied = browser.get("/oauth/authorize/deny", asked)

    assert set(denied.redirect_params) == {"error", "error_description"}


def test_another_person_comes_back_for_good(simulator, browser):
    simulator.faults.arm("callback", "other_id")

    code = dict(callback(browser))["code"]

    assert browser.token(PUBLIC, code=code, redirect_uri=BACK).json["orcid"] != MAIJA


def test_consent_that_fails_leaves_the_person_on_the_page(simulator, browser):
    simulator.faults.arm("consent", "consent_fails")
    asked = urlencode({"client_id": PUBLIC.client_id, "response_type": "code", "scope": "openid", "redirect_uri": BACK})
    browser.sign_in(MAIJA)

    failed = browser.press_authorize(asked)

    assert "Please try again" in failed.text
    assert 'id="authorize-button"' in failed.text
    assert "code" in browser.press_authorize(asked).redirect_params


# Arming


def test_a_fault_may_be_for_one_client_only_and_last(simulator, browser):
    simulator.faults.arm_always("token", "5xx", client_id=MEMBER.client_id)

    others = exchange(simulator, browser)
    members = [exchange(simulator, browser, MEMBER).status for _ in range(3)]
    simulator.faults.clear()

    assert others.status == 200
    assert members == [503, 503, 503]
    assert exchange(simulator, browser, MEMBER).status == 200


def test_a_fault_may_happen_a_few_times(simulator, browser):
    simulator.faults.arm("token", "5xx", times=2)

    assert [exchange(simulator, browser).status for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(("place", "fault"), [("token", "nonsense"), ("nowhere", "html"), ("token", "state_dropped")])
def test_a_fault_that_does_not_exist_there_is_refused(simulator, place, fault):
    with pytest.raises(ValueError, match="there is no fault"):
        simulator.faults.arm(place, fault)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, kind in FAULTS.items() for place in kind.places])
def test_every_fault_can_be_armed_wherever_its_row_says(simulator, name, place):
    simulator.faults.arm(place, name)

    assert simulator.faults.armed()[0]["fault"] == name


def test_an_answer_that_is_held_can_be_released(simulator, browser):
    simulator.faults.arm("token", "timeout", seconds=60)
    code = code_for(simulator)
    replies = []
    held = threading.Thread(target=lambda: replies.append(browser.token(PUBLIC, code=code, redirect_uri=BACK)))

    held.start()
    while simulator.data.codes[code].tokens is None:
        time.sleep(0.001)
    assert replies == []
    simulator.faults.release()
    held.join(10)

    assert replies[0].status == 200


# Admin


def test_the_admin_interface_answers_this_machine_only(simulator):
    for peer, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 404), ("", 404)):
        assert SimulatorClient(simulator, peer).get("/admin/users").status == status


def test_the_admin_interface_can_be_taken_away():
    assert SimulatorClient(new_world(admin=False)).get("/admin/users").status == 404


def test_a_form_in_a_browser_cannot_reach_the_admin(browser):
    assert browser.post("/admin/reset", {}).status == 415


def test_the_admin_changes_and_adds_people(simulator, browser):
    changed = browser.send("POST", "/admin/users", {"orcid": MAIJA, "state": "locked"})
    added = browser.send("POST", "/admin/users", {"orcid": "0009-0001-0000-0428", "given": "Uusi", "acts_for": [MAIJA]})

    assert changed.json["state"] == "locked"
    assert simulator.users[MAIJA].state == "locked"
    assert added.json["given"] == "Uusi"
    assert added.json["orcid"] in {user["orcid"] for user in browser.get("/admin/users").json}


def test_the_admin_adds_clients_and_never_shows_a_secret(simulator, browser):
    client = {"client_id": "APP-NEW", "secret": "new-secret", "name": "New", "redirect_uris": [BACK], "kind": "member"}

    browser.send("POST", "/admin/clients", client)

    assert simulator.clients["APP-NEW"].redirect_uris == (BACK,)
    assert "new-secret" not in browser.get("/admin/clients").text
    assert PUBLIC.secret not in browser.get("/admin/clients").text


def test_the_admin_moves_the_clock_sets_options_and_resets_all(simulator, browser):
    assert browser.send("POST", "/admin/clock", {"minutes": 11}).json["offset_seconds"] == 660
    assert browser.send("POST", "/admin/options", {"interstitials": ["domains"]}).json["interstitials"] == ["domains"]
    simulator.faults.arm("token", "html")

    browser.send("POST", "/admin/reset", {})

    assert browser.get("/admin/clock").json["now"] == NOON.isoformat()
    assert browser.get("/admin/options").json["interstitials"] == []
    assert browser.get("/admin/faults").json == []


def test_the_admin_arms_and_disarms_faults(simulator, browser):
    browser.send("POST", "/admin/faults", {"place": "token", "fault": "5xx", "always": True, "status": 502})
    browser.send("POST", "/admin/faults", {"place": "token", "fault": "html", "times": 2})

    armed = browser.get("/admin/faults").json

    assert [(fault["fault"], fault["times"]) for fault in armed] == [("5xx", None), ("html", 2)]
    assert exchange(simulator, browser).status == 502
    assert len(browser.send("POST", "/admin/faults", {"release": True}).json) == 2
    browser.send("DELETE", "/admin/faults")
    assert exchange(simulator, browser).status == 200


def test_the_admin_reads_and_forgets_the_journal(simulator, browser):
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
        ("clock", {"fortnights": 1}, 400),
        ("nonsense", {}, 404),
    ],
)
def test_the_admin_says_what_is_wrong(browser, path, value, status):
    reply = browser.send("POST", f"/admin/{path}", value)

    assert reply.status == status
    assert reply.json["error"]


# Behind a real server


@pytest.fixture
def served_simulator():
    """A world below /orcid on a real port."""
    simulator = new_world()
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


def test_the_whole_journey_over_a_real_connection(served_simulator):
    base = served_simulator.base_url
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": BACK,
        "state": "s",
    }
    with requests.Session() as browser:
        page = browser.get(f"{base}/oauth/authorize", params=asked, timeout=5)
        assert f'action="{base}/signin"' in page.text

        page = browser.post(f"{base}/signin", data={"orcid": MAIJA}, timeout=5)
        assert "Maija Meikäläinen" in page.text

        form = {"request": urlencode(asked)}
        callback_path = browser.post(f"{base}/oauth/authorize", data=form, timeout=5, allow_redirects=False)

    assert callback_path.status_code == 303
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": dict(parse_qsl(urlsplit(callback_path.headers["Location"]).query))["code"],
        "redirect_uri": BACK,
    }
    answer = requests.post(f"{base}/oauth/token", data=form, timeout=5)
    assert answer.json()["orcid"] == MAIJA


def test_a_connection_is_cut_after_the_code_is_used(served_simulator, caplog):
    code = code_for(served_simulator)
    served_simulator.faults.arm("token", "cut")
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
    }

    with pytest.raises(requests.exceptions.RequestException, match="IncompleteRead|Connection broken"):
        requests.post(f"{served_simulator.base_url}/oauth/token", data=form, timeout=5)

    assert served_simulator.data.codes[code].tokens is not None
    assert "too few bytes" in caplog.text
    assert code not in caplog.text


def test_an_answer_held_too_long_is_a_timeout_for_the_client(served_simulator):
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


def test_it_starts_alone_and_prints_one_address():
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
            BACK,
        ]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline()
            try:
                if address:
                    clients = requests.get(f"{address.strip()}admin/clients", timeout=5).json()
            finally:
                process.terminate()
            if address:
                break

    assert address == f"http://127.0.0.1:{port}/\n"
    assert [(client["client_id"], client["redirect_uris"]) for client in clients] == [("APP-MINE", [BACK])]


def test_it_serves_this_machine_only(capsys):
    assert main(["--host", "0.0.0.0"]) == 2
    assert "is not a loopback address" in capsys.readouterr().err
