"""Pages say what holds in their state, and nothing else."""

from dataclasses import replace
from html import unescape
from urllib.parse import urlencode

import pytest

from shibboleth.organisation import Organisations
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import NOON, UNIVERSITY, make_link, make_organisation
from tests.support.service import PUBLIC_URL, Clock, WebClient, ask, make_web_app, orcid_id, run_orcid_simulator
from webapp.app import BODY_LABELS, FooterBody, make_app, template_globals
from webapp.auth.named_people import NamedPeople
from webapp.i18n.language import languages
from webapp.operator.access import AdminAccess
from webapp.rendering.templating import templates

MAIJA = "maija@yliopisto.example"
OLD, NEW = "0009-0000-0001-1111", "0009-0000-0003-3337"
TRANSFER = "idm"
LANGUAGES = languages()


@pytest.fixture(scope="module")
def orcid():
    with run_orcid_simulator() as found:
        yield found


@pytest.fixture
def store(tmp_path):
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def web_app(store, orcid):
    simulator, client = orcid
    simulator.reset()
    return make_web_app(store, client, Clock(), transfers=[TRANSFER])


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


def text(page):
    return unescape(page.text)


def refuse(store, message="no such entry"):
    (delivery,) = store.deliveries.claim("worker", NOON, NOON - NOON.replace(hour=11), 1)
    store.deliveries.dead_letter(delivery, "worker", "refused", message, NOON)


# Replacing an iD


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_page_that_replaces_says_so_in_heading_statement_and_buttons(store, maija, orcid, code):
    make_link(store, MAIJA, orcid_id(OLD))
    place = maija.return_from_orcid(orcid[0], NEW)

    page = maija.get(place, HTTP_ACCEPT_LANGUAGE=code)

    say = LANGUAGES[code].gettext
    assert page.title == say("Replace your ORCID iD?")
    for sentence in ("This iD replaces the one that is connected now.", "Replace the iD", "Keep the current iD"):
        assert say(sentence) in text(page)
    assert say("Do not connect") not in text(page)


def test_the_receipt_of_a_replacement_has_the_sentence_that_was_shown(store, maija, orcid):
    make_link(store, MAIJA, orcid_id(OLD))
    maija.link(orcid[0], NEW)

    assert "This iD replaces the one that is connected now." in maija.get("/me/receipt").text


def test_a_first_connection_says_nothing_of_replacing(maija, orcid):
    page = maija.get(maija.return_from_orcid(orcid[0], NEW))

    assert page.title == "Is this your ORCID iD?"
    assert "replaces" not in text(page)


def test_cancelling_a_replacement_says_that_the_current_id_stays(store, maija, orcid):
    make_link(store, MAIJA, orcid_id(OLD))
    place = maija.return_from_orcid(orcid[0], NEW)

    page = maija.get(maija.agree(place, cancel="yes").location)

    assert page.title == "Nothing was changed"
    assert "Your current iD is still connected." in text(page)


# Deliveries


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_delivered_removal_is_removed_and_not_received(store, maija, code):
    make_link(store, MAIJA, orcid_id(OLD))
    store.links.remove(UNIVERSITY, MAIJA, "person", "wanted", NOON, transfers=[TRANSFER])
    (delivery,) = store.deliveries.claim("worker", NOON, NOON - NOON.replace(hour=11), 1)
    store.deliveries.complete(delivery, "worker", "stored", "", NOON)

    page = text(maija.get("/me/removed", HTTP_ACCEPT_LANGUAGE=code))

    assert f"<dd>{LANGUAGES[code].gettext('Removed.')}" in page
    assert f"<dd>{LANGUAGES[code].gettext('Received.')}" not in page


