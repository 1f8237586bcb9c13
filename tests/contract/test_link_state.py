"""What pages claim of a link follows from what became of its deliveries: no iD is called connected that is not."""

from itertools import product

import pytest

from sql.records import ChangeKind, DeliveryState
from tests.support.factories import NOON, UNIVERSITY, make_attempt, make_link
from tests.support.service import (
    CREDENTIALS,
    Clock,
    WebClient,
    make_orcid_client,
    make_web_app,
    orcid_id,
    run_orcid_simulator,
    with_settings,
)
from webapp.app import make_app
from webapp.auth.browser import Browser
from webapp.config.organisation import Keep
from webapp.pages.delivery_status import TEXTS, DeliveryStatus, LinkState, TransferStatus, link_state

MAIJA = "maija@yliopisto.example"
DONE, WAITING, GIVEN_UP = DeliveryState.DONE, DeliveryState.WAITING, DeliveryState.DEAD_LETTER
LINKED = {
    "linked": "Your ORCID iD is connected",
    "replaced": "Your new ORCID iD is connected",
    "unchanged": "This ORCID iD was connected already",
}
ON_ITS_WAY = "Your ORCID iD is on its way to your organisation"
REFUSED = "Your ORCID iD could not be delivered to your organisation"
CLAIM = "can now share this iD"
FORGET = "15 minutes after"


def status(*states, fetched=False, kind=ChangeKind.LINKED):
    transfers = tuple(TransferStatus(f"idm-{at}", "", "", state, NOON) for at, state in enumerate(states))
    return DeliveryStatus(kind, transfers, NOON if fetched else None)


@pytest.mark.parametrize(
    ("states", "fetches", "fetched", "expected"),
    [
        ((), False, False, LinkState.CONNECTED),
        ((), True, False, LinkState.PENDING),
        ((), True, True, LinkState.CONNECTED),
        ((DONE,), False, False, LinkState.CONNECTED),
        ((DONE,), True, False, LinkState.PENDING),
        ((DONE,), True, True, LinkState.CONNECTED),
        ((WAITING,), False, False, LinkState.PENDING),
        ((WAITING,), True, True, LinkState.PENDING),
        ((GIVEN_UP,), False, False, LinkState.REFUSED),
        ((GIVEN_UP,), True, True, LinkState.REFUSED),
        ((DONE, WAITING), False, False, LinkState.PENDING),
        ((DONE, GIVEN_UP), False, False, LinkState.REFUSED),
        ((WAITING, GIVEN_UP), True, False, LinkState.REFUSED),
    ],
)
@pytest.mark.parametrize("keeps_links", [True, False])
def test_the_state_of_a_link_combines_its_transfers(states, fetches, fetched, expected, keeps_links):
    found = link_state(status(*states, fetched=fetched), linked=True, keeps_links=keeps_links, fetches=fetches)

    assert found == expected


@pytest.mark.parametrize(
    ("keeps_links", "kind", "expected"),
    [
        (True, ChangeKind.REMOVED, LinkState.REMOVED),
        (True, None, LinkState.REMOVED),
        (True, ChangeKind.LINKED, LinkState.REMOVED),
        (False, ChangeKind.REMOVED, LinkState.REMOVED),
        (False, None, LinkState.FORGOTTEN),
        (False, ChangeKind.LINKED, LinkState.FORGOTTEN),
    ],
)
def test_a_missing_link_is_shown_as_removed_or_deleted(keeps_links, kind, expected):
    assert link_state(status(kind=kind), linked=False, keeps_links=keeps_links, fetches=False) == expected


# The page itself, over all combinations


def world(store, keep="links", transfers=(), ask=False):
    """A person who is signed in at an organisation with these settings, and has never linked."""
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock(), transfers=transfers)
    changes = {"keep": Keep(keep)} | ({"credentials": CREDENTIALS} if ask else {})
    return WebClient(make_app(with_settings(web_app, **changes)))


def result_of(store, maija, outcome):
    """The result page of an attempt that ended like this."""
    maija.get("/me")
    attempt = make_attempt(browser_hash=Browser(maija.cookies["__Host-orcid-connect"]).hash)
    store.attempts.add(attempt, f"state of {attempt.id}")
    store.attempts.close(attempt.id, outcome, NOON)
    return maija.get(f"/me/result/{attempt.id}")


