"""Services send people here and get them back; organisations have an address of their own."""

import re
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from shibboleth.organisation import Organisations, Stage
from tests.support.factories import POLYTECHNIC_IDP, UNIVERSITY_IDP, make_link, make_organisation
from tests.support.service import (
    AKE,
    MAIJA,
    ORGANISATIONS,
    PUBLIC_URL,
    Clock,
    WebClient,
    ask,
    authorize_at_orcid,
    make_web_app,
    orcid_id,
    run_orcid_simulator,
    with_own_client,
)
from webapp.app import make_app
from webapp.i18n.language import languages
from webapp.linking.return_address import AllowedReturn

PORTAL = "https://portal.example/orcid?project=7&tab=me"
SENT = urlencode({"return": PORTAL})
MISCONFIGURED = "lukittu"
TWO_IDPS = make_organisation(
    "kaksi", stage=Stage.TEST, entity_ids=("https://a.kaksi.example", "https://b.kaksi.example")
)


@pytest.fixture(scope="module")
def orcid():
    with run_orcid_simulator() as running:
        yield running


@pytest.fixture
def web_app(store, orcid):
    simulator, client = orcid
    simulator.reset()
    organisations = Organisations.of([*ORGANISATIONS, TWO_IDPS], {MISCONFIGURED: ()})
    web_app = make_web_app(store, client, Clock(), organisations)
    returns = (AllowedReturn("https://portal.example/orcid", "Research <portal>"),)
    return replace(web_app, context=replace(web_app.context, returns=returns))


@pytest.fixture
def app(web_app):
    return make_app(web_app)


@pytest.fixture
def maija(app):
    return WebClient(app)


def way_back(page):
    """Return the address behind the link to the service that sent the person here."""
    found = re.search(r'<a class="button[^"]*" href="([^"]*)" rel="noreferrer">([^<]*)</a>', page.text)
    assert found, page.title
    assert unescape(found[2]) == "Return to Research <portal>"
    return unescape(found[1])


def callback_from(simulator, client, page, bare=MAIJA):
    """Submit the form of a page that leads to ORCID, and authorise there."""
    form = {"token": page.field("token"), "return": unescape(page.field("return"))}
    return authorize_at_orcid(simulator, client.post("/me/start", form).header("Location"), bare)


def test_a_person_is_sent_here_links_and_goes_back_by_a_click(app, maija, orcid):
    sent = ask(app, f"/connect?{SENT}", HTTP_ACCEPT_LANGUAGE="en")
    own = maija.get(f"/me?{SENT}")
    confirm = maija.get(callback_from(orcid[0], maija, own)).location
    result = maija.get(maija.agree(confirm).location)

    assert sent.status == 200
    assert "Research &lt;portal&gt; sent you here" in sent.text
    assert way_back(own) == f"{PORTAL}&orcid_connect=cancelled"
    assert way_back(result) == f"{PORTAL}&orcid_connect=linked"
    assert not any(said in way_back(result) for said in (MAIJA, "maija", "yliopisto"))
    # Another visit to ORCID with the same iD, and the own page
    again = maija.get(maija.get(callback_from(orcid[0], maija, maija.get(f"/me?{SENT}"))).location)
    assert way_back(again) == way_back(maija.get(f"/me?{SENT}")) == f"{PORTAL}&orcid_connect=already-linked"


def test_every_sign_in_link_of_the_page_carries_the_address_and_the_language(app):
    page = ask(app, f"/connect?{SENT}&lang=fi")

    own = f"/me?{SENT}&lang=fi"
    targets = [
        parse_qs(urlsplit(unescape(each)).query)["target"][0]
        for each in re.findall(r'href="(/Shibboleth.sso/Login[^"]*)"', page.text)
    ]
    assert f'href="{own.replace("&", "&amp;")}"' in page.text
    assert targets == [PUBLIC_URL + own] * 4


def test_it_leads_to_the_sign_in_of_the_organisation_that_the_service_names(app):
    reply = ask(app, f"/connect?{SENT}&organisation=amk&lang=sv")

    place = urlsplit(reply.location)
    assert (reply.status, place.path) == (303, "/Shibboleth.sso/Login")
    assert parse_qs(place.query) == {"entityID": [POLYTECHNIC_IDP], "target": [f"{PUBLIC_URL}/me?{SENT}&lang=sv"]}


def test_the_language_menu_keeps_the_address(app, maija):
    for page in (ask(app, f"/connect?{SENT}", HTTP_ACCEPT_LANGUAGE="en"), maija.get(f"/me?{SENT}")):
        links = [unescape(each) for each in re.findall(r'<a href="(\?[^"]*)" lang=', page.text)]
        assert [parse_qs(each[1:]) for each in links] == [
            {"return": [PORTAL], "lang": ["fi"]},
            {"return": [PORTAL], "lang": ["sv"]},
        ]
    assert "Palaa palveluun Research &lt;portal&gt;" in maija.get(f"/me{links[0]}").text


def test_who_declines_at_orcid_may_go_back_or_try_again(maija, orcid):
    address = maija.post("/me/start", {"token": maija.token(), "return": PORTAL}).header("Location")
    state = parse_qs(urlsplit(address).query)["state"][0]
    declined = maija.get(maija.get(f"/me/callback?error=access_denied&state={quote(state)}").location)
    again = maija.get(callback_from(orcid[0], maija, declined)).location

    assert way_back(declined) == f"{PORTAL}&orcid_connect=declined"
    assert way_back(maija.get(maija.agree(again).location)) == f"{PORTAL}&orcid_connect=linked"


