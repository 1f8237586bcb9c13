"""What a person is told of the release, and what a visit leaves of it in the store; on both engines."""

import logging
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest

from sql.errors import StoreUnavailable
from sql.records import Release, ReleaseCounts, ReleaseState
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app
from webapp.app import make_app

MAIJA = "maija@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
A_DAY = timedelta(days=1)

SEEN = "shares this iD with services"
UNSEEN = "We have not yet seen your organisation share"
MISSING = "your organisation did not share this iD with us"
STILL_ANOTHER = "still shared another iD"
ANOTHER = "shared a different iD from the one connected here"
ENDING = "still shared the iD below"
OWN = "your organisation shared the iD below"
AS_WELL = "It also shares another iD with services"
ALL = (SEEN, UNSEEN, MISSING, STILL_ANOTHER, ANOTHER, ENDING, OWN, AS_WELL)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def web_app(store, clock):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock)


@pytest.fixture
def visits(web_app):
    """Have Maija sign in with what her organisation releases, and give her page."""
    app = make_app(web_app)

    def visit(*released):
        values = ";".join(quote(str(each), safe="") for each in released)
        return WebClient(app).get("/me", eduPersonOrcid=values).text

    return visit


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    return lambda: [line.getMessage() for line in caplog.records if line.getMessage().startswith("release")]


def told(page):
    """The sentences on the page that tell of the release."""
    return [sentence for sentence in ALL if sentence in page]


def kinds(store):
    return [event.kind for event in store.audit.list_events(UNIVERSITY)]


def release(store):
    return store.links.get(UNIVERSITY, MAIJA).release


def test_after_linking_the_release_has_not_been_seen_yet(store, visits):
    make_link(store)

    page = visits()

    assert told(page) == [UNSEEN]
    assert "help@yliopisto.example" in page
    assert release(store) is None


def test_the_first_release_is_shown_and_stored_with_its_event(store, visits, clock, logged):
    make_link(store)
    clock.passes(minutes=10)

    page = visits(FIRST)

    assert told(page) == [SEEN]
    assert "15\xa0January\xa02026, 12:10\xa0UTC" in page
    assert release(store) == Release(ReleaseState.SEEN, NOON + timedelta(minutes=10))
    assert kinds(store) == ["linked", "release-seen"]
    assert logged() == ["release-seen"]


@pytest.mark.parametrize("later", [(FIRST,), ()], ids=["again", "without"])
def test_later_visits_show_the_first_time_and_write_nothing(store, visits, clock, monkeypatch, later):
    make_link(store)
    visits(FIRST)
    clock.passes(days=30)
    monkeypatch.setattr(type(store.releases), "record", None)

    page = visits(*later)

    assert told(page) == [SEEN]
    assert "15\xa0January\xa02026, 12:00\xa0UTC" in page


def test_every_spelling_of_the_id_is_the_id(store, visits):
    make_link(store)

    assert told(visits(f"http://www.orcid.org/{FIRST.bare}/")) == [SEEN]


def test_an_invalid_value_is_not_a_release(store, visits):
    make_link(store)

    assert told(visits("0000-0002-1825-0098", "https://elsewhere.example/1")) == [UNSEEN]


def test_an_organisation_that_gives_nothing_a_day_later_does_not_seem_to_release(store, visits, clock, logged):
    make_link(store)
    clock.now += A_DAY

    page = visits()
    visits()

    assert told(page) == [MISSING]
    assert "help@yliopisto.example" in page
    assert store.releases.counts(UNIVERSITY) == ReleaseCounts(linked=1, seen=0, other=0, missing=1)
    assert kinds(store) == ["linked"]
    assert logged() == ["release-missing"]


def test_an_old_id_is_accepted_for_a_day(store, visits, clock, logged):
    make_link(store, orcid_id=SECOND)
    make_link(store, orcid_id=FIRST)
    clock.now += A_DAY - timedelta(seconds=1)

    page = visits(SECOND)

    assert told(page) == [STILL_ANOTHER]
    assert SECOND.uri in page
    assert release(store) is None
    assert logged() == []


def test_another_id_after_a_day_is_reported_and_counted(store, visits, clock, logged):
    make_link(store, orcid_id=FIRST)
    clock.now += A_DAY

    page = visits(SECOND)

    assert told(page) == [ANOTHER]
    assert SECOND.uri in page
    assert store.releases.counts(UNIVERSITY) == ReleaseCounts(linked=1, seen=0, other=1, missing=0)
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]
    assert store.changes.last_number(UNIVERSITY) == 1
    assert logged() == ["release-other"]


