"""`orcid-connect organisation`: move all links of an organisation."""

from __future__ import annotations

import click

from webapp.cli.organisation.move import merge, rekey


@click.group()
def organisation() -> None:
    """Merge an organisation into another one, or give its links other accounts."""


for _command in (merge, rekey):
    organisation.add_command(_command)
