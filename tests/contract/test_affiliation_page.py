"""What a person sees of the affiliation on their ORCID record, and does about it."""

from __future__ import annotations

import html
from dataclasses import replace

import pytest

from sql.store import open_store
from tests.support.affiliation import ACCOUNT, MAIJA, MEMBER, NAME, SETTINGS, Bench
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY
from tests.support.service import WebClient, make_orcid_client, make_web_app, with_settings
from webapp.app import make_app

STAFF = {"eduPersonScopedAffiliation": "staff@yliopisto.example", "ou": "Library", "title": "Librarian"}


@pytest.fixture
def store(tmp_path):
    """What the pages say depends on no engine."""
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def bench(store, running_simulator):
    simulator, _ = running_simulator
    simulator.reset()
    bench = Bench(store, simulator)
    bench.link()
    return bench


def make_maija(bench, settings=SETTINGS, **said):
    web_app = make_web_app(bench.store, make_orcid_client("https://sandbox.orcid.org"), lambda: bench.now)
    transfers = {} if settings is None else {NAME: settings}
    return WebClient(make_app(with_settings(web_app, UNIVERSITY, transfers=transfers)), said={**STAFF, **said})


def tick(maija, **form):
    return maija.post("/me/affiliation", {"token": maija.token(), **form})


def text(reply):
    return html.unescape(" ".join(reply.text.split()))


def test_the_box_is_not_ticked_and_the_permission_is_stored_with_its_text(bench):
    maija = make_maija(bench)
    page = maija.get("/me/affiliation")
    assert 'name="agree" value="yes">' in page.text
    assert "Nothing is written unless you tick the box." in text(page)

    refused = tick(maija)
    assert (refused.status, bench.permission()) == (422, None)
    assert 'aria-invalid="true"' in refused.text

    assert tick(maija, agree="yes").status == 303
    permission = bench.permission()
    assert permission.consent.text in text(page)
    assert (permission.consent.language, permission.consent.at) == ("en", bench.now)
    assert "The entry is on its way to your ORCID record." in text(maija.get("/me/affiliation"))
    bench.work()
    (item,) = bench.items()
    assert (item.body["department-name"], item.body["role-title"]) == ("Library", "Librarian")
    page = maija.get("/me/affiliation")
    assert "The entry is on your ORCID record." in text(page)
    assert "<dt>Employment</dt> <dd>written" in text(page)
    assert "Your organisation in your ORCID record</a>: written" in text(maija.get("/me"))


def test_it_can_be_stopped_without_ending_the_link(bench):
    maija = make_maija(bench)
    tick(maija, agree="yes")
    bench.work()

    assert tick(maija, stop="yes").status == 303
    assert "will get an end date or be deleted" in text(maija.get("/me/affiliation"))
    tick(maija, stop="yes")
    bench.work()

    assert bench.items()[0].body["end-date"] is not None
    assert bench.current is not None
    assert "Nothing is written unless you tick the box." in text(maija.get("/me/affiliation"))
    kinds = [each.kind for each in bench.store.audit.list_events(UNIVERSITY, "maija@yliopisto.example")]
    assert [each for each in kinds if each.startswith("affiliation")] == [
        "affiliation-permitted",
        "affiliation-written",
        "affiliation-withdrawn",
        "affiliation-closed",
    ]


def test_an_entry_of_another_system_is_said_to_be_left_alone(bench):
    bench.add_item_of_another_system()
    maija = make_maija(bench)
    tick(maija, agree="yes")
    bench.work()

    assert "Another system of your organisation has already written such an entry" in text(maija.get("/me/affiliation"))
    assert "written by another system" in text(maija.get("/me"))


@pytest.mark.parametrize("path", ["/me/affiliation", "/me", "/me/start", "/me/data", "/me/result/x"])
def test_the_next_holder_of_the_account_neither_sees_nor_continues_it(bench, path):
    bench.store.links.remove(UNIVERSITY, ACCOUNT, "person", "to be made again", bench.now)
    bench.link(issued="20040826")
    tick(make_maija(bench, funetEduPersonEPPNTimeStamp="20040826"), agree="yes")
    bench.work()

    heir = make_maija(bench, title="Professor", funetEduPersonEPPNTimeStamp="20260101")
    page = heir.get(path)

    assert MAIJA not in page.text
    assert bench.current is None
    bench.work()
    (item,) = bench.items()
    assert (item.body["role-title"], item.body["end-date"] is None) == ("Librarian", False)


