"""`orcid-connect connector`: the server which Identity Providers ask, in one process or several."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli_common import configuration, in_words, ready_store, serve_until_told

MOST_PROCESSES = 64


@click.command()
@click.option(
    "--processes",
    metavar="NUMBER",
    default=1,
    show_default=True,
    type=click.IntRange(1, MOST_PROCESSES),
    help="How many processes answer at the one address; one for each processor is a good number.",
)
@click.pass_obj
@in_words
def connector(path: Path, *, processes: int) -> None:
    """Serve the connector, which Identity Providers ask for their people's ORCID iDs."""
    from webapp.wsgi import make_connector  # noqa: PLC0415 - only who serves it pays for loading it

    config = configuration(path)
    with ready_store(config) as store:
        # Nobody takes a connection along into another process, and one that only answers needs none of these
        store.disconnect()
        serve_until_told(make_connector(config, store), config, config.connector, processes=processes)
