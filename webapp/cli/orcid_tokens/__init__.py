"""`orcid-connect orcid-tokens`: seal, retry or give up ORCID's tokens."""

from __future__ import annotations

import click

from webapp.cli.orcid_tokens.discard import discard
from webapp.cli.orcid_tokens.reseal import reseal
from webapp.cli.orcid_tokens.retry import retry


@click.group("orcid-tokens")
def orcid_tokens() -> None:
    """Seal ORCID's tokens anew, revoke them now, or give them up."""


for _command in (reseal, retry, discard):
    orcid_tokens.add_command(_command)
