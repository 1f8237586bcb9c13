"""Whatever may happen on the way, the page says what it means, what to do and whom to ask, with a text to send."""

import re
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from demo.orcid.people import PEOPLE
from shibboleth.attributes import ATTRIBUTES
from shibboleth.organisation import Organisations, Stage
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import (
    POLYTECHNIC_IDP,
    UNIVERSITY,
    UNIVERSITY_IDP,
    make_organisation,
)
from tests.support.service import AKE, MAIJA, Clock, WebClient, ask, make_web_app, run_orcid_simulator
from webapp.app import make_app
from webapp.i18n.language import languages
from webapp.pages.problems import ORGANISATION_HELP, PROBLEMS_BY_CODE, SERVICE_HELP
from webapp.pages.support_messages import SUPPORT_MESSAGES, support_messages

SIGN_OUT = "/Shibboleth.sso/Logout?return=https%3A%2F%2Fconnect.example%2Fsigned-out"


@pytest.fixture(scope="module")
def running_simulator():
    with run_orcid_simulator() as both:
        yield both


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def orcid(running_simulator, clock):
    simulator, client = running_simulator
    simulator.reset()
    simulator.clock = clock
    return simulator, client


@pytest.fixture
def simulator(orcid):
    return orcid[0]


@pytest.fixture
def store(tmp_path):
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def app(store, orcid, clock):
    return make_app(make_web_app(store, orcid[1], clock))


@pytest.fixture
def maija(app):
    return WebClient(app)


def links(page):
    """Every address that a page links to."""
    return [unescape(each) for each in re.findall(r'href="([^"]*)"', page.text)]


def mails(page):
    """The e-mails that a page has ready: to whom, subject and text."""
    found = [urlsplit(each) for each in links(page) if each.startswith("mailto:") and "?" in each]
    return [(unquote(one.path), *(parse_qs(one.query)[name][0] for name in ("subject", "body"))) for one in found]


def to_copy(page):
    """The texts that a page has ready to be copied."""
    return [unescape(each) for each in re.findall(r"<textarea readonly[^>]*>(.*?)</textarea>", page.text, re.DOTALL)]


# Another ORCID account


def test_the_confirm_page_asks_who_it_is_and_shows_the_name(maija, simulator):
    page = maija.get(maija.return_from_orcid(simulator))

    assert page.title == "Is this your ORCID iD?"
    assert PEOPLE[0].public_name in page.text
    assert 'name="another" value="yes"' in page.text


def test_a_person_with_another_orcid_session_can_change_the_account(maija, simulator, store):
    place = maija.return_from_orcid(simulator)

    answer = maija.post(place, {"token": maija.get(place).field("token"), "another": "yes"})

    page = maija.get(answer.location)
    assert page.title == "Use another ORCID account"
    assert any(each.endswith("/signout") for each in links(page))
    assert 'action="/me/start"' in page.text
    assert maija.get(place).location == place.replace("confirm", "result")
    assert store.changes.last_number(UNIVERSITY) == 0


def test_where_orcid_asks_for_a_sign_in_the_way_leads_straight_there(store, orcid, clock):
    web_app = make_web_app(store, replace(orcid[1], scope="openid"), clock)
    maija = WebClient(make_app(web_app))
    place = maija.return_from_orcid(orcid[0])

    answer = maija.post(place, {"token": maija.get(place).field("token"), "another": "yes"})

    asked = parse_qs(urlsplit(answer.header("Location")).query)
    assert asked["prompt"] == ["login"]


def test_another_account_can_be_had_without_an_attempt(maija):
    assert maija.get("/me/another-account").title == "Use another ORCID account"


def test_an_empty_choice_is_asked_again(maija, simulator):
    place = maija.return_from_orcid(simulator)

    page = maija.post(place, {"token": maija.get(place).field("token")})

    assert (page.status, page.title) == (422, "Is this your ORCID iD?")
    assert re.search(r'<div class="alert" id="problem" tabindex="-1" autofocus', page.text)
    assert re.search(
        r'<input type="checkbox" id="agree"[^>]*aria-describedby="agree-error" aria-invalid="true">', page.text
    )


# Refused, held, replaced


def test_the_page_after_a_denial_explains_it_and_offers_another_try(maija, simulator):
    state = parse_qs(urlsplit(maija.start()).query)["state"][0]

    page = maija.get(maija.get(f"/me/callback?error=access_denied&state={state}").location)

    assert page.title == "You did not give permission at ORCID"
    assert "nothing was connected" in page.text
    assert 'action="/me/start"' in page.text


