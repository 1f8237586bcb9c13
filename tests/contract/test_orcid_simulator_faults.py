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
from demo.orcid.app import make_orcid
from demo.orcid.faults import FAULTS
from demo.orcid.visit import Visit
from demo.orcid.world import Client, OrcidWorld
from tests.support.service import end_serving

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BACK = "https://link.example.org/orcid/callback"
MAIJA = "0009-0000-0001-1111"
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (BACK,))
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Member service", (BACK,), kind="member")
REPOSITORY = Path(__file__).parents[2]


def new_world(base="http://127.0.0.1:8000/orcid", **settings):
    return OrcidWorld(base, clients=[PUBLIC, MEMBER], clock=lambda: NOON, **settings)


@pytest.fixture
def world():
    return new_world()


@pytest.fixture
def visit(world):
    return Visit(world)


def code_for(world, client=PUBLIC, scopes=("/authenticate",)):
    return world.grant_code(client.client_id, MAIJA, scopes, BACK).value


def exchange(world, visit, client=PUBLIC, scopes=("/authenticate",)):
    return visit.token(client, code=code_for(world, client, scopes), redirect_uri=BACK)


def callback(visit, **changes):
    """Every parameter that comes back after consent, in order."""
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "/authenticate",
        "redirect_uri": BACK,
        "state": "s" * 43,
    }
    visit.sign_in(MAIJA)
    location = visit.press_authorize(urlencode(asked | changes, quote_via=quote)).location
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
def test_a_fault_happens_once_and_does_or_does_not_use_the_code(world, visit, fault, settings, status, code_is_used):  # noqa: PLR0917 - a column each
    code = code_for(world)
    world.faults.next("token", fault, **settings)

    faulty = visit.token(PUBLIC, code=code, redirect_uri=BACK)
    again = visit.token(PUBLIC, code=code, redirect_uri=BACK)

    assert faulty.status == status
    assert again.status == (400 if code_is_used else 200)
    assert world.faults.armed() == []


def test_a_challenge_is_a_page(world, visit):
    world.faults.next("token", "html")

    assert exchange(world, visit).headers["Content-Type"].startswith("text/html")


def test_a_server_error_is_json(world, visit):
    world.faults.next("token", "server_error_401")

    assert exchange(world, visit).json["error"] == "server_error"


def test_wrong_json_cannot_be_read(world, visit):
    world.faults.next("token", "wrong_json")

    with pytest.raises(ValueError, match="Unterminated|Expecting"):
        _ = exchange(world, visit).json


def test_numbers_come_as_text(world, visit):
    world.faults.next("token", "numbers_as_text")
    world.faults.next("api", "numbers_as_text")

    assert exchange(world, visit).json["expires_in"] == "631138518"
    assert visit.get("/pub/v3.0/nobody/person", Accept="application/json").json["error-code"] == "9016"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("scope_reordered", "/activities/update /read-limited"), ("scope_reduced", "/read-limited")],
)
def test_scopes_come_in_another_order_or_fewer(world, visit, fault, expected):
    world.faults.next("token", fault)

    answer = exchange(world, visit, MEMBER, ("/read-limited", "/activities/update")).json

    assert answer["scope"] == expected


def test_another_id_comes_in_the_answer_only_so_that_the_id_token_gives_it_away(world, visit):
    world.faults.next("token", "other_id")

    answer = exchange(world, visit, scopes=("openid",)).json

    assert answer["orcid"] != MAIJA
    assert world.pair_of(answer["access_token"]).orcid == MAIJA


