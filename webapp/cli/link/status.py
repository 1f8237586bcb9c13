"""`orcid-connect link status`: look up a person's iD at ORCID."""

from __future__ import annotations

from pathlib import Path

import click

from shibboleth.attributes import fold
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.link.list import link_json
from webapp.cli.link.show import format_link, no_link
from webapp.cli.options import account_argument, json_option, organisation_argument
from webapp.cli.output import print_json
from webapp.linking.public_api import LookupFailed


@click.command()
@organisation_argument
@account_argument
@json_option
@click.pass_obj
@handle_errors
def status(path: Path, name: str, account: str, *, as_json: bool) -> None:
    """Look up a person's iD at ORCID now, and show the link.

    Exit code 1 if there is none, or ORCID does not tell.

    What the organisation's settings say about the state of the record is done at once if a look-up an hour or more ago
    has shown the same state.
    """
    from webapp.wiring.status_round import make_status_round  # noqa: PLC0415 - the connector's command does not need it

    config = load_config(path)
    organisation = find_organisation(config, name)
    with open_store(config) as store:
        link = store.links.get(organisation.id, fold(account))
        if link is None:
            raise no_link(organisation, account)
        try:
            make_status_round(config, store).check(link.orcid_id, utc_now())
        except LookupFailed as error:
            text = f"ORCID did not return the state of {link.orcid_id}: {error.reason}; nothing was changed"
            raise CommandError(text) from None
        link = store.links.get(organisation.id, fold(account)) or link
    if as_json:
        print_json({"link": link_json(organisation, link)})
    else:
        click.echo(format_link(organisation, link))
