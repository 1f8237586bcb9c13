"""`orcid-connect link reconcile`: remove links of accounts that a list lacks."""

from __future__ import annotations

from pathlib import Path

import click

from resolver_connector.csv_file import read_csv
from resolver_connector.deprovision import COLUMNS, MAX_PERCENT, cancelled_json, pending_json, read_person_keys
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import json_option, organisation_argument
from webapp.cli.output import pluralize, print_json, printable
from webapp.cli.removals import list_errors, made_at, max_percent_option, print_removals


@click.command()
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--rows",
    metavar="NUMBER",
    required=True,
    type=click.IntRange(min=1),
    help="How many accounts the file has, as its sender states; a file with another number is refused.",
)
@max_percent_option("The largest share of the organisation's links that may be removed.")
@click.option("--dry-run", is_flag=True, help="Change nothing; print whose links would be removed.")
@json_option
@click.pass_obj
@handle_errors
def reconcile(  # noqa: PLR0913 - one parameter for each option
    path: Path, name: str, file: Path, *, rows: int, max_percent: int | None, dry_run: bool, as_json: bool
) -> None:
    """Remove the links of accounts that are not in a list, after an hour.

    FILE is CSV with one column, account; its time of modification is taken for the time at which the list was made.
    """
    config = load_config(path)
    organisation, now = find_organisation(config, name), utc_now()
    with list_errors(file, organisation.id):
        at = made_at(file, now)
        keys = read_person_keys(organisation, read_csv(file, COLUMNS, COLUMNS), rows)
        with open_store(config) as store:
            scheduled = store.removals.schedule(
                organisation.id, keys, at, "operator", now, max_percent=max_percent or MAX_PERCENT, dry_run=dry_run
            )
    if as_json:
        listed = {"dry_run": dry_run, "rows": rows, "links": scheduled.links, **pending_json(scheduled)}
        print_json({**listed, "accounts": list(scheduled.accounts)})
        return
    print_removals(scheduled, organisation.id, dry_run=dry_run)


@click.command(name="cancel-removals")
@organisation_argument
@json_option
@click.pass_obj
@handle_errors
def cancel_removals(path: Path, name: str, *, as_json: bool) -> None:
    """Cancel the removals that a list has scheduled, and print which list it was.

    Exit code 1 if there are none.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    with open_store(config) as store:
        cancelled = store.removals.cancel(organisation.id, "operator", utc_now())
    if as_json:
        print_json(cancelled_json(cancelled))
    if not cancelled.count:
        raise CommandError(f"no removals of {organisation.id} are pending")
    if not as_json:
        system = "" if cancelled.source is None else f" of {printable(cancelled.source)}"
        sender = "the command line" if cancelled.credential is None else f"the credential {cancelled.credential}"
        removals = pluralize(cancelled.count, "removal", "removals")
        click.echo(f"cancelled {removals} by a list{system}, which came from {sender}")
