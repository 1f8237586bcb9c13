"""Privacy notice and accessibility statement: the operator's texts, and what the program itself knows."""

from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from html import unescape
from unittest.mock import Mock

import pytest

from resolver_connector.delivery.maintenance import Maintenance, RetentionPolicy
from sql.errors import StoreUnavailable
from sql.repositories.deletion.erasures import ErasureRepository
from tests.support.configuration import NOTICES, write_configuration
from tests.support.delivery import LogRecorder
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock, WebClient, ask, make_orcid_client, make_web_app, with_settings
from webapp.app import make_app
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.config.organisation import Keep
from webapp.i18n.language import languages
from webapp.pages.data_inventory import SECTIONS, SOURCES
from webapp.pages.operator_texts import AccessibilityStatement, OperatorTexts
from webapp.wiring.pages import operator_texts_of

LANGUAGES = languages()
TEXTS = {code: {name: f"{name} in {code}" for name in NOTICES} for code in LANGUAGES}
STATEMENT = AccessibilityStatement("fully", date(2026, 1, 15))
MISSING = "has not written this part yet"
NIGHT = NOON + timedelta(hours=14)


@pytest.fixture
def web_app(store):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())


def app_of(web_app, **context):
    return make_app(replace(web_app, context=replace(web_app.context, **context)))


@pytest.fixture
def app(web_app):
    return app_of(web_app, operator_texts=OperatorTexts(TEXTS, statement=STATEMENT))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
