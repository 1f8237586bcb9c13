"""The door: browsers known by a cookie of ours, forms that are ours, routes that say for whom they are."""

import hashlib

import pytest

from shibboleth.organisation import Organisations
from shibboleth.person import Encoding, VariableSource
from tests.support.factories import POLYTECHNIC, make_organisation, make_person
from webapp.auth.authenticator import Access, Authenticator
from webapp.auth.browser import Browser
from webapp.auth.cookies import RepeatedCookie, parse_cookies
from webapp.auth.csrf import CsrfError, check_csrf_token, csrf_token
from webapp.routes import ROUTES

AUTHENTICATOR = Authenticator(VariableSource(), Organisations.of([make_organisation()]), Encoding.URL)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_for_someone_the_door_knows(route):
    assert isinstance(route.access, Access)
    assert (route.access is Access.PERSON) == (route.path.split("/")[1] in {"me", "operator"})


def test_every_form_can_be_landed_on_by_a_get():
    addresses = {method: {route.path for route in ROUTES if route.method == method} for method in ("GET", "POST")}

    assert addresses["POST"] <= addresses["GET"]


def test_a_browser_keeps_its_secret():
    first = AUTHENTICATOR.browser({})
    again = AUTHENTICATOR.browser(
        parse_cookies({"HTTP_COOKIE": f"a=b; {AUTHENTICATOR.browser_cookie_name}={first.secret}"})
    )

    assert (first.new, again.new) == (True, False)
    assert again.secret == first.secret


def test_two_browsers_have_two_secrets():
    assert Browser.unknown().secret != Browser.unknown().secret


@pytest.mark.parametrize("value", ["", "short", "ä" * 43, "x" * 44, '"' + "x" * 43 + '"'])
def test_a_cookie_that_we_did_not_make_is_none(value):
    assert AUTHENTICATOR.browser(parse_cookies({"HTTP_COOKIE": f"{AUTHENTICATOR.browser_cookie_name}={value}"})).new


@pytest.mark.parametrize("other", ["a,b=1", "path=1", "[=]", "novalue", "", 'q="a', "=", "ä=ö"])
def test_whatever_another_cookie_is_ours_is_found(other):
    secret = "x" * 43

    for header in (
        f"{other}; {AUTHENTICATOR.browser_cookie_name}={secret}",
        f"{AUTHENTICATOR.browser_cookie_name}={secret}; {other}",
    ):
        assert AUTHENTICATOR.browser(parse_cookies({"HTTP_COOKIE": header})).secret == secret


@pytest.mark.parametrize("space", ["\xa0", "\x85", "\x1f", "\x0b", "\x0c", "\u2003", "\u3000"], ids=repr)
def test_a_name_keeps_what_is_white_space_in_unicode_alone(space):
    secret = "x" * 43

    for name in (space + AUTHENTICATOR.browser_cookie_name, AUTHENTICATOR.browser_cookie_name + space):
        assert AUTHENTICATOR.browser(parse_cookies({"HTTP_COOKIE": f"a=b; {name}={secret}"})).new


def test_a_cookie_that_comes_twice_is_no_browsers():
    name = AUTHENTICATOR.browser_cookie_name
    cookies = parse_cookies({"HTTP_COOKIE": f"{name}={'x' * 43}; {name}={'y' * 43}"})

    assert AUTHENTICATOR.browser(cookies).new
    with pytest.raises(RepeatedCookie):
        AUTHENTICATOR.check_single_browser_cookie(cookies)


def test_the_cookie_is_hidden_from_scripts_and_survives_the_way_back_from_orcid():
    browser = Browser.unknown()

    said = AUTHENTICATOR.browser_cookie(browser)

    assert said == f"__Host-orcid-connect={browser.secret}; Path=/; HttpOnly; SameSite=Lax; Secure"


def test_only_on_plain_loopback_is_the_cookie_not_secure():
    demonstration = Authenticator(VariableSource(), Organisations.of([]), Encoding.URL, secure=False)

    assert demonstration.browser_cookie_name == "orcid-connect"
    assert "Secure" not in demonstration.browser_cookie(Browser.unknown())


def test_the_store_learns_a_browser_by_hash_alone():
    browser = Browser.unknown()

    assert browser.hash == hashlib.sha256(browser.secret.encode()).hexdigest()
    assert browser.secret not in repr(browser)


def test_what_is_derived_for_one_purpose_serves_no_other():
    browser = Browser("s" * 43)

    derived = {browser.derive("a", "b"), browser.derive("a", "bc"), browser.derive("ab"), browser.derive("a\0b", "")}

    assert len(derived) == 4


def test_a_form_of_ours_is_taken():
    browser, maija = Browser.unknown(), make_person()

    check_csrf_token(csrf_token(browser, maija), browser, maija)


@pytest.mark.parametrize("token", ["", "x", "ä" * 43])
def test_a_form_without_its_token_is_refused(token):
    with pytest.raises(CsrfError):
        check_csrf_token(token, Browser.unknown(), make_person())


def test_a_form_is_of_one_browser_and_one_person():
    browser, maija = Browser.unknown(), make_person()
    token = csrf_token(browser, maija)

    for other, who in (
        (Browser.unknown(), maija),
        (browser, make_person("pekka@yliopisto.example")),
        (browser, make_person(organisation=make_organisation(POLYTECHNIC))),
    ):
        with pytest.raises(CsrfError):
            check_csrf_token(token, other, who)
