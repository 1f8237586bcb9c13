"""Linking, through the web application as a person uses it, on both engines, with a simulated ORCID."""

import hashlib
import logging
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from demo.orcid.people import PEOPLE
from resolver_connector.orcid.http import OrcidUnavailable
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    POLYTECHNIC_IDP,
    UNIVERSITY,
    make_attempt,
    make_consent,
    make_link,
    make_person,
)
from tests.support.service import (
    AKE,
    MAIJA,
    Clock,
    WebClient,
    ask,
    authorize_at_orcid,
    make_orcid_client,
    make_token_service,
    make_web_app,
    orcid_id,
)
from webapp.app import make_app
from webapp.auth.browser import Browser
from webapp.linking.orcid_client import OrcidClient
from webapp.linking.service import CallbackParams, EmptyCallback, LinkingService


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
def app(store, orcid, clock):
    return make_app(make_web_app(store, orcid[1], clock))


@pytest.fixture
def maija(app):
    return WebClient(app)


def held(store, account="maija@yliopisto.example", organisation=UNIVERSITY):
    """The iD that an account has in the store, bare."""
    return [orcid_id.bare for orcid_id in store.links.orcid_ids(organisation, account)]


def kinds(store):
    return [event.kind for event in store.audit.list_events(UNIVERSITY)]


# The main job


def test_a_person_links_their_id(maija, simulator, store):
    page = maija.link(simulator)

    assert (page.status, page.title) == (200, "Your ORCID iD is connected")
    assert f"https://sandbox.orcid.org/{MAIJA}" in page.text
    assert held(store) == [MAIJA]


def test_nothing_is_linked_before_the_confirmation(maija, simulator, store):
    place = maija.return_from_orcid(simulator)

    assert maija.get(place).title == "Is this your ORCID iD?"
    assert held(store) == []
    assert store.changes.last_number(UNIVERSITY) == 0


def test_the_confirm_page_shows_account_and_id(maija, simulator):
    page = maija.get(maija.return_from_orcid(simulator))

    for fact in (f"https://sandbox.orcid.org/{MAIJA}", "maija@yliopisto.example", "Yliopisto"):
        assert fact in page.text


def test_the_consent_is_stored_as_it_was_shown(maija, simulator, store, clock):
    place = maija.return_from_orcid(simulator)
    shown = maija.get(place).text
    clock.passes(minutes=5)
    maija.agree(place)

    consent = store.links.get(UNIVERSITY, "maija@yliopisto.example").consent
    assert consent.text in shown
    assert (consent.language, consent.at) == ("en", clock.now)
    assert consent.version == hashlib.sha256(consent.text.encode()).hexdigest()[:16]
    assert "Yliopisto" in consent.text
    assert "maija" not in consent.text
    assert MAIJA not in consent.text


def test_a_link_is_a_change_and_an_event(maija, simulator, store):
    maija.link(simulator)

    (change,) = store.changes.list_after(UNIVERSITY, 0, 10)
    assert (change.number, change.kind, change.orcid_id) == (1, "linked", orcid_id(MAIJA))
    assert kinds(store) == ["linked"]
    assert store.audit.verify(UNIVERSITY) == []


def test_the_address_after_the_callback_has_neither_code_nor_state(maija, simulator):
    answer = maija.get(maija.callback_path(simulator))

    assert answer.status == 303
    assert "?" not in answer.header("Location")
    assert answer.header("Referrer-Policy") == "no-referrer"


def test_orcid_is_asked_for_the_id_and_nothing_else(maija):
    asked = parse_qs(urlsplit(maija.start()).query)

    assert asked["scope"] == ["/authenticate"]
    assert asked["redirect_uri"] == ["https://connect.example/me/callback"]
    assert set(asked) == {"client_id", "response_type", "scope", "redirect_uri", "state", "lang"}


def test_a_state_is_random_and_stored_as_a_hash(maija, store):
    states = {parse_qs(urlsplit(maija.start()).query)["state"][0] for _ in range(3)}

    assert len(states) == 3
    for state in states:
        assert len(state) == 43
        assert store.attempts.get_by_state(state) is None
        assert store.attempts.get_by_state(hashlib.sha256(state.encode()).hexdigest()) is not None


def test_several_attempts_may_be_under_way_at_once(maija, simulator, store):
    first, second = maija.start(), maija.start()

    one = maija.get(authorize_at_orcid(simulator, first)).location
    other = maija.get(authorize_at_orcid(simulator, second)).location
    maija.agree(other)

    assert held(store) == [MAIJA]
    assert maija.get(one).title == "Is this your ORCID iD?"


