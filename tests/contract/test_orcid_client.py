"""The two calls to ORCID: what is asked, and what is made of each answer."""

import base64
import hashlib
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from shibboleth.orcid_id import Registry
from tests.support.service import MAIJA, Browsing, client_of, orcid_id, served, simulated_orcid
from tests.support.transfers.private_ca import PrivateCa
from webapp.linking.orcid_client import OrcidClient, OrcidMisconfigured, OrcidRefused, OrcidUnavailable

SECRET = "a-secret-of-the-browser"


@pytest.fixture(scope="module")
def simulator():
    with simulated_orcid() as (world, client):
        yield world, client


@pytest.fixture
def world(simulator):
    simulator[0].reset()
    return simulator[0]


@pytest.fixture
def client(simulator):
    return simulator[1]


def code_for(world, client, bare=MAIJA, language="fi"):
    address = Browsing(world).authorise(client.authorize_url("a-state", language, SECRET), bare)
    return parse_qs(urlsplit(address).query)["code"][0]


class Scripted:
    """An ORCID that gives one answer to everything, and remembers what it was asked."""

    def __init__(self):
        self.status = "200 OK"
        self.kind = "application/json"
        self.body = b""
        self.more = []
        self.asked = {}
        self.drips = 0

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.asked = {
            "path": environ["PATH_INFO"],
            "form": {name: values[0] for name, values in parse_qs(body.decode()).items()},
            "authorization": environ.get("HTTP_AUTHORIZATION"),
            "accept": environ.get("HTTP_ACCEPT"),
            "cookie": environ.get("HTTP_COOKIE"),
        }
        start_response(self.status, [("Content-Type", self.kind), *self.more])
        return self.dripping() if self.drips else [self.body]

    def dripping(self):
        for _ in range(self.drips):
            time.sleep(0.02)
            yield b" "

    def says(self, **changes):
        answer = {
            "access_token": "t",
            "token_type": "bearer",
            "scope": "/authenticate",
            "name": "Maija",
            "orcid": MAIJA,
        }
        kept = {name: value for name, value in (answer | changes).items() if value is not ...}
        self.body = json.dumps(kept).encode()
        return self


@pytest.fixture(scope="module")
def scripted_server():
    script = Scripted()
    with served(script) as address:
        yield script, address


@pytest.fixture
def scripted(scripted_server):
    script, address = scripted_server
    script.__init__()
    return script, client_of(address)


def test_who_signed_in_at_orcid_is_learnt(world, client):
    found = client.exchange(code_for(world, client), SECRET)

    assert found.orcid_id == orcid_id(MAIJA)
    assert found.name


def test_the_exchange_is_a_form_with_the_clients_secret_and_no_authorization_header(scripted, monkeypatch, tmp_path):
    script, client = scripted
    netrc = tmp_path / "netrc"
    netrc.write_text("default login stray password stray\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    script.says()
    client.exchange("abc123", SECRET)

    assert script.asked["path"] == "/oauth/token"
    assert script.asked["authorization"] is None
    assert script.asked["accept"] == "application/json"
    assert script.asked["form"] == {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "grant_type": "authorization_code",
        "code": "abc123",
        "redirect_uri": client.redirect_uri,
    }


@pytest.mark.parametrize(("language", "asked"), [("fi", "en"), ("sv", "en"), ("en", "en"), ("de", "de")])
def test_orcid_is_asked_in_a_language_it_has(client, language, asked):
    query = parse_qs(urlsplit(client.authorize_url("s", language, SECRET)).query)

    assert query["lang"] == [asked]


@pytest.mark.parametrize("name", ["Maija", "", None, ..., "  Maija  ", 7])
def test_a_name_is_never_needed(scripted, name):
    script, client = scripted
    script.says(name=name)

    assert client.exchange("c", SECRET).name in {"Maija", ""}


def test_a_very_long_name_is_cut(scripted):
    script, client = scripted
    script.says(name="x" * 5000)

    assert len(client.exchange("c", SECRET).name) == 200


@pytest.mark.parametrize("kind", ["Bearer", "BEARER"])
def test_the_token_type_has_no_case(scripted, kind):
    script, client = scripted
    script.says(token_type=kind)

    assert client.exchange("c", SECRET).orcid_id == orcid_id(MAIJA)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "mac"},
        {"token_type": ...},
        {"orcid": ...},
        {"orcid": None},
        {"orcid": ""},
        {"orcid": "0009-0000-0001-1112"},
    ],
)
def test_an_answer_without_an_id_is_orcid_out_of_order(scripted, changes):
    script, client = scripted
    script.says(**changes)

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET)


