"""Texts and names in several languages: organisations, transfers, notices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, create_model

from webapp.config import validators
from webapp.config.base import Table, section, setting
from webapp.config.errors import InvalidSetting
from webapp.i18n.catalogues import SOURCE, catalogues

LANGUAGES = tuple(catalogues())
_QUOTED = [f'"{code}"' for code in LANGUAGES]
A_LANGUAGE = f"{', '.join(_QUOTED[:-1])} or {_QUOTED[-1]}"
"""A language, in words that follow "must be"."""

Texts = Mapping[str, Mapping[str, str]]
"""Texts by language and name."""

_LANGUAGE_NAMES = {"en": "English", "fi": "Finnish", "sv": "Swedish"}
_ORGANISATION = {"en": "University of Example", "fi": "Esimerkin yliopisto", "sv": "Exempels universitet"}
_SERVICE = {"en": "ORCID connect", "fi": "ORCID-yhdistämispalvelu", "sv": "ORCID-kopplingstjänsten"}
_TRANSFER = {"en": "Staff register", "fi": "Henkilörekisteri", "sv": "Personalregistret"}

_TEXT = "text in quotes, or in three quotes where it has several paragraphs"
_MAX_TEXT = 20_000

Paragraphs = Annotated[str, AfterValidator(lambda text: validators.paragraphs(text, _MAX_TEXT))]


def _names_table(name: str, description: str, examples: dict[str, str], *, english: bool) -> type[Table]:
    # `english`: whether a name in English is required, because it replaces missing ones
    line, fields = Annotated[str, AfterValidator(validators.single_line)], dict[str, Any]()
    for code in LANGUAGES:
        example = examples.get(code, examples[SOURCE])
        text = f"Its name in {_LANGUAGE_NAMES.get(code, f'the language `{code}`')}"
        if code == SOURCE and english:
            text += ", which also replaces a missing one in another language"
            fields[code] = (line, setting(f"{text}.", "one line of text in quotes", example))
        else:
            fields[code] = (line | None, setting(f"{text}.", "one line of text in quotes", example, default=None))
    return create_model(name, __base__=Table, __doc__=description, **fields)


ORGANISATION_NAMES = _names_table("Names", "The organisation's name in each language.", _ORGANISATION, english=True)
SERVICE_NAMES = _names_table("ServiceNames", "The name of the service in each language.", _SERVICE, english=False)
TRANSFER_LABELS = _names_table("Label", "What the pages call the transfer, in each language.", _TRANSFER, english=False)


class Conformance(StrEnum):
    """How far the pages conform to EN 301 549.

    The terms are those of Implementing Decision (EU) 2018/1523.
    """

    FULLY = "fully"
    PARTIALLY = "partially"
    NOT = "not"


class Assessor(StrEnum):
    """Who made the assessment."""

    SELF = "self"
    OUTSIDE = "outside"


def _validate_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InvalidSetting("is not a date", 'write for example: assessed = "2026-11-25"') from None


def _text(description: str, example: str) -> Any:
    return setting(description, _TEXT, example, default=None)


class PrivacyTexts(Table):
    """The operator's texts of the privacy notice in one language."""

    controller: Paragraphs | None = _text(
        "The controller of the personal data: name, address and contact.",
        "University of Example, PO Box 1, 00014 Example. Write to: registry@example.org",
    )
    data_protection_officer: Paragraphs | None = _text(
        "The data protection officer, and how to reach them.", "Erkki Esimerkki, dpo@example.org"
    )
    legal_basis: Paragraphs | None = _text(
        "The legal basis and the purposes.",
        "Your consent (GDPR, Article 6(1)(a)), which you may withdraw here at any time.",
    )
    recipients: Paragraphs | None = _text(
        "Other recipients: who hosts the servers, and to which countries data is transferred, if any.",
        "The servers are run for us by Example Hosting Ltd. in Finland. Nothing goes outside the EU.",
    )
    retention: Paragraphs | None = _text(
        "How long you keep data outside the program: backups, and the log of the web server.",
        "Backups are kept for 30 days, and the log of the web server for 90.",
    )
    supervisory_authority: Paragraphs | None = _text(
        "The authority to which a person can complain.", "Office of the Data Protection Ombudsman, tietosuoja.fi"
    )


class NoticeTexts(PrivacyTexts):
    """The operator's texts of the two notices in one language.

    They are the privacy notice and the accessibility statement.
    """

    not_accessible: Paragraphs | None = _text(
        "Which parts of the pages are not accessible, why, and the alternatives; not needed if all are.",
        "The logo of the service has no text beside it.",
    )
    feedback: Paragraphs | None = _text(
        "Where to report what is not accessible; an answer is due within 14 days.",
        "Write to accessibility@example.org, and we answer within 14 days.",
    )
    enforcement: Paragraphs | None = _text(
        "The authority that supervises accessibility, and its contact.",
        "Finnish Transport and Communications Agency Traficom, Digital Accessibility Supervision Unit, "
        "www.webaccessibility.fi",
    )


class AccessibilitySettings(Table):
    """The part of the accessibility statement that is the same in each language."""

    status: Annotated[Conformance, Field(strict=False)] | None = setting(
        "How far the pages conform to the law.", '"fully", "partially" or "not"', "fully", default=None
    )
    assessed: Annotated[str, AfterValidator(_validate_date)] | None = setting(
        "When the pages were assessed, and the statement made.", "a date in quotes", "2026-11-25", default=None
    )
    assessor: Annotated[Assessor, Field(strict=False)] = setting(
        "Who assessed them.", '"self" or "outside"', "self", default=Assessor.SELF
    )


class RetentionSettings(Table):
    """How long data is kept after a link has ended.

    Without a limit it is kept until the person erases it.
    """

    ended_days: int | None = setting(
        "Days after which all data of a person without a link is deleted.",
        "a whole number from 30 to 3650",
        365,
        default=None,
        ge=30,
        le=3650,
    )


def _texts_table(name: str, texts: type[Table], description: str) -> type[Table]:
    fields: dict[str, Any] = {code: (texts, section()) for code in LANGUAGES}
    return create_model(name, __base__=Table, __doc__=description, **fields)


if TYPE_CHECKING:
    Notices = Table
    PrivacyNotices = Table
else:
    Notices = _texts_table("Notices", NoticeTexts, "Texts of privacy notice and accessibility statement, by language.")
    PrivacyNotices = _texts_table(
        "PrivacyNotices", PrivacyTexts, "What the privacy notice says otherwise for the organisation's people."
    )
