"""`orcid-connect import`: import links from a CSV file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from sql.repositories.imports import ImportResult
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.imports.file import ImportFile, InvalidImportFile, read_source
from webapp.cli.options import organisation_argument
from webapp.cli.output import printable
from webapp.config.loader import Config


@click.command(name="import")
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--attested-by",
    metavar="TEXT",
    help="The system in which people authenticated these iDs, if no column names it.",
)
@click.option("--yes", is_flag=True, help="Import the links if no line is rejected.")
@click.pass_obj
@handle_errors
def import_links(path: Path, name: str, file: Path, *, attested_by: str | None, yes: bool) -> None:
    """Import links that an organisation attests, from a CSV file.

    Without --yes, only check the file.

    Exit code 1 if a line is rejected; then nothing is imported.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    try:
        source = read_source(file, attested_by)
        links = ImportFile(file, organisation, config.service.registry, source, utc_now())
        with open_store(config) as store:
            result = _import(config, store, links, dry_run=True)
            if yes and not result.rejected:
                result = _import(config, store, links, dry_run=False)
    except InvalidImportFile as error:
        raise CommandError(f"{file}: {error}") from None
    click.echo(
        f"{result.linked} new, {result.unchanged} already linked, {result.rejected} rejected; "
        f"source: {printable(source)}"
    )
    if result.rejected:
        raise CommandError("nothing was imported: correct or remove the rejected lines")
    click.echo("imported" if result.written else "nothing was imported yet: add --yes to import")


def _import(config: Config, store: Store, file: ImportFile, *, dry_run: bool) -> ImportResult:
    rejected = 0

    def reject(line: int, reason: str) -> None:
        nonlocal rejected
        rejected += 1
        if not dry_run:
            # The dry run accepted this line a moment ago
            raise InvalidImportFile(f"the file is being changed; line {line}: {reason}")
        click.echo(f"line {line}: {reason}")

    label = "checking" if dry_run else "importing"
    size = file.size()
    with click.progressbar(length=size, label=label, file=sys.stderr, update_min_steps=size // 1000 + 1) as bar:
        imported = store.imports.add(
            file.organisation.id,
            file.read_links(reject, bar.update),
            file.source,
            file.now,
            file.now,
            transfers=tuple(config.organisation_settings[file.organisation.id].transfers),
            key_attribute=file.organisation.key,
            reject=lambda row, reason: reject(row.line, reason),
            dry_run=dry_run,
        )
    return replace(imported, rejected=rejected)
