"""`orcid-connect transfer`: a made-up person tries a transfer, and a new transfer is sent what is linked already."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from resolver_connector.delivery.transfer_test import make_test_account, run_transfer_test
from shibboleth.organisation import Organisation, Stage
from webapp.cli.common import (
    WRONG,
    CommandError,
    configuration,
    counted,
    in_words,
    now,
    organisation_argument,
    organisation_of,
    ready_store,
    safe,
)
from webapp.config.loader import Config


@click.group()
def transfer() -> None:
    """Test a transfer to an organisation's own identity management, or send it what it has missed."""


@transfer.command(name="test")
@organisation_argument
@click.option("--transfer", "only", metavar="NAME", help="Only this transfer.")
@click.option("--account", metavar="ACCOUNT", help="A test account over there; without it, one that is made up.")
@click.option("--yes", is_flag=True, help="Also where the organisation is in production.")
@click.pass_obj
@in_words
def test_transfer(path: Path, name: str, *, only: str | None, account: str | None, yes: bool) -> None:
    """Link, replace and remove the iD of a made-up person over there, and say what came of it.

    Exit code 1 when something failed. Nothing is written here.
    """
    config = configuration(path)
    organisation = organisation_of(config, name)
    if organisation.stage is Stage.PRODUCTION and not yes:
        raise CommandError(
            f"{organisation.id} is in production, where made-up iDs have no place; --yes sends them anyway"
        )
    failed = sum(
        _tried(organisation, called, each, account) for called, each in _transfers_of(config, organisation, only)
    )
    click.echo(f"{counted(failed, 'step', 'steps')} failed." if failed else "All is well.")
    sys.exit(WRONG if failed else 0)


@transfer.command()
@organisation_argument
@click.argument("only", metavar="TRANSFER")
@click.option("--dry-run", is_flag=True, help="Write nothing; say how many links would be sent.")
@click.pass_obj
@in_words
def backfill(path: Path, name: str, only: str, *, dry_run: bool) -> None:
    """Send a transfer the current links that it has never been sent, as after it has been added.

    Restart the services first, so that new links are sent to it as well. What is sent already is not sent again.
    """
    config = configuration(path)
    organisation = organisation_of(config, name)
    ((called, _),) = _transfers_of(config, organisation, only)
    with ready_store(config) as store:
        if dry_run:
            links = store.deliveries.count_missing(organisation.entity_id, called)
            click.echo(f"{counted(links, 'link', 'links')} of {organisation.id} would be sent to {called}")
            return
        sent = sum(map(len, store.deliveries.backfill(organisation.entity_id, called, now())))
    click.echo(f"{counted(sent, 'link', 'links')} of {organisation.id} will be sent to {called} by the worker")


def _transfers_of(config: Config, organisation: Organisation, only: str | None) -> list[tuple[str, Any]]:
    known = config.transfers[organisation.entity_id]
    if not known:
        raise CommandError(f"{organisation.id} has no transfer; docs/settings.md says how to write one")
    if only is not None and only not in known:
        raise CommandError(f"{organisation.id} has no transfer called {safe(only)}; it has: {', '.join(known)}")
    return [(called, each) for called, each in known.items() if only in {None, called}]


def _tried(organisation: Organisation, name: str, transfer: Any, account: str | None) -> int:
    """Try one transfer, say what came of each step, and give how many failed."""
    account = account or make_test_account(organisation)
    click.echo(f"{organisation.id}, {name} ({transfer.kind}), as {safe(account)}")
    failed = 0
    for step in run_transfer_test(transfer, organisation, account, now):
        failed += step.failed
        said = f'{step.result.outcome}: "{safe(step.result.message)}"' if step.result else "not tried"
        told = said.removesuffix(': ""')
        click.echo(f"  {'ok' if step.ok else 'failed' if step.failed else '-':<8}{step.name:<12}{told}")
        if step.fix:
            click.echo(f"{'':<22}→ {step.fix}")
    click.echo()
    return failed