class TestThePages:
    """What is on them; the store has no part in it."""

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_the_privacy_notice_says_what_the_operator_wrote_in_each_language(self, app, code):
        page = ask(app, "/privacy", HTTP_ACCEPT_LANGUAGE=code)

        assert page.title == LANGUAGES[code].gettext("Privacy notice")
        for name in ("controller", "data_protection_officer", "legal_basis", "recipients", "retention"):
            assert page.text.count(f"<p>{name} in {code}</p>") == 1
        assert f"supervisory_authority in {code}" in page.text
        assert LANGUAGES[code].gettext("No decisions about you are made automatically.") in page.text

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_it_says_what_is_stored_by_the_table_that_my_data_is_made_of(self, app, code):
        page, say = unescape(ask(app, "/privacy", HTTP_ACCEPT_LANGUAGE=code).text), LANGUAGES[code].gettext

        for section in SECTIONS:
            assert f"<h3>{say(section.title)}</h3>" in page
            assert say(section.purpose) in page
            assert section.kept(say, forgetful=False, days=None) in page
            for field in section.fields:
                assert say(field.label) in page
        for words in SOURCES.values():
            assert say(words) in page

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_the_accessibility_statement_has_the_parts_that_the_law_names(self, app, code):
        page, say = ask(app, "/accessibility", HTTP_ACCEPT_LANGUAGE=code), LANGUAGES[code].gettext

        text = unescape(page.text)
        assert page.title == say("Accessibility statement")
        assert say("The pages fully comply with the accessibility requirements.") in text
        assert LANGUAGES[code].format_date(date(2026, 1, 15), "long") in text
        assert say("Self-assessment by the service provider.") in text
        assert f"feedback in {code}" in text
        assert f"enforcement in {code}" in text
        assert say("What is not accessible") not in text
        assert MISSING not in text

    def test_what_is_not_accessible_is_said(self, web_app):
        texts = {"en": {**TEXTS["en"], "not_accessible": "The plots."}}
        statement = AccessibilityStatement("partially", date(2026, 1, 15), "outside")

        page = ask(app_of(web_app, operator_texts=OperatorTexts(texts, statement=statement)), "/accessibility").text

        assert "<p>The plots.</p>" in page
        assert "The pages partially comply with the accessibility requirements." in page
        assert "Assessment by an external party." in page

    def test_what_has_not_been_written_is_said_to_be_missing_and_whom_to_ask(self, web_app):
        app = make_app(web_app)

        privacy, accessibility = ask(app, "/privacy").text, ask(app, "/accessibility").text

        assert privacy.count(MISSING) == 6
        assert accessibility.count(MISSING) == 5
        assert privacy.count("mailto:help@connect.example") == 7

    def test_a_text_that_is_missing_in_a_language_stands_in_another_and_says_so(self, web_app):
        app = app_of(web_app, operator_texts=OperatorTexts({"fi": {"controller": "Yliopisto"}}))

        page = ask(app, "/privacy", HTTP_ACCEPT_LANGUAGE="sv").text

        assert '<div class="said" lang="fi">\n<p>Yliopisto</p>' in page

    def test_a_text_is_text_in_paragraphs_and_lines(self, web_app):
        app = app_of(
            web_app,
            operator_texts=OperatorTexts({"en": {"controller": "A <b>University</b>\nStreet 1\n\nWrite to us."}}),
        )

        page = ask(app, "/privacy").text

        assert "<p>A &lt;b&gt;University&lt;/b&gt;<br>Street 1</p>\n<p>Write to us.</p>" in page

    def test_an_address_among_the_operators_words_can_be_followed(self, web_app):
        app = app_of(
            web_app, operator_texts=OperatorTexts({"en": {"controller": "<b>\nhelp@example.org, www.example.org."}})
        )

        page = ask(app, "/privacy").text

        assert '<p>&lt;b&gt;<br><a href="mailto:help@example.org">help@example.org</a>, <a href="https://www' in page

    def test_an_organisation_says_some_of_it_otherwise(self, web_app):
        own = {"en": {"controller": "The university itself."}}
        app = app_of(with_settings(web_app, texts=own, retention_days=365), operator_texts=OperatorTexts(TEXTS))

        service, university = ask(app, "/privacy"), ask(app, "/privacy/yliopisto")

        assert 'href="/privacy/yliopisto"' in service.text
        assert "controller in en" in service.text
        assert "The university itself." in university.text
        assert "legal_basis in en" in university.text
        assert "365 days after" in university.text
        assert "days after the last" not in service.text

    def test_what_is_so_for_all_organisations_is_so_for_the_service(self, web_app):
        alike = with_settings(with_settings(web_app, retention_days=365), POLYTECHNIC, retention_days=365)

        assert "365 days after" in ask(make_app(alike), "/privacy").text

    def test_how_long_changes_are_kept_is_what_the_configuration_says(self, web_app):
        assert "730 days, so that your organisation" in ask(make_app(web_app), "/privacy").text
        assert "90 days, so that your organisation" in ask(app_of(web_app, keep_changes=90), "/privacy").text

    def test_where_nothing_is_kept_the_notice_says_how_short_it_is(self, web_app):
        app = make_app(with_settings(web_app, keep=Keep.NOTHING))

        service, university = ask(app, "/privacy").text, ask(app, "/privacy/yliopisto").text

        assert "Some organisations want nothing to be kept" in service
        assert university.count("Until 15 minutes after") == 4

    def test_the_interfaces_of_an_organisation_are_named(self, web_app):
        app = make_app(with_settings(web_app, transfers={"idm": None, "ldap": None}))

        page = ask(app, "/privacy/yliopisto").text

        assert "<bdi>idm</bdi>, <bdi>ldap</bdi>" in page

    def test_a_page_of_the_operators_own_is_led_to(self, web_app):
        notices = OperatorTexts(privacy_url="https://example.org/privacy")

        assert '<a href="https://example.org/privacy">' in ask(app_of(web_app, operator_texts=notices), "/privacy").text

    def test_an_organisation_that_is_not_there_has_no_notice(self, app):
        assert ask(app, "/privacy/nobody").status == 404

    @pytest.mark.parametrize("path", ["/", "/me", "/nowhere", "/privacy"])
    def test_every_page_leads_to_both(self, app, path):
        page = WebClient(app).get(path).text

        assert 'href="/privacy"' in page
        assert 'href="/accessibility"' in page


# The configuration


