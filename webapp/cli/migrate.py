"""`orcid-connect migrate`: apply missing database migrations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import sql.migrate
from sql.migrate import PlannedMigration
from webapp.cli.context import load_config, open_store, utc_now
from webapp.cli.errors import handle_errors
from webapp.cli.options import json_option
from webapp.cli.output import print_json


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Apply nothing; list what would be applied.")
@json_option
@click.pass_obj
@handle_errors
def migrate(path: Path, *, only_plan: bool, as_json: bool) -> None:
    """Apply the database migrations of this version that are missing."""
    with open_store(load_config(path), check_schema=False) as store:
        if only_plan:
            _print_plan(sql.migrate.plan(store.engine), as_json=as_json)
            return
        applied = sql.migrate.migrate(store.engine, utc_now())
    if as_json:
        print_json({"applied": applied})
    else:
        click.echo("\n".join(f"applied {name}" for name in applied) or "the database is up to date")


def _print_plan(planned: Sequence[PlannedMigration], *, as_json: bool) -> None:
    if as_json:
        print_json({"pending": [{"name": each.name, "additive": each.additive} for each in planned]})
        return
    words = {True: "additive: the version that runs goes on", False: "not additive: stop the services before it"}
    click.echo("\n".join(f"{each.name}  {words[each.additive]}" for each in planned) or "the database is up to date")
