"""While shibd is away every page but a person's own is there at once; and whoever cannot go on reads why."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support.system.client import HttpBrowser, RawClient, cookies
from tests.support.system.stack import FRONTS, SP, install_probe, running
from webapp.auth.authenticator import Access
from webapp.routes import ROUTES

AT_ONCE = 5.0
"""Seconds, on a busy machine; mod_shib itself waits six for a shibd that is away."""
OPEN = sorted({re.sub("<[a-z]+>", "x", each.path) for each in ROUTES if each.access is Access.ANYONE})
PAGES = {
    name: re.findall("<h[12]>(.*?)</h", (SP / f"error-{name}.html").read_text("utf-8"))
    for name in ("page", "sign-in", "sign-out")
}
"""The headings of each static page, in Finnish, Swedish and English."""


def headings(answer):
    return re.findall("<h[12]>(.*?)</h", answer.content.decode("utf-8"))


@pytest.fixture(scope="module", params=FRONTS)
def alone(request, venv):
    """A front without shibd, and somebody who signed in while it was there."""
    with running(request.param, venv, install_probe) as stack, HttpBrowser(stack) as maija:
        maija.sign_in("maija")
        stack.end("shibd")
        yield stack, maija


@pytest.mark.parametrize("path", [*OPEN, "/no-such-page", "/v1/people/x", "/errors/page.html"])
@pytest.mark.parametrize("signed_in", [True, False], ids=["with a session", "without"])
def test_an_open_page_is_there_at_once(alone, path, signed_in):
    stack, maija = alone
    began = time.monotonic()

    answer = RawClient(stack).ask(path, [("Cookie", cookies(maija))] if signed_in else [])

    assert answer.status == 200
    assert time.monotonic() - began < AT_ONCE


def signs_in(ville):
    # What a sign-in begins with is in the browser: shibd is not asked before the Identity Provider's answer
    asked = ville.visit("/Shibboleth.sso/Login")
    return asked if asked.status_code == 500 else ville.sign_in("ville", asking=asked)


def test_who_needs_the_service_provider_reads_that_it_is_away_after_the_identity_provider_at_the_latest(alone):
    stack, maija = alone
    paths = ("/me", "/Shibboleth.sso/Logout")
    with HttpBrowser(stack) as ville, ThreadPoolExecutor() as threads:
        # Together, since mod_shib waits seconds for each
        asked = {path: threads.submit(RawClient(stack).ask, path, [("Cookie", cookies(maija))]) for path in paths}
        last = signs_in(ville)
        answers = {path: each.result() for path, each in asked.items()}

    assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(paths, 500)
    assert {path: re.findall("<h[12]>(.*?)</h", answer.text) for path, answer in answers.items()} == dict.fromkeys(
        paths, PAGES["sign-in"]
    )
    assert last.status_code == 500
    assert headings(last) == PAGES["sign-in"]


def test_each_page_says_the_same_in_three_languages_and_needs_nothing_else():
    for name in PAGES:
        text = (SP / f"error-{name}.html").read_text("utf-8")
        assert re.findall(r'<section lang="(\w\w)">', text) == ["fi", "sv", "en"]
        assert not re.findall(r"<(?:script|img|link|iframe)|url\(|@import| src=", text)
        assert set(re.findall(r'href="([^"]*)"', text)) <= {"@BASE_URL@/", "mailto:@SUPPORT_CONTACT@"}


def test_an_application_that_is_away_has_its_page_and_keeps_its_status(alone):
    stack, somebody = alone
    with stopped(stack):
        page, connector = somebody.visit("/help"), somebody.visit("/v1/people/x")
        (stack.etc / "errors" / "page.html").unlink()
        without = somebody.visit("/help")

    assert page.status_code == connector.status_code == without.status_code == AWAY[stack.front]
    assert headings(page) == PAGES["page"]
    assert not set(PAGES["page"]) & {*headings(connector), *headings(without)}


AWAY = {"variables": 500, "proxy": 503}


@contextmanager
def stopped(stack):
    """Take both applications away from behind Apache."""
    if stack.front == "proxy":
        for socket in ("web.sock", "connector.sock"):
            stack.end(socket)
    else:
        for script in ("connect.wsgi", "connector.wsgi"):
            (stack.etc / script).write_text("raise RuntimeError\n")
    yield
