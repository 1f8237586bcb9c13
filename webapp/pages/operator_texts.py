"""The operator's texts for the service and for single organisations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from webapp.config.texts import Texts
from webapp.i18n.catalogues import SOURCE

_NONE: Texts = MappingProxyType({})

PRIVACY = (
    "controller",
    "data_protection_officer",
    "legal_basis",
    "recipients",
    "retention",
    "supervisory_authority",
)
"""What a privacy notice needs that only the operator knows (GDPR, Articles 13 and 14)."""
ACCESSIBILITY = ("not_accessible", "feedback", "enforcement")
"""What an accessibility statement needs that only the operator knows (Implementing Decision (EU) 2018/1523)."""


@dataclass(frozen=True, slots=True)
class OperatorText:
    """A text by the operator: its paragraphs and its language."""

    paragraphs: tuple[str, ...]
    language: str


@dataclass(frozen=True, slots=True)
class AccessibilityStatement:
    """The part of the accessibility statement that is the same in each language."""

    status: str = ""
    """One of CONFORMANCE; empty if the operator has not set it."""
    assessed: date | None = None
    assessor: str = "self"


@dataclass(frozen=True, slots=True)
class OperatorTexts:
    """The operator's texts about the service."""

    texts: Texts = field(default_factory=lambda: _NONE)
    statement: AccessibilityStatement = field(default_factory=AccessibilityStatement)
    privacy_url: str = ""
    """A page of the operator's own that tells more."""

    def get(self, name: str, language: str, own: Texts = _NONE) -> OperatorText | None:
        """Return a text in this language, or in another; None if there is none."""
        for texts in (own, self.texts):
            for code in dict.fromkeys((language, SOURCE, *texts)):
                if name in texts.get(code, {}):
                    return OperatorText(tuple(texts[code][name].split("\n\n")), code)
        return None

    def missing_texts(self, languages: Mapping[str, object] | tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        """Yield each language whose texts are incomplete, and the missing names."""
        asked = (*PRIVACY, *(each for each in ACCESSIBILITY if self._needs(each)))
        for code in languages:
            if missing := [name for name in asked if name not in self.texts.get(code, {})]:
                yield code, missing

    def _needs(self, name: str) -> bool:
        return name != "not_accessible" or self.statement.status != "fully"


def incomplete_translations(texts: Texts, languages: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield languages that lack texts which another one has, and their names."""
    written = [name for name in PRIVACY if any(name in texts[code] for code in texts)]
    for code in languages:
        if missing := [name for name in written if name not in texts.get(code, {})]:
            yield code, missing
