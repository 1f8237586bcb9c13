"""The catalogues: no sentence is missing, stale or broken in any language, and each thing has one word."""

import re
from datetime import UTC

import pytest

from tests.support import catalogues as sentences
from tests.support.factories import NOON
from tests.support.pseudo_locale import pseudo
from webapp.i18n.catalogues import SOURCE
from webapp.i18n.language import languages

PATHS = sentences.catalogues()
TRANSLATED = {path.parent.name: sentences.read(path) for path in PATHS if path.parent.name != SOURCE}

GLOSSARY = (
    (r"ORCID iD", {"fi": r"(?i)\bORCID-tunniste", "sv": r"ORCID-id\b"}),
    (r"(?<!ORCID )\biDs?\b", {"fi": r"(?i)tunniste", "sv": r"(?i)\bid\b"}),
    (r"(?i)home organisation", {"fi": r"(?i)kotiorganisaatio", "sv": r"(?i)hemorganisation"}),
    (r"(?i)research organisation", {"fi": r"(?i)tutkimusorganisaatio", "sv": r"(?i)forskningsorganisation"}),
    (r"(?i)researcher identifier", {"fi": r"(?i)tutkijatunniste", "sv": r"(?i)forskar-id"}),
    (r"(?i)privacy notice", {"fi": r"(?i)tietosuojaselost", "sv": r"(?i)dataskyddsbeskrivning"}),
    (r"(?i)accessibility statement", {"fi": r"(?i)saavutettavuusselost", "sv": r"(?i)tillgänglighetsutlåtande"}),
    (r"(?i)\bsign(ed)? out\b", {"fi": r"(?i)kirjau\w* .*\bulos|uloskirjau", "sv": r"(?i)\blogga\w* .*\but\b|utlogg"}),
    (r"(?i)\bincident number", {"fi": r"(?i)tapausnumero", "sv": r"(?i)ärendenum"}),
    (r"(?i)\binterface", {"fi": r"(?i)rajapin", "sv": r"(?i)gränssnitt"}),
    (r"(?i)\battribute", {"fi": r"(?i)attribuut", "sv": r"(?i)attribut"}),
    (r"(?i)\byour account", {"fi": r"(?i)käyttäjätil", "sv": r"(?i)\bkonto"}),
)
"""What stands in the English sentence, and what has to stand for it in the others: one word for one thing."""

NEVER = {
    "en": (
        r"ORCID I[Dd]\b",
        r"ORCID id\b",
        r"\bOrcid\b",
        r"\bOrcID\b",
        r"ORCID-iD",
        r"(?i)\blog ?(in|out)\b",
        r"\blinked\b",
    ),
    "fi": (
        r"ORCID[ -]i[dD]\b|ORCID[ -]ID\b",
        r"\bOrcid\b",
        r"(?i)ORCID-tunnus",
        r"(?i)koti-organisaatio|kotikorkeakoulu",
        r"(?i)rekisteriselost|tietosuojailmoitu|tietosuojakäytän",
        r"(?i)saavutettavuuslausun|esteettömyysselost",
        r"(?i)\bkirjaudu sisälle\b|\blogaa",
        r"(?i)\blinkit(ä|e)",
    ),
    "sv": (
        r"ORCID iD|ORCID[ -]ID\b|ORCID id\b",
        r"\bOrcid\b",
        r"(?i)ORCID-identifierar",
        r"(?i)hemmaorganisation|hemorganisering",
        r"(?i)integritetspolicy|sekretess|dataskyddspolicy|dataskyddsmeddelande",
        r"(?i)tillgänglighetsredogörelse",
        r"(?i)\bcookies?\b",
        r"(?i)\blänka\b",
        r"(?i)sammankoppling(?!stjänst)|\bkoppla ihop\b",
    ),
}
"""Words that mean the same as one of ours, and are not it."""


@pytest.mark.parametrize("path", [sentences.TEMPLATE, *PATHS], ids=lambda path: path.parent.name)
def test_no_sentence_is_missing_stale_or_broken(path):
    assert not list(sentences.lacks(path)), "type: make catalogues"


def translations(code):
    """Give each sentence in English with what it is in another language, form by form."""
    for message in TRANSLATED[code]:
        if message.id and message.pluralizable:
            yield from zip(message.id, message.string, strict=False)
        elif message.id:
            yield message.id, message.string


@pytest.mark.parametrize("code", TRANSLATED)
@pytest.mark.parametrize(("english", "words"), GLOSSARY, ids=lambda given: given if isinstance(given, str) else "")
def test_one_thing_has_one_word(code, english, words):
    wrong = [(of, said) for of, said in translations(code) if re.search(english, of) and not _says(said, words[code])]

    assert not wrong


def _says(said, word):
    return re.search(word, said)


@pytest.mark.parametrize("code", NEVER)
def test_no_word_stands_in_for_one_of_ours(code):
    said = [each for each, _ in translations("fi")] if code == SOURCE else [each for _, each in translations(code)]

    assert not [(word, each) for word in NEVER[code] for each in said if re.search(word, each)]


def test_a_broken_catalogue_is_detected(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "in_sources", lambda: {"a", "b %(x)s", "c", "d.", ("%(number)d e", "%(number)d es")})
    path = tmp_path / "fi" / "messages.po"
    path.parent.mkdir()
    path.write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
        'msgid "b %(x)s"\nmsgstr "b %(y)s"\n\n'
        '#, fuzzy\nmsgid "c"\nmsgstr "see"\n\n'
        'msgid "d."\nmsgstr "dee"\n\n'
        'msgid "%(number)d e"\nmsgid_plural "%(number)d es"\nmsgstr[0] "yksi e"\nmsgstr[1] ""\n\n'
        'msgid "gone"\nmsgstr "poissa"\n\n'
        '#~ msgid "old"\n#~ msgstr "vanha"\n'
    )

    assert {each.partition(":")[0] for each in sentences.lacks(path)} == {
        "missing",
        "stale",
        "obsolete",
        "fuzzy",
        "not translated",
        "other facts than the English sentence",
        "another end than the English sentence",
    }


# The language of layout tests


def test_the_pseudo_language_is_longer_and_keeps_the_facts_in_their_places():
    said = pseudo().gettext("connected %(when)s")

    assert said % {"when": "x"}
    assert said.startswith("⟦")
    assert len(said) >= 1.4 * len("connected %(when)s")
    assert "connected" not in said


def test_the_pseudo_language_counts_and_writes_dates():
    assert "2" in pseudo().ngettext("%(number)d day", "%(number)d days", 2)
    assert pseudo().format_datetime(NOON, UTC).startswith("⟦15\xa0January\xa02026")


def test_the_pseudo_language_is_not_offered():
    assert not [code for code, language in languages().items() if "⟦" in language.gettext("Sign out")]
