"""Check translation catalogues.

As a program, report what is missing (`make catalogues`).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import webapp
from webapp.i18n.catalogues import SOURCE

LOCALE = Path(webapp.__file__).parent / "locale"
TEMPLATE = LOCALE / "orcid-connect.pot"
KEYWORDS = {"_": None, "gettext_noop": None, "gettext": None, "ngettext": (1, 2)}
"""As in the Makefile, beside those that Babel knows itself."""

_PLACE = re.compile(r"%\(\w+\)[a-z]|%%|%")


@cache
def in_sources():
    """Give every sentence in the sources; one that counts something is a pair."""
    with (LOCALE / "babel.cfg").open() as mapping:
        methods, options = parse_mapping_cfg(mapping)
    found = extract_from_dir(str(LOCALE.parent), methods, options, keywords=KEYWORDS)
    return {message for _, _, message, _, _ in found}


def catalogues():
    """Give the path of every catalogue."""
    return sorted(LOCALE.glob("*/messages.po"))


def read(path):
    """Read a catalogue."""
    with path.open("rb") as file:
        return read_po(file, locale=None if path == TEMPLATE else path.parent.name)


def lacks(path):
    """Say each thing that is wrong with a catalogue."""
    catalogue = read(path)
    known = {message.id for message in catalogue if message.id}
    yield from (f"missing: {each}" for each in sorted(map(str, in_sources() - known)))
    yield from (f"stale: {each}" for each in sorted(map(str, known - in_sources())))
    yield from (f"obsolete: {each}" for each in map(str, catalogue.obsolete))
    for message in catalogue:
        if message.id and path != TEMPLATE:
            yield from (f"{what}: {message.id}" for what in _wrong(message, catalogue))


def _wrong(message, catalogue):
    said = message.string if message.pluralizable else (message.string,)
    if message.fuzzy:
        yield "fuzzy"
    if not all(said) or len(said) != (catalogue.num_plurals if message.pluralizable else 1):
        # The sentences themselves are English
        if path_code(catalogue) != SOURCE or any(said):
            yield "not translated"
        return
    of = message.id if message.pluralizable else (message.id,)
    asked = {place for sentence in of for place in _PLACE.findall(sentence)}
    # One is "one" in words in many a language
    if any(set(_PLACE.findall(each)) != asked for each in said[-1:]) or any(
        set(_PLACE.findall(each)) - asked for each in said
    ):
        yield "other facts than the English sentence"
    if any(each.strip() != each or each.endswith(".") != of[-1].endswith(".") for each in said):
        yield "another end than the English sentence"


def path_code(catalogue):
    """Give the language of a catalogue."""
    return str(catalogue.locale)


def main():
    """Say what each catalogue lacks."""
    for path in catalogues():
        found = list(lacks(path))
        told = [f"{path.parent.name}: {f'{len(found)} to fix' if found else 'complete'}", *found]
        print("\n  ".join(told))  # noqa: T201 - for who typed the command


if __name__ == "__main__":
    main()
