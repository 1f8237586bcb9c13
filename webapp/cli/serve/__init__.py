"""`orcid-connect serve`, `connector`, `authority`: the servers."""

from __future__ import annotations

from pathlib import Path
from wsgiref.types import WSGIApplication

import click

from shibboleth.process_state import ProcessState
from webapp.cli.context import load_config, may_reload, open_store
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.serve import server
from webapp.config.errors import Misconfigured, SettingProblem
from webapp.config.listen import Listener
from webapp.config.loader import Config
from webapp.config.service import FrontKind
from webapp.log import configure_logging
from webapp.wiring.authority import NoAuthority, make_authority
from webapp.wiring.common import check_schema, log_misconfigured
from webapp.wiring.connector import make_connector, make_replicas

MIN_STALE, MAX_STALE = 10, 7 * 24 * 3600
"""Limits of --serve-stale, in seconds."""
REPLICAS = "/var/lib/orcid-connect/replicas"


@click.command()
@click.pass_obj
@handle_errors
def serve(path: Path) -> None:
    """Serve the web pages on which people link their ORCID iD.

    For front = "proxy", behind Apache. With front = "variables" Apache runs the pages itself, with mod_wsgi.
    """
    from webapp.wiring.pages import make_web  # noqa: PLC0415 - the connector's command does not load the pages

    server.remember_hang_up()
    config = load_config(path)
    if config.service.front is FrontKind.VARIABLES:
        text = 'is "variables", which only mod_wsgi can pass on: behind orcid-connect serve no sign-in would be seen'
        fix = 'run the pages in Apache (docs/operator/install.md), or write front = "proxy" and a front_proof'
        raise Misconfigured([SettingProblem(str(path), "service.front", text, fix)])
    with open_store(config) as store:
        process = ProcessState(config.digest)
        _run(make_web(config, store, process=process), config, config.listen, process)


@click.command()
@click.option(
    "--serve-stale",
    "seconds",
    metavar="SECONDS",
    type=click.IntRange(MIN_STALE, MAX_STALE),
    help="While the database is unavailable, answer from replicas that are not older than this.",
)
@click.option(
    "--replicas",
    "directory",
    metavar="DIRECTORY",
    default=REPLICAS,
    show_default=True,
    type=click.Path(path_type=Path),
    help="With --serve-stale: the directory of the replicas, which only the service's account may read.",
)
@click.pass_obj
@handle_errors
def connector(path: Path, *, seconds: int | None, directory: Path) -> None:
    """Serve the connector, from which Identity Providers read ORCID iDs."""
    server.remember_hang_up()
    config = load_config(path)
    with open_store(config, check_schema=False) as store:
        check_schema(store, required=False)
        # The connector only reads: it needs no connection that can write
        store.close()
        replicas = None
        if seconds:
            try:
                directory.mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise CommandError(f"{directory}: {error.strerror}; name another directory: --replicas") from None
            replicas = make_replicas(config, store, directory, seconds)
        process = ProcessState(config.digest)
        application = make_connector(config, store, replicas=replicas, process=process)
        if replicas:
            replicas.start()
        _run(application, config, config.connector, process)


@click.command()
@click.pass_obj
@handle_errors
def authority(path: Path) -> None:
    """Serve the optional attribute authority.

    Services of the federation query it by SAML.
    """
    server.remember_hang_up()
    config = load_config(path)
    with open_store(config) as store:
        try:
            application = make_authority(config, store)
        except (NoAuthority, ValueError) as error:
            raise CommandError(f"no attribute authority: {error}") from None
        _run(application, config, config.authority, ProcessState(config.digest))


def _run(application: WSGIApplication, config: Config, listener: Listener, process: ProcessState) -> None:
    configure_logging(config.service.log)
    log_misconfigured(config)
    try:
        server.serve(
            application, listener, lambda address: click.echo(f"listening on {address}"), process, may_reload(config)
        )
    except server.CannotListen as error:
        raise CommandError(str(error)) from None
