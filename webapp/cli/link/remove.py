"""`orcid-connect link remove`: remove a person's link as the operator."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shibboleth.attributes import fold
from sql.errors import LinkChanged
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import EXIT_FAILURE, CommandError, handle_errors
from webapp.cli.link.list import link_json
from webapp.cli.link.show import format_link, no_link
from webapp.cli.options import (
    account_argument,
    json_option,
    organisation_argument,
    reason_option,
    require_yes,
    yes_option,
)
from webapp.cli.output import print_json, printable


@click.command()
@organisation_argument
@account_argument
@reason_option("The reason, in one line; it is kept in the audit log.")
@yes_option
@json_option
@click.pass_obj
@handle_errors
def remove(  # noqa: PLR0913 - one parameter for each option
    path: Path, name: str, account: str, *, reason: str, yes: bool, as_json: bool
) -> None:
    """Remove a person's link. Exit code 1 if there is none.

    Nothing is removed if the person links another iD while you are asked for confirmation.
    """
    require_yes(yes=yes, as_json=as_json)
    config = load_config(path)
    organisation = find_organisation(config, name)
    removed = False
    with open_store(config) as store:
        link = store.links.get(organisation.id, fold(account))
        if link is not None and not yes:
            click.echo(format_link(organisation, link) + "\n")
            click.confirm("Remove this link?", abort=True)
        if link is not None:
            person, transfers = (
                (link.organisation, link.person_key),
                tuple(config.organisation_settings[link.organisation].transfers),
            )
            try:
                change = store.links.remove(*person, "operator", reason, utc_now(), link.orcid_id, transfers)
            except LinkChanged:
                text = "the person has linked another iD in the meantime; nothing was removed. See: link show"
                raise CommandError(text) from None
            removed = change is not None
    if as_json:
        print_json({"removed": link_json(organisation, link) if link is not None and removed else None})
        sys.exit(0 if removed else EXIT_FAILURE)
    if link is None or not removed:
        raise no_link(organisation, account)
    names = ", ".join(config.organisation_settings[link.organisation].transfers)
    then = f"sent to the organisation by: {names}" if names else "the organisation's next look-up finds no iD"
    click.echo(f"removed {link.orcid_id} from {printable(link.account)}; {then}")
