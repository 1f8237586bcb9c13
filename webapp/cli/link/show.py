"""`orcid-connect link show`, and how one link is printed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from sql.records import Link, ReleaseState
from webapp.cli.context import find_organisation, load_config, open_store
from webapp.cli.errors import EXIT_FAILURE, CommandError, handle_errors
from webapp.cli.link.list import link_json
from webapp.cli.options import account_argument, json_option, organisation_argument
from webapp.cli.output import format_table, format_time, print_json, printable

_RELEASE = {
    ReleaseState.SEEN: "released at a sign-in",
    ReleaseState.OTHER: "a sign-in brought another iD",
    ReleaseState.MISSING: "a sign-in brought no iD",
}


@click.command()
@organisation_argument
@account_argument
@json_option
@click.pass_obj
@handle_errors
def show(path: Path, name: str, account: str, *, as_json: bool) -> None:
    """Show a person's link. Exit code 1 if there is none."""
    config = load_config(path)
    organisation = find_organisation(config, name)
    with open_store(config) as store:
        link = store.links.get(organisation.id, fold(account))
    if as_json:
        print_json({"link": None if link is None else link_json(organisation, link)})
        sys.exit(EXIT_FAILURE if link is None else 0)
    if link is None:
        raise no_link(organisation, account)
    click.echo(format_link(organisation, link))


def no_link(organisation: Organisation, account: str) -> CommandError:
    """Return the error for an account without a link.

    If the scope of the account is not one of the organisation's, the message names the organisation's scopes.
    """
    text = f"{printable(account)} has no link at {organisation.id}"
    if not organisation.has_scope(account.rpartition("@")[2]):
        text += f"; its accounts end in {', '.join('@' + scope for scope in sorted(organisation.scopes))}"
    return CommandError(text)


def format_link(organisation: Organisation, link: Link) -> str:
    """Format a link as a table of names and values."""
    release = link.release
    return format_table(
        [
            ("organisation", f"{organisation.id}, {organisation.name('en')}"),
            ("account", printable(link.account)),
            ("ORCID iD", link.orcid_id.uri),
            ("linked", format_time(link.linked_at)),
            _authentication(link),
            ("record", _record(link)),
            ("release", f"{_RELEASE[release.state]}, first {format_time(release.at)}" if release else "not seen yet"),
        ]
    )


def _authentication(link: Link) -> tuple[str, str]:
    if link.attested:
        at = link.authenticated_at or link.linked_at
        return "attested", f"authenticated in {printable(link.source)}, {format_time(at)}"
    consent = link.consent
    return "consent", f"version {consent.version}, {consent.language}, {format_time(consent.at)}"


def _record(link: Link) -> str:
    record = link.record
    if record is None:
        return "not looked up yet"
    primary = f", merged into {record.primary}" if record.primary else ""
    suspended = f"; not released since {format_time(link.suspended_at)}" if link.suspended_at else ""
    return (
        f"{record.state} since {format_time(record.since)}, seen {format_time(record.checked_at)}{primary}{suspended}"
    )
