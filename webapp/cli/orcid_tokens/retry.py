"""`orcid-connect orcid-tokens retry`: make all waiting revocations due now."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.context import load_config, open_store, utc_now
from webapp.cli.errors import handle_errors
from webapp.cli.output import pluralize


@click.command()
@click.pass_obj
@handle_errors
def retry(path: Path) -> None:
    """Make all revocations that wait due now, as after a setting was corrected.

    The worker tries them.
    """
    with open_store(load_config(path)) as store:
        count = store.orcid_tokens.make_revocations_due(utc_now())
    click.echo(f"{pluralize(count, 'waiting revocation is', 'waiting revocations are')} due now")
