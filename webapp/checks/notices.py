"""What `check` says about the operator's texts: which are missing, and in which language."""

from __future__ import annotations

from collections.abc import Iterator

from shibboleth.orcid_id import Registry
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.config.names import LANGUAGES
from webapp.pages.operator_texts import uneven
from webapp.wiring.pages import operator_texts_of


def notices(config: Config) -> Iterator[CheckResult]:
    """Tell what privacy notice and accessibility statement lack; with real people it needs mending."""
    level = Level.WRONG if config.service.registry is Registry.PRODUCTION else Level.WARNING
    known = operator_texts_of(config)
    found = [_lacking(level, code, names) for code, names in known.lacking(LANGUAGES)]
    if not known.statement.status or known.statement.assessed is None:
        mend = 'write [accessibility] with status = "fully", "partially" or "not", and assessed = "2026-11-25"'
        text = "the accessibility statement does not say how accessible the pages are, or when that was looked at"
        found.append(CheckResult(level, "notices", text, mend, {"missing": ["accessibility"]}))
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        for code, names in uneven(settings.texts, LANGUAGES):
            text = f"{organisation.id} says some things otherwise for its people, but not in {code}: {', '.join(names)}"
            mend = f"write them in organisations/{organisation.id}.toml, [notices.{code}]"
            found.append(
                CheckResult(level, "notices", text, mend, {"id": organisation.id, "language": code, "missing": names})
            )
    yield from found or [CheckResult(Level.OK, "notices", f"complete in {', '.join(LANGUAGES)}")]


def _lacking(level: Level, code: str, names: list[str]) -> CheckResult:
    text = f"privacy notice and accessibility statement lack in {code}: {', '.join(names)}"
    mend = f"write them in [notices.{code}]; docs/privacy.md says what each is for"
    return CheckResult(level, "notices", text, mend, {"language": code, "missing": names})
