"""Languages: what is chosen, and that no sentence is missing from a catalogue."""

from datetime import UTC
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import webapp
from tests.make import NOON
from webapp.language import accepted, choose, languages

KNOWN = languages()
LOCALE = Path(webapp.__file__).parent / "locale"


def sentences():
    """Every sentence in the sources."""
    with (LOCALE / "babel.cfg").open() as mapping:
        methods, options = parse_mapping_cfg(mapping)
    keywords = {"_": None, "mark": None, "say": None}
    found = extract_from_dir(str(LOCALE.parent), methods, options, keywords=keywords)
    return {message for _, _, message, _, _ in found}


@pytest.mark.parametrize("catalogue", [LOCALE / "orcid-connect.pot", *sorted(LOCALE.glob("*/messages.po"))], ids=str)
def test_every_catalogue_has_every_sentence_and_no_stale_one(catalogue):
    with catalogue.open("rb") as file:
        known = {message.id for message in read_po(file) if message.id}

    assert sentences() == known, "type: make catalogues"


def test_there_is_a_catalogue_in_english():
    assert KNOWN["en"].say("Sign out") == "Sign out"


def test_facts_take_their_places_in_a_sentence():
    assert KNOWN["en"].say("connected %(when)s", when="today") == "connected today"


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
    ],
)
def test_the_most_wanted_language_comes_first(header, wanted):
    assert accepted(header) == wanted


def test_a_language_we_do_not_have_gives_the_default():
    assert choose(["tlh", "en-GB"], KNOWN, "en").code == "en"
    assert choose([], KNOWN, "en").code == "en"
    assert choose(["*", "not a language"], KNOWN, "en").code == "en"


def test_a_language_names_itself():
    assert KNOWN["en"].name() == "English"


def test_a_time_is_written_for_a_reader():
    assert KNOWN["en"].moment(NOON, UTC) == "15 January 2026, 12:00 UTC"
