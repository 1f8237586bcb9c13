"""An organisation's own ORCID client: what is asked, what is left out, and what becomes of it, on both engines."""

import re
from dataclasses import replace
from itertools import combinations
from urllib.parse import parse_qs, urlsplit

import pytest

from demo.orcid.simulator import Client
from resolver_connector.orcid.scopes import PERMISSIONS, Scope
from tests.support.configuration import write_configuration
from tests.support.factories import NOON, POLYTECHNIC_IDP, UNIVERSITY, make_attested_link
from tests.support.service import (
    AKE,
    CALLBACK,
    CLIENT_ID,
    MAIJA,
    OWN_CLIENT_ID,
    Clock,
    WebClient,
    authorize_at_orcid,
    make_web_app,
    orcid_id,
    with_own_client,
)
from webapp.app import make_app
from webapp.checks.orcid import check_clients
from webapp.config.loader import load
from webapp.pages.orcid.permissions import PERMISSION_TEXTS

READ, UPDATE, PERSON = PERMISSIONS
ACCOUNT = "maija@yliopisto.example"
NAMES = {scope: text.name for scope, text in PERMISSION_TEXTS.items()}
TITLES = {scope: text.title for scope, text in PERMISSION_TEXTS.items()}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulator(running_simulator, clock):
    simulator, _ = running_simulator
    simulator.reset()
    simulator.clock = clock
    return simulator


@pytest.fixture
def web_app(store, simulator, running_simulator, clock):
    return with_own_client(make_web_app(store, running_simulator[1], clock), simulator)


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


def choose(client, *scopes):
    """Tick permissions on the start page, and give the address at ORCID."""
    form = {"token": client.get("/me/start").field("token"), "chosen": "yes", **{NAMES[each]: "yes" for each in scopes}}
    reply = client.post("/me/start", form)
    assert reply.status == 303
    return reply.header("Location")


def asked(address):
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def link(client, simulator, *scopes, bare=MAIJA):
    """Link with these permissions, and give the result page."""
    return client.get(client.agree(come_back(client, simulator, *scopes, bare=bare)).location)


def come_back(client, simulator, *scopes, bare=MAIJA):
    return client.get(authorize_at_orcid(simulator, choose(client, *scopes), bare)).location


def titles_in(page):
    return {scope for scope, title in TITLES.items() if title in page.text}


def live(simulator, client_id=OWN_CLIENT_ID):
    """The scopes of the pairs that work at ORCID."""
    tokens = simulator.data.by_access_token.values()
    return [{*each.scopes} for each in tokens if each.client_id == client_id and each.live(simulator.now())]


def held(store):
    return [each.bare for each in store.links.orcid_ids(UNIVERSITY, ACCOUNT)]


# Before ORCID


def test_the_start_page_lists_what_is_asked_for_and_ticks_nothing(maija):
    reply = maija.post("/me/start", {"token": maija.token()})
    page = maija.get(reply.location)

    assert (reply.status, reply.location, page.title) == (303, "/me/start", "Before you go to ORCID")
    assert titles_in(page) == {*PERMISSIONS}
    assert len(re.findall('type="checkbox"', page.text)) == 3
    assert "checked" not in page.text


SUBSETS = [subset for size in range(4) for subset in combinations(PERMISSIONS, size)]


@pytest.mark.parametrize("openid", [False, True])
@pytest.mark.parametrize("subset", SUBSETS)
def test_what_is_left_out_is_not_requested(web_app, subset, openid):
    linking = web_app.context.linking
    scope = {"scope": "openid"} if openid else {}
    own = replace(linking.client_of(UNIVERSITY), **scope)
    linking = replace(linking, organisation_clients={UNIVERSITY: own})
    client = WebClient(make_app(replace(web_app, context=replace(web_app.context, linking=linking))))

    request = asked(choose(client, *subset))

    # A permission authenticates too, and only with openid does ORCID ask a user again who is signed in there
    expected = ["openid", *subset] if openid else [*subset] or ["/authenticate"]
    assert request["scope"].split() == expected
    assert (request["client_id"], request["redirect_uri"]) == (OWN_CLIENT_ID, CALLBACK)
    assert ("prompt" in request) == openid


def test_an_organisation_is_asked_for_what_its_file_says(store, simulator, running_simulator, clock):
    scopes = (Scope.AUTHENTICATE, Scope.ACTIVITIES_UPDATE)
    client = WebClient(make_app(with_own_client(make_web_app(store, running_simulator[1], clock), simulator, scopes)))

    assert titles_in(client.get("/me/start")) == {UPDATE}
    # A form that asks for more than is offered
    assert asked(choose(client, *PERMISSIONS))["scope"] == UPDATE


