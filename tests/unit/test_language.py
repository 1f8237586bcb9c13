"""Languages: what is chosen, and how a reader is told of facts, numbers and times."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from tests.support.factories import NOON
from webapp.i18n.catalogues import SOURCE, catalogues
from webapp.i18n.language import ChosenBy, LanguageNegotiator, accepted, languages

KNOWN = languages()


def test_every_catalogue_is_a_language_and_the_sources_own_comes_first():
    assert list(KNOWN) == list(catalogues())
    assert next(iter(KNOWN)) == SOURCE


def test_a_sentence_is_said_in_each_language():
    said = {code: language.gettext("Sign out") for code, language in KNOWN.items()}

    assert said == {"en": "Sign out", "fi": "Kirjaudu ulos", "sv": "Logga ut"}


def test_facts_take_their_places_in_a_sentence():
    assert KNOWN["en"].gettext("connected %(when)s", when="today") == "connected today"
    assert KNOWN["fi"].gettext("connected %(when)s", when="tänään") == "yhdistetty tänään"


def test_a_language_is_called_by_a_word_of_the_readers_own():
    called = {code: language.language_name("sv") for code, language in KNOWN.items()}

    assert called == {"en": "Swedish", "fi": "ruotsi", "sv": "svenska"}
    assert KNOWN["en"].language_name("x-unknown") == "x-unknown"


def test_a_number_chooses_the_form_of_its_sentence():
    def said(number):
        return KNOWN["en"].ngettext("%(number)d day of %(of)s", "%(number)d days of %(of)s", number, of="May")

    assert (said(1), said(2)) == ("1 day of May", "2 days of May")


def test_several_things_are_named_as_the_language_does():
    named = {code: language.list(["A", "B", "C"]) for code, language in KNOWN.items()}

    assert named == {"en": "A, B and C", "fi": "A, B ja C", "sv": "A, B och C"}


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", []),
        ("fi", ["fi"]),
        ("sv;q=0.5, fi-FI", ["fi-FI", "sv"]),
        ("en;q=0.8,fi;q=0.9,*;q=0.1", ["fi", "en", "*"]),
        ("fi;q=0", []),
        ("fi;q=much", []),
        (";;,,", []),
        ("x" * 10_000, ["x" * 500]),
        ("fi;q=1, sv ; q=0.30 ,\ten\t", ["fi", "en", "sv"]),
        ("fi;Q=0.5", ["fi"]),
        ("fi;q=0.5;q=1", []),
        ("fi;q=inf, sv;q=nan, en;q=1e0, da;q=0_1, nb;q=2", []),
        ("fi;q=0.\u0665, sv;q=\u0661", []),
        ("\xa0fi, sv\x85, en;\xa0q=1, d\xe4", []),
    ],
)
def test_the_most_wanted_language_comes_first(header, wanted):
    assert accepted(header) == wanted


@pytest.mark.parametrize(
    ("asked", "kept", "header", "chosen"),
    [
        ("fi", "sv", "en", ("fi", ChosenBy.ADDRESS)),
        ("", "sv", "fi", ("sv", ChosenBy.COOKIE)),
        ("", "", "sv-FI, en;q=0.5", ("sv", ChosenBy.BROWSER)),
        ("", "", "tlh, en-GB", ("en", ChosenBy.BROWSER)),
        ("", "", "", ("fi", ChosenBy.NONE)),
        ("", "", "*, not a language", ("fi", ChosenBy.NONE)),
        ("tlh", "tlh", "tlh", ("fi", ChosenBy.NONE)),
    ],
)
def test_the_persons_own_choice_counts_most_and_the_services_least(asked, kept, header, chosen):
    choice = LanguageNegotiator(KNOWN, "fi").choose(asked, kept, header)

    assert (choice.language.code, choice.by) == chosen


def test_an_organisation_chooses_for_who_has_not_chosen():
    chooser = LanguageNegotiator(KNOWN, "en")

    def at_home(header, code):
        return chooser.for_organisation(chooser.choose("", "", header), code).language.code

    assert (at_home("", "sv"), at_home("fi", "sv"), at_home("", "tlh")) == ("sv", "fi", "en")


def test_a_language_names_itself():
    assert [language.name() for language in KNOWN.values()] == ["English", "Suomi", "Svenska"]


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("en", "15_January_2026, 12:00_UTC"),
        ("fi", "15._tammikuuta_2026 klo_12.00_UTC"),
        ("sv", "15_januari_2026 kl._12:00_UTC"),
    ],
)
def test_a_time_is_written_as_the_language_does_and_breaks_only_between_day_and_clock(code, written):
    assert KNOWN[code].format_datetime(NOON, UTC) == written.replace("_", "\N{NO-BREAK SPACE}")


def test_a_time_is_told_by_the_clock_of_the_place():
    assert KNOWN["en"].format_datetime(NOON, ZoneInfo("Europe/Helsinki")) == "15\xa0January\xa02026, 14:00\xa0EET"
