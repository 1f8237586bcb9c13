"""`orcid-connect organisation`: add, list, disable and move organisations."""

from __future__ import annotations

import click

from webapp.cli.organisation.add import add
from webapp.cli.organisation.disable import disable, enable
from webapp.cli.organisation.listing import list_organisations, show
from webapp.cli.organisation.move import merge, rekey


@click.group()
def organisation() -> None:
    """Add, list, disable and move organisations."""


for _command in (add, list_organisations, show, disable, enable, merge, rekey):
    organisation.add_command(_command)
