"""`orcid-connect import`: import links that an organisation attests."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from resolver_connector.attested.rows import RowReader, invalid_source
from resolver_connector.csv_file import InvalidCsvFile
from sql.repositories.attested_links import Outcome
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.cli.output import printable
from webapp.config.loader import Config


@click.command(name="import")
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--attested-by",
    metavar="TEXT",
    help="The system in which people authenticated these iDs, for rows that name none.",
)
@click.option("--yes", is_flag=True, help="Import the links; otherwise only show what would become of each line.")
@click.pass_obj
@handle_errors
def import_links(path: Path, name: str, file: Path, *, attested_by: str | None, yes: bool) -> None:
    """Import links that an organisation attests, from a CSV file.

    Without --yes, only check the file.

    Exit code 1 if a line is refused; the others are imported.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    if attested_by is not None and (problem := invalid_source(attested_by)):
        raise CommandError(f"--attested-by: {problem}")
    reader = RowReader(organisation, config.service.registry, utc_now(), attested_by or "")
    try:
        with open_store(config) as store:
            counts = _import(config, store, reader, file, dry_run=not yes)
    except (InvalidCsvFile, OSError) as error:
        raise CommandError(f"{file}: {error.strerror if isinstance(error, OSError) else error}") from None
    click.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))
    if not yes:
        click.echo("nothing was imported yet: add --yes to import")
    if counts[Outcome.REFUSED]:
        raise CommandError("correct or remove the refused lines, and import the file again")


def _import(config: Config, store: Store, reader: RowReader, path: Path, *, dry_run: bool) -> Counter[Outcome]:
    counts: Counter[Outcome] = Counter()
    label, size = ("checking" if dry_run else "importing"), path.stat().st_size
    with (
        path.open("rb") as file,
        click.progressbar(length=size, label=label, file=sys.stderr, update_min_steps=size // 1000 + 1) as bar,
    ):
        results = store.attested_links.add(
            reader.organisation.id,
            reader.read_csv(file, bar.update),
            "operator",
            reader.now,
            transfers=tuple(config.organisation_settings[reader.organisation.id].transfers),
            key_attribute=reader.organisation.key,
            dry_run=dry_run,
        )
        for result in results:
            counts[result.outcome] += 1
            if result.reason:
                click.echo(f"line {result.line}: {printable(result.reason)}")
    return counts
