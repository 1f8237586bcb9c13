"""`orcid-connect link`: show, list, move, remove and erase links."""

from __future__ import annotations

import click

from webapp.cli.link.erase import erase
from webapp.cli.link.list import list_links
from webapp.cli.link.move import move
from webapp.cli.link.remove import remove
from webapp.cli.link.show import show
from webapp.cli.link.status import status


@click.group()
def link() -> None:
    """Show, list, look up, move, remove or erase links."""


for _command in (show, list_links, status, move, remove, erase):
    link.add_command(_command)
