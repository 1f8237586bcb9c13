"""The receipt of what a person agreed to."""

from dataclasses import replace
from datetime import UTC
from html import unescape

import pytest

from tests.support.factories import UNIVERSITY, answered, make_consent, make_link, make_orcid_id
from tests.support.service import PUBLIC_URL, Clock, WebClient, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.i18n.language import languages
from webapp.pages.operator_texts import OperatorTexts

MAIJA = "maija@yliopisto.example"
LANGUAGES = languages()
AGREED = "Suostun <siihen>, että tunniste luovutetaan."


@pytest.fixture
def maija(store):
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())
    notices = OperatorTexts({"fi": {"controller": "Yliopisto\nKatu 1"}})
    app = make_app(replace(web_app, context=replace(web_app.context, operator_texts=notices)))
    return WebClient(app, said={"displayName": "Maija Mäkelä"})


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_receipt_has_the_parties_the_consent_and_the_time(store, maija, code):
    consent = make_consent(version="7f3a", language="fi", text=AGREED)
    store.links.add(answered(store, MAIJA, make_orcid_id(1)), "", consent, None, consent.at, "link", ())

    page = maija.get("/me/receipt", HTTP_ACCEPT_LANGUAGE=code)

    text, say = unescape(page.text.replace("<wbr>", "")), LANGUAGES[code].gettext
    assert page.title == say("Receipt of what you agreed to")
    for fact in (AGREED, "7f3a", "Maija Mäkelä", MAIJA, make_orcid_id(1).uri, PUBLIC_URL, "Yliopisto<br>Katu 1"):
        assert fact in text
    assert f"{PUBLIC_URL}/me/remove" in text
    assert LANGUAGES[code].format_datetime(consent.at, UTC) in text
    assert ('<blockquote lang="fi">' in text) == (code != "fi")


def test_without_a_connection_there_is_no_receipt(store, maija):
    make_link(store, MAIJA)
    store.links.remove(UNIVERSITY, MAIJA, "person", "removed", make_consent().at)

    assert maija.get("/me/receipt").location == "/me"


def test_ones_own_page_leads_to_the_receipt_of_a_connection(store, maija):
    before = maija.get("/me").text
    make_link(store, MAIJA)

    assert "/me/receipt" not in before
    assert 'href="/me/receipt"' in maija.get("/me").text
