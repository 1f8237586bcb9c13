"""The texts that are the operator's and not the program's: privacy notice, accessibility statement, how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, create_model

from webapp.config import values
from webapp.config.errors import InvalidSetting
from webapp.config.names import LANGUAGES
from webapp.config.tables import Table, section, setting

Texts = Mapping[str, Mapping[str, str]]
"""Texts of the operator's, by language and name."""

_TEXT = "text in quotes, or in three quotes where it has several paragraphs"
_LONGEST = 20_000

Paragraphs = Annotated[str, AfterValidator(lambda text: values.paragraphs(text, _LONGEST))]


class Conformance(StrEnum):
    """How far the pages do what EN 301 549 asks, in the words of Implementing Decision (EU) 2018/1523."""

    FULLY = "fully"
    PARTIALLY = "partially"
    NOT = "not"


class Assessor(StrEnum):
    """Who has looked."""

    SELF = "self"
    OUTSIDE = "outside"


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InvalidSetting("is not a day", 'write for example: assessed = "2026-11-25"') from None


def _text(meaning: str, example: str) -> Any:
    return setting(meaning, _TEXT, example, default=None)


class PrivacyTexts(Table):
    """What the privacy notice says in one language, beside what the program itself knows."""

    controller: Paragraphs | None = _text(
        "Who decides what happens with personal data: name, address, and whom to write to.",
        "University of Example, PO Box 1, 00014 Example. Write to: registry@example.org",
    )
    data_protection_officer: Paragraphs | None = _text(
        "The data protection officer, and how to reach them.", "Erkki Esimerkki, dpo@example.org"
    )
    legal_basis: Paragraphs | None = _text(
        "On what ground of the law it happens, and for what.",
        "Your consent (GDPR, Article 6(1)(a)), which you may withdraw here at any time.",
    )
    recipients: Paragraphs | None = _text(
        "Who else gets to see it: who runs the machines, and to what countries it goes, if to any.",
        "The servers are run for us by Example Hosting Ltd. in Finland. Nothing goes outside the EU.",
    )
    retention: Paragraphs | None = _text(
        "How long you keep what the program does not: backups, and the log of the web server.",
        "Backups are kept for 30 days, and the log of the web server for 90.",
    )
    supervisory_authority: Paragraphs | None = _text(
        "To whom a person can complain.", "Office of the Data Protection Ombudsman, tietosuoja.fi"
    )


class NoticeTexts(PrivacyTexts):
    """What privacy notice and accessibility statement say in one language, beside what the program itself knows."""

    not_accessible: Paragraphs | None = _text(
        "What of the pages is not accessible, why, and what to do instead; not needed where they are fully so.",
        "The logo of the service has no text beside it.",
    )
    feedback: Paragraphs | None = _text(
        "Where to say that something is not accessible; an answer is due within 14 days.",
        "Write to accessibility@example.org, and we answer within 14 days.",
    )
    enforcement: Paragraphs | None = _text(
        "Who watches over accessibility, and how to reach them.",
        "Finnish Transport and Communications Agency Traficom, Digital Accessibility Supervision Unit, "
        "www.webaccessibility.fi",
    )


class Accessibility(Table):
    """What the accessibility statement says that is the same in each language."""

    status: Annotated[Conformance, Field(strict=False)] | None = setting(
        "How far the pages do what the law asks.", '"fully", "partially" or "not"', "fully", default=None
    )
    assessed: Annotated[str, AfterValidator(_day)] | None = setting(
        "When that was looked at, and the statement made.", "a day in quotes", "2026-11-25", default=None
    )
    assessor: Annotated[Assessor, Field(strict=False)] = setting(
        "Who looked at it.", '"self" or "outside"', "self", default=Assessor.SELF
    )


class RetentionTexts(Table):
    """How long is kept what has ended; without it, until the person has it erased."""

    ended_days: int | None = setting(
        "After how many days everything goes of somebody who has no link any more.",
        "a whole number from 30 to 3650",
        365,
        default=None,
        ge=30,
        le=3650,
    )


def _texts_table(name: str, texts: type[Table], meaning: str) -> type[Table]:
    fields: dict[str, Any] = {code: (texts, section()) for code in LANGUAGES}
    return create_model(name, __base__=Table, __doc__=meaning, **fields)


if TYPE_CHECKING:
    Notices = Table
    PrivacyNotices = Table
else:
    Notices = _texts_table("Notices", NoticeTexts, "Texts of privacy notice and accessibility statement, by language.")
    PrivacyNotices = _texts_table(
        "PrivacyNotices", PrivacyTexts, "What the privacy notice says otherwise for the organisation's people."
    )
