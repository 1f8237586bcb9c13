"""`orcid-connect migrate`: apply missing database migrations."""

from __future__ import annotations

from pathlib import Path

import click

import sql.migrate
from webapp.cli.context import load_config, open_store, utc_now
from webapp.cli.errors import handle_errors
from webapp.cli.options import json_option
from webapp.cli.output import print_json


@click.command()
@json_option
@click.pass_obj
@handle_errors
def migrate(path: Path, *, as_json: bool) -> None:
    """Apply the database migrations of this version that are missing."""
    with open_store(load_config(path), check_schema=False) as store:
        applied = sql.migrate.migrate(store.engine, utc_now())
    if as_json:
        print_json({"applied": applied})
    else:
        click.echo("\n".join(f"applied {name}" for name in applied) or "the database is up to date")