# The callback: four refusals


def test_a_right_state_from_another_browser_is_refused(maija, simulator, store):
    callback_path = maija.callback_path(simulator)

    page = maija.other_browser().get(callback_path)

    assert (page.status, page.title) == (403, "This was started in another browser")
    assert maija.agree(maija.get(callback_path).location).status == 303
    assert held(store) == [MAIJA]


def test_a_right_state_from_another_person_is_refused(maija, simulator, store):
    callback_path = maija.callback_path(simulator)

    page = maija.same_browser("pekka@yliopisto.example").get(callback_path)

    assert (page.status, page.title) == (403, "This was started by someone else")
    assert held(store, "pekka@yliopisto.example") == []


def test_a_right_state_works_once(maija, simulator):
    callback_path = maija.callback_path(simulator)
    place = maija.get(callback_path).location

    assert maija.get(callback_path).location == place
    assert len(simulator.call_log.list_requests("/oauth/token")) == 1


def test_two_concurrent_callbacks_lead_to_the_same_page(maija, simulator):
    callback_path = maija.callback_path(simulator)
    simulator.faults.arm("token", "slow", seconds=0.5)

    with ThreadPoolExecutor(3) as browsers:
        ends = [*browsers.map(maija.get, [callback_path] * 3)]

    assert {end.location for end in ends} == {ends[0].location}
    assert maija.get(ends[0].location).title == "Is this your ORCID iD?"
    assert len(simulator.call_log.list_requests("/oauth/token")) == 1


def test_a_repeated_denial_leads_to_the_same_page(maija, simulator):
    callback_path = maija.start()
    refused = f"/me/callback?error=access_denied&state={parse_qs(urlsplit(callback_path).query)['state'][0]}"

    assert maija.get(refused).location == maija.get(refused).location


def test_a_state_expires_after_an_hour(maija, simulator, store, clock):
    callback_path = maija.callback_path(simulator)
    clock.passes(minutes=60)

    page = maija.get(callback_path)

    assert (page.status, page.title) == (410, "This took too long")
    assert held(store) == []


def test_a_state_is_valid_for_nearly_an_hour(maija, simulator, clock):
    start = maija.start()
    clock.passes(minutes=59)

    assert maija.get(authorize_at_orcid(simulator, start)).location.startswith("/me/confirm/")


def test_the_same_account_at_another_organisation_is_another_person(maija, simulator):
    callback_path = maija.callback_path(simulator)

    page = maija.same_browser("maija@amk.example", POLYTECHNIC_IDP).get(callback_path)

    assert page.title == "This was started by someone else"


# The callback: what else may come back


@pytest.mark.parametrize(
    "query", ["?state=made-up&code=abc123", "?state=made-up&error=access_denied", "?code=abc123", "?state=&code=x"]
)
def test_an_unknown_state_is_refused_first(maija, simulator, query):
    page = maija.get("/me/callback" + query)

    assert (page.status, page.title) == (403, "This was not started here")
    assert simulator.call_log.list_requests("/oauth/token") == []


@pytest.mark.parametrize(
    "again",
    ["state=other", "%73tate=other", "state=", "code=other", "code=", "error=access_denied&error=access_denied"],
)
def test_a_callback_with_a_repeated_parameter_is_refused_and_keeps_the_state(maija, simulator, again):
    callback_path = maija.callback_path(simulator)

    page = maija.get(f"{callback_path}&{again}")

    assert (page.status, page.title) == (400, "The same field was sent twice")
    assert simulator.call_log.list_requests("/oauth/token") == []
    assert maija.get(maija.get(callback_path).location).title == "Is this your ORCID iD?"


def test_an_empty_callback_has_its_page(maija):
    page = maija.get("/me/callback")

    assert (page.status, page.title) == (400, "ORCID sent no answer back")


@pytest.mark.parametrize("code", ["", "&code="])
def test_a_state_without_a_code_has_its_page(maija, code):
    state = parse_qs(urlsplit(maija.start()).query)["state"][0]

    place = maija.get(f"/me/callback?state={state}{code}").location

    assert maija.get(place).title == "ORCID sent no answer back"


def denied(maija, error="access_denied"):
    state = parse_qs(urlsplit(maija.start()).query)["state"][0]
    return maija.get(f"/me/callback?error={error}&error_description=User%20denied%20access&state={state}").location