def test_a_client_that_asks_for_the_id_alone_needs_no_choice(store, simulator, running_simulator, clock):
    scopes = (Scope.AUTHENTICATE,)
    client = WebClient(make_app(with_own_client(make_web_app(store, running_simulator[1], clock), simulator, scopes)))

    request = asked(client.start())

    assert (request["client_id"], request["scope"]) == (OWN_CLIENT_ID, "/authenticate")
    assert client.get("/me/start").location == "/me"
    assert client.link(simulator).title == "Your ORCID iD is connected"


def test_people_of_other_organisations_link_with_the_services_client(web_app):
    other = WebClient(make_app(web_app), "ake@amk.example", POLYTECHNIC_IDP)

    assert asked(other.start())["client_id"] == CLIENT_ID
    assert other.get("/me/start").location == "/me"


def test_the_choice_needs_the_persons_form(maija, store):
    reply = maija.post("/me/start", {"token": "guessed", "chosen": "yes", NAMES[UPDATE]: "yes"})

    assert reply.status == 403
    assert store.attempts.list_for_person(UNIVERSITY, ACCOUNT) == []


# After ORCID


@pytest.mark.parametrize("subset", [(), (READ,), (READ, UPDATE), PERMISSIONS])
def test_a_person_links_with_what_they_chose(maija, simulator, store, subset):
    place = come_back(maija, simulator, *subset)
    confirm = maija.get(place)
    page = maija.get(maija.agree(place).location)
    own = maija.get("/me")

    assert titles_in(confirm) == titles_in(page) == {*subset}
    assert "Asked for" not in confirm.text
    assert page.title == "Your ORCID iD is connected"
    assert held(store) == [MAIJA]
    assert ("Withdraw the permission" in own.text) == bool(subset)
    # What was not permitted can be permitted later
    assert ("Choose what to permit" in own.text) == (subset != PERMISSIONS)
    consent = store.links.get(UNIVERSITY, ACCOUNT).consent.text
    assert ("Yliopisto may do what I permitted at ORCID" in consent) == bool(subset)
    assert consent in confirm.text


def test_less_than_was_asked_for_is_enough_and_is_said(maija, simulator, store):
    simulator.faults.arm("token", "scope_reduced")

    place = come_back(maija, simulator, READ, UPDATE)
    page = maija.get(place)
    maija.agree(place)

    assert held(store) == [MAIJA]
    assert "Asked for, but not permitted at ORCID" in page.text
    kept = [each.scope for each in store.orcid_tokens.list_for_link(store.links.get(UNIVERSITY, ACCOUNT).id)]
    assert len(kept) == 1
    assert not {READ, UPDATE} <= {*kept[0].split()}


def test_denying_says_that_the_id_alone_is_enough(maija):
    state = asked(choose(maija, *PERMISSIONS))["state"]

    page = maija.get(maija.get(f"/me/callback?state={state}&error=access_denied").location)

    assert page.title == "You did not give permission at ORCID"
    assert "Your iD alone is enough" in page.text
    assert "and nothing else" not in page.text


def test_more_can_be_permitted_later(maija, simulator, store, clock):
    link(maija, simulator, READ)
    clock.passes(days=1)

    page = maija.get(come_back(maija, simulator, UPDATE))

    assert page.title == "This ORCID iD was connected already"
    assert titles_in(page) == {READ, UPDATE}
    assert store.changes.last_number(UNIVERSITY) == 1
    assert held(store) == [MAIJA]
    assert maija.get("/me").text.count("Withdraw the permission") == 1


def permitted(store):
    events = [each for each in store.audit.list_events(UNIVERSITY, ACCOUNT) if each.kind == "permitted"]
    return [(each.actor, each.facts["scope"], each.facts["client"]) for each in events]


@pytest.mark.parametrize("attested", [False, True])
def test_the_audit_says_what_was_permitted_and_to_which_client(maija, simulator, store, attested):
    if attested:
        make_attested_link(store, ACCOUNT, orcid_id(MAIJA))
    link(maija, simulator, READ)
    maija.get(come_back(maija, simulator, UPDATE))
    maija.get(come_back(maija, simulator))  # the iD alone
    maija.post("/me/permissions/remove", {"token": maija.token(), "shown": orcid_id(MAIJA).uri})

    assert permitted(store) == [("person", scope, OWN_CLIENT_ID) for scope in (READ, UPDATE)]
    assert store.audit.verify(UNIVERSITY) == []
    page = maija.get("/me/data").text
    assert page.count("at ORCID you permitted more") == 2
    assert UPDATE in page


def test_the_audit_says_what_is_permitted_with_another_id(maija, simulator, store):
    link(maija, simulator, READ)
    simulator.data.sessions.clear()

    link(maija, simulator, UPDATE, bare=AKE)

    assert permitted(store) == [("person", scope, OWN_CLIENT_ID) for scope in (READ, UPDATE)]


