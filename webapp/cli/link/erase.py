"""`orcid-connect link erase`: erase all data of a person."""

from __future__ import annotations

from pathlib import Path

import click

from shibboleth.attributes import fold
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
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
@reason_option("The reason, in one line; it is kept until the data is erased.")
@yes_option
@json_option
@click.pass_obj
@handle_errors
def erase(  # noqa: PLR0913 - one parameter for each option
    path: Path, name: str, account: str, *, reason: str, yes: bool, as_json: bool
) -> None:
    """Remove a person's link and erase all their data.

    Exit code 1 if there is none.

    If the organisation has to be told of the removal first, the worker erases the rest as soon as that is done.
    """
    require_yes(yes=yes, as_json=as_json)
    config = load_config(path)
    organisation = find_organisation(config, name)
    if not yes:
        click.confirm(f"Erase all data of {printable(account)} at {organisation.id}? It cannot be undone", abort=True)
    settings = config.organisation_settings[organisation.id]
    with open_store(config) as store:
        person = organisation.id, fold(account)
        erased = store.erasures.erase(
            *person,
            "operator",
            reason,
            utc_now(),
            transfers=tuple(settings.transfers),
            uses_feed=settings.uses_feed,
        )
    if as_json:
        print_json({"found": erased.found, "removed": erased.removal is not None, "done": erased.finished})
    if not erased.found:
        raise CommandError(f"no data is stored about {printable(account)} at {organisation.id}")
    if not as_json:
        rest = "" if erased.finished else "; the rest is erased as soon as the organisation has received the removal"
        click.echo(f"erased the data of {printable(account)}{rest}")
