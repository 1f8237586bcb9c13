"""What a person is told of where the news has got to, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sql.records import DeliveryState
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app, with_settings
from webapp.app import make_app
from webapp.config.organisation import Keep
from webapp.pages.delivery_status import ON_ITS_WAY, TEXTS

MAIJA = "maija@yliopisto.example"
SOON = timedelta(minutes=5)


@pytest.fixture
def web_app(store):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock(), transfers=("idm",))


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


@pytest.fixture
def owed(store):
    make_link(store, transfers=("idm",))
    (delivery,) = store.deliveries.claim("worker", NOON, SOON, 1)
    return delivery


END = {
    DeliveryState.DONE: lambda store, *told: store.deliveries.complete(*told, NOON),
    DeliveryState.DEAD_LETTER: lambda store, *told: store.deliveries.dead_letter(*told, NOON),
    DeliveryState.WAITING: lambda store, *told: store.deliveries.reschedule(*told, NOON + SOON, NOON),
}


@pytest.mark.parametrize(("state", "outcome"), [case for case in TEXTS if case[1] != "superseded"], ids=str)
def test_each_outcome_is_shown_with_the_receivers_message(store, maija, owed, state, outcome):
    END[state](store, owed, "worker", outcome, "no <b>such</b> entry")

    page = maija.get("/me").text

    assert TEXTS[state, outcome].partition("%")[0] in page
    assert "no &lt;b&gt;such&lt;/b&gt; entry" in page
    assert ('class="unwell"' in page) == (state is DeliveryState.DEAD_LETTER)


def test_an_untried_delivery_is_shown_as_on_its_way(store, maija):
    make_link(store, transfers=("idm",))

    assert ON_ITS_WAY in maija.get("/me").text


def test_a_fetched_change_is_shown_as_fetched(store, maija):
    change = make_link(store)
    assert "has fetched this" not in maija.get("/me").text

    store.changes.acknowledge(UNIVERSITY, change.number, NOON)

    assert "Your organisation has fetched this from us." in maija.get("/me").text


def test_a_change_that_was_not_fetched_is_not_shown_as_fetched(store, maija):
    change = make_link(store)
    store.changes.acknowledge(UNIVERSITY, change.number, NOON)
    make_link(store, orcid_id=make_orcid_id(2))

    assert "has fetched this" not in maija.get("/me").text


def test_without_transfers_no_delivery_is_shown(store, maija):
    make_link(store)

    assert "has been sent" not in maija.get("/me").text


def test_a_removal_is_delivered_at_once_and_shown(store, web_app):
    sent = []
    app = make_app(replace(web_app, context=replace(web_app.context, deliver_now=sent.append)))
    maija = WebClient(app)
    make_link(store)
    page = maija.get("/me/remove")

    place = maija.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")}).location

    assert [change.kind for change in sent] == ["removed"]
    assert "Where the removal has been sent" in maija.get(place).text


def test_where_links_are_not_kept_the_page_claims_no_state(web_app):

    page = WebClient(make_app(with_settings(web_app, keep=Keep.NOTHING))).get("/me").text

    assert "not kept here" in page
    assert "Your organisation can tell you" in page
    assert "Not connected" not in page
