"""`orcid-connect migrate`: the database as this release needs it."""

from __future__ import annotations

from pathlib import Path

import click

from sql.migrate import migrate as bring_up_to_date
from webapp.cli.common import configuration, in_words, json_option, now, print_json, store_of


@click.command()
@json_option
@click.pass_obj
@in_words
def migrate(path: Path, *, as_json: bool) -> None:
    """Bring the database up to this release; harmless when it is."""
    with store_of(configuration(path)) as store:
        applied = bring_up_to_date(store.engine, now())
    if as_json:
        print_json({"applied": applied})
    else:
        click.echo("\n".join(f"applied {name}" for name in applied) or "the database is up to date")
