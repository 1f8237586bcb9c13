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
        # A file is read faster than a thread is found; a server may be slow, and then nobody waits for another
        at_once = looks_up_one if config.store.url.startswith("sqlite:") else None
        application = make_connector(config, store)
        serve_until_told(application, config, config.connector, processes=processes, at_once=at_once)


def looks_up_one(method: str, path: str) -> bool:
    """Tell whether a request asks for one person's iD."""
    return path.startswith("/v1/people") and method in {"GET", "HEAD"}
