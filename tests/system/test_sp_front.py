"""The rest of what a front promises: TLS only, nothing compressed, the connector's requests as sent, quiet logs."""

from __future__ import annotations

import base64
import os
import re
import stat

import pytest

from tests.support.system.client import seen

ELSEWHERE = "127.0.0.2"


def test_both_programs_understand_the_files(stack):
    stack.check_files()


def test_without_tls_there_is_only_the_way_to_tls(stack, http_browser):
    answer = http_browser.visit(f"http://connect.test:{stack.http_port}/me?x=1", allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (301, f"{stack.base_url}/me?x=1")


def test_browsers_are_told_to_keep_to_tls(http_browser):
    assert http_browser.visit("/").headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/%2e%2e/%2e%2e/x", "/a/../../x", "/a%00b", "/errors/nothing", "/errors/a%2fb"])
def test_an_address_that_cannot_be_is_told_in_three_languages(raw_client, path):
    answer = raw_client.ask(path, [])

    assert answer.status in {400, 404}
    assert re.findall('<section lang="(..)">', answer.text) == ["fi", "sv", "en"]


@pytest.mark.parametrize("length", [4000, 5000, 8000])
def test_an_address_longer_than_any_of_ours_is_refused(raw_client, length):
    assert raw_client.ask(f"/help?{'x' * length}", []).status == (200 if length < 4096 else 414)


@pytest.mark.parametrize("path", ["/", "/v1/people/x"])
def test_no_answer_is_compressed(http_browser, path):
    answer = http_browser.visit(path, headers={"Accept-Encoding": "gzip, br, deflate"})

    assert "Content-Encoding" not in answer.headers
    assert int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.parametrize(
    "key",
    [
        "maija%40saimaa.example",
        "a%2Fb@saimaa.example",
        "a+b@saimaa.example",
        "%C3%A5ke%252F@saimaa.example",
        "a%3Fb%23c",
    ],
)
def test_a_key_reaches_the_connector_as_it_was_sent(raw_client, key):
    answer = raw_client.ask(f"/v1/people/{key}?x=%2F", [])

    environ = seen(answer).environ
    assert environ["REQUEST_URI"] == f"/v1/people/{key}?x=%2F"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"].startswith("/v1/people/")


@pytest.mark.parametrize("kind", ["Bearer secret-token", "Basic " + base64.b64encode(b"user:pass").decode()])
def test_the_connector_gets_the_credential(raw_client, kind):
    answer = raw_client.ask("/v1/people/x", [("Authorization", kind)])

    assert seen(answer).environ["HTTP_AUTHORIZATION"] == kind


def test_the_metrics_get_their_credential_and_nobodys_session(stack, raw_client, http_browser):
    http_browser.sign_in("maija")
    session = "; ".join(f"{each.name}={each.value}" for each in http_browser.cookies)

    environ = seen(raw_client.ask("/metrics", [("Authorization", "Bearer secret-token"), ("Cookie", session)])).environ

    assert environ["HTTP_AUTHORIZATION"] == "Bearer secret-token"
    assert "saimaa" not in str({name: value for name, value in environ.items() if name != "HTTP_COOKIE"})


def test_the_connector_is_another_program_than_the_pages(stack, raw_client):
    page, connector, neighbour = (seen(raw_client.ask(path, [])).environ for path in ("/", "/v1/people/x", "/v1x"))

    where = "mod_wsgi.process_group" if stack.front == "variables" else "SERVER_PORT"
    assert "connector" in connector[where]
    assert "connector" not in page[where]
    assert "connector" not in neighbour[where]


def test_the_proof_reaches_the_pages_and_not_the_connector(stack, raw_client):
    page, connector = (seen(raw_client.ask(path, [])).environ for path in ("/", "/v1/people/x"))

    assert page.get("HTTP_X_FRONT_PROOF", "") == (stack.proof if stack.front == "proxy" else "")
    assert "HTTP_X_FRONT_PROOF" not in connector


def test_what_only_the_front_may_reach_is_closed_to_others(stack):
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (*stack.run.iterdir(), *stack.etc.iterdir())}

    open_to_proxy = {name: modes.get(name) for name in ("web.sock", "connector.sock", "front-proof.conf")}
    if stack.front == "proxy":
        assert open_to_proxy == {"web.sock": 0o660, "connector.sock": 0o660, "front-proof.conf": 0o600}
        assert (stack.etc / "front-proof.conf").stat().st_uid == os.geteuid()
    else:
        assert set(open_to_proxy.values()) == {None}


def test_no_log_tells_who_came_or_with_what(stack, http_browser, raw_client):
    secrets = {"code": "c0de-1234567", "state": "st4te-1234567"}
    http_browser.sign_in("maija", path="/me/callback?code={code}&state={state}".format_map(secrets))
    raw_client.ask("/v1/people/maija%40saimaa.example", [("Authorization", "Bearer t0ken-1234567")])
    raw_client.ask("//v1//people/maija%40saimaa.example", [])
    raw_client.ask("/v1/people/maija%40saimaa.example", [("Host", "evil.example")])
    raw_client.ask("/v1/people/maija%40saimaa.example", [("Host", "evil.example")], greeting="evil.example")
    http_browser.visit(f"http://connect.test:{stack.http_port}/v1/people/maija%40saimaa.example", allow_redirects=False)

    written = "".join(each.read_text("utf-8", "replace") for each in stack.logs.iterdir()).lower()

    assert "/me/callback" in written
    for word in (*secrets.values(), "t0ken", "maija", "mäkelä", "m%c3%a4kel"):
        assert word.lower() not in written


def test_no_log_holds_the_id_of_a_session(stack, http_browser):
    http_browser.sign_in("maija")
    http_browser.visit("/Shibboleth.sso/Session")
    (session,) = [each.value for each in http_browser.cookies if each.name.startswith("_shibsession_")]
    http_browser.visit("/me")
    http_browser.visit("/Shibboleth.sso/Logout")

    assert [each.name for each in stack.logs.iterdir() if session in each.read_text("utf-8", "replace")] == []
    assert "Shibboleth-TRANSACTION.Login" in (stack.logs / "transaction.log").read_text("utf-8")
