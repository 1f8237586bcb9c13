"""`orcid-connect store`: move the database to another engine."""

from __future__ import annotations

from pathlib import Path

import click

from sql.store import open_store as open_store_at
from webapp.cli.context import load_config, open_store
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.output import pluralize


@click.group()
def store() -> None:
    """Move the database."""


@store.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_obj
@handle_errors
def copy(path: Path, file: Path) -> None:
    """Copy the SQLite database FILE to the PostgreSQL database of [store].

    Stop all services first. The server's database must be migrated and empty. The copy is one transaction, and each row
    is compared with its copy. Exit code 1 if nothing was copied.
    """
    config = load_config(path)
    if not config.store.url.startswith("postgresql:"):
        raise CommandError("url in [store] must be that of the PostgreSQL database")
    from sql.store_copy import CopyRefused, copy_store  # noqa: PLC0415 - the driver is optional

    source = open_store_at(f"sqlite://{file.resolve()}")
    try:
        # Also without additive migrations of a newer version, since both must have the same
        source.check_schema()
        with open_store(config) as target:
            counts = copy_store(source.engine, target.engine)
    except CopyRefused as error:
        raise CommandError(f"{error}; nothing was copied") from None
    finally:
        source.close()
    for table, count in counts.items():
        click.echo(f"{table}  {pluralize(count, 'row', 'rows')}")
    click.echo("all rows are the same in both databases")