def test_a_person_who_declines_has_no_link_and_may_try_again(maija, simulator, store):
    page = maija.get(denied(maija))

    assert (page.status, page.title) == (200, "You did not give permission at ORCID")
    assert "Try again" in page.text
    assert held(store) == []
    assert kinds(store) == ["declined"]
    assert maija.link(simulator).title == "Your ORCID iD is connected"


def test_another_error_of_orcids_has_its_page(maija):
    page = maija.get(denied(maija, "invalid_scope"))

    assert (page.status, page.title) == (502, "ORCID did not accept the answer")


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("html", "ORCID is not answering"),
        ("5xx", "ORCID is not answering"),
        ("wrong_json", "ORCID is not answering"),
        ("empty_body", "ORCID is not answering"),
        ("other_types", "ORCID is not answering"),
        ("cut", "ORCID is not answering"),
        ("server_error_401", "ORCID is not answering"),
        ("scope_reduced", "ORCID did not accept the answer"),
    ],
)
def test_each_token_endpoint_failure_has_its_page(maija, simulator, store, fault, title):
    callback_path = maija.callback_path(simulator)
    simulator.faults.arm("token", fault)

    page = maija.get(maija.get(callback_path).location)

    assert page.title == title
    assert "Incident number" in page.text
    assert held(store) == []
    assert maija.link(simulator).title == "Your ORCID iD is connected"


DESCRIPTION = "Invalid token: f5af9f51-07e6-4332-8f1a-c0c11c1e3728"


@pytest.mark.parametrize("error", ["access_denied", "server_error", "temporarily_unavailable"])
@pytest.mark.parametrize("name", ["error_description", "error%5Fdescription"])
def test_what_orcid_says_of_an_error_is_neither_shown_nor_logged(  # noqa: PLR0917 - fixtures
    app, maija, store, caplog, error, name
):
    state = parse_qs(urlsplit(maija.start()).query)["state"][0]
    callback_path = f"/me/callback?error={error}&{name}={quote(DESCRIPTION)}&state={state}"

    with caplog.at_level(logging.DEBUG):
        pages = [ask(app, callback_path), maija.get(callback_path), maija.get(maija.get(callback_path).location)]

    assert pages[0].title == "You are not signed in"
    assert state in pages[0].text
    told = [
        *(f"{page.headers} {page.text}" for page in pages),
        caplog.text,
        str([vars(line) for line in caplog.records]),
    ]
    told += [str(event) for event in store.audit.list_events(UNIVERSITY)]
    assert not [text for text in told if "f5af9f51" in text]


def test_a_silent_orcid_has_its_page(store, orcid, clock):
    simulator, client = orcid
    impatient = make_orcid_client(client.base_url, read_timeout=0.2)
    maija = WebClient(make_app(make_web_app(store, impatient, clock)))
    callback_path = maija.callback_path(simulator)
    simulator.faults.arm("token", "timeout")

    page = maija.get(maija.get(callback_path).location)

    assert (page.status, page.title) == (503, "ORCID is not answering")
    simulator.faults.release()


def test_a_code_that_orcid_does_not_know_any_more_has_its_page(maija, simulator, clock):
    callback_path = maija.callback_path(simulator)
    clock.passes(minutes=11)

    page = maija.get(maija.get(callback_path).location)

    assert (page.status, page.title) == (502, "ORCID did not accept the answer")


def test_an_unknown_client_is_reported_as_misconfigured(store, orcid, clock):
    simulator, client = orcid
    stranger = make_orcid_client(client.base_url, client_secret="another")
    maija = WebClient(make_app(make_web_app(store, stranger, clock)))

    page = maija.get(maija.return_from_orcid(simulator))

    assert (page.status, page.title) == (503, "This service cannot connect to ORCID")


@pytest.mark.parametrize("user", ["private", "null", "absent"])
def test_an_id_without_a_name_is_an_id(maija, simulator, user):
    bare = next(
        each.orcid
        for each in PEOPLE
        if each.state == "ok" and (each.visibility == "private" if user == "private" else each.name_form == user)
    )

    page = maija.get(maija.return_from_orcid(simulator, bare))

    assert "not public" in page.text
    assert maija.link(simulator, bare).title == "Your ORCID iD is connected"


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("state_changed", "This was not started here"),
        ("state_dropped", "This was not started here"),
        ("repeated_parameters", "The same field was sent twice"),
        ("empty_answer", "ORCID sent no answer back"),
    ],
)
def test_a_tampered_callback_is_refused(maija, simulator, store, fault, title):
    simulator.faults.arm("callback", fault)

    assert maija.get(maija.callback_path(simulator)).title == title
    assert held(store) == []