@pytest.mark.parametrize("removed", [False, True], ids=["link", "removal"])
def test_a_refused_delivery_names_whom_to_contact_and_has_a_text_with_account_and_id(store, maija, removed):
    make_link(store, MAIJA, orcid_id(OLD), transfers=[] if removed else [TRANSFER])
    if removed:
        store.links.remove(UNIVERSITY, MAIJA, "person", "wanted", NOON, transfers=[TRANSFER])
    refuse(store)

    page = text(maija.get("/me/removed" if removed else "/me"))

    assert "This system rejected the update. Contact <a" in page
    message = page.partition("<textarea")[2].partition("</textarea>")[0]
    for fact in (MAIJA, orcid_id(OLD).uri, TRANSFER, "Response: no such entry", PUBLIC_URL):
        assert fact in message
    assert ("has been removed" in message) == removed


# Who is an operator


@pytest.mark.parametrize("operator", [True, False])
def test_the_operators_pages_are_offered_to_operators_alone(store, orcid, operator):
    staff = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (MAIJA,)),)) if operator else AdminAccess()
    maija = WebClient(make_app(make_web_app(store, orcid[1], Clock(), admin_access=staff)))

    assert ('href="/operator"' in maija.get("/me").text) == operator


# Forms


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"address": "maija", "receipt": "yes"}, ["address"]),
        ({"address": "maija@home.example"}, ["receipt"]),
        ({"address": ""}, ["address", "receipt"]),
    ],
)
def test_the_mail_form_marks_the_fields_that_are_wrong(store, web_app, form, wrong):
    make_link(store, MAIJA, orcid_id(OLD))
    context = replace(web_app.context, mail_enabled=True)
    maija = WebClient(make_app(replace(web_app, context=context)))

    page = maija.post("/me/mail", {"token": maija.token(), **form})

    assert page.status == 422
    assert "<title>Error: " in page.text
    assert [name for name in ("address", "receipt") if f'href="#{name}"' in page.text] == wrong
    assert [name for name in ("address", "receipt") if f'id="{name}-error"' in page.text] == wrong


def test_the_page_after_the_mail_form_repeats_the_address(store, web_app):
    make_link(store, MAIJA, orcid_id(OLD))
    maija = WebClient(make_app(replace(web_app, context=replace(web_app.context, mail_enabled=True))))
    form = {"token": maija.token(), "address": "maija@home.example", "receipt": "yes"}
    before = maija.get("/me/mailed")

    page = maija.get(maija.post("/me/mail", form).location)

    assert "We will write to you as soon as there is news." in before.text
    assert "We will write to maija@home.example as soon as there is news." in page.text


@pytest.mark.parametrize("linked", [True, False])
def test_erasing_with_nothing_connected_says_only_what_happens_then(store, maija, linked):
    if linked:
        make_link(store, MAIJA, orcid_id(OLD))

    page = maija.get("/me/erase").text

    assert ("Everything else is erased" in page) == linked
    assert ("Everything is erased" in page) != linked
    assert ("What happens elsewhere" in page) == linked
    assert ("The connection ends at once" in page) == linked


# The operator's pages, organisations that are not connected, and the service's name


def test_a_transfer_that_refused_a_delivery_is_not_simply_reachable(store, orcid):
    staff = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (MAIJA,)),))
    maija = WebClient(make_app(make_web_app(store, orcid[1], Clock(), transfers=[TRANSFER], admin_access=staff)))
    make_link(store, MAIJA, orcid_id(OLD), transfers=[TRANSFER])
    refuse(store)

    page = maija.get("/operator/organisations/yliopisto").text

    assert "Reachable, but deliveries were refused or failed." in page
    assert "Reachable." not in page


@pytest.mark.parametrize(
    ("names", "code", "expected"),
    [
        ({"en": "Elsewhere", "fi": "Muualla"}, "fi", "Muualla"),
        ({"en": "Elsewhere", "fi": "Muualla"}, "sv", "Elsewhere"),
        ({"de": "Anderswo"}, "sv", "Anderswo"),
        ({}, "en", ""),
    ],
)
def test_an_organisation_that_is_not_connected_has_its_name_from_the_metadata(web_app, names, code, expected):
    entity_id = "https://idp.elsewhere.example/idp"
    context = replace(web_app.context, display_names=lambda one: names if one == entity_id else {})
    stranger = WebClient(make_app(replace(web_app, context=context)), entity_id=entity_id)

    page = text(stranger.get("/me", HTTP_ACCEPT_LANGUAGE=code))

    assert (f"<bdi>{expected}</bdi>" in page) == bool(expected)
    assert entity_id not in page.partition("<h1>")[2].partition("<textarea")[0]
    assert f"{expected} ({entity_id})".strip(" ()") in page.replace("<wbr>", "")


