"""An organisation is its id: entityIDs, scopes and names change, and its people keep their links; on each engine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from click.testing import CliRunner

from resolver_connector.app import MERGED_REFRESH
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisations
from tests.support.configuration import TOKEN, store_section, write_configuration
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    UNIVERSITY_IDP,
    make_link,
    make_orcid_id,
    make_organisation,
)
from tests.support.service import Clock, WebClient, ask, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.checks.organisations import check_organisations
from webapp.cli.main import main
from webapp.config.loader import load
from webapp.wiring.connector import make_connector

SECOND_IDP = "https://login.yliopisto.example/idp"
FORMER_IDP = "https://old.yliopisto.example/idp"
STRANGER_IDP = "https://idp.elsewhere.example/idp"
MAIJA = "maija@yliopisto.example"
FIRST, SECOND = (make_orcid_id(number, Registry.SANDBOX) for number in (1, 2))
DAY = timedelta(days=1)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(store, clock):
    """The web application, where the university has two Identity Providers and had a third one."""
    university = make_organisation(entity_ids=(UNIVERSITY_IDP, SECOND_IDP), former_entity_ids=(FORMER_IDP,))
    organisations = Organisations.of([university, make_organisation(POLYTECHNIC)])
    return make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock, organisations))


def seen(store):
    """Give what is stored about Identity Providers."""
    return {
        (one.organisation, one.entity_id): (one.signed_in_at, one.refused_at)
        for one in store.organisations.identity_providers()
    }


# --- Sign-ins -----------------------------------------------------------------------------------------------------


def test_a_sign_in_through_each_identity_provider_is_the_same_person(store, app):
    make_link(store, MAIJA, FIRST)

    pages = [WebClient(app, MAIJA, entity_id).get("/me").text for entity_id in (UNIVERSITY_IDP, SECOND_IDP)]

    assert all(FIRST.bare in page for page in pages)


def test_no_one_signs_in_through_a_former_entity_id(store, app):
    make_link(store, MAIJA, FIRST)

    page = WebClient(app, MAIJA, FORMER_IDP).get("/me")

    assert page.status == 403
    assert FIRST.bare not in page.text


def test_the_start_page_leads_to_each_identity_provider_by_its_host(app):
    page = ask(app, "/").text

    assert page.count("/Shibboleth.sso/Login?entityID=") == 3
    assert "(login.yliopisto.example)" in page
    assert "(idp.amk.example)" not in page


def test_identity_providers_are_remembered_by_the_day(store, app, clock):
    today = clock.now.replace(hour=0, minute=0, second=0, microsecond=0)
    stranger = WebClient(app, "x@elsewhere.example", STRANGER_IDP)
    for client in (WebClient(app, MAIJA), WebClient(app, "ville@yliopisto.example", SECOND_IDP), stranger):
        client.get("/me")
    WebClient(app, MAIJA, FORMER_IDP).get("/me")
    WebClient(app, MAIJA, "https://renamed.yliopisto.example/idp").get("/me")
    WebClient(app, MAIJA, "https://idp.example/" + 2000 * "x").get("/me")
    clock.now += timedelta(hours=1)
    WebClient(app, MAIJA).get("/me")

    found = seen(store)

    assert len(found) == 6
    assert found[UNIVERSITY, UNIVERSITY_IDP] == found[UNIVERSITY, SECOND_IDP] == (today, None)
    assert found[UNIVERSITY, FORMER_IDP] == (None, today)
    assert found[UNIVERSITY, "https://renamed.yliopisto.example/idp"] == (None, today)
    assert found["", STRANGER_IDP] == (None, today)
    clock.now += DAY
    WebClient(app, MAIJA).get("/me")
    assert seen(store)[UNIVERSITY, UNIVERSITY_IDP] == (today + DAY, None)


def test_people_are_told_of_a_merger_at_their_next_visit(store, clock):
    make_link(store, "anna@amk.example", FIRST, POLYTECHNIC)
    store.organisations.merge(POLYTECHNIC, UNIVERSITY, lambda account: account, NOON, key_attribute="eppn")
    amk_idp = "https://idp.amk.example/idp/shibboleth"
    scopes = frozenset({"yliopisto.example", "amk.example"})
    both = make_organisation(entity_ids=(UNIVERSITY_IDP, amk_idp), scopes=scopes)
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock, Organisations.of([both]))

    page = WebClient(make_app(web_app), "anna@amk.example", amk_idp).get("/me").text

    assert FIRST.bare in page
    assert "Your organisation became part of another one" in page


# --- What check says ----------------------------------------------------------------------------------------------


def link(store, person=MAIJA, organisation=UNIVERSITY, key="eppn"):
    """Link a person, by a key attribute."""
    make_link(store, person, FIRST, organisation)
    with store.engine.transaction() as session:
        session.execute("set_key_attribute", organisation=organisation, key_attribute=key)


def merged(store):
    """Merge the polytechnic into the university."""
    link(store, "anna@amk.example", POLYTECHNIC)
    store.organisations.merge(POLYTECHNIC, UNIVERSITY, lambda _account: MAIJA, NOON, key_attribute="eppn")


AMK = {"entity_ids": "https://idp.amk.example/idp", "scopes": ["amk.example"], "credential": None}
ORPHANS = {
    "an id without a file": (
        lambda store: link(store, organisation="gone"),
        {},
        (
            "error: gone has 1 link and no file gone.toml, so its people cannot sign in"
            " → name its file gone.toml again, or: orcid-connect organisation merge gone INTO"
        ),
    ),
    "an id without a file and without links": (
        lambda store: store.audit.add("gone", "imported", "operator", None, {}, NOON),
        {},
        "",
    ),
    "an entityID that was taken out of the file": (
        lambda store: store.organisations.record_sign_in(UNIVERSITY, SECOND_IDP, NOON),
        {},
        (
            f"error: yliopisto, people signed in through {SECOND_IDP} until 2026-01-15, and no file has it"
            " → add it in yliopisto.toml to entity_ids, or to former_entity_ids if it is out of use"
        ),
    ),
    "an entityID that was moved to the former ones": (
        lambda store: store.organisations.record_sign_in(UNIVERSITY, SECOND_IDP, NOON),
        {"former_entity_ids": [SECOND_IDP]},
        "",
    ),
    "a former entityID through which people still come": (
        lambda store: store.organisations.record_refused_sign_in(UNIVERSITY, SECOND_IDP, NOON),
        {"former_entity_ids": [SECOND_IDP]},
        (
            f"warning: yliopisto, people still come from its former Identity Provider {SECOND_IDP}, and are refused"
            " → if it is in use again, move it to entity_ids in yliopisto.toml"
        ),
    ),
    "an entityID of which the operator was not told": (
        lambda store: store.organisations.record_refused_sign_in(UNIVERSITY, SECOND_IDP, NOON),
        {},
        (
            f"error: yliopisto, people with its scope are refused, because no file has {SECOND_IDP}"
            " → if that is its Identity Provider, add it to entity_ids in yliopisto.toml"
        ),
    ),
    "an entityID that was added": (
        lambda store: store.organisations.record_refused_sign_in(UNIVERSITY, SECOND_IDP, NOON),
        {"entity_ids": [UNIVERSITY_IDP, SECOND_IDP]},
        "",
    ),
    "an entityID of long ago": (
        lambda store: store.organisations.record_refused_sign_in(UNIVERSITY, SECOND_IDP, NOON - 40 * DAY),
        {},
        "",
    ),
    "organisations that are not connected": (
        lambda store: [
            store.organisations.record_refused_sign_in("", f"https://idp{number}.example", NOON + number * DAY)
            for number in (1, 2)
        ],
        {},
        "info: people of 2 organisations that are not connected tried to sign in, last through https://idp2.example",
    ),
    "a key outside the scopes": (
        link,
        {"scopes": ["new.example"]},
        (
            "error: yliopisto, 1 link of accounts with the scope yliopisto.example, which is not one of its own"
            ' → add "yliopisto.example" to scopes, or: orcid-connect organisation rekey yliopisto'
            " --scope yliopisto.example=NEW"
        ),
    ),
    "a scope that was added": (link, {"scopes": ["new.example", "yliopisto.example"]}, ""),
    "another key attribute": (
        link,
        {"key": "subject-id"},
        (
            "error: yliopisto, its links were made by eppn, and its key is now subject-id"
            ' → write key = "eppn" again, or: orcid-connect organisation rekey yliopisto --map FILE'
        ),
    ),
    "a merged organisation that still has its file": (
        merged,
        None,
        (
            "error: amk was merged into yliopisto, and its credentials are refused"
            " → delete amk.toml, and move its entityIDs and scopes to yliopisto.toml"
        ),
    ),
}


@pytest.mark.parametrize("name", ORPHANS)
def test_check_names_what_would_separate_people_from_their_links(store, tmp_path, name):
    prepare, settings, expected = ORPHANS[name]
    files = {"yliopisto": settings} if settings is not None else {"yliopisto": {}, "amk": AMK}
    config = load(write_configuration(tmp_path, organisations=files), {})
    prepare(store)

    found = [
        f"{one.level}: {one.text}" + (f" → {one.fix}" if one.fix else "")
        for one in check_organisations(config, store, NOON + 2 * DAY)
    ]

    assert found == ([expected] if expected else [])


def test_the_audit_of_a_merged_organisation_is_still_verified(store, tmp_path):
    merged(store)
    config = load(write_configuration(tmp_path, organisations={"yliopisto": {}}), {})

    (found,) = check_organisations(config, store, NOON)

    assert found.text.startswith("amk, the chain is intact")


# --- Commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, store_url):
    """A configuration with the university and the polytechnic."""
    amk = {**AMK, "credential": [{"name": "idp", "rights": ["read"], "token": "file:secrets/amk.token"}]}
    return write_configuration(
        tmp_path,
        store=store_section(tmp_path, store_url),
        organisations={"yliopisto": {"scopes": ["yliopisto.example", "amk.example"]}, "amk": amk},
        secrets={"amk.token": "token-of-amk-" + "t" * 32},
    )


def run(path, *words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), *map(str, words)], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("options", "account"),
    [
        ((), "anna@amk.example"),
        (("--scope", "AMK.example=yliopisto.example"), "anna@yliopisto.example"),
        (("--map", "FILE"), "anna.amk@yliopisto.example"),
    ],
    ids=["same accounts", "by a scope rule", "by a file"],
)
def test_a_merger_is_shown_first_and_then_done(store, path, options, account):
    path.with_name("map.csv").write_text("old;new\nANNA@amk.example;anna.amk@yliopisto.example\n")
    options = [path.with_name("map.csv") if each == "FILE" else each for each in options]
    make_link(store, "anna@amk.example", FIRST, POLYTECHNIC)

    shown = run(path, "organisation", "merge", "amk", "yliopisto", *options)
    between = store.links.count(POLYTECHNIC)
    done = run(path, "organisation", "merge", "amk", "yliopisto", *options, "--yes")

    assert shown == (0, "1 link would move from amk to yliopisto\nnothing was changed yet: add --yes to merge\n")
    assert between == 1
    assert done[0] == 0
    assert done[1].startswith("1 link moved from amk to yliopisto\nThe credentials of amk are refused now.\n")
    assert [one.account for one in store.links.list_current(UNIVERSITY)] == [account]


def test_what_is_there_already_is_told(store, path):
    make_link(store, "anna@amk.example", FIRST, POLYTECHNIC)
    make_link(store, "anna@yliopisto.example", FIRST)

    _, output = run(path, "organisation", "merge", "amk", "yliopisto", "--scope", "amk.example=yliopisto.example")

    assert "0 links would move from amk to yliopisto\n1 already there, with the same ORCID iD" in output


def test_each_identity_provider_gets_files_of_its_own(tmp_path):
    path = write_configuration(tmp_path, organisations={"yliopisto": {"entity_ids": [UNIVERSITY_IDP, SECOND_IDP]}})
    words = ("handout", "idp", "yliopisto", "--version", "4", "--source", "http")

    refused, wrong = run(path, *words), run(path, *words, "--entity-id", STRANGER_IDP)
    code, output = run(path, *words, "--entity-id", SECOND_IDP)

    assert refused[0] == wrong[0] == 1
    assert f"choose one with --entity-id: {UNIVERSITY_IDP}, {SECOND_IDP}" in refused[1]
    assert "--entity-id is not one of yliopisto" in wrong[1]
    assert code == 0
    assert f"entityID {SECOND_IDP}" in output
    assert UNIVERSITY_IDP not in output


WRONG_MAPS = {
    "old,new\nben@amk.example,ben@yliopisto.example\n": (
        "anna@amk.example: the file has no new account for it\norcid-connect: 1 conflict; nothing was changed\n"
    ),
    "old,new\nanna@amk.example,anna@foreign.example\n": (
        "anna@amk.example: its new account has a scope that is not one of the organisation's\n"
        "orcid-connect: 1 conflict; nothing was changed\n"
    ),
    "old,new\nanna@amk.example,dan@yliopisto.example\n": (
        "anna@amk.example -> dan@yliopisto.example: its new account has another ORCID iD\n"
        "orcid-connect: 1 conflict; nothing was changed\n"
    ),
    "old,new\nanna@amk.example,anna\n": "line 2: both must be accounts with a scope",
    "old,new\na@amk.example,b@x.example\nA@amk.example,c@x.example\n": ("line 3: the account is the same as in line 2"),
    "old,new\na@amk.example,b@x.example\nb@amk.example,B@x.example\n": (
        "line 3: the new account is the same as in line 2"
    ),
    'old,new\n"a,b\n': "line 2: ",
    "old\nx\n": "new",
}


@pytest.mark.parametrize("content", WRONG_MAPS)
def test_a_file_with_a_mistake_moves_nothing(store, path, tmp_path, content):
    (tmp_path / "map.csv").write_text(content)
    make_link(store, "anna@amk.example", FIRST, POLYTECHNIC)
    make_link(store, "dan@yliopisto.example", SECOND)

    code, output = run(path, "organisation", "merge", "amk", "yliopisto", "--map", tmp_path / "map.csv", "--yes")

    assert code == 1
    assert WRONG_MAPS[content] in output
    assert store.links.count(POLYTECHNIC) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("merge", "yliopisto", "yliopisto"), 2, "FROM and INTO are the same organisation"),
        (("merge", "nobody", "yliopisto"), 1, "unknown organisation nobody"),
        (("merge", "amk", "nobody"), 1, "unknown organisation nobody"),
        (("merge", "yliopisto", "amk", "--yes"), 1, "amk was merged into another organisation itself"),
        (("merge", "amk", "yliopisto", "--scope", "amk.example"), 2, "must be OLD=NEW"),
        (("merge", "amk", "yliopisto", "--scope", "a=b", "--map", "none.csv"), 2, "--map and --scope exclude"),
        (("merge", "amk", "yliopisto", "--map", "none.csv"), 1, "none.csv: cannot be read"),
    ],
)
def test_what_cannot_be_merged_is_said(store, path, words, code, message):
    store.organisations.merge(POLYTECHNIC, "other", lambda account: account, NOON, key_attribute="eppn")

    found, output = run(path, "organisation", *words)

    assert found == code
    assert message in output


def test_an_organisation_without_a_file_is_merged_too(store, path):
    make_link(store, "anna@amk.example", FIRST, "gone")

    code, _ = run(path, "organisation", "merge", "gone", "yliopisto", "--yes")

    assert code == 0
    assert store.links.count(UNIVERSITY) == 1


def test_accounts_get_another_scope_by_a_command(store, path):
    make_link(store, "anna@old.example", FIRST)

    shown = run(path, "organisation", "rekey", "yliopisto", "--scope", "old.example=yliopisto.example")
    done = run(path, "organisation", "rekey", "yliopisto", "--scope", "old.example=yliopisto.example", "--yes")

    assert shown == (0, "1 link of yliopisto would have another account\nnothing was changed yet: add --yes\n")
    assert done == (0, "1 link of yliopisto have another account\n")
    assert store.links.get(UNIVERSITY, "anna@yliopisto.example").orcid_id == FIRST


def test_the_credentials_of_a_merged_organisation_end(store, path, monkeypatch):
    moment = [0.0]
    monkeypatch.setattr("resolver_connector.app.monotonic", lambda: moment[0])
    app = make_connector(load(path, {}), store)
    make_link(store, "anna@amk.example", FIRST, POLYTECHNIC)

    def look_up(token):
        return ask(app, "/v1/people?account=anna%40amk.example", HTTP_AUTHORIZATION=f"Bearer {token}").status

    before = look_up("token-of-amk-" + "t" * 32)
    merged_by, _ = run(path, "organisation", "merge", "amk", "yliopisto", "--yes")
    after = before
    while after == before and moment[0] < 20 * MERGED_REFRESH:  # a busy database may not answer within a second
        moment[0] += MERGED_REFRESH
        after = look_up("token-of-amk-" + "t" * 32)

    assert (merged_by, before, after, look_up(TOKEN)) == (0, 200, 401, 200)


def test_attributes_of_holders_are_counted_of_current_links_alone(store):
    make_link(store, MAIJA, FIRST, stable_id="subject-id:a@yliopisto.example", issued="20240826")
    make_link(store, "ake@yliopisto.example", SECOND)
    make_link(store, "other@amk.example", FIRST, organisation=POLYTECHNIC)

    counts = store.organisations.holder_attributes(UNIVERSITY)

    assert (counts.links, counts.stable_ids, counts.issue_times) == (2, 1, 1)
    store.links.remove(UNIVERSITY, MAIJA, "person", "", NOON)
    assert store.organisations.holder_attributes(UNIVERSITY).stable_ids == 0
