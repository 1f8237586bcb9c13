"""`orcid-connect handout`: generate files for IdPs, the SP and services.

The values come from the configuration and the options; the templates are in `shibboleth/handout/`.
"""

from __future__ import annotations

import click

from webapp.cli.handout.balancer import balancer
from webapp.cli.handout.consumer import consumer
from webapp.cli.handout.idp import idp
from webapp.cli.handout.sp import sp


@click.group()
def handout() -> None:
    """Generate configuration files for IdPs, the SP and other services."""


for _command in (idp, sp, balancer, consumer):
    handout.add_command(_command)
