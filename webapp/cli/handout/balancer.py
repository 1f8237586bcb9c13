"""`orcid-connect handout balancer`: files for several nodes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from shibboleth.handout.balancer import balancer_files
from webapp.cli.context import load_service_file
from webapp.cli.errors import handle_errors
from webapp.cli.handout.output import handle_template_errors, output_option, write_files


@click.command()
@click.option(
    "--node",
    "nodes",
    metavar="ADDRESS",
    required=True,
    multiple=True,
    help="The IP address or host name of a node; once for each node.",
)
@output_option
@click.pass_obj
@handle_errors
@handle_template_errors
def balancer(path: Path, /, nodes: tuple[str, ...], output: Path | None) -> None:
    """Generate the files of a balancer before several nodes.

    They are the configuration of HAProxy, and what Apache on each node needs behind it.
    """
    file = load_service_file(path)
    url = urlsplit(file.service.public_url)
    ports = url.port or 443, file.service_provider.http_port
    write_files(balancer_files(url.hostname or "", *ports, nodes), output)
