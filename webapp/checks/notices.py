"""Checks that the operator's texts exist in each language."""

from __future__ import annotations

from collections.abc import Iterator

from shibboleth.orcid_id import Registry
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.config.texts import LANGUAGES
from webapp.pages.operator_texts import incomplete_translations
from webapp.wiring.pages import operator_texts_of


def check_notices(config: Config) -> Iterator[CheckResult]:
    """Check the privacy notice and the accessibility statement.

    What is missing is an error with the production registry, otherwise a warning.
    """
    level = Level.ERROR if config.service.registry is Registry.PRODUCTION else Level.WARNING
    known = operator_texts_of(config)
    found = [_missing(level, code, names) for code, names in known.missing_texts(LANGUAGES)]
    if not known.statement.status or known.statement.assessed is None:
        fix = 'write [accessibility] with status = "fully", "partially" or "not", and assessed = "2026-11-25"'
        text = "the accessibility statement lacks the status of the pages or the date of its assessment"
        found.append(CheckResult(level, "notices", text, fix, {"missing": ["accessibility"]}))
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        for code, names in incomplete_translations(settings.texts, LANGUAGES):
            text = f"the own texts of {organisation.id} lack in {code}: {', '.join(names)}"
            fix = f"write them in organisations/{organisation.id}.toml, [notices.{code}]"
            found.append(
                CheckResult(level, "notices", text, fix, {"id": organisation.id, "language": code, "missing": names})
            )
    yield from found or [CheckResult(Level.OK, "notices", f"complete in {', '.join(LANGUAGES)}")]


def _missing(level: Level, code: str, names: list[str]) -> CheckResult:
    text = f"privacy notice and accessibility statement lack in {code}: {', '.join(names)}"
    fix = f"write them in [notices.{code}]; docs/privacy.md says what each is for"
    return CheckResult(level, "notices", text, fix, {"language": code, "missing": names})
