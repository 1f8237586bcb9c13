"""What a client says of itself never reaches the place where the application reads who is signed in."""

from __future__ import annotations

import re

import pytest

from shibboleth.attributes import ATTRIBUTES, IDENTITY_PROVIDER
from shibboleth.person import PROOF_HEADER, HeaderSource, VariableSource
from tests.support.system.client import HttpBrowser, cookies, seen
from webapp.auth.authenticator import Access
from webapp.routes import ROUTES

READ = (*ATTRIBUTES, IDENTITY_PROVIDER, "Shib-Session-ID", "Shib-Authentication-Instant")
"""All that the application reads of a request, or may."""

MARK = "forged"

NAMES = (
    *READ,
    *(name.upper() for name in READ),
    *(name.replace("-", "_") for name in READ if "-" in name),
    "mail", "affiliation", "unscoped-affiliation", "entitlement", "persistent-id", "pairwise-id",
    "REMOTE_USER", "Remote-User", "Remote_User", "HTTP_EPPN", "HTTP-EPPN", "e_ppn", "e-ppn",
    "Shib-Application-ID", "Shib_Application_ID", "Shib-Session_ID", "Shib-AuthnContext-Class", "Shib-Handler",
    "Shib-Session-Index", "Shib-Assertion-Count", "Shib-Cookie-Name", "Shib-Spoof-Check", "AJP_eppn",
    PROOF_HEADER, PROOF_HEADER.lower(), PROOF_HEADER.replace("-", "_"),
    "X-Forwarded-User", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Server",
    "X-Forwarded-Port", "X_Forwarded_Host", "X_Forwarded_Proto", "Forwarded", "X-Real-IP", "Proxy",
)  # fmt: skip

HARMLESS = {
    *("HTTP_MAIL", "HTTP_AFFILIATION", "HTTP_UNSCOPED_AFFILIATION", "HTTP_ENTITLEMENT", "HTTP_PERSISTENT_ID"),
    *("HTTP_PAIRWISE_ID", "HTTP_HTTP_EPPN", "HTTP_E_PPN", "HTTP_AJP_EPPN", "HTTP_COOKIE"),
}
"""Where headers that nobody reads may show."""

PATHS = (
    *("/me", "/me/callback", "/", "/static/style.css", "/healthz", "/anything", "/v1/people/x", "/ME", "/me.json"),
    *("/operator", "/operator/people", "/metrics"),
)


def reader(stack):
    """The very reader that the application uses behind this front."""
    return VariableSource() if stack.front == "variables" else HeaderSource(stack.proof)


def told(stack, answer):
    """Who the application would take the asker to be."""
    environ = seen(answer).environ
    return {name: value for name in READ if (value := reader(stack).read(environ, name))}


def marked(answer):
    """Every place of the environ where something forged shows, but for the harmless ones."""
    environ = seen(answer).environ
    return {name: value for name, value in environ.items() if MARK in value and name not in HARMLESS}


@pytest.fixture(scope="module")
def signed_in(stack):
    """The cookie of somebody's session."""
    with HttpBrowser(stack) as maija:
        maija.sign_in("maija")
        return [("Cookie", cookies(maija))]


@pytest.mark.parametrize("path", PATHS)
def test_forged_headers_make_nobody_anyone(stack, raw_client, path):
    answer = raw_client.ask(path, [(name, f"{MARK}@saimaa.example") for name in NAMES])

    if answer.reached_the_application:
        assert told(stack, answer) == {}
        assert marked(answer) == {}
    else:
        assert path in {"/me", "/me/callback", "/operator", "/operator/people"}
        assert answer.status == 302


@pytest.mark.parametrize("path", PATHS)
def test_forged_headers_do_not_change_who_is_signed_in(stack, raw_client, signed_in, path):
    honest = raw_client.ask(path, signed_in)

    answer = raw_client.ask(path, signed_in + [(name, f"{MARK}@saimaa.example") for name in NAMES])

    assert answer.reached_the_application
    assert told(stack, answer) == told(stack, honest)
    assert marked(answer) == {}


def test_no_name_alone_gets_through_either(stack, raw_client, signed_in):
    honest = told(stack, raw_client.ask("/me", signed_in))
    open_path = {name: raw_client.ask("/", [(name, MARK)]) for name in NAMES}
    own_pages = {name: raw_client.ask("/me", [*signed_in, (name, MARK)]) for name in NAMES}

    assert {name for name, answer in open_path.items() if told(stack, answer) or marked(answer)} == set()
    assert {name for name, answer in own_pages.items() if told(stack, answer) != honest or marked(answer)} == set()


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_somebody_signed_in_is_known_where_a_route_is_for_persons_and_nowhere_else(stack, raw_client, signed_in, route):
    path = re.sub("<[a-z]+>", "x", route.path)

    known = told(stack, raw_client.ask(path, signed_in, method=route.method))
    without = raw_client.ask(path, [(name, MARK) for name in NAMES], method=route.method)

    if route.access is Access.PERSON:
        assert known["eppn"] == "maija%40saimaa.example"
        assert (without.status, without.reached_the_application) == (302, False)
    else:
        assert known == {}
        assert (told(stack, without), marked(without)) == ({}, {})


