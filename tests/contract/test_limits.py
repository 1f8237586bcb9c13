"""What one person can cause in a while has a limit with a page of its own, and costs nobody else anything."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.support.factories import UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.limits import MAX_INCIDENTS_OF_PERSON, MAX_MAILS_OF_PERSON, DailyLimit, Limits
from webapp.linking.service import MAX_OPEN_ATTEMPTS

PEKKA = "pekka@yliopisto.example"
TOO_MANY_ATTEMPTS = (429, "You have started too many times")
TOO_MANY_MAILS = (429, "Too many emails for one day")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def web_app(store, clock):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock)


def client_of(web_app, account="maija@yliopisto.example", **context):
    return WebClient(make_app(replace(web_app, context=replace(web_app.context, **context))), account)


def start(person):
    return person.post("/me/start", {"token": person.token()})


# Open attempts


def test_a_person_has_a_limited_number_of_open_attempts(web_app, store, clock):
    maija = client_of(web_app)
    for _ in range(MAX_OPEN_ATTEMPTS):
        assert start(maija).status == 303

    page = start(maija)

    assert (page.status, page.title) == TOO_MANY_ATTEMPTS
    assert "Incident number" in page.text
    assert len(store.attempts.list_for_person(UNIVERSITY, maija.account)) == MAX_OPEN_ATTEMPTS
    assert start(maija.same_browser(PEKKA)).status == 303
    assert start(maija.other_browser()).status == 429

    clock.passes(hours=1)

    assert start(maija).status == 303


def test_an_attempt_that_has_ended_is_not_open(web_app, store, clock):
    maija = client_of(web_app)
    for _ in range(MAX_OPEN_ATTEMPTS):
        start(maija)
    (attempt, *_) = store.attempts.list_for_person(UNIVERSITY, maija.account)

    store.attempts.close(attempt.id, "cancelled", clock.now)

    assert [start(maija).status for _ in range(2)] == [303, 429]


def test_attempts_that_are_started_at_once_do_not_pass_the_limit_by_more_than_the_threads(web_app, store):
    maija = client_of(web_app)
    token = maija.token()

    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda _: maija.post("/me/start", {"token": token}).status, range(40)))

    assert MAX_OPEN_ATTEMPTS <= statuses.count(303) <= MAX_OPEN_ATTEMPTS + 3
    assert set(statuses) == {303, 429}


# Incidents


def refused(person):
    return person.post("/me/remove", {"token": "of another page"})


def numbers(pages):
    return [re.search(r"<dd><code>([^<]*)</code></dd>", page.text)[1] for page in pages]


def test_the_incidents_of_one_person_do_not_displace_others(web_app, store, clock):
    maija, pekka = client_of(web_app), client_of(web_app, PEKKA)

    pages = [refused(maija) for _ in range(MAX_INCIDENTS_OF_PERSON + 5)]
    others = [refused(pekka)]

    assert {page.status for page in [*pages, *others]} == {403}
    assert [store.incidents.get(number) is not None for number in numbers(pages)] == [True] * 20 + [False] * 5
    assert store.incidents.get(numbers(others)[0]) is not None

    clock.passes(days=1)

    assert store.incidents.get(numbers([refused(maija)])[0]) is not None


def test_the_incidents_of_one_organisation_do_not_displace_others(web_app, store):
    limits = Limits(incidents_of_organisation=DailyLimit(3))
    people = [client_of(web_app, f"person-{number}@yliopisto.example", limits=limits) for number in range(5)]
    elsewhere = WebClient(people[0].app, "maija@amk.example", "https://idp.elsewhere.example")

    pages = [refused(person) for person in people]

    assert [store.incidents.get(number) is not None for number in numbers(pages)] == [True] * 3 + [False] * 2
    assert store.incidents.get(numbers([elsewhere.get("/me")])[0]) is not None


def test_the_log_says_whether_an_incident_is_to_be_found(web_app, caplog):
    maija = client_of(web_app, limits=Limits(incidents_of_person=DailyLimit(1)))

    with caplog.at_level("INFO"):
        refused(maija)
        refused(maija)

    assert [line.facts["recorded"] for line in caplog.records if line.msg == "problem"] == [True, False]


# Mail


def ask_for_mail(person, **kinds):
    return person.post("/me/mail", {"token": person.token(), "address": "maija@home.example", **kinds})


def test_a_person_is_sent_a_limited_number_of_mails_a_day(web_app, store, clock):
    maija, pekka = (client_of(web_app, who, mail_enabled=True) for who in ("maija@yliopisto.example", PEKKA))
    make_link(store)
    make_link(store, PEKKA, make_orcid_id(2))
    for _ in range(MAX_MAILS_OF_PERSON // 2):
        assert ask_for_mail(maija, receipt="yes", **{"delivery-report": "yes"}).location == "/me/mailed"

    page = ask_for_mail(maija, receipt="yes")

    assert (page.status, page.title) == TOO_MANY_MAILS
    assert ask_for_mail(pekka, receipt="yes").location == "/me/mailed"

    clock.passes(days=1)

    assert ask_for_mail(maija, receipt="yes").location == "/me/mailed"


def test_an_erasure_does_not_reset_the_daily_limit_of_mails(web_app, store):
    maija = client_of(web_app, mail_enabled=True)
    for _ in range(MAX_MAILS_OF_PERSON // 2):
        make_link(store)
        ask_for_mail(maija, receipt="yes", **{"delivery-report": "yes"})
        maija.post("/me/erase", {"token": maija.token(), "confirmed": "yes"})
    make_link(store)

    assert ask_for_mail(maija, receipt="yes").status == 429
