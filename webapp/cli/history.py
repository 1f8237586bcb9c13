"""`orcid-connect history`: the audit, and whether its chain is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from shibboleth.attributes import fold
from sql.records import Event
from webapp.checks.audit import audit_of
from webapp.checks.result import Level
from webapp.cli.common import (
    WRONG,
    aligned,
    configuration,
    in_words,
    json_option,
    local_time,
    organisation_argument,
    organisation_of,
    print_json,
    ready_store,
    safe,
)
from webapp.log import quoted


@click.command()
@organisation_argument
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option(
    "--limit",
    metavar="NUMBER",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many lines at most, the newest ones.",
)
@json_option
@click.pass_obj
@in_words
def history(path: Path, name: str, account: str | None, *, limit: int, as_json: bool) -> None:
    """Show the audit of an organisation or of one person, and whether its chain is sound (exit code 1 if not)."""
    config = configuration(path)
    organisation = organisation_of(config, name)
    key = None if account is None else fold(account)
    with ready_store(config) as store:
        events = list(store.audit.list_events(organisation.entity_id, key, newest_first=True, limit=limit))[::-1]
        audit = audit_of(store, organisation)
    if as_json:
        print_json({"events": [_event_json(one) for one in events], **audit.facts})
    else:
        click.echo(aligned(_event_row(one) for one in events) or "no event")
        click.echo("\n" + audit.text)
    sys.exit(WRONG if audit.level is Level.WRONG else 0)


def _event_row(one: Event) -> tuple[str, ...]:
    facts = " ".join(f"{key}={quoted(value)}" for key, value in one.facts.items())
    return (str(one.number), local_time(one.at), one.kind, one.actor, safe(one.person_key or "-"), facts)


def _event_json(one: Event) -> dict[str, Any]:
    return {
        "number": one.number,
        "at": one.at.isoformat(),
        "kind": one.kind,
        "actor": one.actor,
        "person": one.person_key,
        "facts": dict(one.facts),
        "hash": one.hash,
    }
