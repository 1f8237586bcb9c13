"""A person links an ORCID iD in a real browser, through a real Service Provider, and the organisation is told."""

from __future__ import annotations

import base64
import http.client
import socket
from contextlib import closing
from urllib.parse import quote

import pytest

from demo.orcid.people import PEOPLE
from tests.support.system.client import HttpBrowser
from tests.support.system.people import SAIMAA, TUNTURI, token_of
from tests.support.system.user import FederatedUser

MAIJAS, AKES, LIISAS = (person.orcid for person in PEOPLE[:3])
OTHERS = [person.orcid for person in PEOPLE[3:6]]


def asked(service, account, organisation=SAIMAA, authorization=None):
    """Ask the connector as the organisation's Identity Provider does."""
    with HttpBrowser(service.stack) as idp:
        return idp.visit(
            f"/v1/people/{quote(account, safe='')}",
            headers={"Authorization": authorization or f"Bearer {token_of(organisation)}"},
            allow_redirects=False,
        )


def behind_apache(service, headers):
    """Ask the pages' own process for a person's page, past Apache; gives the status."""
    connection = http.client.HTTPConnection("localhost", timeout=20)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection.sock:
        connection.sock.connect(str(service.stack.run / "web.sock"))
        connection.request("GET", "/me", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def iris(answer):
    """The iDs in an answer of the connector."""
    assert answer.status_code == 200
    return answer.json()["eduPersonOrcid"]


def test_a_person_links_an_orcid_id_and_the_organisation_is_told(service, browser):
    maija = FederatedUser(service, browser, "maija")
    before = iris(asked(service, "maija@saimaa.example"))

    maija.sign_in()
    maija.link(MAIJAS)
    browser.save_screenshot(f"system-{service.stack.front}-linked")

    assert before == []
    assert iris(asked(service, "maija@saimaa.example")) == [f"https://sandbox.orcid.org/{MAIJAS}"]
    assert "maija@saimaa.example" in browser.text


def test_a_session_that_ends_at_orcid_comes_back_as_another_person_and_links_nothing(service, browser):
    wang, ake = FederatedUser(service, browser, "wang"), FederatedUser(service, browser, "åke")

    wang.sign_in()
    wang.continue_to_orcid(AKES)
    wang.end_session()
    wang.authorize()
    ake.choose_organisation()
    browser.wait_for_heading("This was started by someone else")
    browser.save_screenshot(f"system-{service.stack.front}-another-person")

    assert iris(asked(service, "wang@saimaa.example")) == []
    assert iris(asked(service, "ake@saimaa.example")) == []


def test_a_session_that_ends_at_orcid_and_the_same_person_again_is_no_hindrance(service, browser):
    wang = FederatedUser(service, browser, "wang")

    wang.sign_in()
    wang.continue_to_orcid(AKES)
    wang.end_session()
    wang.authorize()
    wang.choose_organisation()
    wang.confirm()
    browser.wait_for_heading("Your ORCID iD is connected")

    assert iris(asked(service, "wang@saimaa.example")) == [f"https://sandbox.orcid.org/{AKES}"]


def test_a_language_chosen_at_the_start_comes_through_the_sign_in_and_a_sign_out_says_what_remains(service, browser):
    wang = FederatedUser(service, browser, "wang")
    browser.open(f"{service.stack.base_url}/?lang=sv")

    browser.press("Logga in via din organisation")
    wang.choose_organisation()
    browser.wait_for_heading("Ditt ORCID-id")
    # A page that needs no session: Apache passes no attribute on here
    browser.press("Hjälp")
    browser.wait_for_heading("Hjälp")
    assert "Inloggad som" in browser.text
    browser.press("Logga ut")
    browser.wait_for_heading("Du har loggat ut från den här tjänsten")
    assert "Inloggad som" not in browser.text
    browser.open(f"{service.stack.base_url}/me")

    browser.wait_for_heading("Choose your organisation")


def test_a_session_that_ends_on_the_confirm_page_costs_a_sign_in_and_nothing_more(service, browser):
    liisa = FederatedUser(service, browser, "liisa", TUNTURI)

    liisa.sign_in()
    liisa.continue_to_orcid(LIISAS)
    liisa.authorize()
    browser.wait_for_heading("Is this your ORCID iD?")
    liisa.end_session()
    liisa.confirm()
    liisa.choose_organisation()
    browser.wait_for_heading("Your ORCID iD is connected")

    assert iris(asked(service, "liisa@tunturi.example", TUNTURI)) == [f"https://sandbox.orcid.org/{LIISAS}"]


@pytest.mark.parametrize(
    ("account", "orcid"),
    [
        ("ma/ija@saimaa.example", OTHERS[0]),
        ("ma+ija@saimaa.example", OTHERS[1]),
        ("ma%2Fija@saimaa.example", OTHERS[2]),
    ],
)
def test_an_account_with_signs_in_it_is_found_by_the_connector(service, account, orcid):
    with HttpBrowser(service.stack) as somebody:
        own_page = somebody.sign_in("maija", eppn=[account])
        sign_in_at_orcid = somebody.submit(own_page)
        somebody.submit(somebody.submit(somebody.submit(sign_in_at_orcid, orcid=orcid)), agree="yes")

    assert iris(asked(service, account)) == [f"https://sandbox.orcid.org/{orcid}"]


@pytest.mark.parametrize("path", ["/", "/no-such-page", "/v1/people/x"])
def test_no_page_of_the_service_is_compressed(service, path):
    with HttpBrowser(service.stack) as somebody:
        answer = somebody.visit(path, headers={"Accept-Encoding": "gzip, br, deflate"})

    assert "Content-Encoding" not in answer.headers
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_an_organisation_learns_nothing_of_anothers_people(service):
    assert iris(asked(service, "maija@saimaa.example", TUNTURI)) == []


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Basic " + base64.b64encode(b"saimaa:wrong").decode(), "Negotiate x", "Bearer"]
)
def test_without_a_credential_the_connector_says_that_one_is_needed(service, authorization):
    answer = asked(service, "maija@saimaa.example", authorization=authorization)

    assert answer.status_code == 401
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert answer.headers["Content-Type"] == "application/json"


def test_behind_the_proxys_back_nobody_is_believed(service):
    if service.stack.front == "variables":
        assert not (service.stack.run / "web.sock").exists()
        return

    forged = {"Shib-Identity-Provider": SAIMAA.entity_id, "eppn": "maija%40saimaa.example"}
    without, wrong, right = (
        behind_apache(service, forged | proof)
        for proof in ({}, {"X-Front-Proof": "x" * 64}, {"X-Front-Proof": service.stack.proof})
    )

    assert (without, wrong, right) == (403, 403, 200)


@pytest.mark.parametrize("account", ["nameless", "twofold", "stranger"])
def test_without_an_identifier_to_believe_nobody_gets_to_orcid(service, account):
    with HttpBrowser(service.stack) as somebody:
        page = somebody.sign_in(account)

    assert page.status_code >= 400
    assert "/me/start" not in page.text


def test_a_line_feed_in_a_name_is_no_hindrance(service):
    with HttpBrowser(service.stack) as somebody:
        page = somebody.sign_in("newline")

    assert page.status_code == 200
    assert "rivi@saimaa.example" in page.text
    assert "forged@saimaa.example" not in page.headers
