"""A person sees where an attested iD came from, removes it, makes it their own, and is asked about another one."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from sql.repositories.base import NO_TRANSFERS, Attester
from tests.support.factories import NOON, UNIVERSITY, make_attested_link, make_link
from tests.support.service import AKE as OTHER
from tests.support.service import MAIJA as OWN
from tests.support.service import Clock, WebClient, make_web_app, orcid_id, run_orcid_simulator
from webapp.app import make_app

MAIJA, AKE = "maija@yliopisto.example", "ake@yliopisto.example"
LONG_AGO = NOON - timedelta(days=30)
SOURCE = "the <Library> register"
ADVICE = "Your organisation connected this iD"
QUESTION = "a different ORCID iD for you from the one you connected here"
KEEP, CONNECT = "Keep the connected iD", "Connect the other iD at ORCID"


@pytest.fixture
def simulator():
    with run_orcid_simulator() as running:
        yield running


@pytest.fixture
def maija(store, simulator):
    front = make_web_app(store, simulator[1], Clock(), transfers=("idm",))
    return WebClient(make_app(replace(front, context=replace(front.context, mail_enabled=True))))


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", "", page.text).split())


def attest(store, bare=OWN, **other):
    make_attested_link(store, MAIJA, orcid_id(bare), SOURCE, LONG_AGO, **other)


def refuse(store, bare=OTHER):
    """Attest another iD than the one that Maija connected."""
    (result,) = make_attested_link(store, MAIJA, orcid_id(bare), SOURCE, LONG_AGO)
    assert result.refusal == "linked-by-person"


def test_pages_show_the_source_of_an_attested_id(store, maija):
    attest(store)

    me, removal = maija.get("/me"), maija.get("/me/remove")

    for page in (me, removal):
        assert "the &lt;Library&gt; register" in page.text
        assert "16 December 2025, 12:00 UTC, according to your organisation" in text_of(page)
    assert ADVICE in me.text
    assert "Connect another ORCID iD instead" not in me.text


def test_a_self_made_link_shows_no_other_source(store, maija):
    make_link(store, MAIJA, orcid_id(OWN))

    page = maija.get("/me")

    assert ADVICE not in page.text
    assert "Connect another ORCID iD instead" in page.text


def test_an_attested_link_has_no_receipt_and_its_statement_is_no_agreement(store, maija):
    attest(store)
    token = maija.token()

    assert maija.get("/me/receipt").location == "/me"
    assert "/me/receipt" not in maija.get("/me").text
    assert maija.get("/me/mail").location == "/me"
    asked = {"token": token, "address": "maija@example.org", "receipt": "yes"}
    assert maija.post("/me/mail", asked).location == "/me"
    (link,) = json.loads(maija.get("/me/data.json").body)["links"]
    assert (link["consent_text"], link["consent_at"]) == (None, None)
    assert link["statement"] == f"The organisation attests that the person authenticated the ORCID iD at {SOURCE}."
    assert link["source"] == SOURCE


def test_removing_an_attested_link_is_a_removal_by_the_person(store, maija):
    attest(store, system=Attester(None, ("idm",)))
    page = maija.get("/me/remove")

    maija.post("/me/remove", {name: page.field(name) for name in ("token", "shown")})

    assert store.links.get(UNIVERSITY, MAIJA) is None
    (former,) = store.links.list_for_person(UNIVERSITY, MAIJA)
    assert (former.attested, former.ended_by) == (True, "person")
    assert [each.kind for each in store.changes.list_for_person(UNIVERSITY, MAIJA)] == ["removed", "linked"]


def test_the_same_id_connected_at_orcid_becomes_the_persons_own_without_a_change(store, maija, simulator):
    attest(store, system=Attester(None, ("idm",)))
    before = store.links.get(UNIVERSITY, MAIJA)
    store.removals.schedule(UNIVERSITY, (), NOON + timedelta(days=1), "organisation", NOON, max_percent=100)

    place = maija.return_from_orcid(simulator[0], OWN)
    confirmation = maija.get(place)
    result = maija.get(maija.agree(place).location)

    assert "your organisation can no longer replace it without asking you." in confirmation.text
    assert "Connect this iD" in confirmation.text
    assert result.title in {"Your ORCID iD is connected", "Your ORCID iD is on its way to your organisation"}
    link = store.links.get(UNIVERSITY, MAIJA)
    assert (link.id, link.orcid_id, link.source, link.authenticated_at) == (before.id, orcid_id(OWN), "orcid", None)
    assert "I agree" in link.agreement.text
    assert [each.kind for each in store.changes.list_for_person(UNIVERSITY, MAIJA)] == ["linked"]
    newest = list(store.audit.list_events(UNIVERSITY, MAIJA))[-1]
    assert (newest.kind, newest.actor, newest.facts["previous_source"]) == ("authenticated", "person", SOURCE)
    assert store.audit.verify(UNIVERSITY) == store.audit.compare_with_links(UNIVERSITY) == []
    assert store.removals.execute_due(lambda *_: NO_TRANSFERS, NOON + timedelta(hours=2)) == 0
    assert ADVICE not in maija.get("/me").text
    # Again it is the person's already
    maija.return_from_orcid(simulator[0], OWN)
    assert {each.outcome for each in store.attempts.list_for_person(UNIVERSITY, MAIJA)} == {"linked", "unchanged"}


def test_another_id_connected_at_orcid_replaces_the_attested_one(store, maija, simulator):
    attest(store, OTHER)

    maija.link(simulator[0], OWN)

    link = store.links.get(UNIVERSITY, MAIJA)
    assert (link.orcid_id, link.attested) == (orcid_id(OWN), False)
    newest = store.changes.newest_for_person(UNIVERSITY, MAIJA)
    assert (newest.kind, newest.orcid_id, newest.previous) == ("replaced", orcid_id(OWN), orcid_id(OTHER))


def test_a_confirmation_of_a_changed_link_is_asked_again(store, maija, simulator):
    attest(store)
    place = maija.return_from_orcid(simulator[0], OWN)
    store.links.remove(UNIVERSITY, MAIJA, "organisation", "", NOON)

    answer = maija.agree(place, replacing=orcid_id(OWN).uri)

    assert answer.status == 409
    assert store.links.get(UNIVERSITY, MAIJA) is None


def test_an_id_of_another_account_is_refused_whoever_attested_it(store, maija, simulator):
    make_attested_link(store, AKE, orcid_id(OWN))

    page = maija.get(maija.return_from_orcid(simulator[0], OWN))

    assert page.status == 409
    assert store.links.get(UNIVERSITY, AKE) is not None


# The question


def test_a_person_is_asked_which_id_is_theirs_until_they_answer(store, maija):
    make_link(store, MAIJA, orcid_id(OWN))
    refuse(store)

    page, confirmation = maija.get("/me"), maija.get("/me/remove")

    assert QUESTION in text_of(page)
    assert orcid_id(OTHER).uri.removesuffix(OTHER) in page.text
    assert OTHER in page.text
    assert "the &lt;Library&gt; register, 16 December 2025, 12:00 UTC" in text_of(page).replace("<", "&lt;")
    assert KEEP in page.text
    assert CONNECT in page.text
    # Elsewhere it is said, and answered on the own page alone
    assert QUESTION in text_of(confirmation)
    assert KEEP not in confirmation.text
    maija.post("/me/read", {name: page.field(name) for name in ("token", "number")})
    # Nor again when it is sent again
    refuse(store)
    assert QUESTION not in text_of(maija.get("/me"))
    assert store.links.get(UNIVERSITY, MAIJA).orcid_id == orcid_id(OWN)


def test_connecting_the_other_id_answers_the_question(store, maija, simulator):
    make_link(store, MAIJA, orcid_id(OWN))
    refuse(store)

    maija.link(simulator[0], OTHER)

    assert store.links.get(UNIVERSITY, MAIJA).orcid_id == orcid_id(OTHER)
    assert QUESTION not in text_of(maija.get("/me"))


def test_only_the_newest_differing_id_is_asked_about(store, maija):
    make_link(store, MAIJA, orcid_id(OWN))
    refuse(store, "0009-0000-0003-3337")
    refuse(store, OTHER)

    page = maija.get("/me")

    assert text_of(page).count(QUESTION) == 1
    assert OTHER in page.text
    assert "0009-0000-0003-3337" not in page.text
    maija.post("/me/read", {name: page.field(name) for name in ("token", "number")})
    assert QUESTION not in text_of(maija.get("/me"))


@pytest.mark.parametrize("again", [False, True])
def test_the_question_disappears_when_its_link_ends(store, maija, again):
    make_link(store, MAIJA, orcid_id(OWN))
    refuse(store)
    store.links.remove(UNIVERSITY, MAIJA, "person", "", NOON)
    if again:
        make_link(store, MAIJA, orcid_id(OWN))

    assert QUESTION not in text_of(maija.get("/me"))


def test_a_new_holder_is_not_asked_the_earlier_holders_question(store, maija):
    make_link(store, MAIJA, orcid_id(OWN), issued="20200101")
    refuse(store)
    maija.said["funetEduPersonEPPNTimeStamp"] = "20260101"

    assert QUESTION not in text_of(maija.get("/me"))
    assert OTHER not in maija.get("/me/data").text
