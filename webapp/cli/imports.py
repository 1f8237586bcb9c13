"""`orcid-connect import`: import links that an organisation attests."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import click

from resolver_connector.attested.bulk import AttestedList, Replacement
from resolver_connector.attested.rows import MEMBERS, RowReader, invalid_source
from resolver_connector.csv_file import InvalidCsvFile
from resolver_connector.deprovision import MAX_PERCENT
from sql.repositories.attested_links import AttestedLink, Outcome, RowResult
from sql.repositories.base import Attester
from sql.repositories.deletion.removals import PendingRemovals
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, open_store, require_kept_links, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.cli.output import printable
from webapp.cli.removals import list_errors, made_at, max_percent_option, print_removals


def parse_columns(_context: click.Context, _option: click.Parameter, text: str | None) -> Mapping[str, str]:
    """Return the names of columns of a file, and what each holds.

    Raises:
        BadParameter: If the text is not a row of CSV with cells such as `account=Login`.
    """
    try:
        cells = next(csv.reader([text or ""], strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise click.BadParameter(str(error)) from None
    pairs = [cell.partition("=")[::2] for cell in cells]
    columns = {column.strip(): member.strip() for member, column in pairs}
    if "" in columns or not set(columns.values()) <= set(MEMBERS):
        raise click.BadParameter(f"each must be NAME=COLUMN, where NAME is one of {', '.join(MEMBERS)}")
    if not len(columns) == len(set(columns.values())) == len(pairs):
        raise click.BadParameter("a name or a column is there twice")
    return columns


@click.command(name="import")
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--attested-by",
    metavar="TEXT",
    help="The system in which people authenticated these iDs, for rows that name none.",
)
@click.option(
    "--columns",
    metavar="NAMES",
    callback=parse_columns,
    help='The names of the columns in the file, for example account=Login,orcid="ORCID iD".',
)
@click.option(
    "--mode",
    type=click.Choice(("merge", "replace")),
    default="merge",
    show_default=True,
    help="With replace, the links of the system that the file lacks are removed after an hour.",
)
@click.option(
    "--rows",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    help="With replace: how many rows the file has, as its sender states; a file with another number is refused.",
)
@max_percent_option("With replace: the largest share of the system's links that may be removed.")
@click.option(
    "--credential",
    metavar="NAME",
    help="The credential of the system that wrote the file; its own feed and transfer do not get the links back.",
)
@click.option("--yes", is_flag=True, help="Import the links; otherwise only show what would become of each row.")
@click.pass_obj
@handle_errors
def import_links(  # noqa: PLR0913 - one parameter for each option
    path: Path,
    name: str,
    file: Path,
    *,
    attested_by: str | None,
    columns: Mapping[str, str],
    mode: str,
    rows: int | None,
    max_percent: int | None,
    credential: str | None,
    yes: bool,
) -> None:
    """Import links that an organisation attests, from a CSV or NDJSON file.

    Without --yes, only check the file.

    Exit code 1 if a row is refused; the others are imported, but with --mode replace none is.
    """
    config = load_config(path)
    organisation, now = find_organisation(config, name), utc_now()
    require_kept_links(config, organisation, "no link is stored with which an imported ORCID iD could be compared")
    replaces = mode == "replace"
    if replaces and (rows is None or attested_by is None):
        raise click.UsageError("--mode replace needs --rows and --attested-by.")
    if (rows is not None or max_percent is not None) and not replaces:
        raise click.UsageError("--rows and --max-percent are for --mode replace.")
    if attested_by is not None and (problem := invalid_source(attested_by)):
        raise CommandError(f"--attested-by: {problem}")
    reader = RowReader(
        organisation, config.service.registry, now, attested_by or "", only_source=replaces, columns=columns
    )
    names = [each.name for each in config.organisation_settings[organisation.id].credentials]
    if credential is not None and credential not in names:
        known = ", ".join(names) or "none"
        raise CommandError(f"--credential: unknown credential {printable(credential)}; {organisation.id} has {known}")
    system = config.receivers.attester(organisation.id, credential)
    refused: list[RowResult] = []
    try:
        with list_errors(file, organisation.id), _opened(file) as opened, open_store(config) as store:
            replacement = None if rows is None else Replacement(rows, made_at(file, now), max_percent or MAX_PERCENT)
            counts, removals = _import(store, reader, opened, replacement, system, refused, dry_run=not yes)
    finally:
        # After the progress bar, which they would break
        for result in refused:
            click.echo(f"line {result.line}: {printable(result.reason)}")
    click.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))
    if removals is not None:
        print_removals(removals, organisation.id, dry_run=not yes)
    if not yes:
        click.echo("nothing was imported yet: add --yes to import")
    if refused:
        raise CommandError("correct or remove the refused rows, and import the file again")


def _import(  # noqa: PLR0913, PLR0917 - what is imported, where, and how
    store: Store,
    reader: RowReader,
    file: BinaryIO,
    replacement: Replacement | None,
    system: Attester,
    refused: list[RowResult],
    *,
    dry_run: bool,
) -> tuple[Counter[Outcome], PendingRemovals | None]:
    counts: Counter[Outcome] = Counter()
    read_rows = reader.read_ndjson if _is_ndjson(file) else reader.read_csv
    # A file that replaces is refused as a whole, so it is read before anything is stored
    size = file.seek(0, io.SEEK_END) * (1 if replacement is None else 2)
    label = "checking" if dry_run else "importing"
    steps, hidden = size // 1000 + 1, not is_terminal()
    with click.progressbar(length=size, label=label, file=sys.stderr, update_min_steps=steps, hidden=hidden) as bar:

        def rows() -> Iterator[AttestedLink | RowResult]:
            file.seek(0)
            return read_rows(file, bar.update)

        attested = AttestedList(reader, rows, None, frozenset())
        if replacement is not None:
            attested = AttestedList.read(reader, rows, replacement)
        attested.schedule_removals(store, "operator", utc_now(), system, dry_run=True)
        for result in attested.store(store, "operator", system, dry_run=dry_run):
            counts[result.outcome] += 1
            if result.outcome is Outcome.REFUSED:
                refused.append(result)
    return counts, attested.schedule_removals(store, "operator", utc_now(), system, dry_run=dry_run)


def is_terminal() -> bool:
    """Return whether standard error is a terminal, on which progress is shown."""
    return sys.stderr.isatty()


def _opened(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise InvalidCsvFile("is not a regular file; write its content to one")
    return path.open("rb")


def _is_ndjson(file: BinaryIO) -> bool:
    # CSV begins with the name of a column
    start = file.read(1000)
    begins = start.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if begins == b"[":
        raise InvalidCsvFile("is a JSON array: write each of its objects on a line of its own")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and start.decode("utf-16", "ignore")[:1] == "{":
        raise InvalidCsvFile("is JSON in UTF-16: save it in UTF-8")
    return begins == b"{"
