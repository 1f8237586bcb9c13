"""The cookie from which public pages show who is signed in, behind both fronts, and what it does not do."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest

from shibboleth.organisation import Organisations
from shibboleth.person import PROOF_HEADER, HeaderSource, VariableSource
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY_IDP, make_organisation
from tests.support.service import ORGANISATIONS, PUBLIC_URL, Clock, WebClient, ask, make_web_app, run_orcid_simulator
from webapp.app import make_app
from webapp.auth.browser import Browser
from webapp.auth.display import DisplayedPerson, sign

PUBLIC = ("/", "/help", "/privacy", "/privacy/yliopisto", "/accessibility", "/o/nowhere")
OURS, DISPLAY = "__Host-orcid-connect", "__Host-orcid-connect-display"
PROOF = "p" * 40
SAID = {"Shib-Identity-Provider": UNIVERSITY_IDP, "eppn": "maija@yliopisto.example", "displayName": "Maija Mäkelä"}
ENCODED = {name: quote(value, safe="") for name, value in SAID.items()}
FRONTS = {
    "variables": (VariableSource(), ENCODED),
    "proxy": (
        HeaderSource(PROOF),
        {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (ENCODED | {PROOF_HEADER: PROOF}).items()},
    ),
}


@pytest.fixture(scope="module")
def orcid():
    with run_orcid_simulator() as found:
        yield found


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def web_app(tmp_path, orcid, clock):
    store = open_store(make_sqlite(tmp_path))
    yield make_web_app(store, orcid[1], clock)
    store.close()


def cookies_after_sign_in(app, session):
    jar = WebClient(app, "", "")
    assert jar.get("/me", **session).status == 200
    return jar.cookies


def public(app, cookies, path="/help"):
    """Ask for a public page as Apache does: with the cookies, and without the session's attributes."""
    return ask(app, path, HTTP_COOKIE="; ".join(f"{name}={value}" for name, value in cookies.items()))


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("front", FRONTS)
def test_a_public_page_shows_who_is_signed_in_without_their_session(web_app, front, path):
    source, session = FRONTS[front]
    app = make_app(replace(web_app, authenticator=replace(web_app.authenticator, front=source)))

    page = public(app, cookies_after_sign_in(app, session), path)

    for part in ("<bdi>Maija Mäkelä</bdi>", 'href="/me"', 'href="/sign-out"'):
        assert part in page.text
    assert (page.header("Cache-Control"), page.header("Vary")) == ("no-store", "Accept-Language, Cookie")


@pytest.mark.parametrize("front", FRONTS)
def test_a_public_page_reads_no_session(web_app, front):
    source, session = FRONTS[front]
    app = make_app(replace(web_app, authenticator=replace(web_app.authenticator, front=source)))

    assert "Maija" not in ask(app, "/", **session).text


def test_the_cookie_is_for_this_host_hidden_from_scripts_and_ends_with_the_browser(web_app):
    page = ask(make_app(web_app), "/me", **ENCODED)

    (cookie,) = [value for name, value in page.headers if name == "Set-Cookie" and value.startswith(DISPLAY)]
    assert cookie.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax; Secure"


def changed(value, part, to):
    parts = value.split(".", 3)
    parts[part] = to
    return ".".join(parts)


SECRET = Browser("x" * 43)
NOT_VALID = {
    "another name": lambda _, value: {DISPLAY: changed(value, 3, "Ake")},
    "another organisation": lambda _, value: {DISPLAY: changed(value, 2, "amk")},
    "a later end": lambda _, value: {DISPLAY: changed(value, 1, "99999999999")},
    "another MAC": lambda _, value: {DISPLAY: changed(value, 0, "A" * 43)},
    "no MAC": lambda _, value: {DISPLAY: value.partition(".")[2]},
    "empty": lambda _, __: {DISPLAY: ""},
    "not ASCII": lambda _, value: {DISPLAY: value + "\xff"},
    "another browser": lambda _, __: {OURS: SECRET.secret},
    "no browser": lambda _, __: {OURS: ""},
    "an organisation that has left": lambda clock, _: {
        OURS: SECRET.secret,
        DISPLAY: sign(DisplayedPerson("Maija", make_organisation("left")), SECRET, clock()),
    },
}


