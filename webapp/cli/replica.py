"""`orcid-connect replica`: what an organisation's logins release, as a file for an Identity Provider elsewhere."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import click

from sql.replica import ReplicaNotWritten, write_replica
from webapp.cli.common import (
    CommandError,
    configuration,
    counted,
    in_words,
    json_option,
    must_keep_links,
    now,
    organisation_argument,
    organisation_of,
    print_json,
    ready_store,
)


@click.command()
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
@in_words
def replica(path: Path, name: str, file: Path, *, as_json: bool) -> None:
    """Write the ORCID iDs of an organisation into a file, for an Identity Provider that reads it by SQL.

    A replica that is there is replaced in one step; anything else is left alone. Exit code 1 when it is not written.
    """
    config = configuration(path)
    organisation = organisation_of(config, name)
    must_keep_links(config, organisation)
    began, made_at = monotonic(), now()
    try:
        with ready_store(config) as store:
            rows = write_replica(store, organisation.entity_id, config.service.registry, file, made_at)
    except ReplicaNotWritten as error:
        raise CommandError(f"{file}: {error}; nothing was written") from None
    seconds = monotonic() - began
    if as_json:
        told = {"organisation": organisation.id, "file": str(file), "rows": rows, "made_at": made_at.isoformat()}
        print_json({**told, "seconds": round(seconds, 3)})
    else:
        click.echo(f"{file}: {counted(rows, 'ORCID iD', 'ORCID iDs')} of {organisation.id}, in {seconds:.1f} s")