@pytest.mark.parametrize("path", ["/v1", "/v1/people/x", "/no-such-page", "/Shibboleth.sso/me", "/me.json", "/mex"])
def test_nobody_is_known_at_addresses_that_are_no_routes(stack, raw_client, signed_in, path):
    answer = raw_client.ask(path, signed_in)

    assert not answer.reached_the_application or told(stack, answer) == {}


CONNECTION = (
    "{}", "close, {}", "{}, close", "{}, close, {}", "keep-alive, {}", "{}, keep-alive", "keep-alive, {}, Cookie",
    "close,{}", "close ,\t{}", "close;{}", "close {}", ",close,{}", ",,{},,", "CLOSE, {}", "Close, {}",
    "Keep-Alive, {}",
    "closex, {}", "xclose, {}", "close-{}", "close, close, {}", "keep-alive, close, {}", "close, keep-alive, {}",
    "upgrade, {}", "TE, {}", '"close", {}', "close=1, {}", "\xa0close, {}", "{}, \x0bclose",
)  # fmt: skip
"""Values of Connection that name headers which the front sets."""


@pytest.mark.parametrize("value", CONNECTION)
def test_a_client_cannot_have_headers_dropped_that_the_front_set(stack, raw_client, signed_in, value):
    names = ", ".join((*READ, PROOF_HEADER))
    honest = raw_client.ask("/me", signed_in)

    answer = raw_client.ask("/me", [*signed_in, ("Connection", value.format(names, names))])
    twice = raw_client.ask("/me", [("Connection", "close"), *signed_in, ("Connection", value.format(names, names))])

    for each in (answer, twice):
        assert each.status == 400 or told(stack, each) == told(stack, honest)
        if each.reached_the_application:
            reader(stack).require_proof(seen(each).environ)


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "Close", False),
        ("1.1", "close, eppn", False),
        ("1.1", "TE, close", False),
        ("1.1", "keep-alive", True),
        ("1.1", "eppn", True),
        ("1.0", "", False),
        ("1.0", "keep-alive", True),
        ("1.0", "Keep-Alive, eppn", True),
        ("1.0", "eppn", False),
        ("1.0", "close", False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/me", "/v1/people/x"])
def test_the_connection_lasts_as_long_as_the_client_says(raw_client, path, version, connection, kept):
    assert raw_client.is_kept(path, version, [("Connection", connection)] if connection else []) is kept


def test_a_header_sent_twice_is_no_way_around(stack, raw_client, signed_in):
    answer = raw_client.ask("/me", [("eppn", MARK), *signed_in, ("eppn", MARK), ("Eppn", MARK), (PROOF_HEADER, MARK)])

    assert told(stack, answer)["eppn"] == "maija%40saimaa.example"
    assert marked(answer) == {}


VARIANTS = (
    "//me", "/./me", "/open/../me", "/%2e%2e/me", "/open/%2e%2e/me", "/%6de", "/m%65/callback", "/me%2f", "/%2fme",
    "/me%2fcallback", "/me/", "/me//callback", "/me/.", "/me/%2e", "/me/..%2fme", "///me///", "/ME", "/Me", "/me;x=1",
    "/me;/callback", "/me.json", "/mex", "/\\me", "/me%00", "/me%20", "/me%09", "/me?x", "/me#x", "/me%23", "/me%3f",
    "/v1/../me", "/v1/%2e%2e/me", "/v1//../me", "/v1%2f..%2fme", "/Shibboleth.sso/../me", "/shibboleth-sp/../me",
    "/shibboleth-sp/%2e%2e/me",
)  # fmt: skip


@pytest.mark.parametrize("path", VARIANTS)
def test_no_spelling_of_the_path_reaches_a_persons_pages_without_a_session(stack, raw_client, path):
    answer = raw_client.ask(path, [("eppn", MARK), (IDENTITY_PROVIDER, MARK)])

    if answer.reached_the_application:
        arrived = seen(answer).environ["PATH_INFO"]
        assert told(stack, answer) == {}
        assert arrived != "/me"
        assert not arrived.startswith("/me/")


def test_another_name_for_the_host_finds_a_closed_door(raw_client):
    half, whole = (
        raw_client.ask("/", [("Host", "evil.example")], greeting=name) for name in ("connect.test", "evil.example")
    )

    assert half.status in {403, 421}
    assert whole.status == 403


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X_Forwarded_Host", "Forwarded", "X-Forwarded-Server"])
def test_requests_to_identity_providers_name_our_own_address(stack, http_browser, header):
    asked = http_browser.visit("/me", headers={header: "host=evil.example"}, allow_redirects=False)

    assert "evil.example" not in asked.headers["Location"]
    assert f"return={stack.base_url}".replace(":", "%3A").replace("/", "%2F") in asked.headers["Location"]


def test_a_forged_session_cookie_is_no_session(stack, raw_client, signed_in):
    ((_, cookie),) = signed_in
    name = cookie.partition("=")[0]

    answer = raw_client.ask("/me", [("Cookie", f"{name}=_0123456789abcdef0123456789abcdef")])

    assert (answer.status, answer.reached_the_application) == (302, False)