def test_an_id_of_the_other_registry_is_the_operators_to_mend(scripted):
    script, client = scripted
    script.says(orcid=f"https://orcid.org/{MAIJA}")

    with pytest.raises(OrcidMisconfigured):
        client.exchange("c", SECRET)


@pytest.mark.parametrize("scope", ["", "/read-limited", ...])
def test_less_than_was_asked_is_refused(scripted, scope):
    script, client = scripted
    script.says(scope=scope)

    with pytest.raises(OrcidRefused):
        client.exchange("c", SECRET)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"text"', b"{", b"\xff"])
def test_nonsense_is_orcid_out_of_order(scripted, body):
    script, client = scripted
    script.body = body

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET)


@pytest.mark.parametrize(
    ("status", "error", "means"),
    [
        ("400 Bad Request", "invalid_grant", OrcidRefused),
        ("401 Unauthorized", "invalid_client", OrcidMisconfigured),
        ("400 Bad Request", "invalid_scope", OrcidMisconfigured),
        ("401 Unauthorized", "server_error", OrcidUnavailable),
        ("401 Unauthorized", "invalid_request", OrcidUnavailable),
        ("500 Internal Server Error", None, OrcidUnavailable),
        ("503 Service Unavailable", "x", OrcidUnavailable),
    ],
)
def test_errors_are_told_apart_by_their_name_and_not_by_their_status(scripted, status, error, means):
    script, client = scripted
    script.status = status
    script.body = json.dumps({"error": error, "error_description": "Invalid authorization code: SECRET"}).encode()

    with pytest.raises(means) as raised:
        client.exchange("SECRET", SECRET)

    assert "SECRET" not in str(raised.value)


def test_a_redirect_is_not_followed(scripted):
    script, client = scripted
    script.says()
    script.status, script.more = "302 Found", [("Location", client.base_url + "/elsewhere")]

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET)
    assert script.asked["path"] == "/oauth/token"


def test_a_very_long_answer_is_not_read_to_its_end(scripted):
    script, client = scripted
    script.says(name="x" * 100_000)

    with pytest.raises(OrcidUnavailable, match="too long"):
        client.exchange("c", SECRET)


def test_an_answer_that_drips_is_not_waited_for(scripted):
    script, client = scripted
    script.drips = 40

    with pytest.raises(OrcidUnavailable, match="too long"):
        replace(client, connect_timeout=0.1, read_timeout=0.2).exchange("c", SECRET)


def test_an_orcid_that_is_not_there_is_unavailable():
    with pytest.raises(OrcidUnavailable, match="no connection"):
        client_of("http://127.0.0.1:9").exchange("c", SECRET)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"


@contextmanager
def answering(pieces, *, hangs_up=False, context=None):
    """A server that takes one connection after the other, and gives what they said and the address."""
    said = []

    def answer(wire):
        request = b""
        while b"code=c" not in request:
            request += wire.recv(65536)
        said.append(request)
        for piece in pieces():
            wire.sendall(piece)
        if not hangs_up:
            wire.recv(1)

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                if context is None:
                    answer(connection)
                else:
                    with context.wrap_socket(connection, server_side=True) as wire:
                        answer(wire)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield said, f"http{'s' * bool(context)}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def dripping(first, then, seconds=10):
    """Give pieces, and then the same one again and again, for longer than any client waits."""
    yield first
    for _ in range(seconds * 20):
        time.sleep(0.05)
        yield then