def test_the_id_tokens_clock_is_wrong(world, visit):
    world.faults.next("token", "clock_skew", seconds=-900)

    token = exchange(world, visit, scopes=("openid",)).json["id_token"]

    claims = json.loads(jwt.base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["iat"] == int(NOON.timestamp()) - 900


def test_a_stale_key_signed_nothing(world, visit):
    good = visit.get("/oauth/jwks").json["keys"][0]
    world.faults.next("jwks", "stale_jwks")

    stale = visit.get("/oauth/jwks").json["keys"][0]

    assert stale["kid"] != good["kid"]
    assert stale["n"] != good["n"]
    assert visit.get("/oauth/jwks").json["keys"][0] == good


def test_a_revoke_that_fails_revokes_nothing(world, visit):
    token = exchange(world, visit).json["access_token"]
    form = {"client_id": PUBLIC.client_id, "client_secret": PUBLIC.secret, "token": token}
    world.faults.next("revoke", "revoke_500")

    failed = visit.post("/oauth/revoke", form)

    assert failed.status == 500
    assert len(world.grants(MAIJA)) == 1
    assert visit.post("/oauth/revoke", form).status == 200
    assert world.grants(MAIJA) == []


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
def test_the_way_back_goes_wrong(world, visit, fault, keys, place):
    world.faults.next(place, fault)

    pairs = callback(visit)

    assert [key for key, _ in pairs] == keys
    if fault == "state_changed":
        assert pairs[1][1] != "s" * 43
        assert len(pairs[1][1]) == 43
    if fault == "repeated_parameters":
        assert pairs[0] != pairs[2]


def test_a_denial_goes_wrong_too(world, visit):
    world.faults.next("callback", "state_dropped")
    asked = {
        "client_id": PUBLIC.client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": BACK,
        "state": "s",
    }

    denied = visit.get("/oauth/authorize/deny", asked)

    assert set(denied.sent_back) == {"error", "error_description"}


def test_another_person_comes_back_for_good(world, visit):
    world.faults.next("callback", "other_id")

    code = dict(callback(visit))["code"]

    assert visit.token(PUBLIC, code=code, redirect_uri=BACK).json["orcid"] != MAIJA


def test_consent_that_fails_leaves_the_person_on_the_page(world, visit):
    world.faults.next("consent", "consent_fails")
    asked = urlencode({"client_id": PUBLIC.client_id, "response_type": "code", "scope": "openid", "redirect_uri": BACK})
    visit.sign_in(MAIJA)

    failed = visit.press_authorize(asked)

    assert "Please try again" in failed.text
    assert 'id="authorize-button"' in failed.text
    assert "code" in visit.press_authorize(asked).sent_back


# Arming


def test_a_fault_may_be_for_one_client_only_and_last(world, visit):
    world.faults.always("token", "5xx", client_id=MEMBER.client_id)

    others = exchange(world, visit)
    members = [exchange(world, visit, MEMBER).status for _ in range(3)]
    world.faults.clear()

    assert others.status == 200
    assert members == [503, 503, 503]
    assert exchange(world, visit, MEMBER).status == 200


def test_a_fault_may_happen_a_few_times(world, visit):
    world.faults.next("token", "5xx", times=2)

    assert [exchange(world, visit).status for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(("place", "fault"), [("token", "nonsense"), ("nowhere", "html"), ("token", "state_dropped")])
def test_a_fault_that_does_not_exist_there_is_refused(world, place, fault):
    with pytest.raises(ValueError, match="there is no fault"):
        world.faults.next(place, fault)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, kind in FAULTS.items() for place in kind.places])
def test_every_fault_can_be_armed_wherever_its_row_says(world, name, place):
    world.faults.next(place, name)

    assert world.faults.armed()[0]["fault"] == name


def test_an_answer_that_is_held_can_be_released(world, visit):
    world.faults.next("token", "timeout", seconds=60)
    code = code_for(world)
    replies = []
    held = threading.Thread(target=lambda: replies.append(visit.token(PUBLIC, code=code, redirect_uri=BACK)))

    held.start()
    while world.memory.codes[code].pair is None:
        time.sleep(0.001)
    assert replies == []
    world.faults.release()
    held.join(10)

    assert replies[0].status == 200


# Admin


def test_the_admin_interface_answers_this_machine_only(world):
    for peer, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 404), ("", 404)):
        assert Visit(world, peer).get("/admin/users").status == status


def test_the_admin_interface_can_be_taken_away():
    assert Visit(new_world(admin=False)).get("/admin/users").status == 404


def test_a_form_in_a_browser_cannot_reach_the_admin(visit):
    assert visit.post("/admin/reset", {}).status == 415


def test_the_admin_changes_and_adds_people(world, visit):
    changed = visit.send("POST", "/admin/users", {"orcid": MAIJA, "state": "locked"})
    added = visit.send("POST", "/admin/users", {"orcid": "0009-0001-0000-0428", "given": "Uusi", "acts_for": [MAIJA]})

    assert changed.json["state"] == "locked"
    assert world.users[MAIJA].state == "locked"
    assert added.json["given"] == "Uusi"
    assert added.json["orcid"] in {user["orcid"] for user in visit.get("/admin/users").json}


