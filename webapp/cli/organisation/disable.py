"""`orcid-connect organisation disable` and `enable`: rename its file."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.cli.organisation.files import load_with, organisation_file, own_command, reload_command
from webapp.config.loader import DISABLED


@click.command()
@organisation_argument
@click.pass_obj
@handle_errors
def disable(path: Path, name: str) -> None:
    """Disconnect an organisation: its file becomes ORGANISATION.toml.disabled.

    After a reload its people cannot sign in, its credentials are refused, and nothing is delivered to it. Its data is
    kept. ORGANISATION is its id.
    """
    file = organisation_file(path, name)
    _rename(path, file, file.with_name(file.name + DISABLED), name, "disabled")


@click.command()
@organisation_argument
@click.pass_obj
@handle_errors
def enable(path: Path, name: str) -> None:
    """Connect a disabled organisation again.

    Its state is the one in the file. ORGANISATION is its id.
    """
    file = organisation_file(path, name)
    _rename(path, file.with_name(file.name + DISABLED), file, name, "enabled")


def _rename(path: Path, old: Path, new: Path, name: str, done: str) -> None:
    # Undone if the configuration is not valid then: the services would not start
    if not old.is_file():
        raise CommandError(f"there is no {old}")
    if new.exists() or new.is_symlink():
        raise CommandError(f"{new} exists, and is not overwritten")
    try:
        old.rename(new)
    except OSError as error:
        raise CommandError(f"{old}: {error.strerror}") from None
    try:
        config = load_with(path, name)
    except BaseException:
        new.rename(old)
        click.echo("orcid-connect: nothing was changed, because the configuration would be invalid", err=True)
        raise
    click.echo(f"{name} is {done}: {new}")
    click.echo(f"Let the services read the files, and see that they have:\n  {reload_command(config)}")
    click.echo(f"  {own_command(config, 'check', '--running')}")