@pytest.mark.parametrize("kind", NOT_VALID)
def test_a_cookie_that_was_not_made_for_this_browser_shows_nothing(web_app, clock, kind):
    app = make_app(web_app)
    cookies = cookies_after_sign_in(app, ENCODED)

    page = public(app, cookies | NOT_VALID[kind](clock, cookies[DISPLAY]))

    assert page.status == 200
    assert 'href="/sign-out"' not in page.text


def test_a_cookie_that_came_twice_shows_nothing(web_app):
    app = make_app(web_app)
    cookies = cookies_after_sign_in(app, ENCODED)

    page = ask(app, "/help", HTTP_COOKIE="; ".join(f"{name}={cookies[name]}" for name in (OURS, DISPLAY, DISPLAY)))

    assert 'href="/sign-out"' not in page.text


def test_a_misconfigured_organisation_shows_nothing(web_app):
    cookies = cookies_after_sign_in(make_app(web_app), ENCODED)
    without = Organisations.of([each for each in ORGANISATIONS if each.id != "yliopisto"], {"yliopisto": ()})
    authenticator = replace(web_app.authenticator, organisations=without)

    assert 'href="/sign-out"' not in public(make_app(replace(web_app, authenticator=authenticator)), cookies).text


def test_the_cookie_is_valid_for_an_hour_after_the_last_page_that_needed_a_session(web_app, clock):
    app = make_app(web_app)
    maija = WebClient(app, said={"displayName": "Maija Mäkelä"})
    maija.get("/me")
    clock.passes(minutes=50)
    maija.get("/me/data")
    clock.passes(minutes=59)
    assert "Maija Mäkelä" in public(app, maija.cookies).text

    clock.now += timedelta(minutes=1)

    assert "Maija Mäkelä" not in public(app, maija.cookies).text


def test_the_cookie_grants_nothing(web_app):
    app = make_app(web_app)
    cookies = cookies_after_sign_in(app, ENCODED)

    for path in ("/me", "/me/data", "/operator"):
        page = public(app, cookies, path)
        assert page.status == 401
        assert "Maija" not in page.text


def test_the_next_person_in_the_same_browser_is_shown(web_app):
    app = make_app(web_app)
    maija = WebClient(app, said={"displayName": "Maija Mäkelä"})
    maija.get("/me")

    maija.same_browser("ake@yliopisto.example").get("/me")

    page = public(app, maija.cookies)
    assert "<bdi>ake@yliopisto.example</bdi>" in page.text
    assert "Maija" not in page.text


def test_a_long_account_outside_ascii_fits_into_the_cookie(web_app):
    app = make_app(web_app)
    maija = WebClient(app, said={"displayName": "\N{GRINNING FACE}" * 200})

    maija.get("/me")

    assert len(maija.cookies[DISPLAY]) < 4000
    assert "\N{GRINNING FACE}" in public(app, maija.cookies).text


def test_the_sign_out_ends_the_display_before_the_service_provider_is_asked(web_app):
    app = make_app(web_app)
    maija = WebClient(app)
    maija.get("/me")

    leaving = maija.get("/sign-out")

    assert leaving.status == 303
    assert leaving.header("Location") == (
        f"{PUBLIC_URL}/Shibboleth.sso/Logout?return=https%3A%2F%2Fconnect.example%2Fsigned-out"
    )
    assert leaving.header("Set-Cookie") == f"{DISPLAY}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"
    for path in ("/signed-out", "/help"):
        assert 'href="/sign-out"' not in public(app, maija.cookies, path).text
