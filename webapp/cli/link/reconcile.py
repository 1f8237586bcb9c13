"""`orcid-connect link reconcile`: remove links of accounts that a list lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from resolver_connector.csv_file import InvalidCsvFile, read_csv
from resolver_connector.deprovision import (
    COLUMNS,
    MAX_PERCENT,
    InvalidList,
    check_made_at,
    pending_json,
    read_person_keys,
)
from sql.repositories.retention import RemovalsPending, TooManyRemovals
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import json_option, organisation_argument
from webapp.cli.output import format_time, pluralize, print_json, printable


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
@click.option(
    "--max-percent",
    metavar="PERCENT",
    default=MAX_PERCENT,
    show_default=True,
    type=click.IntRange(1, 100),
    help="The largest share of the organisation's links that may be removed.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; print whose links would be removed.")
@json_option
@click.pass_obj
@handle_errors
def reconcile(  # noqa: PLR0913 - one parameter for each option
    path: Path, name: str, file: Path, *, rows: int, max_percent: int, dry_run: bool, as_json: bool
) -> None:
    """Remove the links of accounts that are not in a list, after an hour.

    FILE is CSV with one column, account; its time of modification is taken for the time at which the list was made.
    """
    config = load_config(path)
    organisation, now = find_organisation(config, name), utc_now()
    try:
        made_at = check_made_at(datetime.fromtimestamp(file.stat().st_mtime, UTC), now)
        keys = read_person_keys(organisation, read_csv(file, COLUMNS, COLUMNS), rows)
        with open_store(config) as store:
            scheduled = store.retention.schedule_removals(
                organisation.id, keys, made_at, "operator", now, max_percent=max_percent, dry_run=dry_run
            )
    except OSError as error:
        raise CommandError(f"{file}: cannot be read: {error.strerror}") from None
    except (InvalidList, InvalidCsvFile) as error:
        raise CommandError(f"{file}: {error}") from None
    except RemovalsPending as error:
        raise CommandError(f"{error}: orcid-connect link cancel-removals {organisation.id}") from None
    except TooManyRemovals as error:
        raise CommandError(str(error).replace("max_percent", "--max-percent")) from None
    if as_json:
        listed = {"dry_run": dry_run, "rows": rows, "links": scheduled.links, **pending_json(scheduled)}
        print_json({**listed, "accounts": list(scheduled.accounts)})
        return
    for account in scheduled.accounts:
        click.echo(printable(account))
    links = f"{scheduled.count} of {pluralize(scheduled.links, 'link', 'links')}"
    if scheduled.due_at is None or dry_run:
        click.echo(f"{links} would be removed" if scheduled.count else f"{links}: nothing is removed")
        return
    when = format_time(scheduled.due_at)
    click.echo(f"{links} will be removed at {when}; to cancel: orcid-connect link cancel-removals {organisation.id}")


@click.command(name="cancel-removals")
@organisation_argument
@json_option
@click.pass_obj
@handle_errors
def cancel_removals(path: Path, name: str, *, as_json: bool) -> None:
    """Cancel the removals that a list has scheduled.

    Exit code 1 if there are none.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    with open_store(config) as store:
        count = store.retention.cancel_removals(organisation.id, "operator", utc_now())
    if as_json:
        print_json({"cancelled": count})
    if not count:
        raise CommandError(f"no removals of {organisation.id} are pending")
    if not as_json:
        click.echo(f"cancelled {pluralize(count, 'removal', 'removals')}")