def test_an_attested_id_is_confirmed_with_permissions(maija, simulator, store):
    make_attested_link(store, ACCOUNT, orcid_id(MAIJA))

    page = link(maija, simulator, READ)

    assert titles_in(page) == {READ}
    assert not store.links.get(UNIVERSITY, ACCOUNT).attested


def test_another_id_starts_without_the_permissions_of_the_earlier_one(maija, simulator, store):
    link(maija, simulator, READ, UPDATE)
    simulator.data.sessions.clear()

    link(maija, simulator, bare=AKE)

    assert held(store) == [AKE]
    assert "Withdraw the permission" not in maija.get("/me").text


# Taken back


def test_a_permission_is_taken_back_and_the_link_stays(maija, simulator, store):
    link(maija, simulator, READ)
    maija.get(come_back(maija, simulator, UPDATE))
    page = maija.get("/me")
    form = {"token": page.field("token"), "shown": page.field("shown")}

    reply = maija.post("/me/permissions/remove", form)
    after = maija.get("/me")

    assert (reply.status, reply.location) == (303, "/me")
    assert held(store) == [MAIJA]
    assert "Withdraw the permission" not in after.text
    assert "Choose what to permit" in after.text
    (event,) = [each for each in store.audit.list_events(UNIVERSITY) if each.kind == "permissions-removed"]
    assert (event.actor, event.person_key) == ("person", ACCOUNT)
    assert "you withdrew the permission that you gave at ORCID" in maija.get("/me/data").text
    # The form sent again
    assert maija.post("/me/permissions/remove", form).status == 303
    assert [each.kind for each in store.audit.list_events(UNIVERSITY)].count("permissions-removed") == 1


def test_only_the_permissions_of_the_shown_id_are_taken_back(maija, simulator, store):
    link(maija, simulator, READ)

    reply = maija.post("/me/permissions/remove", {"token": maija.token(), "shown": orcid_id(AKE).uri})

    assert (reply.status, reply.title) == (409, "Something has changed in the meantime")
    assert "Withdraw the permission" in maija.get("/me").text
    assert maija.post("/me/permissions/remove", {"shown": orcid_id(MAIJA).uri}).status == 403


# The configuration changes meanwhile


def changed(web_app):
    """The same application after the organisation's client was taken out of its file."""
    linking = replace(web_app.context.linking, organisation_clients={})
    settings = web_app.context.organisation_settings
    settings = {**settings, UNIVERSITY: replace(settings[UNIVERSITY], orcid=None)}
    return make_app(replace(web_app, context=replace(web_app.context, linking=linking, organisation_settings=settings)))


def test_an_answer_to_a_client_that_is_not_used_any_more_is_not_exchanged(web_app, maija, simulator, store):
    way_back = authorize_at_orcid(simulator, choose(maija, READ))
    maija.app = changed(web_app)

    page = maija.get(maija.get(way_back).location)

    assert (page.status, page.title) == (409, "The settings have changed in the meantime")
    assert simulator.call_log.list_requests("/oauth/token") == []
    assert held(store) == []


@pytest.mark.parametrize("action", ["look", "agree", "cancel"])
def test_what_such_a_client_was_told_is_not_linked(web_app, maija, simulator, store, action):
    place = come_back(maija, simulator, READ)
    token = maija.get(place).field("token")
    maija.app = changed(web_app)

    form = {"agree": {"agree": "yes"}, "cancel": {"cancel": "yes"}}
    reply = maija.get(place) if action == "look" else maija.post(place, {"token": token, **form[action]})
    page = maija.get(reply.location)

    assert page.title == "The settings have changed in the meantime"
    assert held(store) == []
    assert maija.link(simulator).title == "Your ORCID iD is connected"


@pytest.mark.parametrize(
    ("secret", "level", "text"), [("s" * 20, "ok", "are accepted"), ("wrong", "error", "is not accepted")]
)
def test_check_says_whether_orcid_accepts_it(  # noqa: PLR0917 - one for each word
    tmp_path, simulator, running_simulator, secret, level, text
):
    simulator.add_client(Client(OWN_CLIENT_ID, "s" * 20, "Yliopisto", (CALLBACK,), kind="member"))
    path = write_configuration(
        tmp_path,
        organisations={"yliopisto": {"orcid": {"client_id": OWN_CLIENT_ID, "client_secret": "file:secrets/own"}}},
        secrets={"own": secret, "orcid-client-secret": "a-secret-of-the-client"},
        orcid={"base_url": running_simulator[1].base_url},
    )

    service, own = check_clients(load(path, {}), NOON)

    assert (service.level, service.details["client_id"]) == ("ok", CLIENT_ID)
    assert (own.level, own.details["organisation"]) == (level, "yliopisto")
    assert text in own.text
