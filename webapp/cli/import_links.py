"""`orcid-connect import`: links that an organisation attests, from a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from sql.repositories.imports import ImportResult
from sql.store import Store
from webapp.cli.common import (
    CommandError,
    configuration,
    in_words,
    now,
    organisation_argument,
    organisation_of,
    ready_store,
    safe,
)
from webapp.cli.import_file import InvalidImportFile, Links, source_of
from webapp.config.loader import Config


@click.command(name="import")
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--attested-by", metavar="TEXT", help="The system where people authenticated these iDs, if no column says."
)
@click.option("--yes", is_flag=True, help="Import them, if no line is rejected.")
@click.pass_obj
@in_words
def import_(path: Path, name: str, file: Path, *, attested_by: str | None, yes: bool) -> None:
    """Take in links that an organisation attests, from a CSV file; without --yes only say what would come of it.

    Exit code 1 when a line is rejected; then nothing is imported.
    """
    config = configuration(path)
    organisation = organisation_of(config, name)
    try:
        source = source_of(file, attested_by)
        links = Links(file, organisation, config.service.registry, source, now())
        with ready_store(config) as store:
            found = _imported(config, store, links, dry_run=True)
            if yes and not found.rejected:
                found = _imported(config, store, links, dry_run=False)
    except InvalidImportFile as error:
        raise CommandError(f"{file}: {error}") from None
    click.echo(f"{found.linked} new, {found.unchanged} linked already, {found.rejected} rejected; from {safe(source)}")
    if found.rejected:
        raise CommandError("nothing was imported: mend or remove the rejected lines")
    click.echo("imported" if found.written else "nothing was imported yet: run it again with --yes")


def _imported(config: Config, store: Store, links: Links, *, dry_run: bool) -> ImportResult:
    rejected = 0

    def reject(line: int, reason: str) -> None:
        nonlocal rejected
        rejected += 1
        if dry_run:
            click.echo(f"line {line}: {reason}")
        else:
            # It was sound a moment ago: the file is being written to
            raise InvalidImportFile(f"line {line}: {reason}")

    transfers = tuple(config.transfers[links.organisation.entity_id])
    label = "looking at it" if dry_run else "importing"
    size = _size(links.path)
    with click.progressbar(length=size, label=label, file=sys.stderr, update_min_steps=size // 1000 + 1) as bar:
        imported = store.imports.add(
            links.organisation.entity_id,
            links.attested(reject, bar.update),
            links.source,
            links.now,
            links.now,
            transfers=transfers,
            reject=lambda row, reason: reject(row.line, reason),
            dry_run=dry_run,
        )
    return replace(imported, rejected=rejected)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InvalidImportFile(f"cannot be read: {error.strerror}") from None