END = {
    DONE: lambda store, *told: store.deliveries.complete(*told, NOON),
    GIVEN_UP: lambda store, *told: store.deliveries.dead_letter(*told, NOON),
    WAITING: lambda store, *told: store.deliveries.reschedule(*told, NOON, NOON),
}
TITLES = {DONE: None, WAITING: ON_ITS_WAY, GIVEN_UP: REFUSED}


@pytest.mark.parametrize(("state", "outcome"), [case for case in TEXTS if case[1] != "superseded"], ids=str)
def test_the_result_page_shows_the_delivery(store, state, outcome):
    make_link(store, transfers=("idm",))
    (delivery,) = store.deliveries.claim("worker", NOON, NOON - NOON, 1)
    END[state](store, delivery, "worker", outcome, "no such entry")

    for keep, ask, attempt_outcome in product(["links", "nothing"], [False, True], LINKED):
        page = result_of(store, world(store, keep, ("idm",), ask), attempt_outcome)

        assert page.title == (TITLES[state] or LINKED[attempt_outcome])
        assert (CLAIM in page.text) == (state is DONE)
        assert ("help@yliopisto.example" in page.text) == (state is GIVEN_UP)
        assert (FORGET in page.text) == (keep == "nothing")
        assert ("or remove the connection" in page.text) == (keep == "links")


@pytest.mark.parametrize("ask", [False, True])
def test_a_change_that_an_organisation_fetches_is_connected_once_it_has_been_fetched(store, ask):
    first = make_link(store, "ake@yliopisto.example", orcid_id("0009-0000-0002-2224"))
    change, maija = make_link(store), world(store, ask=ask)
    assert result_of(store, maija, "linked").title == LINKED["linked"]

    store.changes.acknowledge(UNIVERSITY, first.number, NOON)
    before = result_of(store, maija, "linked").title
    store.changes.acknowledge(UNIVERSITY, change.number, NOON)

    assert before == (ON_ITS_WAY if ask else LINKED["linked"])
    assert result_of(store, maija, "linked").title == LINKED["linked"]


def test_a_delivered_and_deleted_link_is_not_shown_as_removed(store):
    with run_orcid_simulator() as (orcid, client):
        web_app = with_settings(make_web_app(store, client, Clock(), transfers=("idm",)), keep=Keep.NOTHING)
        maija = WebClient(make_app(web_app))
        place = maija.agree(maija.return_from_orcid(orcid)).location
    (delivery,) = store.deliveries.claim("worker", NOON, NOON - NOON, 1)
    store.deliveries.complete(delivery, "worker", "stored", "", NOON)
    store.retention.delete_change(UNIVERSITY, delivery.change_number, NOON)

    page = maija.get(place)

    assert page.title == "Nothing about your connection is stored here"
    assert "Your organisation can tell you whether an iD is connected and how to remove it" in page.text
    assert "has since been removed" not in page.text


def test_the_own_page_claims_no_more_than_the_result_page(store):
    make_link(store, transfers=("idm",))

    page = world(store, transfers=("idm",)).get("/me").text

    assert CLAIM not in page
    assert "confirmed " in page


@pytest.mark.parametrize("keep", ["links", "nothing"])
def test_the_consent_text_offers_no_removal_where_there_is_none(store, keep):
    with run_orcid_simulator() as (orcid, client):
        web_app = with_settings(make_web_app(store, client, Clock(), transfers=("idm",)), keep=Keep(keep))
        maija = WebClient(make_app(web_app))
        page = maija.get(maija.return_from_orcid(orcid)).text

    assert ("I can remove the connection here at any time" in page) == (keep == "links")
    assert ("I cannot remove the connection here" in page) == (keep == "nothing")


@pytest.mark.parametrize(
    ("state", "outcome", "said"),
    [
        (DONE, "stored", None),
        (WAITING, "temporary", "have not received the removal yet"),
        (GIVEN_UP, "refused", "did not accept the removal"),
    ],
)
def test_the_page_after_a_removal_says_whether_the_organisation_has_taken_it(store, state, outcome, said):
    make_link(store)
    store.links.remove(UNIVERSITY, MAIJA, "person", "removed by the person", NOON, None, ("idm",))
    (delivery,) = store.deliveries.claim("worker", NOON, NOON - NOON, 1)
    END[state](store, delivery, "worker", outcome, "")

    page = world(store, transfers=("idm",)).get("/me/removed").text

    assert [each for each in ("have not received the removal yet", "did not accept the removal") if each in page] == (
        [said] if said else []
    )
