"""`orcid-connect link move`: move links to renamed accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from resolver_connector.csv_file import InvalidCsvFile, read_csv
from shibboleth.account_holder import UNKNOWN_HOLDER, AccountHolder
from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from shibboleth.person import invalid_account
from sql.errors import AccountLinked
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import EXIT_FAILURE, CommandError, handle_errors
from webapp.cli.options import json_option, organisation_argument, reason_option, require_yes, yes_option
from webapp.cli.output import print_json, printable

COLUMNS = ("old", "new")


@click.command()
@organisation_argument
@click.argument("old", metavar="OLD", required=False)
@click.argument("new", metavar="NEW", required=False)
@click.option(
    "--file",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Move the link of each row of a CSV file with the columns old and new.",
)
@click.option("--forget-stable-id", is_flag=True, help="Forget the stable ids, because they were renamed too.")
@reason_option("The reason, in one line; it is kept in the audit log.")
@yes_option
@json_option
@click.pass_obj
@handle_errors
def move(  # noqa: PLR0913 - one parameter for each option
    path: Path,
    name: str,
    old: str | None,
    new: str | None,
    *,
    file: Path | None,
    forget_stable_id: bool,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Move a link from the account OLD to the account NEW of the same person.

    Each link is moved by itself; those that cannot be are listed, and the exit code is 1.
    """
    require_yes(yes=yes, as_json=as_json)
    if (old is None or new is None) == (file is None):
        raise click.UsageError("name OLD and NEW, or a file with --file.")
    config = load_config(path)
    organisation = find_organisation(config, name)
    pairs = [(old, new)] if old is not None and new is not None else [*_pairs(file or path)]
    if not yes:
        for before, after in pairs:
            click.echo(f"{printable(before)} -> {printable(after)}")
        click.confirm(f"Move {len(pairs)} link(s)?", abort=True)
    transfers, results = tuple(config.organisation_settings[organisation.id].transfers), []
    holder = UNKNOWN_HOLDER if forget_stable_id else None
    with open_store(config) as store:
        for before, after in pairs:
            problem = _move(store, organisation, before, after, reason, holder, transfers)
            results.append({"old": before, "new": after, "moved": not problem, "problem": problem or None})
            if not as_json:
                click.echo(f"{printable(before)} -> {printable(after)}: {problem or 'moved'}")
    if as_json:
        print_json({"links": results})
    if any(each["problem"] for each in results):
        sys.exit(EXIT_FAILURE)


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    try:
        for row in read_csv(file, COLUMNS, COLUMNS):
            if row.error:
                raise CommandError(f"{file}, line {row.line}: {row.error}")
            yield row.cells["old"], row.cells["new"]
    except InvalidCsvFile as error:
        raise CommandError(f"{file}: {error}") from None


def _move(  # noqa: PLR0913, PLR0917 - all that the audit log says
    store: Store,
    organisation: Organisation,
    old: str,
    new: str,
    reason: str,
    holder: AccountHolder | None,
    transfers: tuple[str, ...],
) -> str:
    # Returns what is wrong; empty where the link was moved
    if problem := invalid_account(organisation, new):
        return f"the new account cannot be one: {problem}"
    move, now = store.links.move, utc_now()
    try:
        change = move(organisation.id, fold(old), new, "operator", reason, now, holder=holder, transfers=transfers)
    except AccountLinked:
        return "the new account has a link of its own"
    return "" if change is not None else "there is no link"
