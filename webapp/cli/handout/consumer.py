"""`orcid-connect handout consumer`: files for services that read the iD."""

from __future__ import annotations

from pathlib import Path

import click

from shibboleth.handout.consumer import Consumer, consumer_files
from webapp.cli.context import load_config
from webapp.cli.errors import handle_errors
from webapp.cli.handout.output import handle_template_errors, output_option, write_files


@click.command()
@click.option(
    "--software",
    metavar="NAME",
    required=True,
    type=click.Choice([each.value for each in Consumer]),
    help="The service's software: shibboleth, simplesamlphp, satosa or oidc.",
)
@output_option
@click.pass_obj
@handle_errors
@handle_template_errors
def consumer(path: Path, /, software: str, output: Path | None) -> None:
    """Generate the files with which a service reads released ORCID iDs.

    A README.txt explains them.
    """
    write_files(consumer_files(Consumer(software), load_config(path).service.registry), output)
