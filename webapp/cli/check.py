"""`orcid-connect check`: what `webapp/checks/run.py` finds, for a person and for a machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import click

from webapp.checks.result import CheckResult, Level
from webapp.cli.common import (
    MISCONFIGURED,
    WRONG,
    configuration,
    counted,
    json_option,
    now,
    print_json,
    problems_told,
    store_of,
)
from webapp.config.errors import Misconfigured


@click.command()
@click.option("--orcid", is_flag=True, help="Also ask ORCID whether it is there.")
@json_option
@click.pass_obj
def check(path: Path, *, orcid: bool, as_json: bool) -> None:
    """Look at configuration, store and audit, and say what to mend.

    Exit code 2 when the configuration cannot be used, 1 when something else needs mending. Writes nothing.
    """
    from webapp.checks import run as checking  # noqa: PLC0415 - the connector's command does not load the pages

    try:
        config = configuration(path)
        with store_of(config) as store:
            found = list(checking.look(config, store, now()))
    except Misconfigured as error:
        _refuse(error, as_json=as_json)
    if orcid:
        found.append(checking.ask_orcid(config))
    wrong = sum(one.level is Level.WRONG for one in found)
    if as_json:
        print_json({"ok": not wrong, "problems": [], "findings": [_finding_json(one) for one in found]})
    else:
        click.echo(_found(found))
        click.echo(
            "\n" + (f"{counted(wrong, 'thing needs', 'things need')} mending." if wrong else "Nothing is wrong.")
        )
    sys.exit(WRONG if wrong else 0)


def _refuse(error: Misconfigured, *, as_json: bool) -> NoReturn:
    if as_json:
        problems = [{"file": p.file, "key": p.key, "text": p.text, "mend": p.mend} for p in error.problems]
        print_json({"ok": False, "problems": problems, "findings": []})
    else:
        click.echo(problems_told(error.problems))
    sys.exit(MISCONFIGURED)


def _found(findings: Iterable[CheckResult]) -> str:
    lines = []
    for one in findings:
        lines.append(f"{one.level:<8} {one.about:<14} {one.text}")
        lines += [f"{'':<8} {'':<14} → {one.mend}"] if one.mend else []
    return "\n".join(lines)


def _finding_json(one: CheckResult) -> dict[str, Any]:
    return {"level": one.level, "about": one.about, "text": one.text, "mend": one.mend, "facts": dict(one.facts)}
