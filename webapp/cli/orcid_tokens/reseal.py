"""`orcid-connect orcid-tokens reseal`: seal all tokens with the first key."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from resolver_connector.orcid.sealing import CannotOpen
from webapp.cli.context import load_config, open_store
from webapp.cli.errors import EXIT_FAILURE, CommandError, handle_errors
from webapp.cli.output import pluralize


@click.command()
@click.pass_obj
@handle_errors
def reseal(path: Path) -> None:
    """Seal all of ORCID's tokens with the first of [orcid] token_keys.

    The other keys can be removed from the configuration after that. Others can use the database meanwhile.
    Exit code 1 if a pair cannot be opened with any key; it is left as it is.
    """
    from webapp.wiring.orcid import make_sealer  # noqa: PLC0415 - the connector's command does not need it

    config = load_config(path)
    sealer = make_sealer(config)
    if sealer is None:
        raise CommandError("[orcid] token_keys has no key that can be used")
    if config.orcid.token_keys[0].secret is None:
        raise CommandError(f"the first of [orcid] token_keys {config.orcid.token_keys[0].problem}; nothing was changed")
    unreadable = 0

    def seal_anew(token_id: str, sealed: str) -> str | None:
        nonlocal unreadable
        try:
            return sealer.reseal(token_id, sealed)
        except CannotOpen:
            unreadable += 1
            return None

    with open_store(config) as store:
        changed = store.orcid_tokens.replace_sealed(seal_anew)
    click.echo(f"{pluralize(changed, 'pair of tokens', 'pairs of tokens')} sealed with the first key")
    if unreadable:
        click.echo(f"{unreadable} cannot be opened with any key: see orcid-connect check")
        sys.exit(EXIT_FAILURE)
