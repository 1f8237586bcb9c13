"""`orcid-connect handout`: complete files for Identity Providers, for our own Service Provider and for other services.

What differs from place to place comes from the configuration; the files themselves are those of `shibboleth/`.
"""

from __future__ import annotations

from pathlib import Path

import click

from shibboleth.handout.consumer import Consumer, consumer_files
from webapp.cli.common import configuration, in_words
from webapp.cli.handout.idp import idp
from webapp.cli.handout.output import filled, hand_out, output_option
from webapp.cli.handout.sp import sp


@click.group()
def handout() -> None:
    """Give out files that are filled in: for Identity Providers, for our own front, for other services."""


@handout.command()
@click.option(
    "--for",
    "kind",
    metavar="KIND",
    required=True,
    type=click.Choice([each.value for each in Consumer]),
    help="By what it takes sign-ins in: shibboleth, simplesamlphp, satosa or oidc.",
)
@output_option
@click.pass_obj
@in_words
@filled
def consumer(path: Path, /, kind: str, output: Path | None) -> None:
    """Give out what another service adds to read the iD that organisations release, with a README.txt."""
    hand_out(consumer_files(Consumer(kind), configuration(path).service.registry), output)


handout.add_command(sp)
handout.add_command(idp)
