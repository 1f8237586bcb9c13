"""An administrator confirms the claim of an iD that another account has, and both accounts are told."""

import re

import pytest

from shibboleth.account_holder import UNKNOWN_HOLDER
from shibboleth.organisation import Organisations, Stage
from tests.support.factories import (
    POLYTECHNIC,
    POLYTECHNIC_IDP,
    UNIVERSITY,
    answered,
    make_link,
    make_organisation,
)
from tests.support.service import AKE, MAIJA, Clock, WebClient, make_token_service, make_web_app, orcid_id
from webapp.app import make_app
from webapp.auth.named_people import NamedPeople
from webapp.linking.service import LinkingService, NoSuchAttempt
from webapp.operator.access import AdminAccess

HOLDER, CLAIMANT = "maija@yliopisto.example", "mm@yliopisto.example"
OPERATOR, ADMIN = "operator@yliopisto.example", "admin@yliopisto.example"
STAFF = AdminAccess(
    operators=(NamedPeople.parse(UNIVERSITY, (OPERATOR,)),),
    administrators=(NamedPeople.parse(UNIVERSITY, (ADMIN,)), NamedPeople.parse(POLYTECHNIC, ("admin@amk.example",))),
)
STABLE_ID = {"subject-id": "a@yliopisto.example"}
AWAY = "was moved to another account."


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(store, running_simulator, clock):
    simulator, client = running_simulator
    simulator.reset()
    simulator.clock = clock
    first = make_organisation(stage=Stage.TEST, stable_id="subject-id", asks_holder=True)
    organisations = Organisations.of([first, make_organisation(POLYTECHNIC, stage=Stage.TEST)])
    make_link(store, HOLDER, orcid_id(MAIJA), stable_id="subject-id:a@yliopisto.example")
    return make_app(make_web_app(store, client, clock, organisations, transfers=("idm",), admin_access=STAFF))


@pytest.fixture
def claimant(app, running_simulator):
    person = WebClient(app, CLAIMANT, said={"subject-id": "b@yliopisto.example"})
    assert person.return_from_orcid(running_simulator[0], MAIJA).startswith("/me/claim/")
    return person


def search(who, whom=MAIJA):
    form = {"token": who.token(), "organisation": "yliopisto", "whom": whom, "reason": "they rang"}
    return who.post("/operator/people", form)


def confirm(who, page, **changes):
    form = {name: page.field(name) for name in ("token", "organisation", "whom", "claim")}
    return who.post("/operator/people/claim", form | {"reason": "both are Maija's"} | changes)


def whose(store):
    return [each.account for each in store.links.list_current(UNIVERSITY)]


def events(store, kind):
    return [each for each in store.audit.list_events(UNIVERSITY) if each.kind == kind]


@pytest.mark.parametrize(("account", "actor"), [(OPERATOR, "operator"), (ADMIN, "organisation")])
@pytest.mark.parametrize("whom", [MAIJA, HOLDER])
def test_an_administrator_gives_the_id_to_the_account_that_claims_it(  # noqa: PLR0917 - one for each word
    app, store, claimant, account, actor, whom
):
    admin = WebClient(app, account)
    page = search(admin, whom)
    assert (page.status, HOLDER in page.text, CLAIMANT in page.text) == (200, True, True)
    searched = [(each.person_key, each.facts["by"]) for each in events(store, "person-searched")]
    assert searched == [(HOLDER, account), (CLAIMANT, account)]
    assert whose(store) == [HOLDER]

    done = confirm(admin, page)

    assert (done.status, "The connection was moved" in done.text, CLAIMANT in done.text) == (200, True, True)
    assert whose(store) == [CLAIMANT]
    (change,) = store.changes.list_after(UNIVERSITY, 1, 10)
    assert (change.kind, change.account, change.previous_account) == ("moved", CLAIMANT, HOLDER)
    assert [each.kind for each in store.deliveries.list_for_person(UNIVERSITY, CLAIMANT)] == ["moved"]
    for kind in ("moved", "given-away"):
        (event,) = events(store, kind)
        told = {name: event.facts[name] for name in ("reason", "by", "by_organisation")}
        assert (event.actor, told) == (
            actor,
            {"reason": "both are Maija's", "by": account, "by_organisation": UNIVERSITY},
        )
    assert store.links.get(UNIVERSITY, CLAIMANT).stable_id == "subject-id:b@yliopisto.example"
    assert store.audit.compare_with_links(UNIVERSITY) == store.audit.verify(UNIVERSITY) == []
    assert "that you claimed was moved to your account" in claimant.get("/me").text
    former = WebClient(app, HOLDER, said=STABLE_ID).get("/me").text
    assert AWAY in former
    assert "both are Maija" in former
    assert CLAIMANT not in former


