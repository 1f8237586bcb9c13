"""`orcid-connect import`: import links that an organisation attests."""

from __future__ import annotations

import codecs
import csv
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from resolver_connector.attested.rows import MEMBERS, RowReader, invalid_source
from resolver_connector.csv_file import InvalidCsvFile
from sql.repositories.attested_links import AttestedLink, Outcome, RowResult
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.cli.output import printable
from webapp.config.loader import Config


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
@click.option("--yes", is_flag=True, help="Import the links; otherwise only show what would become of each row.")
@click.pass_obj
@handle_errors
def import_links(  # noqa: PLR0913 - one parameter for each option
    path: Path, name: str, file: Path, *, attested_by: str | None, columns: Mapping[str, str], yes: bool
) -> None:
    """Import links that an organisation attests, from a CSV or NDJSON file.

    Without --yes, only check the file.

    Exit code 1 if a row is refused; the others are imported.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    if attested_by is not None and (problem := invalid_source(attested_by)):
        raise CommandError(f"--attested-by: {problem}")
    reader = RowReader(organisation, config.service.registry, utc_now(), attested_by or "", columns=columns)
    refused: list[RowResult] = []
    try:
        with open_store(config) as store:
            counts = _import(config, store, reader, file, refused, dry_run=not yes)
    except (InvalidCsvFile, OSError) as error:
        raise CommandError(f"{file}: {error.strerror if isinstance(error, OSError) else error}") from None
    finally:
        # After the progress bar, which they would break
        for result in refused:
            click.echo(f"line {result.line}: {printable(result.reason)}")
    click.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))
    if not yes:
        click.echo("nothing was imported yet: add --yes to import")
    if refused:
        raise CommandError("correct or remove the refused rows, and import the file again")


def _import(  # noqa: PLR0913 - what is imported, where, and how
    config: Config, store: Store, reader: RowReader, path: Path, refused: list[RowResult], *, dry_run: bool
) -> Counter[Outcome]:
    counts: Counter[Outcome] = Counter()
    with _rows(path, reader, "checking" if dry_run else "importing") as rows:
        results = store.attested_links.add(
            reader.organisation.id,
            rows,
            "operator",
            reader.now,
            transfers=tuple(config.organisation_settings[reader.organisation.id].transfers),
            key_attribute=reader.organisation.key,
            dry_run=dry_run,
        )
        for result in results:
            counts[result.outcome] += 1
            if result.outcome is Outcome.REFUSED:
                refused.append(result)
    return counts


def is_terminal() -> bool:
    """Return whether somebody can see the progress."""
    return sys.stderr.isatty()


@contextmanager
def _rows(path: Path, reader: RowReader, label: str) -> Iterator[Iterator[AttestedLink | RowResult]]:
    if path.exists() and not path.is_file():
        raise InvalidCsvFile("is not a regular file; write its content to one")
    size = path.stat().st_size
    progress = click.progressbar(
        length=size, label=label, file=sys.stderr, update_min_steps=size // 1000 + 1, hidden=not is_terminal()
    )
    with path.open("rb") as file, progress as bar:
        yield (reader.read_ndjson if _is_ndjson(file) else reader.read_csv)(file, bar.update)


def _is_ndjson(file: BinaryIO) -> bool:
    # CSV begins with the name of a column
    start = file.read(1000)
    file.seek(0)
    begins = start.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if begins == b"[":
        raise InvalidCsvFile("is a JSON array: write each of its objects on a line of its own")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and start.decode("utf-16", "ignore")[:1] == "{":
        raise InvalidCsvFile("is JSON in UTF-16: save it in UTF-8")
    return begins == b"{"