def test_a_seen_release_replaces_an_earlier_failure(store, visits, clock):
    make_link(store)
    clock.now += A_DAY
    visits()
    visits(SECOND)

    page = visits(FIRST)

    assert told(page) == [SEEN]
    assert store.releases.counts(UNIVERSITY) == ReleaseCounts(linked=1, seen=1, other=0, missing=0)


def test_another_id_beside_the_right_one_is_told(store, visits):
    make_link(store)

    page = visits(FIRST, SECOND)

    assert told(page) == [SEEN, AS_WELL]
    assert SECOND.uri in page


def test_another_id_after_the_right_one_is_told_and_the_first_time_stays(store, visits, clock):
    make_link(store)
    visits(FIRST)
    clock.now += A_DAY

    page = visits(SECOND)

    assert told(page) == [ANOTHER]
    assert release(store) == Release(ReleaseState.SEEN, NOON)


def test_an_id_that_replaces_another_starts_unseen(store, visits):
    make_link(store)
    visits(FIRST)
    make_link(store, orcid_id=SECOND)

    assert told(visits(FIRST)) == [STILL_ANOTHER]
    assert told(visits(SECOND)) == [SEEN]
    assert kinds(store) == ["linked", "release-seen", "replaced", "release-seen"]


def test_an_id_of_the_other_registry_is_another_id(store, visits, clock):
    make_link(store)
    clock.now += A_DAY

    assert told(visits(f"https://sandbox.orcid.org/{FIRST.bare}")) == [ANOTHER]


def test_after_a_removal_a_release_is_about_to_end(store, visits, logged):
    make_link(store)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)

    page = visits(FIRST)

    assert told(page) == [ENDING]
    assert FIRST.uri in page
    assert logged() == ["release-without-link"]
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []


def test_a_release_without_any_link_is_told_and_links_nothing(store, visits, logged):
    page = visits(FIRST)

    assert told(page) == [OWN]
    assert FIRST.uri in page
    assert logged() == ["release-without-link"]
    assert kinds(store) == []


def test_without_link_and_release_nothing_is_shown(visits, logged):
    assert told(visits()) == []
    assert logged() == []


def test_a_busy_store_does_not_prevent_the_own_page(web_app, store, monkeypatch):
    def busy(*_arguments):
        raise StoreUnavailable("another writer")

    make_link(store)
    monkeypatch.setattr(type(store.releases), "record", busy)

    page = WebClient(make_app(web_app), said={"eduPersonOrcid": FIRST.uri}).get("/me")

    assert page.status == 200
    assert told(page.text) == [SEEN]
    assert release(store) is None


def test_a_release_recorded_by_another_process_is_shown_once(web_app, store, monkeypatch, logged):
    make_link(store)
    monkeypatch.setattr(type(store.releases), "record", lambda *_arguments: False)

    page = WebClient(make_app(web_app)).get("/me", eduPersonOrcid=quote(FIRST.uri, safe=""))

    assert told(page.text) == [SEEN]
    assert logged() == []


def test_release_detection_adds_no_query(web_app, store, monkeypatch):
    asked = []
    fetch_all = store.engine.fetch_all
    monkeypatch.setattr(
        store.engine, "fetch_all", lambda query, **values: asked.append(query) or fetch_all(query, **values)
    )
    make_link(store)
    asked.clear()
    WebClient(make_app(web_app)).get("/me")
    without, asked[:] = [*asked], []

    WebClient(make_app(web_app), said={"eduPersonOrcid": FIRST.uri}).get("/me")

    assert asked == without != []


def test_the_contact_is_the_services_if_the_organisation_has_none(web_app, store):
    nobody = replace(web_app.context.organisations.by_id(UNIVERSITY), help="")
    known = type(web_app.context.organisations).of([nobody])
    web_app = replace(web_app, authenticator=replace(web_app.authenticator, organisations=known))
    make_link(store)

    page = WebClient(make_app(web_app)).get("/me").text

    assert told(page) == [UNSEEN]
    assert page.count("help@connect.example") > page.count("help@connect.example</a></p>\n</div>")