def test_a_claim_is_confirmed_once_in_time_and_only_for_what_was_shown(app, store, claimant, clock, running_simulator):
    admin = WebClient(app, ADMIN)
    page = search(admin)
    refused = {
        "no reason": (422, {"reason": " "}),
        "no form of ours": (403, {"token": "x"}),
        "an unknown claim": (409, {"claim": "unknown"}),
        "an account without the iD": (409, {"whom": CLAIMANT}),
        "another organisation": (404, {"organisation": "amk"}),
    }
    make_link(store, "ake@yliopisto.example", orcid_id(AKE))
    refused["the account of another iD"] = (409, {"whom": "ake@yliopisto.example"})
    for name, (status, changes) in refused.items():
        assert confirm(admin, page, **changes).status == status, name
    for person in (
        claimant,
        WebClient(app, HOLDER, said=STABLE_ID),
        WebClient(app, "admin@amk.example", POLYTECHNIC_IDP),
    ):
        assert confirm(person, page, token=person.token()).status == 404
    assert HOLDER in whose(store)

    assert confirm(admin, page).status == 200
    store.links.move(UNIVERSITY, CLAIMANT, HOLDER, "operator", "back", clock.now, holder=UNKNOWN_HOLDER)
    again = confirm(admin, page)
    assert (again.status, "This claim is no longer open" in again.text) == (409, True)
    assert 'name="claim"' not in search(admin).text

    claimant.return_from_orcid(running_simulator[0], MAIJA)
    page = search(admin)
    clock.passes(minutes=15)
    late = confirm(admin, page)
    assert (late.status, "This claim is no longer open" in late.text) == (409, True)
    assert 'name="claim"' not in search(admin).text
    assert HOLDER in whose(store)


def test_an_invalid_claim_moves_nothing(app, store, claimant, running_simulator, clock):
    for key, account in ((UNIVERSITY, "ake@yliopisto.example"), (POLYTECHNIC, "maija@amk.example")):
        make_link(store, account, orcid_id(AKE if key == UNIVERSITY else MAIJA), key)
    answered_attempt = answered(store, CLAIMANT, orcid_id(MAIJA))
    link, before = store.links.get(UNIVERSITY, HOLDER), whose(store)
    (claim,) = store.attempts.list_claims(UNIVERSITY, link.orcid_id, clock.now)
    wrong = {
        "unknown": (link, "unknown"),
        "no claim": (link, answered_attempt.id),
        "of another iD": (store.links.get(UNIVERSITY, "ake@yliopisto.example"), claim.id),
        "of another organisation": (store.links.get(POLYTECHNIC, "maija@amk.example"), claim.id),
    }
    linking = LinkingService(store, running_simulator[1], make_token_service(store, running_simulator[1]))
    for held, attempt_id in wrong.values():
        with pytest.raises(NoSuchAttempt):
            linking.confirm_claim(held, attempt_id, "operator", "they rang", {}, clock.now)
    assert whose(store) == before
    assert linking.confirm_claim(link, claim.id, "operator", "they rang", {}, clock.now).account == CLAIMANT


def test_an_administrator_cannot_confirm_their_own_claim(app, running_simulator, store):
    admin = WebClient(app, ADMIN)
    claim = admin.return_from_orcid(running_simulator[0], MAIJA).rpartition("/")[2]
    page = search(admin)
    form = {"token": admin.token(), "organisation": "yliopisto", "whom": MAIJA, "reason": "it is mine", "claim": claim}

    assert 'name="claim"' not in page.text
    assert admin.post("/operator/people/claim", form).status == 409
    assert whose(store) == [HOLDER]


def test_an_account_that_linked_another_id_meanwhile_keeps_it(app, store, claimant):
    admin = WebClient(app, ADMIN)
    page = search(admin)
    make_link(store, CLAIMANT, orcid_id(AKE))

    answer = confirm(admin, page)

    assert (answer.status, "has since connected another one" in answer.text) == (409, True)
    assert whose(store) == [HOLDER, CLAIMANT]


@pytest.mark.parametrize(
    ("said", "linked_issued", "told"),
    [
        (STABLE_ID, "", True),
        ({"subject-id": "c@yliopisto.example"}, "", False),
        ({}, "", False),
        ({"funetEduPersonEPPNTimeStamp": "2020-01-31"}, "20200131", True),
        ({"funetEduPersonEPPNTimeStamp": "20260101"}, "20200131", False),
        ({**STABLE_ID, "funetEduPersonEPPNTimeStamp": "20260101"}, "20200131", False),
    ],
)
def test_only_the_earlier_holder_is_told_that_the_link_moved(  # noqa: PLR0917 - as above
    app, store, clock, said, linked_issued, told
):
    person = WebClient(app, HOLDER, said={**STABLE_ID, "funetEduPersonEPPNTimeStamp": linked_issued})
    person.get("/me")
    store.links.move(UNIVERSITY, HOLDER, CLAIMANT, "person", "given by the holder", clock.now, holder=UNKNOWN_HOLDER)
    later = WebClient(app, HOLDER, said=said)

    page, data = later.get("/me"), later.get("/me/data.json").text

    assert (AWAY in page.text, '"moved-away"' in data) == (told, told)
    assert CLAIMANT not in page.text + data
    assert MAIJA not in re.sub(r"placeholder=.*", "", page.text + data)
    if told:
        later.post("/me/read", {name: page.field(name) for name in ("token", "number")})
        assert AWAY not in later.get("/me").text