def test_the_id_of_the_token_response_is_linked(maija, simulator):
    simulator.faults.arm("callback", "other_id")

    page = maija.get(maija.return_from_orcid(simulator, MAIJA))

    assert page.title == "Is this your ORCID iD?"
    assert MAIJA not in page.text


def test_the_incident_number_of_an_attempt_stands_on_its_page_and_in_the_log(maija, simulator, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    callback_path = maija.callback_path(simulator)
    simulator.faults.arm("token", "html")

    place = maija.get(callback_path).location

    (line,) = [record for record in caplog.records if record.msg == "orcid-callback"]
    assert line.facts["outcome"] == "orcid-unavailable"
    for page in (maija.get(place), maija.get(place)):
        assert line.facts["incident"] in page.text


def test_the_log_has_events_without_personal_data(maija, simulator, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")

    maija.link(simulator)
    remove(maija)

    lines = [record for record in caplog.records if record.name == "orcid-connect"]
    assert [line.msg for line in lines] == ["orcid-callback", "linked", "removed"]
    assert not [line for line in lines if "maija" in str(line.facts) or MAIJA in str(line.facts)]


# The confirm page


def test_without_the_consent_checkbox_nothing_is_linked(maija, simulator, store):
    place = maija.return_from_orcid(simulator)

    page = maija.agree(place, agree=None)

    assert (page.status, page.title) == (422, "Is this your ORCID iD?")
    assert 'href="#agree"' in page.text
    assert held(store) == []
    assert maija.agree(place).status == 303


def test_a_person_may_reject_the_id(maija, simulator, store):
    place = maija.return_from_orcid(simulator)

    page = maija.get(maija.agree(place, cancel="yes").location)

    assert page.title == "Nothing was connected"
    assert held(store) == []
    assert maija.get(place).location == place.replace("confirm", "result")


def test_a_double_click_links_once(maija, simulator, store):
    place = maija.return_from_orcid(simulator)
    page = maija.get(place)
    form = {"token": page.field("token"), "replacing": "", "agree": "yes"}
    answers = []
    clicks = [threading.Thread(target=lambda: answers.append(maija.post(place, form))) for _ in range(4)]

    for click in clicks:
        click.start()
    for click in clicks:
        click.join()

    assert {answer.location for answer in answers} == {place.replace("confirm", "result")}
    assert maija.get(answers[0].location).title == "Your ORCID iD is connected"
    assert store.changes.last_number(UNIVERSITY) == 1


def test_the_back_button_after_the_result_leads_to_the_result(maija, simulator):
    place = maija.return_from_orcid(simulator)
    maija.agree(place)

    assert maija.get(place).location == place.replace("confirm", "result")


def test_the_result_of_something_unfinished_leads_back_to_the_confirmation(maija, simulator):
    place = maija.return_from_orcid(simulator)

    assert maija.get(place.replace("confirm", "result")).location == place


def test_a_confirmation_is_of_one_person_and_one_browser(maija, simulator):
    place = maija.return_from_orcid(simulator)

    assert maija.other_browser().get(place).title == "This was started in another browser"
    assert maija.same_browser("pekka@yliopisto.example").get(place).title == "This was started by someone else"
    assert maija.get("/me/confirm/made-up").title == "This was not started here"
    assert maija.get("/me/result/made-up").title == "This was not started here"


def test_a_confirmation_before_orcid_has_answered_has_its_page(maija, store):
    state = parse_qs(urlsplit(maija.start()).query)["state"][0]
    attempt = store.attempts.get_by_state(hashlib.sha256(state.encode()).hexdigest())

    assert maija.get(f"/me/confirm/{attempt.id}").title == "ORCID sent no answer back"


def test_an_unanswered_attempt_cannot_be_confirmed(store, orcid):
    attempt = make_attempt(browser_hash=Browser("x").hash)
    store.attempts.add(attempt, "hash")
    linking = LinkingService(store, orcid[1], make_token_service(store, orcid[1]))

    with pytest.raises(EmptyCallback):
        linking.confirm(make_person(), Browser("x"), attempt.id, make_consent(), None, NOON)


def test_a_confirmation_ends_with_its_hour(maija, simulator, clock, store):
    place = maija.return_from_orcid(simulator)
    page = maija.get(place)
    clock.passes(hours=1)

    late = maija.post(place, {"token": page.field("token"), "replacing": "", "agree": "yes"})

    assert late.title == "This took too long"
    assert held(store) == []


# Another iD, somebody else's iD


def test_an_id_that_becomes_free_while_orcid_answers_is_kept_to_be_confirmed(maija, simulator, store, monkeypatch):
    make_link(store, "ville@yliopisto.example", orcid_id(MAIJA))

    def too_late(organisation_id, _orcid_id):
        store.links.remove(organisation_id, "ville@yliopisto.example", "person", "asked to", NOON)

    monkeypatch.setattr(store.links, "get_by_orcid_id", too_late)
    place = maija.return_from_orcid(simulator)

    assert maija.get(place).title == "Is this your ORCID iD?"
    assert store.attempts.get(place.rsplit("/", 1)[1]).orcid_id == orcid_id(MAIJA)


def test_an_attempt_that_is_cancelled_elsewhere_while_orcid_answers_stays_cancelled(
    maija, simulator, store, monkeypatch
):
    authenticated = store.attempts.save_orcid_answer

    def cancelled_first(attempt_id, *answer, **how):
        store.attempts.close(attempt_id, "cancelled", NOON)
        return authenticated(attempt_id, *answer, **how)

    monkeypatch.setattr(store.attempts, "save_orcid_answer", cancelled_first)
    place = maija.return_from_orcid(simulator)

    assert maija.get(place).title == "Nothing was connected"
    assert held(store) == []


def test_another_id_than_before_is_shown_beside_the_old_one(maija, simulator, store):
    maija.link(simulator)

    page = maija.get(maija.return_from_orcid(simulator, AKE))

    order = ["Connected now", MAIJA, "New ORCID iD", AKE]
    assert sorted(order, key=page.text.index) == order
    assert held(store) == [MAIJA]
    assert maija.link(simulator, AKE).title == "Your new ORCID iD is connected"
    assert held(store) == [AKE]
    assert [change.kind for change in store.changes.list_after(UNIVERSITY, 0, 10)] == ["linked", "replaced"]


def test_the_same_id_again_changes_nothing(maija, simulator, store):
    maija.link(simulator)

    page = maija.get(maija.return_from_orcid(simulator))

    assert page.title == "This ORCID iD was connected already"
    assert store.changes.last_number(UNIVERSITY) == 1


def test_an_id_of_another_account_is_refused_with_a_contact(maija, simulator, store):
    maija.link(simulator)

    pekka = WebClient(maija.app, "pekka@yliopisto.example")
    page = pekka.get(pekka.return_from_orcid(simulator))

    assert (page.status, page.title) == (409, "This ORCID iD is connected to another account")
    assert "help@yliopisto.example" in page.text
    assert "maija" not in page.text.lower().replace("meik", "")
    assert held(store, "pekka@yliopisto.example") == []


def test_of_two_people_confirming_one_id_one_gets_it(maija, simulator, store):
    pekka = WebClient(maija.app, "pekka@yliopisto.example")
    hers, his = maija.return_from_orcid(simulator), pekka.return_from_orcid(simulator)
    maija.agree(hers)

    page = pekka.agree(his)

    assert (page.status, page.title) == (409, "This ORCID iD is connected to another account")
    assert (held(store), held(store, "pekka@yliopisto.example")) == ([MAIJA], [])
    assert pekka.get(his.replace("confirm", "result")).title == "This ORCID iD is connected to another account"


def test_one_id_may_be_linked_at_two_organisations(maija, simulator, store):
    maija.link(simulator)

    page = WebClient(maija.app, "maija@amk.example", POLYTECHNIC_IDP).link(simulator)

    assert page.title == "Your ORCID iD is connected"
    assert held(store, "maija@amk.example", POLYTECHNIC) == [MAIJA]


def test_a_change_made_in_another_tab_is_shown_before_it_is_replaced(maija, simulator, store):
    place = maija.return_from_orcid(simulator, AKE)
    page = maija.get(place)
    maija.link(simulator)

    late = maija.post(place, {"token": page.field("token"), "replacing": page.field("replacing"), "agree": "yes"})

    assert (late.status, late.title) == (409, "Replace your ORCID iD?")
    assert late.field("replacing") == orcid_id(MAIJA).uri
    assert held(store) == [MAIJA]
    assert maija.agree(place).status == 303
    assert held(store) == [AKE]


# Removal, and accounts that pass to somebody else


def remove(web_client):
    page = web_client.get("/me/remove")
    return web_client.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})