def test_the_admin_adds_clients_and_never_shows_a_secret(world, visit):
    client = {"client_id": "APP-NEW", "secret": "new-secret", "name": "New", "redirect_uris": [BACK], "kind": "member"}

    visit.send("POST", "/admin/clients", client)

    assert world.clients["APP-NEW"].redirect_uris == (BACK,)
    assert "new-secret" not in visit.get("/admin/clients").text
    assert PUBLIC.secret not in visit.get("/admin/clients").text


def test_the_admin_moves_the_clock_sets_options_and_resets_all(world, visit):
    assert visit.send("POST", "/admin/clock", {"minutes": 11}).json["offset_seconds"] == 660
    assert visit.send("POST", "/admin/options", {"interstitial": True}).json["interstitial"] is True
    world.faults.next("token", "html")

    visit.send("POST", "/admin/reset", {})

    assert visit.get("/admin/clock").json["now"] == NOON.isoformat()
    assert visit.get("/admin/options").json["interstitial"] is False
    assert visit.get("/admin/faults").json == []


def test_the_admin_arms_and_disarms_faults(world, visit):
    visit.send("POST", "/admin/faults", {"place": "token", "fault": "5xx", "always": True, "status": 502})
    visit.send("POST", "/admin/faults", {"place": "token", "fault": "html", "times": 2})

    armed = visit.get("/admin/faults").json

    assert [(fault["fault"], fault["times"]) for fault in armed] == [("5xx", None), ("html", 2)]
    assert exchange(world, visit).status == 502
    assert len(visit.send("POST", "/admin/faults", {"release": True}).json) == 2
    visit.send("DELETE", "/admin/faults")
    assert exchange(world, visit).status == 200


def test_the_admin_reads_and_forgets_the_journal(world, visit):
    exchange(world, visit)

    assert [call["path"] for call in visit.get("/admin/journal?path=/oauth/token").json] == ["/oauth/token"]
    visit.send("DELETE", "/admin/journal")
    assert visit.get("/admin/journal?path=/oauth/token").json == []


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
def test_the_admin_says_what_is_wrong(visit, path, value, status):
    reply = visit.send("POST", f"/admin/{path}", value)

    assert reply.status == status
    assert reply.json["error"]


# Behind a real server


@pytest.fixture
def served():
    """A world below /orcid on a real port."""
    world = new_world()
    server = serve_somewhere(world)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield world
    world.faults.release()
    end_serving(server, thread)


def serve_somewhere(world):
    for _ in range(50):
        port = random.randint(20000, 30000)
        world.base_url = f"http://127.0.0.1:{port}/orcid"
        try:
            return waitress.create_server(
                make_orcid(world), host="127.0.0.1", port=port, url_prefix="/orcid", threads=2
            )
        except OSError:
            continue
    raise AssertionError("no free port")


def test_the_whole_journey_over_a_real_connection(served):
    base = served.base_url
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
        back = browser.post(f"{base}/oauth/authorize", data=form, timeout=5, allow_redirects=False)

    assert back.status_code == 303
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": dict(parse_qsl(urlsplit(back.headers["Location"]).query))["code"],
        "redirect_uri": BACK,
    }
    answer = requests.post(f"{base}/oauth/token", data=form, timeout=5)
    assert answer.json()["orcid"] == MAIJA


def test_a_connection_is_cut_after_the_code_is_used(served, caplog):
    code = code_for(served)
    served.faults.next("token", "cut")
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
    }

    with pytest.raises(requests.exceptions.RequestException, match="IncompleteRead|Connection broken"):
        requests.post(f"{served.base_url}/oauth/token", data=form, timeout=5)

    assert served.memory.codes[code].pair is not None
    assert "too few bytes" in caplog.text
    assert code not in caplog.text


def test_an_answer_held_too_long_is_a_timeout_for_the_client(served):
    code = code_for(served)
    served.faults.next("token", "timeout", seconds=60)
    form = {
        "client_id": PUBLIC.client_id,
        "client_secret": PUBLIC.secret,
        "grant_type": "authorization_code",
        "code": code,
    }

    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{served.base_url}/oauth/token", data=form, timeout=0.3)

    served.faults.release()
    assert served.memory.codes[code].pair is not None


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
    assert "not this machine alone" in capsys.readouterr().err
