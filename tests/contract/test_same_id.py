"""A second account claims an iD: its holder may give it away, once, soon, and in the same browser."""

import pytest

from shibboleth.account_holder import UNKNOWN_HOLDER
from shibboleth.organisation import Organisations, Stage
from tests.support.factories import POLYTECHNIC, POLYTECHNIC_IDP, UNIVERSITY, make_link, make_organisation
from tests.support.service import AKE, MAIJA, Clock, WebClient, make_web_app, orcid_id
from webapp.app import make_app

HOLDER, CLAIMANT = "maija@yliopisto.example", "mm@yliopisto.example"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulator(running_simulator, clock):
    simulator, _ = running_simulator
    simulator.reset()
    simulator.clock = clock
    return simulator


def make(store, running_simulator, clock, *, asks=True):
    organisations = Organisations.of(
        [
            make_organisation(stage=Stage.TEST, stable_id="subject-id", asks_holder=asks),
            make_organisation(POLYTECHNIC, stage=Stage.TEST),
        ]
    )
    return make_app(make_web_app(store, running_simulator[1], clock, organisations, transfers=("idm",)))


@pytest.fixture
def app(store, simulator, running_simulator, clock):
    make_link(store, HOLDER, orcid_id(MAIJA), stable_id="subject-id:a@yliopisto.example")
    return make(store, running_simulator, clock)


@pytest.fixture
def claimant(app):
    return WebClient(app, CLAIMANT, said={"subject-id": "b@yliopisto.example"})


def holder(claimant):
    client = claimant.same_browser(HOLDER)
    client.said = {"subject-id": "a@yliopisto.example"}
    return client


def give(client, place, **changes):
    token = changes.get("token") or client.get(place).field("token")
    return client.post(place, {"token": token})


def whose(store):
    return [each.account for each in store.links.list_current(UNIVERSITY)]


def test_the_holder_gives_the_id_to_the_account_that_claims_it(claimant, simulator, store, clock):
    place = claimant.return_from_orcid(simulator, MAIJA)
    page = claimant.get(place)
    assert place.startswith("/me/claim/")
    assert (page.status, page.title) == (200, "This ORCID iD is connected to another account")
    assert f"https://connect.example{place}" in page.text
    assert HOLDER not in page.text + claimant.get("/me").text + claimant.get("/me/data").text
    mine = holder(claimant)
    shown = mine.get(place).text
    assert all(each in shown for each in (HOLDER, CLAIMANT, MAIJA))
    assert whose(store) == [HOLDER]

    clock.passes(minutes=14)
    assert give(mine, place).location == "/me"

    assert whose(store) == [CLAIMANT]
    (change,) = store.changes.list_after(UNIVERSITY, 1, 10)
    assert (change.kind, change.account, change.previous_account) == ("moved", CLAIMANT, HOLDER)
    assert [each.kind for each in store.deliveries.list_for_person(UNIVERSITY, CLAIMANT)] == ["moved"]
    events = [(each.kind, each.person_key) for each in store.audit.list_events(UNIVERSITY)]
    assert events[1:] == [("held-by-someone-else", CLAIMANT), ("moved", CLAIMANT), ("given-away", HOLDER)]
    assert store.audit.compare_with_links(UNIVERSITY) == []
    assert MAIJA in claimant.get("/me").text
    assert store.links.get(UNIVERSITY, CLAIMANT).stable_id == "subject-id:b@yliopisto.example"
    assert claimant.get(place).location == "/me"
    for page in ("confirm", "result"):
        assert claimant.get(place.replace("claim", page)).location.startswith("/me")


def test_the_claimant_learns_nothing_of_the_holder_and_erases_nothing_of_theirs(claimant, simulator, store, clock):
    place = claimant.return_from_orcid(simulator, MAIJA)
    mine = holder(claimant)
    give(mine, place)
    kept = [each for each in store.audit.list_events(UNIVERSITY, HOLDER) if each.facts]

    assert all(HOLDER not in claimant.get(f"/me/{page}").text for page in ("", "data", "data.json"))
    assert "moved to another account" in mine.get("/me/data").text
    store.erasures.erase(UNIVERSITY, CLAIMANT, "person", "wanted", clock.now, uses_feed=False)
    clock.passes(days=31)
    store.erasures.finish_due(clock.now)

    assert list(store.audit.list_events(UNIVERSITY, CLAIMANT)) == []
    assert [each for each in store.audit.list_events(UNIVERSITY, HOLDER) if each.facts] == kept != []