def test_an_id_of_another_account_names_the_contact_and_a_message(app, maija, simulator):
    maija.link(simulator)
    piia = WebClient(app, "piia@yliopisto.example")

    page = piia.get(piia.return_from_orcid(simulator))

    assert page.title == "This ORCID iD is connected to another account"
    ((to, subject, body),) = mails(page)
    assert to == "help@yliopisto.example"
    assert subject == "My ORCID iD is connected to another account"
    assert re.search(r"Incident number: [0-9a-f]{8}\.", body)
    assert "/me/another-account" in links(page)
    assert "maija@" not in page.text


def test_the_old_and_the_new_id_stand_side_by_side(maija, simulator):
    maija.link(simulator)

    page = maija.get(maija.return_from_orcid(simulator, AKE))

    compared = re.search(r'<div class="compare">(.*?)</div>', page.text, re.DOTALL)[1]
    assert compared.index(MAIJA) < compared.index(AKE)


# What will be sent, and where it has got to


def test_an_interface_is_called_what_the_operator_says_in_the_readers_language(store, orcid, clock):
    labels = {"idm": {"en": "Staff register", "fi": "Henkilörekisteri"}}
    web_app = make_web_app(store, orcid[1], clock, transfers=("idm", "other"), labels=labels)
    maija = WebClient(make_app(web_app))
    place = maija.return_from_orcid(orcid[0])

    for page in (maija.get(place), maija.get(maija.agree(place).location), maija.get("/me")):
        assert "<bdi>Staff register</bdi>" in page.text
        assert "Your organisation&#39;s system <bdi>other</bdi>" in page.text.replace("'", "&#39;")
    assert "<bdi>Henkilörekisteri</bdi>" in maija.get("/me?lang=fi").text
    assert "<bdi>Staff register</bdi>" in maija.get("/me?lang=sv").text


# Lost on the way


def test_a_session_lost_at_orcid_resumes_at_the_callback(app):
    page = ask(app, "/me/callback?code=Ab1&state=s-1&lang=fi")

    (callback_path,) = [parse_qs(urlsplit(each).query)["target"][0] for each in links(page) if "/Login?" in each]
    assert callback_path == "https://connect.example/me/callback?code=Ab1&state=s-1&lang=fi"
    assert page.status == 401


def test_a_session_lost_with_a_form_leads_to_the_own_page(app):
    page = ask(app, "/me/confirm/x", "POST", {"agree": "yes"})

    assert "/Shibboleth.sso/Login?target=https%3A//connect.example/me" in links(page)


def test_the_own_page_continues_an_open_attempt(maija, simulator, clock):
    place = maija.return_from_orcid(simulator)

    assert maija.cookies["__Host-orcid-connect-attempt"] == place.rpartition("/")[2]
    assert place in links(maija.get("/me"))
    assert "You came back from ORCID but have not confirmed yet." in maija.get("/me").text

    clock.passes(hours=1)
    assert place not in links(maija.get("/me"))


def test_a_confirmed_attempt_is_not_offered(maija, simulator):
    place = maija.return_from_orcid(simulator)

    maija.agree(place)

    assert place not in links(maija.get("/me"))


def test_an_attempt_does_not_wait_for_other_attempts(app, maija, simulator):
    maija.return_from_orcid(simulator)
    piia = maija.same_browser("piia@yliopisto.example")
    stranger = WebClient(app, cookies={"__Host-orcid-connect-attempt": "made-up"})

    for somebody in (piia, stranger):
        page = somebody.get("/me")
        assert (page.status, "have not confirmed" in page.text) == (200, False)


def test_an_attempt_that_ended_at_orcid_is_not_offered(maija, simulator):
    simulator.faults.arm("token", "5xx")

    maija.return_from_orcid(simulator)

    assert "__Host-orcid-connect-attempt" not in maija.cookies


# Who cannot be let in


def test_a_missing_attribute_is_named_with_a_text_for_the_organisations_help(app):
    page = WebClient(app, account="").get("/me")

    ((to, subject, body),) = mails(page)
    assert to == "help@yliopisto.example"
    assert "eppn" in subject
    assert f"eppn ({ATTRIBUTES['eppn'].saml2_name})" in body
    assert "https://connect.example" in body
    assert to_copy(page) == [body.replace("\r\n", "\n")]


def test_a_text_is_in_the_readers_language(app):
    page = WebClient(app, account="").get("/me?lang=fi")

    assert mails(page)[0][1] == "ORCID connect ei saa attribuuttia eppn"
    assert "15.\xa0tammikuuta\xa02026" in to_copy(page)[0]


