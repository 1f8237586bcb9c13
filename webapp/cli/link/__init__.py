"""`orcid-connect link`: show, list, move, remove, erase and reconcile links."""

from __future__ import annotations

import click

from webapp.cli.link.erase import erase
from webapp.cli.link.list import list_links
from webapp.cli.link.move import move
from webapp.cli.link.reconcile import cancel_removals, reconcile
from webapp.cli.link.remove import remove
from webapp.cli.link.show import show
from webapp.cli.link.status import status


@click.group()
def link() -> None:
    """Show, list, look up, move, remove, erase or reconcile links."""


for _command in (show, list_links, status, move, remove, erase, reconcile, cancel_removals):
    link.add_command(_command)
