"""`orcid-connect serve` and `orcid-connect authority`: the pages, and the attribute authority."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.common import CommandError, configuration, in_words, ready_store, serve_until_told
from webapp.config.errors import Misconfigured, SettingProblem
from webapp.config.service import FrontKind
from webapp.wiring.authority import NoAuthority, make_authority


@click.command()
@click.pass_obj
@in_words
def serve(path: Path) -> None:
    """Serve the pages where people link their ORCID iD.

    For front = "proxy", with Apache before it; with front = "variables" the pages run inside Apache, under mod_wsgi.
    """
    from webapp.wiring.pages import make_web  # noqa: PLC0415 - the connector's command does not load the pages

    config = configuration(path)
    if config.service.front is FrontKind.VARIABLES:
        text = 'is "variables", which only mod_wsgi can set: behind orcid-connect serve nobody would be signed in'
        mend = 'let Apache run the pages (docs/operator.md), or write front = "proxy" and a front_proof'
        raise Misconfigured([SettingProblem(str(path), "service.front", text, mend)])
    with ready_store(config) as store:
        serve_until_told(make_web(config, store), config, config.listen)


@click.command()
@click.pass_obj
@in_words
def authority(path: Path) -> None:
    """Serve the attribute authority, which services of the federation ask by SAML. An option."""
    config = configuration(path)
    with ready_store(config) as store:
        try:
            application = make_authority(config, store)
        except (NoAuthority, ValueError) as error:
            raise CommandError(f"no attribute authority: {error}") from None
        serve_until_told(application, config, config.authority)