def test_a_person_removes_their_link(maija, simulator, store):
    maija.link(simulator)

    page = maija.get(remove(maija).location)

    assert page.title == "The connection has been removed"
    assert held(store) == []
    assert [change.kind for change in store.changes.list_after(UNIVERSITY, 0, 10)] == ["linked", "removed"]


def test_removing_a_link_is_idempotent(maija, simulator, store):
    maija.link(simulator)
    page = maija.get("/me/remove")
    form = {"token": page.field("token"), "shown": page.field("shown")}

    answers = [maija.post("/me/remove", form) for _ in range(2)]

    assert [answer.location for answer in answers] == ["/me/removed", "/me/removed"]
    assert store.changes.last_number(UNIVERSITY) == 2


def test_a_link_replaced_meanwhile_is_not_removed(maija, simulator, store):
    maija.link(simulator)
    page = maija.get("/me/remove")
    maija.link(simulator, AKE)

    late = maija.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})

    assert (late.status, late.title) == (409, "Something has changed in the meantime")
    assert held(store) == [AKE]


@pytest.mark.parametrize("shown", ["", "nonsense"])
def test_a_removal_says_what_it_removes(maija, simulator, store, shown):
    maija.link(simulator)

    page = maija.post("/me/remove", {"token": maija.token(), "shown": shown})

    assert page.title == "Something has changed in the meantime"
    assert held(store) == [MAIJA]