def test_the_configuration_says_it_in_each_language(tmp_path):
    own = {
        "notices": {"en": {"controller": "University\r\n\r\n\r\n\r\nStreet 1  \nCity"}},
        "retention": {"ended_days": 90},
    }
    config = load(
        write_configuration(tmp_path, organisations={"yliopisto": own}, retention={"ended_days": 365}),
        {},
    )

    notices, university = operator_texts_of(config), config.organisation_settings[UNIVERSITY]

    assert notices.get("legal_basis", "fi", university.texts).paragraphs == ("legal_basis in fi",)
    assert notices.get("controller", "en", university.texts).paragraphs == ("University", "Street 1\nCity")
    assert notices.statement == STATEMENT
    assert university.retention_days == 90


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("notices", {"en": {"controller": " \n "}}),
        ("notices", {"en": {"controller": "a\0b"}}),
        ("notices", {"en": {"controler": "University"}}),
        ("notices", {"tlh": {"controller": "University"}}),
        ("accessibility", {"status": "mostly"}),
        ("accessibility", {"assessed": "yesterday"}),
        ("retention", {"ended_days": 7}),
    ],
)
def test_an_invalid_text_is_refused(tmp_path, section, wrong):
    path = write_configuration(tmp_path, **{section: wrong})

    with pytest.raises(Misconfigured) as raised:
        load(path, {})

    assert all(problem.key.startswith(section) for problem in raised.value.problems)


# Retention


def test_data_of_people_without_a_link_is_erased_after_the_configured_days(store):
    log = LogRecorder()
    make_link(store, "maija@yliopisto.example", make_orcid_id(1))
    make_link(store, "ville@yliopisto.example", make_orcid_id(2))
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON)
    chores = Maintenance(store, [RetentionPolicy(UNIVERSITY, days=30)], log)

    chores.run(NIGHT + timedelta(days=29))
    before = store.links.list_for_person(UNIVERSITY, "maija@yliopisto.example")
    chores.run(NIGHT + timedelta(days=30))

    assert before
    assert store.links.list_for_person(UNIVERSITY, "maija@yliopisto.example") == []
    assert list(store.audit.list_events(UNIVERSITY, "maija@yliopisto.example")) == []
    assert store.links.orcid_ids(UNIVERSITY, "ville@yliopisto.example") == [make_orcid_id(2)]
    assert store.audit.verify(UNIVERSITY) == []
    assert log.lines[0] == ("erased", {"persons": 1})


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), ZeroDivisionError()], ids=["store away", "bug"])
def test_an_erasure_that_failed_is_repeated_the_same_night(store, monkeypatch, trouble):
    make_link(store, "maija@yliopisto.example", make_orcid_id(1))
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON)
    chores, night = (
        Maintenance(store, [RetentionPolicy(UNIVERSITY, days=30)], LogRecorder()),
        NIGHT + timedelta(days=30),
    )

    with monkeypatch.context() as troubled, suppress(ZeroDivisionError, StoreUnavailable):
        troubled.setattr(ErasureRepository, "erase_inactive", Mock(side_effect=trouble))
        chores.run(night)
    chores.run(night + timedelta(minutes=1))

    assert store.links.list_for_person(UNIVERSITY, "maija@yliopisto.example") == []


def test_a_late_reader_of_the_feed_needs_a_new_snapshot(store):
    make_link(store, "maija@yliopisto.example", make_orcid_id(1))
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON)

    policy = RetentionPolicy(UNIVERSITY, days=30, uses_feed=True)
    Maintenance(store, [policy], LogRecorder()).run(NIGHT + timedelta(days=31))

    assert store.changes.list_for_person(UNIVERSITY, "maija@yliopisto.example") == []
    assert store.changes.oldest_number(UNIVERSITY) == 3


def test_data_with_waiting_deliveries_is_kept(store):
    make_link(store, "maija@yliopisto.example", make_orcid_id(1), transfers=["idm"])
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON, transfers=["idm"])

    Maintenance(store, [RetentionPolicy(UNIVERSITY, days=30)], LogRecorder()).run(NIGHT + timedelta(days=31))

    assert store.changes.list_for_person(UNIVERSITY, "maija@yliopisto.example")


def test_without_the_setting_nothing_is_erased(store):
    make_link(store, "maija@yliopisto.example", make_orcid_id(1))
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", NOON)

    Maintenance(store, [RetentionPolicy(POLYTECHNIC, days=30)], LogRecorder()).run(NIGHT + timedelta(days=3000))

    assert store.links.list_for_person(UNIVERSITY, "maija@yliopisto.example")
