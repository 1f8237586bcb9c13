"""Languages: translations from the gettext catalogues in `locale/`.

A language needs a catalogue (`locale/<language>/messages.po`) and no code. English is the language of the sentences
themselves.

The language of a page is, in this order: the user's choice, what the browser asks for (Accept-Language), the
organisation's language, the service's language. docs/decisions/0017 says how a choice is carried.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import StrEnum
from functools import cache
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any

from babel.core import Locale, negotiate_locale
from babel.dates import format_date, format_skeleton, format_time
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import NullTranslations, Translations

from webapp.i18n.catalogues import SOURCE, catalogues

_RANGE = re.compile(
    r"[ \t]*(?P<name>[a-z0-9*-]+)(?:[ \t]*;[ \t]*q=(?P<weight>0(?:\.[0-9]*)?|1(?:\.0*)?))?[ \t]*",
    re.ASCII | re.IGNORECASE,
)
"""A language range of Accept-Language, with its weight."""
_FORMAT_LOCALES = {SOURCE: "en_GB"}
"""The locale that formats dates and lists of a language, where Babel's default has the forms of another country."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its catalogue, and its format of dates and numbers."""

    code: str
    translations: NullTranslations

    def gettext(self, sentence: str, **facts: Any) -> str:
        """Translate a sentence and fill in its placeholders."""
        said: str = self.translations.gettext(sentence)
        return said % facts if facts else said

    def ngettext(self, one: str, many: str, number: int, **facts: Any) -> str:
        """Translate a sentence in the plural form of `number`."""
        said: str = self.translations.ngettext(one, many, number)
        return said % {"number": number, **facts}

    def list(self, items: Sequence[str]) -> str:
        """Format a list: "a, b and c"."""
        return format_list(items, locale=_written(self.code))

    def name(self) -> str:
        """Return the language's name in that language."""
        return (Locale.parse(self.code).get_display_name(self.code) or self.code).capitalize()

    def language_name(self, code: str) -> str:
        """Return the name of another language in this one."""
        return str(Locale.parse(self.code).languages.get(code, code))

    def format_date(self, day: date, form: str = "medium") -> str:
        """Format a date: `long` for sentences, `medium` for tables."""
        return _whole(format_date(day, form, _written(self.code)))

    def format_month(self, day: date) -> str:
        """Format the month of a day: "January 2026"."""
        return _whole(format_skeleton("yMMMM", day, locale=_written(self.code)))

    def percentage(self, number: float) -> str:
        """Format a percentage, with one decimal at most."""
        return format_percent(number / 100, "#,##0.#\u00a0%", locale=_written(self.code))

    def number(self, number: int) -> str:
        """Format a whole number."""
        return format_decimal(number, locale=_written(self.code))

    def format_datetime(self, when: datetime, zone: tzinfo) -> str:
        """Format a date and time, to the minute."""
        there = when.astimezone(zone)
        time = f"{format_time(there, 'short', locale=_written(self.code))} {there.tzname()}"
        return self.gettext("%(day)s, %(time)s", day=self.format_date(there.date(), "long"), time=_whole(time))


def _whole(when: str) -> str:
    # A day stays on one line, and a time with its zone too: the next line begins between the two
    return when.replace(" ", "\N{NO-BREAK SPACE}")


def _written(code: str) -> str:
    return _FORMAT_LOCALES.get(code, code)


def gettext_noop(sentence: str) -> str:
    """Mark a sentence of a table for the catalogues, without translating it."""
    return sentence


@cache
def languages() -> Mapping[str, Language]:
    """Return each language by its code; catalogues are read once in a process."""
    return MappingProxyType({code: Language(code, _read(catalogue, code)) for code, catalogue in catalogues().items()})


class ChosenBy(StrEnum):
    """What determined the language of a page, by precedence."""

    ADDRESS = "address"
    """The user, in the address of this request: `?lang=fi`."""
    COOKIE = "cookie"
    """The user, in an earlier request."""
    BROWSER = "browser"
    NONE = "none"
    """It is the service's default, which the organisation's language replaces once the person is known."""


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """The language of a page, and what determined it."""

    language: Language
    by: ChosenBy = ChosenBy.NONE


class LanguageNegotiator:
    """Chooses the language of a page."""

    def __init__(self, known: Mapping[str, Language], default: str) -> None:
        self._known = known
        self._default = LanguageChoice(known[default])

    def choose(self, asked: str, kept: str, header: str) -> LanguageChoice:
        """Choose by query parameter, cookie and Accept-Language."""
        for code, by in ((asked, ChosenBy.ADDRESS), (kept, ChosenBy.COOKIE)):
            if code in self._known:
                return LanguageChoice(self._known[code], by)
        return self._of_header(header)

    def for_organisation(self, choice: LanguageChoice, code: str) -> LanguageChoice:
        """Choose the organisation's language, unless the user or browser chose."""
        return LanguageChoice(self._known[code]) if choice.by is ChosenBy.NONE and code in self._known else choice

    def _of_header(self, header: str) -> LanguageChoice:
        wanted = [each.replace("-", "_") for each in accepted(header)]
        code = negotiate_locale(wanted, list(self._known), sep="_")
        return LanguageChoice(self._known[code], ChosenBy.BROWSER) if code else self._default


def accepted(header: str) -> list[str]:
    """Parse Accept-Language by preference (RFC 9110, section 12.5.4)."""
    ranges = []
    for position, part in enumerate(header[:500].split(",")):
        found = _RANGE.fullmatch(part)
        weight = float(found["weight"] or 1) if found else 0
        if found and weight > 0:
            ranges.append((-weight, position, found["name"]))
    return [name for _, _, name in sorted(ranges)]


def _read(catalogue: Traversable, code: str) -> NullTranslations:
    compiled = io.BytesIO()
    with catalogue.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return Translations(fp=compiled)