def test_the_page_of_a_removal_is_for_who_has_no_link(maija, simulator):
    maija.link(simulator)

    assert maija.get("/me/removed").location == "/me"


def test_a_reassigned_account_has_no_link(maija, simulator, store):
    maija.said["funetEduPersonEPPNTimeStamp"] = "20040826"
    maija.link(simulator)
    heir = maija.other_browser()
    heir.said = {"funetEduPersonEPPNTimeStamp": "20260101"}

    page = heir.get("/me")

    assert "Not connected" in page.text
    assert held(store) == []
    assert [change.kind for change in store.changes.list_after(UNIVERSITY, 0, 10)] == ["linked", "removed"]


def test_an_account_of_the_same_day_keeps_its_link(maija, simulator, store):
    maija.said["funetEduPersonEPPNTimeStamp"] = "20040826"
    maija.link(simulator)

    maija.get("/me")

    assert held(store) == [MAIJA]


def test_my_page_shows_what_is_linked(maija, simulator):
    assert "Not connected" in maija.get("/me").text

    maija.link(simulator)

    assert f"https://sandbox.orcid.org/{MAIJA}" in maija.get("/me").text


def test_a_result_stays_true_after_a_removal(maija, simulator):
    place = maija.return_from_orcid(simulator)
    result = maija.agree(place).location
    remove(maija)

    page = maija.get(result)
    assert page.title == "The connection has been removed"
    assert "has since been removed" in page.text


def test_a_bug_in_the_exchange_ends_the_attempt(store, orcid, monkeypatch):
    linking = LinkingService(store, orcid[1], make_token_service(store, orcid[1]))
    monkeypatch.setattr(OrcidClient, "exchange", lambda *_: 1 / 0)
    (state,) = parse_qs(urlsplit(linking.start(make_person(), Browser("x"), "en", NOON)).query)["state"]

    with pytest.raises(ZeroDivisionError):
        linking.handle_callback(make_person(), Browser("x"), CallbackParams(state, "c", ""), NOON)

    (attempt,) = store.attempts.list_for_person(UNIVERSITY, make_person().key)
    assert attempt.outcome == "orcid-unavailable"


def test_more_than_four_repeated_callbacks_do_not_wait_for_the_first(store, orcid, monkeypatch):
    linking, begun, over = LinkingService(store, orcid[1], make_token_service(store, orcid[1])), Event(), Event()

    def exchange(*_):
        begun.set()
        over.wait(20)
        raise OrcidUnavailable("no answer in time")

    monkeypatch.setattr(OrcidClient, "exchange", exchange)
    (state,) = parse_qs(urlsplit(linking.start(make_person(), Browser("x"), "en", NOON)).query)["state"]

    def call():
        return linking.handle_callback(make_person(), Browser("x"), CallbackParams(state, "c", ""), NOON)

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(call)
        assert begun.wait(10)
        repeated = [pool.submit(call) for _ in range(5)]
        at_once = wait(repeated, timeout=10, return_when=FIRST_COMPLETED).done
        over.set()

    assert [each.result().outcome for each in at_once] == [None]
    assert {each.result().outcome for each in [first, *repeated] if each not in at_once} == {"orcid-unavailable"}