@pytest.mark.parametrize(("code", "name"), [("en", "ORCID connect"), ("fi", "ORCID-palvelu"), ("sv", "ORCID connect")])
def test_the_service_has_a_name_in_each_language(web_app, code, name):
    info = replace(web_app.service_info, names={"fi": "ORCID-palvelu"})
    shared = template_globals(info, web_app.context, LANGUAGES)
    known = {each: templates(language, shared) for each, language in LANGUAGES.items()}
    app = make_app(replace(web_app, service_info=info, templates=known))

    page = WebClient(app).get("/help", HTTP_ACCEPT_LANGUAGE=code).text

    assert f"· {name}</title>" in page
    assert f">{name}</a>" in page


def test_an_error_page_is_titled_as_one_in_each_language(web_app):
    app = make_app(web_app)

    for code, word in (("en", "Error:"), ("fi", "Virhe:"), ("sv", "Fel:")):
        assert f"<title>{word} " in WebClient(app).get("/nothing", HTTP_ACCEPT_LANGUAGE=code).text


@pytest.mark.parametrize(
    ("find", "found"), [("", 12), ("number 7", 1), ("SCHOOL11.example", 1), ("koulu 3", 1), ("nowhere", 0)]
)
def test_a_long_list_of_organisations_is_searched_without_a_script(store, orcid, find, found):
    organisations = Organisations.of(
        make_organisation(
            f"school{number}",
            scopes=frozenset({f"school{number}.example"}),
            names={"en": f"School number {number}", "fi": f"Koulu {number}"},
        )
        for number in range(1, 13)
    )
    app = make_app(make_web_app(store, orcid[1], Clock(), organisations))

    page = ask(app, f"/?{urlencode({'find': find})}").text

    assert page.count("/Shibboleth.sso/Login?entityID=") == found
    assert ("Organisations found:" in page) == bool(find)
    assert f'value="{find}"' in page


def test_a_short_list_of_organisations_has_no_search(web_app):
    page = ask(make_app(web_app), "/?find=nowhere").text

    assert 'name="find"' not in page
    assert "/Shibboleth.sso/Login?entityID=" in page


def test_the_footer_names_owner_and_commissioner(web_app):
    bodies = (FooterBody(BODY_LABELS["owner"], "Example Ltd.", "https://example.org"),)
    info = replace(web_app.service_info, bodies=bodies)
    shared = template_globals(info, web_app.context, LANGUAGES)
    known = {each: templates(language, shared) for each, language in LANGUAGES.items()}

    page = ask(make_app(replace(web_app, service_info=info, templates=known)), "/").text

    assert 'Service provider: <a href="https://example.org">Example Ltd.</a>' in page


def test_the_overview_begins_with_what_needs_attention(store, orcid):
    staff = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (MAIJA,)),))
    maija = WebClient(make_app(make_web_app(store, orcid[1], Clock(), transfers=[TRANSFER], admin_access=staff)))
    quiet = maija.get("/operator").text
    make_link(store, MAIJA, orcid_id(OLD), transfers=[TRANSFER])
    refuse(store)

    page = maija.get("/operator").text

    assert "Nothing needs attention." in quiet
    assert "Nothing needs attention." not in page
    assert page.index("Not delivered: <strong>1</strong>") < page.index("<table")


def test_my_data_begins_with_its_contents_and_has_a_heading_for_each_entry(store, maija):
    make_link(store, MAIJA, orcid_id(OLD))
    store.links.remove(UNIVERSITY, MAIJA, "person", "wanted", NOON)

    page = maija.get("/me/data").text

    assert page.index('href="#links"') < page.index('id="links"')
    assert "<h3>Entry 2 of 2</h3>" in page
