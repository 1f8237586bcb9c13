"""`orcid-connect history`: show and verify the audit log."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shibboleth.attributes import fold
from webapp.checks.audit import check_audit_chain
from webapp.checks.result import Level
from webapp.cli.context import find_organisation, load_config, open_store
from webapp.cli.errors import EXIT_FAILURE, handle_errors
from webapp.cli.options import json_option, organisation_argument
from webapp.cli.output import format_table, format_time, print_json, printable
from webapp.log import quote_value


@click.command()
@organisation_argument
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option(
    "--limit",
    metavar="NUMBER",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="Show at most this many events, the newest ones.",
)
@json_option
@click.pass_obj
@handle_errors
def history(path: Path, name: str, account: str | None, *, limit: int, as_json: bool) -> None:
    """Show and verify the audit log of an organisation or a person.

    Exit code 1 if its chain is broken.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    person_key = None if account is None else fold(account)
    with open_store(config) as store:
        newest = store.audit.list_events(organisation.id, person_key, newest_first=True, limit=limit)
        events = list(newest)[::-1]
        chain = check_audit_chain(store, organisation.id)
    if as_json:
        listed = [
            {
                "number": event.number,
                "at": event.at.isoformat(),
                "kind": event.kind,
                "actor": event.actor,
                "person": event.person_key,
                "facts": dict(event.facts),
                "hash": event.hash,
            }
            for event in events
        ]
        print_json({"events": listed, **chain.details})
    else:
        rows = [
            (
                str(event.number),
                format_time(event.at),
                event.kind,
                event.actor,
                printable(event.person_key or "-"),
                " ".join(f"{key}={quote_value(value)}" for key, value in event.facts.items()),
            )
            for event in events
        ]
        click.echo(format_table(rows) or "no events")
        click.echo("\n" + chain.text)
    sys.exit(EXIT_FAILURE if chain.level is Level.ERROR else 0)