def test_another_sign_in_that_says_something_else_changes_the_entry(bench):
    tick(make_maija(bench), agree="yes")
    bench.work()

    # What is absent, or has another scope, or several values, says nothing
    make_maija(bench, ou="", title="").get("/me")
    make_maija(bench, eduPersonScopedAffiliation="").get("/me")
    make_maija(bench, eduPersonScopedAffiliation="student@elsewhere.example").get("/me")
    assert bench.work() == "stored"
    assert bench.requests() == []

    make_maija(bench, title="Head Librarian").get("/me")
    bench.work()
    assert bench.items()[0].body["role-title"] == "Head Librarian"
    make_maija(bench, eduPersonScopedAffiliation="Alum@yliopisto.example").get("/me")
    bench.work()
    assert bench.items()[0].body["end-date"] is not None


def test_several_affiliations_make_an_employment_and_an_education(bench):
    maija = make_maija(bench)
    both = "employee%40yliopisto.example;student%40yliopisto.example;student%40elsewhere.example"
    form = {"token": maija.token(), "agree": "yes"}
    maija.said = {}
    maija.post("/me/affiliation", form, eduPersonScopedAffiliation=both)
    bench.work()

    (employment,), (education,) = bench.items(), bench.items("education")
    assert [employment.body["role-title"], education.body["role-title"]] == [None, None]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("deleted", "You deleted the entry at ORCID"),
        ("permission", "You have not given your organisation permission at ORCID"),
        ("refused", "ORCID did not accept the entry"),
        ("nothing", "Your organisation has not sent any information about you that could be written."),
    ],
)
def test_the_page_says_how_it_stands_and_what_to_do(bench, what, words):
    affiliation = "alum@yliopisto.example" if what == "nothing" else "staff@yliopisto.example"
    maija = make_maija(bench, eduPersonScopedAffiliation=affiliation)
    tick(maija, agree="yes")
    if what == "permission":
        bench.simulator.revoke_grants(MAIJA, MEMBER.client_id)
    if what == "refused":
        bench.simulator.users[MAIJA] = replace(bench.simulator.users[MAIJA], state="unclaimed")
    bench.work()
    if what == "deleted":
        bench.simulator.remove_item(MAIJA, bench.items()[0].put_code)
        make_maija(bench, title="Head Librarian").get("/me")
        bench.work()

    page = maija.get("/me/affiliation")
    assert words in text(page)
    assert ('action="/me/start"' in page.text) == (what == "permission")
    assert ('name="agree"' in page.text) == (what in {"deleted", "refused"})
    assert 'name="stop"' in page.text
    if what == "refused":
        assert "the record has not been claimed by its person" in page.text
    if what == "deleted":
        tick(maija, agree="yes")
        bench.work()
        assert len(bench.items()) == 1


def test_the_entry_is_no_news_for_the_organisations_own_systems(bench):
    maija = make_maija(bench)
    tick(maija, agree="yes")

    page = maija.get("/me")
    assert "has been sent" not in page.text
    assert "on its way to your organisation" not in page.text


def test_everything_about_it_is_shown_and_erased(bench):
    maija = make_maija(bench)
    tick(maija, agree="yes")
    bench.work()
    data = maija.get("/me/data.json").body.decode()
    assert '"department": "Library"' in data
    assert '"put_code": "' in data
    assert maija.get("/me/data").status == 200

    maija.post("/me/erase", {"token": maija.token(), "confirmed": "yes"})
    bench.work()
    bench.store.erasures.finish_due(bench.now)
    assert bench.items()[0].body["end-date"] is not None
    assert bench.store.affiliations.list_items(UNIVERSITY, "maija@yliopisto.example") == []
    assert bench.store.affiliations.list_permissions(UNIVERSITY, "maija@yliopisto.example") == []


def test_an_organisation_without_the_transfer_has_no_such_page(bench):
    maija = make_maija(bench, None)

    assert maija.get("/me/affiliation").status == 404
    assert "affiliation" not in maija.get("/me").text


def test_without_a_link_there_is_nothing_to_permit(bench):
    bench.remove()
    maija = make_maija(bench)

    assert maija.get("/me/affiliation").location == "/me"
    assert tick(maija, agree="yes").location == "/me"


def test_the_page_of_the_removal_says_that_the_entry_is_ended(bench):
    maija = make_maija(bench)
    assert "Your ORCID record does not change." in text(maija.get("/me/remove"))
    tick(maija, agree="yes")
    bench.work()

    for path in ("/me/remove", "/me/erase"):
        assert "gets an end date or is deleted, as you agreed." in text(maija.get(path))

    bench.remove()
    assert "If your organisation wrote an entry to your ORCID record, it gets" in text(maija.get("/me/removed"))
