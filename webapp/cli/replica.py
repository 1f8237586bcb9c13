"""`orcid-connect replica`: write an organisation's iDs to a file."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import click

from sql.replica import ReplicaNotWritten, write_replica
from webapp.cli.context import find_organisation, load_config, open_store, require_kept_links, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import json_option, organisation_argument
from webapp.cli.output import pluralize, print_json


@click.command()
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
@handle_errors
def replica(path: Path, name: str, file: Path, *, as_json: bool) -> None:
    """Write an organisation's ORCID iDs to a file, which an IdP reads by SQL.

    An existing replica is replaced atomically; any other file is left unchanged. Exit code 1 if nothing was written.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    require_kept_links(config, organisation)
    started, made_at = monotonic(), utc_now()
    try:
        with open_store(config) as store:
            rows = write_replica(store, organisation.id, config.service.registry, file, made_at)
    except ReplicaNotWritten as error:
        raise CommandError(f"{file}: {error}; nothing was written") from None
    seconds = monotonic() - started
    if as_json:
        print_json(
            {
                "organisation": organisation.id,
                "file": str(file),
                "rows": rows,
                "made_at": made_at.isoformat(),
                "seconds": round(seconds, 3),
            }
        )
    else:
        click.echo(f"{file}: {pluralize(rows, 'ORCID iD', 'ORCID iDs')} of {organisation.id}, in {seconds:.1f} s")
