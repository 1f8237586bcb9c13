"""`orcid-connect connector`: the server which Identity Providers ask."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.common import CommandError, configuration, in_words, ready_store, serve_until_told
from webapp.wiring.connector import make_connector, make_replicas

SHORTEST, LONGEST = 10, 7 * 24 * 3600
"""For how many seconds answers may be stale, at least and at most."""
REPLICAS = "/var/lib/orcid-connect/replicas"


@click.command()
@click.option(
    "--serve-stale",
    "seconds",
    metavar="SECONDS",
    type=click.IntRange(SHORTEST, LONGEST),
    help="While the database is away, answer from replicas that are no older than this.",
)
@click.option(
    "--replicas",
    "directory",
    metavar="DIRECTORY",
    default=REPLICAS,
    show_default=True,
    type=click.Path(path_type=Path),
    help="With --serve-stale: where the replicas are kept; for the service's account alone.",
)
@click.pass_obj
@in_words
def connector(path: Path, *, seconds: int | None, directory: Path) -> None:
    """Serve the connector, which Identity Providers ask for their people's ORCID iDs."""
    config = configuration(path)
    with ready_store(config) as store:
        # The connector only reads: it needs no connection that can write
        store.close()
        replicas = make_replicas(config, store, _made(directory), seconds) if seconds else None
        application = make_connector(config, store, replicas=replicas)
        if replicas:
            replicas.start()
        serve_until_told(application, config, config.connector)


def _made(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{directory}: {error.strerror}; name another directory: --replicas") from None
    return directory