def test_who_cancels_or_has_another_account_at_orcid_may_go_back(maija, orcid):
    start = {"token": maija.token(), "return": PORTAL}
    place = maija.get(authorize_at_orcid(orcid[0], maija.post("/me/start", start).header("Location"))).location
    confirm = maija.get(place)
    form = {"token": confirm.field("token"), "return": unescape(confirm.field("return")), "another": "yes"}
    other = maija.post(place, form).location

    assert way_back(maija.get(other)) == f"{PORTAL}&orcid_connect=cancelled"
    assert unescape(maija.get(other).field("return")) == PORTAL
    assert way_back(maija.get(f"/me/result/{place.rpartition('/')[2]}")) == f"{PORTAL}&orcid_connect=cancelled"


def test_what_could_not_be_linked_leads_back_too(store, maija, orcid):
    make_link(store, "ville@yliopisto.example", orcid_id(AKE))
    place = maija.get(callback_from(orcid[0], maija, maija.get(f"/me?{SENT}"), AKE)).location

    assert way_back(maija.get(place)) == f"{PORTAL}&orcid_connect=failed"


def test_who_cannot_sign_in_may_go_back(maija):
    maija.entity_id = "https://idp.elsewhere.example"

    assert way_back(maija.get(f"/me?{SENT}")) == f"{PORTAL}&orcid_connect=failed"


def test_the_choice_of_permissions_carries_the_address(web_app, orcid):
    maija = WebClient(make_app(with_own_client(web_app, orcid[0])))
    choice = maija.post("/me/start", {"token": maija.token(), "return": PORTAL}).location
    form = {"token": maija.token(), "return": unescape(maija.get(choice).field("return")), "chosen": "yes"}
    place = maija.get(authorize_at_orcid(orcid[0], maija.post("/me/start", form).header("Location"))).location

    assert way_back(maija.get(maija.agree(place).location)) == f"{PORTAL}&orcid_connect=linked"


def test_a_service_that_the_operator_removed_meanwhile_is_not_linked_to(web_app, maija, orcid):
    place = maija.get(callback_from(orcid[0], maija, maija.get(f"/me?{SENT}"))).location
    without = make_app(replace(web_app, context=replace(web_app.context, returns=())))
    later = WebClient(without, cookies=maija.cookies)

    result = later.get(later.agree(place).location)

    assert result.title == "Your ORCID iD is connected"
    assert "portal.example" not in result.text


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize(
    "query",
    [
        "",
        "return=",
        "return=https%3A%2F%2Fevil.example%2F",
        "return=https%3A%2F%2Fportal.example%2Forcidx",
        "return=%2F%2Fevil.example",
        "organisation=amk",
        "return=https%3A%2F%2Fevil.example%2F&organisation=amk",
        "return=javascript%3Aalert(1)",
    ],
)
def test_another_address_gets_a_page_and_leads_nowhere(app, code, query):
    page = ask(app, f"/connect?{query}", HTTP_ACCEPT_LANGUAGE=code)

    assert (page.status, page.header("Location")) == (400, None)
    assert page.title == languages()[code].gettext("The return address is not registered")
    assert not re.search(r'href="[^"?]*(evil|portal|alert)', page.text)


def test_forms_and_pages_of_a_person_refuse_another_address_too(maija):
    assert maija.get("/me?return=https%3A%2F%2Fevil.example%2F").status == 400
    assert maija.post("/me/start", {"token": maija.token(), "return": "https://evil.example/"}).status == 400
    assert maija.get(f"/connect?{SENT}&{SENT}").status == 400


@pytest.mark.parametrize(("language", "target"), [("", "/me"), ("?lang=fi", "/me?lang=fi")])
def test_an_organisations_own_address_leads_straight_to_its_sign_in(app, language, target):
    reply = ask(app, f"/o/yliopisto{language}")

    assert reply.status == 303
    assert parse_qs(urlsplit(reply.location).query) == {"entityID": [UNIVERSITY_IDP], "target": [PUBLIC_URL + target]}


def test_an_organisation_with_two_sign_ins_offers_both(app):
    page = ask(app, "/o/kaksi", HTTP_ACCEPT_LANGUAGE="en")

    assert page.title == "Connect your ORCID iD: Kaksi"
    assert re.findall(r"entityID=https%3A//(\w)", page.text) == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/o/nowhere", 404, "This organisation is not connected"),
        ("/o/%C3%A4", 404, "This organisation is not connected"),
        (f"/o/{MISCONFIGURED}", 503, "Your organisation cannot use this service right now"),
        (f"/connect?{SENT}&organisation=nowhere", 404, "This organisation is not connected"),
    ],
)
def test_an_organisation_that_cannot_be_used_gets_a_page(app, path, status, title):
    page = ask(app, path, HTTP_ACCEPT_LANGUAGE="en")

    assert (page.status, page.title) == (status, title)
    if "return" in path:
        assert way_back(page) == f"{PORTAL}&orcid_connect=failed"
