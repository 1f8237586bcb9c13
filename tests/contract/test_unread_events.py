"""People are told what others did to their link, until they confirm to have read it."""

import re
from datetime import timedelta

import pytest

from shibboleth.account_holder import STABLE_IDS
from shibboleth.organisation import Organisations, Stage
from tests.support.database import contents
from tests.support.factories import NOON, UNIVERSITY, attest, make_link, make_orcid_id, make_organisation
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.linking.unread_events import EVENT_TEXTS, REASON_TEXTS
from webapp.pages.data_inventory import EVENTS, REASONS

MAIJA = "maija@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
HEADING = "Changes that others made to your connection"
NOT_ABOUT_THE_LINK = {
    "attested-again",
    *("unchanged", "declined", "held-by-someone-else", "orcid-refused", "orcid-unavailable", "orcid-misconfigured"),
    *("cancelled", "empty-callback", "orcid-client-changed"),  # how the person's own visit to ORCID ended
    *(
        "delivered",
        "dead-letter",
        "release-seen",
        "person-searched",
        "person-looked-up",
        "orcid-token-read",
    ),  # nothing was done to the link
    *("authenticated", "permitted", "permissions-removed"),  # by the person
    *(f"affiliation-{what}" for what in ("permitted", "written", "left", "closed", "deleted", "removed")),
    "reassigned",  # what is older is about an earlier holder of the account
}
"""Kinds of events that are on the page of stored data alone."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def web_app(store, clock):
    organisation = make_organisation(stage=Stage.TEST, stable_id=STABLE_IDS[0])
    client = make_orcid_client("https://sandbox.orcid.org")
    return make_web_app(store, client, clock, Organisations.of([organisation]), transfers=("idm",))


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


def told(page):
    """Give what a page tells: a sentence, and by whom, when and why, for each."""
    if HEADING not in page.text:
        return []
    items = re.findall(r"<li><p>(.*?)</p>\s*<p class=\"quiet\">(.*?)</p></li>", page.text, re.DOTALL)
    return [tuple(" ".join(re.sub(r"<[^>]+>", "", each).split()) for each in item) for item in items]


def read(person, page):
    """Confirm to have read what a page tells."""
    return person.post("/me/read", {name: page.field(name) for name in ("token", "number")})


def test_every_kind_of_event_has_a_sentence_or_is_not_about_the_link():
    assert EVENTS.keys() - EVENT_TEXTS.keys() == NOT_ABOUT_THE_LINK, "add a sentence to EVENT_TEXTS"
    assert REASONS.keys() == REASON_TEXTS.keys(), "add a sentence to REASON_TEXTS"


@pytest.mark.parametrize(
    ("actor", "reason", "by"),
    [
        ("organisation", "left the organisation", "By your organisation, {}. Reason: you left the organisation."),
        ("operator", "wrong <account>", "By the operator of this service, {}. Reason: wrong &lt;account&gt;"),
        ("service", "kept for long enough", "By this service, {}. Reason: its retention period ended."),
        ("service", "suspended", "By this service, {}."),
    ],
)
def test_a_removal_by_others_is_told_with_actor_time_and_reason(  # noqa: PLR0917 - one for each word
    store, store_url, maija, actor, reason, by
):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, actor, reason, NOON)

    page = maija.get("/me")
    before = contents(store_url)

    sentence = REASON_TEXTS.get(reason, EVENT_TEXTS["removed"])
    assert told(page) == [(sentence, by.format("15 January 2026, 12:00 UTC"))]
    assert page.text.index("<h1>") < page.text.index(HEADING) < page.text.index("<dl")
    # The iD may be that of somebody who had the account before
    assert FIRST.bare not in page.text
    assert told(maija.get("/me")) == told(page)
    assert contents(store_url) == before


@pytest.mark.parametrize(
    ("actor", "reason", "by"),
    [
        ("organisation", "moved by the organisation", "By your organisation, {}. Reason: "),
        ("operator", "both are hers", "By the operator of this service, {}. Reason: both are hers"),
        ("operator", "moved", "By the operator of this service, {}."),
    ],
)
def test_a_move_by_others_is_told_to_both_accounts_with_who_did_it(store, maija, actor, reason, by):
    make_link(store, "mm@yliopisto.example", FIRST, stable_id=f"{STABLE_IDS[0]}:a@yliopisto.example")
    store.links.move(UNIVERSITY, "mm@yliopisto.example", MAIJA, actor, reason, NOON)

    former = maija.same_browser("mm@yliopisto.example")
    former.said = {STABLE_IDS[0]: "a@yliopisto.example"}
    pages = [told(each.get("/me")) for each in (maija, former)]

    assert [len(each) for each in pages] == [1, 1]
    assert [each[0][1].startswith(by.format("15 January 2026, 12:00 UTC")) for each in pages] == [True, True]


def test_read_events_are_not_shown_again_and_later_ones_are(store, maija, clock):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "first", NOON)
    page = maija.get("/me")
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "second", NOON)

    answer = read(maija, page)

    assert (answer.status, answer.location) == (303, "/me")
    # Not on the page that was read
    assert [each[1].endswith("second") for each in told(maija.get("/me"))] == [True]
    read(maija, maija.get("/me"))
    assert told(maija.get("/me")) == []
    # An old form changes nothing
    read(maija, page)
    assert told(maija.get("/me")) == []


def test_own_actions_and_unrelated_events_are_not_shown(store, maija):
    change = make_link(store, MAIJA, FIRST, transfers=("idm",))
    (delivery,) = store.deliveries.claim("worker", NOON, timedelta(minutes=1), 9)
    store.deliveries.complete(delivery, "worker", "stored", "", NOON)
    store.audit.add(UNIVERSITY, "person-searched", "operator", MAIJA, {"reason": "she rang"}, NOON)
    store.links.remove(UNIVERSITY, MAIJA, "person", "removed by the person", NOON)

    assert change.number == 1
    assert told(maija.get("/me")) == []


def test_it_is_told_before_a_removal_and_an_erasure_as_well(store, maija):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "wrong", NOON)
    make_link(store, MAIJA, SECOND)

    for path in ("/me/remove", "/me/erase"):
        page = maija.get(path)
        assert len(told(page)) == 1
        assert 'action="/me/read"' not in page.text


def test_a_link_from_another_system_is_told_with_the_system_until_it_was_read(store, maija):
    attest(store, [(MAIJA, FIRST)], "library")

    page = maija.get("/me")

    when = "15 January 2026, 12:00 UTC"
    who = f"By the operator of this service, {when}. Verified at: library, {when}"
    assert told(page) == [(EVENT_TEXTS["linked"], who)]
    read(maija, page)
    assert told(maija.get("/me")) == []
    store.links.remove(UNIVERSITY, MAIJA, "person", "mine", NOON)
    attest(store, [(MAIJA, FIRST)], "library", NOON + timedelta(days=1))
    assert len(told(maija.get("/me"))) == 1


@pytest.mark.parametrize("number", ["", "0", "-1", "x", "9" * 30, "١"])
def test_a_form_that_no_page_has_shown_changes_nothing(store, store_url, maija, number):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "wrong", NOON)
    token = maija.token()
    before = contents(store_url)

    assert maija.post("/me/read", {"token": token, "number": number}).status == 303

    assert contents(store_url) == before


def test_later_events_cannot_be_marked_before_they_happen(store, maija):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "first", NOON)
    maija.post("/me/read", {"token": maija.token(), "number": "999999"})
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "second", NOON)

    assert len(told(maija.get("/me"))) == 1


def test_reading_needs_the_token_of_the_page(store, maija):
    make_link(store, MAIJA, FIRST)
    store.links.remove(UNIVERSITY, MAIJA, "operator", "wrong", NOON)

    assert maija.post("/me/read", {"token": "x", "number": "2"}).status == 403
    assert maija.get("/me/read").location == "/me"
    assert len(told(maija.get("/me"))) == 1


def test_a_later_holder_of_the_account_is_not_told_what_was_done_to_the_earlier_one(store, web_app):
    make_link(store, MAIJA, FIRST, issued="20200101")
    store.links.remove(UNIVERSITY, MAIJA, "organisation", "left the organisation", NOON)
    later = WebClient(make_app(web_app), said={"funetEduPersonEPPNTimeStamp": "20250101"})
    same = WebClient(make_app(web_app), said={"funetEduPersonEPPNTimeStamp": "20200101"})

    assert len(told(same.get("/me"))) == 1
    assert told(later.get("/me")) == []


def test_a_link_that_ended_because_the_account_was_reassigned_is_not_told_to_the_new_holder(store, web_app):
    make_link(store, MAIJA, FIRST, issued="20200101")
    later = WebClient(make_app(web_app), said={"funetEduPersonEPPNTimeStamp": "20250101"})

    assert told(later.get("/me")) == []
    assert store.links.get(UNIVERSITY, MAIJA) is None


def test_read_marks_are_erased_with_the_person(store, maija):
    attest(store, [(MAIJA, FIRST)], "library")
    read(maija, maija.get("/me"))

    store.erasures.erase(UNIVERSITY, MAIJA, "person", "erased by the person", NOON)

    assert store.audit.read_events(UNIVERSITY, MAIJA) is None


def test_an_erasure_by_the_operator_is_told_while_it_waits(store, maija):
    make_link(store, MAIJA, FIRST, transfers=("idm",))
    store.links.remove(UNIVERSITY, MAIJA, "person", "mine", NOON, transfers=("idm",))
    store.erasures.erase(UNIVERSITY, MAIJA, "operator", "asked by letter", NOON, transfers=("idm",))

    assert [each[0] for each in told(maija.get("/me"))] == [EVENT_TEXTS["erasure-requested"]]
