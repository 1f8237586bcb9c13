"""`orcid-connect orcid-tokens discard`: give up the tokens that no key opens."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.context import load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.output import pluralize, printable


@click.command()
@click.option(
    "--client",
    "client_id",
    metavar="ID",
    help="Delete those of a client that ORCID and the configuration have no more.",
)
@click.option("--yes", is_flag=True, help="Do it.")
@click.pass_obj
@handle_errors
def discard(path: Path, *, client_id: str | None, yes: bool) -> None:
    """Delete the pairs of tokens that no configured key opens.

    Without --yes, only say how many.
    They stay valid at ORCID: there the people can take the permission back. Their links are not affected.
    """
    from webapp.wiring.orcid import make_orcid_clients, make_sealer  # noqa: PLC0415 - the connector's command does not need it

    config = load_config(path)
    sealer = make_sealer(config)
    if client_id is not None and make_orcid_clients(config).find(client_id) is not None:
        raise CommandError(f"the configuration has the client {printable(client_id)}, by which its tokens are revoked")
    with open_store(config) as store:
        lost = [
            each
            for each in store.orcid_tokens.list_sealed(client_id)
            if client_id is not None or sealer is None or not sealer.opens(*each)
        ]
        if yes:
            count = store.orcid_tokens.discard(lost, utc_now())
            click.echo(f"{pluralize(count, 'pair of tokens', 'pairs of tokens')} deleted")
            return
    click.echo(f"{pluralize(len(lost), 'pair of tokens', 'pairs of tokens')} would be deleted")
    click.echo("nothing was changed yet: add --yes to delete")