UNFINISHED = {
    "silence": (list, False, "no answer in time"),
    "a head and silence": (lambda: [HEAD], False, "no answer in time"),
    "half a body and silence": (lambda: [HEAD + b"{"], False, "no answer in time"),
    "a body that drips": (lambda: dripping(HEAD, b" "), False, "the answer takes too long to come"),
    "no answer": (list, True, "cannot be reached (no connection)"),
    "half a head": (lambda: [b"HTTP/1.1 200 OK\r\nContent-"], True, "status 200 without JSON"),
    "half a body": (lambda: [HEAD + b"{"], True, "the answer breaks off"),
    "no HTTP": (lambda: [b"220 smtp.example ESMTP\r\n"], True, "cannot be reached (no connection)"),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_an_answer_that_does_not_come_whole_and_in_time_is_none_and_is_not_asked_for_again(name):
    pieces, hangs_up, reason = UNFINISHED[name]
    with answering(pieces, hangs_up=hangs_up) as (said, address):
        begun = time.monotonic()
        with pytest.raises(OrcidUnavailable) as raised:
            client_of(address, connect_timeout=0.5, read_timeout=0.5).exchange("c", SECRET)
        took = time.monotonic() - begun

    assert raised.value.reason == reason
    assert len(said) == 1
    assert took < 3


@pytest.mark.parametrize("how", ["sound", "wrong-name", "expired", "stranger"])
def test_orcid_is_sent_nothing_unless_its_certificate_is_right(tmp_path, monkeypatch, how):
    ca = PrivateCa(tmp_path)
    body = json.dumps({"token_type": "bearer", "scope": "/authenticate", "orcid": MAIJA}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(ca.certificate))

    with answering(lambda: [answer], context=ca.context(how)) as (said, address):
        if how == "sound":
            assert client_of(address).exchange("c", SECRET).orcid_id == orcid_id(MAIJA)
        else:
            with pytest.raises(OrcidUnavailable, match="its certificate, or TLS"):
                client_of(address).exchange("c", SECRET)

    assert len(said) == (how == "sound")


def test_a_proxy_of_the_environment_is_not_used(scripted, monkeypatch):
    script, client = scripted
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    script.says()

    assert client.exchange("c", SECRET).orcid_id == orcid_id(MAIJA)


def test_a_proxy_that_is_configured_is_asked(scripted):
    script, client = scripted
    script.says()

    found = client_of("http://orcid.example", proxy=client.base_url).exchange("c", SECRET)

    assert found.orcid_id == orcid_id(MAIJA)
    assert script.asked["path"] == "/oauth/token"


def test_a_proxy_that_is_away_is_said():
    with pytest.raises(OrcidUnavailable, match="the proxy"):
        client_of("http://orcid.example", proxy="http://127.0.0.1:9").exchange("c", SECRET)


def test_a_cookie_of_one_answer_goes_with_no_other_request(scripted):
    script, client = scripted
    script.says()
    script.more = [("Set-Cookie", "one=person; Path=/")]

    client.exchange("c", SECRET)
    client.exchange("c", SECRET)

    assert script.asked["cookie"] is None


# OpenID Connect and PKCE, where the operator turns them on


def test_with_openid_whoever_is_signed_in_at_orcid_is_asked_again(world, client):
    asking = client_of(client.base_url, scope="openid")

    query = parse_qs(urlsplit(asking.authorize_url("s", "en", SECRET)).query)

    assert query["prompt"] == ["login"]
    assert asking.exchange(code_for(world, asking), SECRET).orcid_id == orcid_id(MAIJA)


def test_a_nonce_is_of_one_browser(world, client):
    asking = client_of(client.base_url, scope="openid")
    code = code_for(world, asking)

    with pytest.raises(OrcidRefused, match="nonce"):
        asking.exchange(code, "the secret of another browser")


def id_token(client, **changes):
    claims = {"iss": client.base_url, "aud": client.client_id, "sub": MAIJA} | changes
    return "x." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode() + ".x"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "none"),
        ("x", "none"),
        ("x.!.x", "none"),
        ("x.WzFd.x", "iss aud sub nonce"),
        ({"iss": "https://evil.example"}, "iss nonce"),
        ({"aud": "APP-OTHER"}, "aud nonce"),
        ({"sub": "0009-0000-0002-2224"}, "sub nonce"),
    ],
)
def test_an_id_token_that_is_not_for_us_is_refused(scripted, token, reason):
    script, client = scripted
    asking = client_of(client.base_url, scope="openid")
    script.says(scope="openid", id_token=id_token(asking, **token) if isinstance(token, dict) else token)

    with pytest.raises(OrcidRefused, match=reason):
        asking.exchange("c", SECRET)


def test_with_pkce_the_verifier_belongs_to_the_challenge(scripted):
    script, client = scripted
    careful = client_of(client.base_url, pkce=True)
    query = parse_qs(urlsplit(careful.authorize_url("s", "en", SECRET)).query)
    script.says()

    careful.exchange("c", SECRET)

    # RFC 7636 section 4.6
    digest = hashlib.sha256(script.asked["form"]["code_verifier"].encode()).digest()
    assert query["code_challenge"] == [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()]
    assert query["code_challenge_method"] == ["S256"]


def test_a_clients_secret_is_not_shown():
    client = OrcidClient("https://orcid.org", Registry.PRODUCTION, "APP-1", "the-secret", "https://x.example")

    assert "the-secret" not in repr(client)