def test_an_organisation_without_help_has_a_text_to_copy_and_no_address(app):
    page = WebClient(app, account="", entity_id=POLYTECHNIC_IDP).get("/me")

    assert [to for to, _, _ in mails(page)] == [""]
    assert to_copy(page)


def test_an_organisation_that_is_not_connected_is_told_of_and_one_may_ask_to_be_told(app):
    page = WebClient(app, entity_id="https://idp.elsewhere.example").get("/me")

    (home, us) = mails(page)
    assert (home[0], us[0]) == ("", "help@connect.example")
    assert us[1] == "Tell me when my organisation is connected"
    assert "https://idp.elsewhere.example" in us[2]
    assert "help@connect.example" in home[2]


def test_what_an_attribute_holds_stays_text_in_a_text_to_send(app):
    page = WebClient(app, entity_id='https://x.example/"><script>&body=y').get("/me")

    assert "<script>" not in page.text
    queries = [parse_qs(urlsplit(each).query) for each in links(page) if each.startswith("mailto:?")]
    assert [{name: len(values) for name, values in each.items()} for each in queries] == [{"subject": 1, "body": 1}]


@pytest.mark.parametrize("word", SUPPORT_MESSAGES)
@pytest.mark.parametrize("code", languages())
def test_every_text_to_send_has_all_its_facts(word, code):
    facts = dict.fromkeys(("name", "formal", "organisation", "service", "url", "contact", "when", "incident"), "x")

    written = support_messages(
        word, languages()[code], facts, {ORGANISATION_HELP: "https://help.example", SERVICE_HELP: "us@connect.example"}
    )

    assert word in PROBLEMS_BY_CODE
    assert all(each.title and each.subject and each.body for each in written)
    assert {each.address for each in written} <= {"", "us@connect.example"}


# ORCID is away


def test_an_outage_of_orcid_is_shown_before_the_start(app, maija, simulator, clock):
    simulator.faults.arm("token", "5xx")
    page = maija.get(maija.return_from_orcid(simulator))

    assert page.title == "ORCID is not answering"
    assert 'action="/me/start"' in page.text
    for path in ("/", "/help", "/me"):
        assert "ORCID did not respond a moment ago" in maija.get(path).text

    clock.passes(minutes=5)
    assert "ORCID did not respond a moment ago" not in maija.get("/").text


def test_an_answer_of_orcid_ends_the_warning(maija, simulator):
    simulator.faults.arm("token", "5xx")
    maija.return_from_orcid(simulator)

    maija.return_from_orcid(simulator)

    assert "ORCID did not respond a moment ago" not in maija.get("/me").text


def test_a_refusal_by_a_person_says_nothing_about_orcid(maija, simulator):
    simulator.faults.arm("token", "5xx")
    maija.return_from_orcid(simulator)
    state = parse_qs(urlsplit(maija.start()).query)["state"][0]

    maija.get(f"/me/callback?error=access_denied&state={state}")

    assert "ORCID did not respond a moment ago" in maija.get("/me").text


# Going


def test_the_sign_out_ends_the_sps_session_and_says_which_remain(maija):
    assert "/sign-out" in links(maija.get("/me"))
    assert maija.get("/sign-out").location == SIGN_OUT

    page = ask(maija.app, "/signed-out")

    assert page.title == "You have signed out of this service"
    assert "At your organisation" in page.text
    assert any(each.endswith("/signout") for each in links(page))
    assert page.header("Set-Cookie") is None


# Coming


def test_the_start_page_leads_to_the_discovery_service_or_straight_to_an_organisation(app):
    page = ask(app, "/")

    assert "/me" in links(page)
    straight = [parse_qs(urlsplit(each).query) for each in links(page) if "/Login?" in each]
    assert [each["entityID"][0] for each in straight] == [POLYTECHNIC_IDP, UNIVERSITY_IDP]
    assert {each["target"][0] for each in straight} == {"https://connect.example/me"}


def test_a_name_that_stands_in_another_language_says_so(store, orcid, clock):
    known = Organisations.of([make_organisation(stage=Stage.TEST, names={"en": "University", "sv": "Universitet"})])
    app = make_app(make_web_app(store, orcid[1], clock, known))

    assert '<bdi lang="en">University</bdi>' in ask(app, "/?lang=fi").text
    assert "<bdi>Universitet</bdi>" in ask(app, "/?lang=sv").text


def test_the_help_page_is_public(app):
    page = ask(app, "/help?lang=sv")

    assert page.title == "Hjälp"
    assert "/?lang=sv" in links(page)