def test_a_ticket_works_once(claimant, simulator, store, clock):
    place = claimant.return_from_orcid(simulator, MAIJA)
    mine = holder(claimant)
    token = mine.get(place).field("token")
    give(mine, place, token=token)
    store.links.move(UNIVERSITY, CLAIMANT, HOLDER, "operator", "back", clock.now, holder=UNKNOWN_HOLDER)

    assert give(mine, place, token=token).status == mine.get(place).status == 403
    assert whose(store) == [HOLDER]


def test_an_expired_ticket_moves_nothing_and_ends_as_before(claimant, simulator, store, clock):
    place = claimant.return_from_orcid(simulator, MAIJA)
    mine = holder(claimant)
    token = mine.get(place).field("token")
    clock.passes(minutes=15)

    assert give(mine, place, token=token).location == "/me"
    assert mine.get(place).status == 403
    result = claimant.get(place).location
    assert result == place.replace("claim", "result")
    assert "Someone else at your organisation" in claimant.get(result).text
    assert whose(store) == [HOLDER]


def test_a_claim_is_bound_to_its_people_and_browser(claimant, simulator, store):
    place = claimant.return_from_orcid(simulator, MAIJA)
    make_link(store, "ake@yliopisto.example", orcid_id(AKE))
    mine = holder(claimant)
    token = mine.get(place).field("token")
    others = {
        "another browser": mine.other_browser(),
        "another person": claimant.same_browser("liisa@yliopisto.example"),
        "the holder of another iD": claimant.same_browser("ake@yliopisto.example"),
        "another organisation": claimant.same_browser(f"maija@{POLYTECHNIC}.example", POLYTECHNIC_IDP),
        "the claimant": claimant,
    }

    for name, other in others.items():
        answer = other.post(place, {"token": other.token()})
        assert answer.status in {303, 403, 404, 409}, name
        assert whose(store) == ["ake@yliopisto.example", HOLDER], name
    assert mine.post(place, {"token": "x"}).status == 403
    assert mine.get("/me/claim/unknown").status == 403
    assert give(mine, place, token=token).location == "/me"
    assert whose(store) == ["ake@yliopisto.example", CLAIMANT]


def test_a_ticket_is_for_one_id_alone(claimant, simulator, store):
    place = claimant.return_from_orcid(simulator, MAIJA)
    mine = holder(claimant)
    token = mine.get(place).field("token")
    make_link(store, HOLDER, orcid_id(AKE), stable_id="subject-id:a@yliopisto.example")

    assert give(mine, place, token=token).status == mine.get(place).status == 403
    assert [(each.account, each.orcid_id.bare) for each in store.links.list_current(UNIVERSITY)] == [(HOLDER, AKE)]


def test_the_claimants_own_confirmation_links_nothing(claimant, simulator, store):
    place = claimant.return_from_orcid(simulator, MAIJA)

    form = {"token": claimant.token(), "agree": "yes"}
    assert claimant.post(place.replace("claim", "confirm"), form).status == 409
    assert whose(store) == [HOLDER]


def test_an_account_that_linked_another_id_meanwhile_keeps_it(claimant, simulator, store):
    place = claimant.return_from_orcid(simulator, MAIJA)
    make_link(store, CLAIMANT, orcid_id(AKE))

    assert give(holder(claimant), place).location == "/me"
    assert whose(store) == [HOLDER, CLAIMANT]


def test_an_account_with_an_id_of_its_own_is_refused_as_before(claimant, simulator, store):
    make_link(store, CLAIMANT, orcid_id(AKE))

    assert claimant.return_from_orcid(simulator, MAIJA).startswith("/me/result/")


def test_no_claim_is_offered_with_the_setting_refuse(store, simulator, running_simulator, clock):
    make_link(store, HOLDER, orcid_id(MAIJA))
    claimant = WebClient(make(store, running_simulator, clock, asks=False), CLAIMANT)

    assert claimant.return_from_orcid(simulator, MAIJA).startswith("/me/result/")
