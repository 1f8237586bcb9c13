"""The two calls to ORCID: what is asked, and what is made of each answer."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey
from joserfc.jwt import encode

from demo.orcid import jwt
from resolver_connector.orcid.http import OrcidUnavailable
from shibboleth.orcid_id import Registry
from tests.support.factories import UNIVERSITY
from tests.support.service import (
    MAIJA,
    SimulatorClient,
    WebClient,
    make_orcid_client,
    make_web_app,
    orcid_id,
    serve_app,
)
from tests.support.transfers.private_ca import PrivateCa
from webapp.app import make_app
from webapp.linking.orcid_client import OrcidClient, OrcidMisconfigured, OrcidRefused

SECRET = "a-secret-of-the-browser"
NOW = datetime.now(UTC)


@pytest.fixture
def simulator(running_simulator):
    running_simulator[0].reset()
    return running_simulator[0]


@pytest.fixture
def client(running_simulator):
    return running_simulator[1]


def code_for(simulator, client, bare=MAIJA, language="fi"):
    address = SimulatorClient(simulator).authorise(client.authorize_url("a-state", language, SECRET), bare)
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
        self.keys = b""
        self.delay = 0
        self.fetched = 0

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.asked = {
            "path": environ["PATH_INFO"],
            "form": {name: values[0] for name, values in parse_qs(body.decode()).items()},
            "authorization": environ.get("HTTP_AUTHORIZATION"),
            "accept": environ.get("HTTP_ACCEPT"),
            "cookie": environ.get("HTTP_COOKIE"),
        }
        time.sleep(self.delay)
        if self.asked["path"] == "/oauth/jwks":
            self.fetched += 1
            start_response("200 OK", [("Content-Type", "application/json")])
            return [self.keys]
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
    with serve_app(script) as address:
        yield script, address


@pytest.fixture
def scripted(scripted_server):
    script, address = scripted_server
    script.__init__()
    return script, make_orcid_client(address)


def test_the_exchange_returns_the_id_and_the_name(simulator, client):
    found = client.exchange(code_for(simulator, client), SECRET, NOW)

    assert found.orcid_id == orcid_id(MAIJA)
    assert found.name


def test_the_exchange_is_a_form_with_the_clients_secret_and_no_authorization_header(scripted, monkeypatch, tmp_path):
    script, client = scripted
    netrc = tmp_path / "netrc"
    netrc.write_text("default login stray password stray\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    script.says()
    client.exchange("abc123", SECRET, NOW)

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

    assert client.exchange("c", SECRET, NOW).name in {"Maija", ""}


@pytest.mark.parametrize(("name", "shown"), [("\u3164\u200b", ""), ("\u202eMaija\nM\u202c", "Maija M"), ("\xa0", "")])
def test_a_name_is_shown_by_the_rule_for_all_names(scripted, name, shown):
    script, client = scripted
    script.says(name=name)

    assert client.exchange("c", SECRET, NOW).name == shown


def test_a_very_long_name_is_cut(scripted):
    script, client = scripted
    script.says(name="x" * 5000)

    assert len(client.exchange("c", SECRET, NOW).name) == 200


@pytest.mark.parametrize("kind", ["Bearer", "BEARER"])
def test_the_token_type_has_no_case(scripted, kind):
    script, client = scripted
    script.says(token_type=kind)

    assert client.exchange("c", SECRET, NOW).orcid_id == orcid_id(MAIJA)


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
def test_a_response_without_an_id_is_unavailable(scripted, changes):
    script, client = scripted
    script.says(**changes)

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET, NOW)


def test_an_id_of_the_other_registry_is_misconfigured(scripted):
    script, client = scripted
    script.says(orcid=f"https://orcid.org/{MAIJA}")

    with pytest.raises(OrcidMisconfigured):
        client.exchange("c", SECRET, NOW)


@pytest.mark.parametrize("scope", ["", "/read-public", ...])
def test_a_scope_without_authentication_is_refused(scripted, scope):
    script, client = scripted
    script.says(scope=scope)

    with pytest.raises(OrcidRefused):
        client.exchange("c", SECRET, NOW)


def answer_with(**members):
    """An answer that is right but for these members, which are JSON text."""
    right = {
        "access_token": '"t"',
        "token_type": '"bearer"',
        "scope": '"/authenticate"',
        "orcid": f'"{MAIJA}"',
    } | members
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in right.items()) + "}").encode()


DEEP = "[" * 900 + "]" * 900
ODD = {
    "empty": b"",
    "html": b"<html>",
    "list": b"[]",
    "null": b"null",
    "text": b'"text"',
    "cut": b"{",
    "not UTF-8": b"\xff",
    "very deep": b"[" * 60_000,
    "deep": answer_with(scope=DEEP),
    "deep type": answer_with(token_type=DEEP),
    "deep iD": answer_with(orcid=DEEP),
    "duplicate": answer_with()[:-1] + b', "orcid": "0009-0000-0002-2224"}',
    "duplicate inside": answer_with(more='{"a": 1, "a": 2}'),
    "NaN": answer_with(expires_in="NaN"),
    "infinite": answer_with(expires_in="-Infinity"),
    "too large": answer_with(expires_in="1e400"),
    "many digits": answer_with(expires_in="9" * 5000),
    "iD a number": answer_with(orcid="9000000010001"),
    "iD a list": answer_with(orcid=f'["{MAIJA}"]'),
    "iD half a character": answer_with(orcid='"\\ud800"'),
    "type an object": answer_with(token_type="{}"),
    "type a list": answer_with(token_type='["bearer"]'),
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_invalid_json_is_unavailable(scripted, status, body):
    script, client = scripted
    script.status, script.body = status, body

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET, NOW)


@pytest.mark.parametrize(
    "error", ["{}", "[]", "5", "null", '["invalid_grant"]', "1e400", DEEP], ids=lambda text: text[:20]
)
def test_an_invalid_error_response_is_unavailable(scripted, error):
    script, client = scripted
    script.status, script.body = "400 Bad Request", f'{{"error": {error}}}'.encode()

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET, NOW)


@pytest.mark.parametrize("name", ["5", "[]", "{}", DEEP, '"\\ud800"', '"\\u0000"'], ids=lambda text: text[:20])
def test_an_invalid_name_does_not_prevent_the_link(scripted, store, name):
    script, client = scripted
    script.body = answer_with(name=name)
    maija = WebClient(make_app(make_web_app(store, client, lambda: NOW)))

    place = maija.get(f"/me/callback?code=c&state={parse_qs(urlsplit(maija.start()).query)['state'][0]}").location

    assert maija.get(place).title == "Is this your ORCID iD?"


@pytest.mark.parametrize("body", [ODD["very deep"], ODD["deep type"], ODD["duplicate"], b'{"error": {}}'], ids=range(4))
def test_an_invalid_response_ends_the_attempt_and_is_no_bug(scripted, store, body):
    script, client = scripted
    script.body = body
    maija = WebClient(make_app(make_web_app(store, client, lambda: NOW)))

    place = maija.get(f"/me/callback?code=c&state={parse_qs(urlsplit(maija.start()).query)['state'][0]}").location

    assert maija.get(place).title == "ORCID is not answering"
    (attempt,) = store.attempts.list_for_person(UNIVERSITY, maija.account)
    assert (attempt.outcome, attempt.closed_at) == ("orcid-unavailable", NOW)


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
def test_errors_are_distinguished_by_their_code_and_not_by_their_status(scripted, status, error, means):
    script, client = scripted
    script.status = status
    script.body = json.dumps({"error": error, "error_description": "Invalid authorization code: SECRET"}).encode()

    with pytest.raises(means) as raised:
        client.exchange("SECRET", SECRET, NOW)

    assert "SECRET" not in str(raised.value)


def test_a_redirect_is_not_followed(scripted):
    script, client = scripted
    script.says()
    script.status, script.more = "302 Found", [("Location", client.base_url + "/elsewhere")]

    with pytest.raises(OrcidUnavailable):
        client.exchange("c", SECRET, NOW)
    assert script.asked["path"] == "/oauth/token"


def test_a_very_long_answer_is_not_read_to_its_end(scripted):
    script, client = scripted
    script.says(name="x" * 100_000)

    with pytest.raises(OrcidUnavailable, match="too long"):
        replace(client, connect_timeout=5.0, read_timeout=5.0).exchange("c", SECRET, NOW)


def test_a_slow_response_is_given_up(scripted):
    script, client = scripted
    script.drips = 40

    with pytest.raises(OrcidUnavailable, match="no answer in time"):
        replace(client, connect_timeout=0.1, read_timeout=0.2).exchange("c", SECRET, NOW)


def test_an_orcid_that_is_not_there_is_unavailable():
    with pytest.raises(OrcidUnavailable, match="no connection"):
        make_orcid_client("http://127.0.0.1:9").exchange("c", SECRET, NOW)


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
    "a body that drips": (lambda: dripping(HEAD, b" "), False, "no answer in time"),
    "a head that drips": (lambda: dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"), False, "no answer in time"),
    "no answer": (list, True, "cannot be reached (no connection)"),
    "half a head": (lambda: [b"HTTP/1.1 200 OK\r\nContent-"], True, "status 200 without JSON"),
    "half a body": (lambda: [HEAD + b"{"], True, "the answer breaks off"),
    "no HTTP": (lambda: [b"220 smtp.example ESMTP\r\n"], True, "cannot be reached (no connection)"),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_an_incomplete_or_late_response_is_not_retried(name):
    pieces, hangs_up, reason = UNFINISHED[name]
    with answering(pieces, hangs_up=hangs_up) as (said, address):
        begun = time.monotonic()
        with pytest.raises(OrcidUnavailable) as raised:
            make_orcid_client(address, connect_timeout=0.5, read_timeout=0.5).exchange("c", SECRET, NOW)
        took = time.monotonic() - begun

    assert raised.value.reason == reason
    assert len(said) == 1
    assert took < 3


def test_requests_that_orcid_holds_after_the_deadline_are_limited():
    with answering(UNFINISHED["a head that drips"][0]) as (said, address):
        client = make_orcid_client(address, connect_timeout=0.2, read_timeout=0.2, max_waiting=1)
        with pytest.raises(OrcidUnavailable, match="no answer in time"):
            client.exchange("c", SECRET, NOW)
        with pytest.raises(OrcidUnavailable, match="1 earlier calls still wait for its answer"):
            client.exchange("c", SECRET, NOW)

    assert len(said) == 1


def test_the_keys_are_fetched_by_the_deadline_of_the_exchange(openid):
    script, asking = openid
    script.says(scope="openid", id_token=jwt.sign(claims_of(asking)))
    script.delay = 2.0
    begun = time.monotonic()

    with pytest.raises(OrcidUnavailable, match="no answer in time"):
        replace(asking, connect_timeout=0.1, read_timeout=2.5).exchange("c", SECRET, NOW)

    assert time.monotonic() - begun < 3.9


@pytest.mark.parametrize("how", ["sound", "wrong-name", "expired", "stranger"])
def test_orcid_is_sent_nothing_unless_its_certificate_is_right(tmp_path, monkeypatch, how):
    ca = PrivateCa(tmp_path)
    body = json.dumps({"token_type": "bearer", "scope": "/authenticate", "orcid": MAIJA}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(ca.certificate))

    with answering(lambda: [answer], context=ca.context(how)) as (said, address):
        if how == "sound":
            assert make_orcid_client(address).exchange("c", SECRET, NOW).orcid_id == orcid_id(MAIJA)
        else:
            with pytest.raises(OrcidUnavailable, match="its certificate, or TLS"):
                make_orcid_client(address).exchange("c", SECRET, NOW)

    assert len(said) == (how == "sound")


def test_a_proxy_of_the_environment_is_not_used(scripted, monkeypatch):
    script, client = scripted
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    script.says()

    assert client.exchange("c", SECRET, NOW).orcid_id == orcid_id(MAIJA)


def test_a_proxy_that_is_configured_is_asked(scripted):
    script, client = scripted
    script.says()

    found = make_orcid_client("http://orcid.example", proxy=client.base_url).exchange("c", SECRET, NOW)

    assert found.orcid_id == orcid_id(MAIJA)
    assert script.asked["path"] == "/oauth/token"


def test_an_unavailable_proxy_is_reported():
    with pytest.raises(OrcidUnavailable, match="the proxy"):
        make_orcid_client("http://orcid.example", proxy="http://127.0.0.1:9").exchange("c", SECRET, NOW)


def test_a_cookie_of_one_answer_goes_with_no_other_request(scripted):
    script, client = scripted
    script.says()
    script.more = [("Set-Cookie", "one=person; Path=/")]

    client.exchange("c", SECRET, NOW)
    client.exchange("c", SECRET, NOW)

    assert script.asked["cookie"] is None


# OpenID Connect and PKCE, where the operator turns them on


def test_with_openid_orcid_asks_signed_in_users_again(simulator, client):
    asking = make_orcid_client(client.base_url, scope="openid")

    query = parse_qs(urlsplit(asking.authorize_url("s", "en", SECRET)).query)

    assert query["prompt"] == ["login"]
    assert asking.exchange(code_for(simulator, asking), SECRET, datetime.now(UTC)).orcid_id == orcid_id(MAIJA)


def test_a_nonce_is_of_one_browser(simulator, client):
    asking = make_orcid_client(client.base_url, scope="openid")
    code = code_for(simulator, asking)

    with pytest.raises(OrcidRefused, match="nonce"):
        asking.exchange(code, "the secret of another browser", datetime.now(UTC))


def claims_of(client, **changes):
    now = int(NOW.timestamp())
    nonce = parse_qs(urlsplit(client.authorize_url("s", "en", SECRET)).query)["nonce"][0]
    claims = {
        "iss": client.base_url,
        "aud": client.client_id,
        "sub": MAIJA,
        "exp": now + 60,
        "iat": now,
        "nonce": nonce,
    }
    return {name: value for name, value in (claims | changes).items() if value is not ...}


@pytest.fixture
def openid(scripted):
    script, client = scripted
    script.keys = json.dumps(jwt.public_keys()).encode()
    return script, make_orcid_client(client.base_url, scope="openid")


@pytest.mark.parametrize(
    "changes",
    [{}, {"aud": ["APP-0A1B2C3D4E5F6G7H"]}, {"azp": "APP-0A1B2C3D4E5F6G7H"}, {"amr": "pwd"}, {"name": None}],
    ids=str,
)
def test_a_valid_id_token_is_accepted(openid, changes):
    script, asking = openid
    script.says(scope="openid", id_token=jwt.sign(claims_of(asking, **changes)))

    assert asking.exchange("c", SECRET, NOW).orcid_id == orcid_id(MAIJA)


# OpenID Connect Core 1.0 section 3.1.3.7: issuer, audience, authorised party, times, nonce; and the subject is the iD
@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"aud": "APP-OTHER"}, "aud"),
        ({"aud": ["APP-0A1B2C3D4E5F6G7H", "APP-OTHER"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"azp": "APP-OTHER"}, "azp"),
        ({"azp": ["APP-0A1B2C3D4E5F6G7H"]}, "azp"),
        ({"sub": "0009-0000-0002-2224"}, "sub"),
        ({"sub": ...}, "sub"),
        ({"nonce": "of-somebody-else"}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"exp": int(NOW.timestamp()) - 121}, "exp"),
        ({"exp": ...}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": True}, "exp"),
        ({"iat": int(NOW.timestamp()) + 121}, "iat"),
        ({"iat": ...}, "iat"),
    ],
)
def test_an_id_token_that_is_not_for_us_is_refused(openid, changes, claim):
    script, asking = openid
    script.says(scope="openid", id_token=jwt.sign(claims_of(asking, **changes)))

    with pytest.raises(OrcidRefused, match=f"^id_token: {claim}$"):
        asking.exchange("c", SECRET, NOW)


def coded(text):
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def with_header(**header):
    return lambda token: ".".join((coded(json.dumps(header)), *token.split(".")[1:]))


@pytest.mark.parametrize(
    "change",
    [
        lambda _token: None,
        lambda _token: 5,
        lambda _token: "",
        lambda _token: "x.!.x",
        lambda _token: "\ud800.x.x",
        lambda token: token[:-8] + "AAAAAAAA",
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: ".".join((token.split(".")[0], coded('{"iss": "https://evil.example"}'), token.split(".")[2])),
        with_header(alg="none"),
        with_header(alg="HS256", kid=jwt.KEY_ID),
        with_header(alg=["RS256"], kid=jwt.KEY_ID),
        lambda _token: jwt.sign_text("[" * 10_000),
        lambda _token: jwt.sign_text('{"exp": NaN}'),
        lambda _token: jwt.sign_text('{"exp": 1e999}'),
        lambda _token: jwt.sign_text('{"iss": "a", "iss": "b"}'),
        lambda _token: jwt.sign_text("[]"),
    ],
)
def test_an_id_token_that_is_not_orcids_is_refused(openid, change):
    script, asking = openid
    script.says(scope="openid", id_token=change(jwt.sign(claims_of(asking))))

    with pytest.raises(OrcidRefused, match="^id_token: [A-Za-z]+$"):
        asking.exchange("c", SECRET, NOW)


def test_a_token_of_the_clients_own_secret_is_not_orcids(openid):
    script, asking = openid
    text = ".".join((coded(json.dumps({"alg": "HS256"})), coded(json.dumps(claims_of(asking)))))
    digest = hmac.digest(asking.client_secret.encode(), text.encode(), "sha256")
    script.says(scope="openid", id_token=text + "." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode())

    with pytest.raises(OrcidRefused):
        asking.exchange("c", SECRET, NOW)


def test_new_keys_of_orcids_are_fetched_once_they_are_needed(openid):
    script, asking = openid
    script.says(scope="openid", id_token=jwt.sign(claims_of(asking)))
    script.keys = json.dumps(jwt.public_keys(stale=True)).encode()
    with pytest.raises(OrcidUnavailable):
        asking.exchange("c", SECRET, NOW)

    script.keys = json.dumps(jwt.public_keys()).encode()
    asking.exchange("c", SECRET, NOW)
    script.keys = b"away"

    assert asking.exchange("c", SECRET, NOW).orcid_id == orcid_id(MAIJA)


@pytest.mark.parametrize("kid", [jwt.KEY_ID, None])
def test_a_wrong_signature_has_the_keys_fetched_again_once(openid, kid):
    script, asking = openid
    old = RSAKey.generate_key(2048)
    for key in (old, RSAKey.generate_key(2048)):
        script.keys = json.dumps({"keys": [key.as_dict(private=False, kid=jwt.KEY_ID)]}).encode()
        header = {"alg": "RS256"} | ({"kid": kid} if kid else {})
        script.says(scope="openid", id_token=encode(header, claims_of(asking), key))

        assert asking.exchange("c", SECRET, NOW).orcid_id == orcid_id(MAIJA)

    script.says(scope="openid", id_token=encode(header, claims_of(asking), old))
    fetched = script.fetched
    with pytest.raises(OrcidRefused, match="^id_token: BadSignatureError$"):
        asking.exchange("c", SECRET, NOW)
    assert script.fetched == fetched + 1


@pytest.mark.parametrize(
    "keys",
    [
        b"",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [5]}',
        b'{"keys": [{"kty": "RSA"}]}',
        b'{"keys": [{"kty": "oct", "k": "eA"}]}',
        b'{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}',
        b'{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQ"}]}',
    ],
)
def test_invalid_keys_are_unavailable(openid, keys):
    script, asking = openid
    script.says(scope="openid", id_token=jwt.sign(claims_of(asking)))
    script.keys = keys

    with pytest.raises(OrcidUnavailable):
        asking.exchange("c", SECRET, NOW)


def test_with_pkce_the_verifier_belongs_to_the_challenge(scripted):
    script, client = scripted
    careful = make_orcid_client(client.base_url, pkce=True)
    query = parse_qs(urlsplit(careful.authorize_url("s", "en", SECRET)).query)
    script.says()

    careful.exchange("c", SECRET, NOW)

    # RFC 7636 section 4.6
    digest = hashlib.sha256(script.asked["form"]["code_verifier"].encode()).digest()
    assert query["code_challenge"] == [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()]
    assert query["code_challenge_method"] == ["S256"]


def test_a_clients_secret_is_not_shown():
    client = OrcidClient("https://orcid.org", Registry.PRODUCTION, "APP-1", "the-secret", "https://x.example")

    assert "the-secret" not in repr(client)
