"""`orcid-connect transfer`: test, backfill and withdraw a transfer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from resolver_connector.delivery.transfer_test import TIMEOUT, StepResult, make_test_account, run_transfer_test
from resolver_connector.transfers.orcid import OrcidTransfer
from shibboleth.deadline import Deadline
from shibboleth.organisation import Organisation, Stage
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import EXIT_FAILURE, CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.cli.output import pluralize, printable
from webapp.config.loader import Config
from webapp.wiring.dispatcher import make_member_api


@click.group()
def transfer() -> None:
    """Test a transfer, backfill it, or withdraw what it wrote."""


@transfer.command(name="test")
@organisation_argument
@click.option("--transfer", "transfer_name", metavar="NAME", help="Test only this transfer.")
@click.option("--account", metavar="ACCOUNT", help="A test account of the receiver; default: an invented one.")
@click.option("--yes", is_flag=True, help="Also send to an organisation in production.")
@click.pass_obj
@handle_errors
def test_transfer(path: Path, name: str, *, transfer_name: str | None, account: str | None, yes: bool) -> None:
    """Send a link, replacement and removal of a test person.

    Show the receiver's response to each. Of a transfer of kind orcid, only ask whether ORCID's member API works: no
    record is written.

    Exit code 1 if a step failed. The database is not changed.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    if organisation.stage is Stage.PRODUCTION and not yes:
        raise CommandError(f"{organisation.id} is in production; --yes sends it invented iDs all the same")
    transfers = _select_transfers(config, organisation, transfer_name)
    failed = sum(_test(config, organisation, each, kind, account) for each, kind in transfers)
    click.echo(f"{pluralize(failed, 'step', 'steps')} failed." if failed else "All steps succeeded.")
    sys.exit(EXIT_FAILURE if failed else 0)


@transfer.command()
@organisation_argument
@click.argument("transfer_name", metavar="TRANSFER")
@click.option("--dry-run", is_flag=True, help="Write nothing; show how many would be sent.")
@click.pass_obj
@handle_errors
def backfill(path: Path, name: str, transfer_name: str, *, dry_run: bool) -> None:
    """Queue links and removals that a transfer has never been sent.

    Use it for example after the transfer was added.

    Restart the services first, so that they queue new changes for it too. Removals are those of links that it was sent
    before. It sends nothing twice.
    Of a transfer of kind orcid, compare the records of all people who permitted it, and end what has to be ended: use
    it after its settings were changed.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    ((transfer_name, settings),) = _select_transfers(config, organisation, transfer_name)
    with open_store(config) as store:
        if isinstance(settings, OrcidTransfer):
            affiliations = store.affiliations
            if dry_run:
                count = affiliations.count_links(organisation.id)
            else:
                count = affiliations.queue_all(organisation.id, transfer_name, utc_now())
            _echo_records(count, organisation, "would be compared" if dry_run else "queued to be compared")
            return
        if dry_run:
            count = store.deliveries.count_missing(organisation.id, transfer_name)
            done = "would be sent to"
        else:
            count = sum(map(len, store.deliveries.backfill(organisation.id, transfer_name, utc_now())))
            done = "queued for"
    changes = pluralize(count, "link or removal", "links or removals")
    click.echo(f"{changes} of {organisation.id} {done} {transfer_name}")


@transfer.command()
@organisation_argument
@click.argument("transfer_name", metavar="TRANSFER")
@click.option("--dry-run", is_flag=True, help="Write nothing; show how many would be ended.")
@click.pass_obj
@handle_errors
def withdraw(path: Path, name: str, transfer_name: str, *, dry_run: bool) -> None:
    """End all that a transfer of kind orcid wrote to ORCID records.

    Use it before the transfer, the organisation's ORCID client or the organisation is removed from the configuration.

    The people's permissions to write are deleted, and shown to them as stopped. The worker ends what was written, by
    the transfer's setting end. Their links stay.
    """
    config = load_config(path)
    organisation = find_organisation(config, name)
    ((transfer_name, settings),) = _select_transfers(config, organisation, transfer_name)
    if not isinstance(settings, OrcidTransfer):
        raise CommandError(f"{printable(transfer_name)} is not of kind orcid: what it sent stays with the receiver")
    with open_store(config) as store:
        if dry_run:
            count = store.affiliations.count_links(organisation.id)
        else:
            count = store.affiliations.withdraw_all(organisation.id, transfer_name, utc_now())
    _echo_records(count, organisation, "would be ended" if dry_run else "queued to be ended")


def _echo_records(count: int, organisation: Organisation, done: str) -> None:
    records = pluralize(count, "affiliation on an ORCID record", "affiliations on ORCID records")
    click.echo(f"{records} of {organisation.id} {done}")


def _select_transfers(config: Config, organisation: Organisation, name: str | None) -> list[tuple[str, Any]]:
    known = config.organisation_settings[organisation.id].transfers
    if not known:
        raise CommandError(f"{organisation.id} has no transfer; see [[transfer]] in docs/settings.md")
    if name is not None and name not in known:
        raise CommandError(f"{organisation.id} has no transfer {printable(name)}; it has: {', '.join(known)}")
    return [(each, settings) for each, settings in known.items() if name in {None, each}]


def _test(config: Config, organisation: Organisation, name: str, transfer: Any, account: str | None) -> int:
    # Returns the number of failed steps
    if isinstance(transfer, OrcidTransfer):
        # An item on a record is public: only the way to it is tested
        result = make_member_api(config, lambda _client: 0.0).check(utc_now(), Deadline(TIMEOUT))
        steps, tested = iter([StepResult("answers", result)]), "without a person"
    else:
        account = account or make_test_account(organisation)
        steps, tested = run_transfer_test(transfer, organisation, account, utc_now), f"as {printable(account)}"
    click.echo(f"{organisation.id}, {name} ({transfer.kind}), {tested}")
    failed = 0
    for step in steps:
        failed += step.failed
        answer = "not tried"
        if step.result:
            message = printable(step.result.message)
            answer = f'{step.result.outcome}: "{message}"' if message else str(step.result.outcome)
        click.echo(f"  {'ok' if step.ok else 'failed' if step.failed else '-':<8}{step.name:<12}{answer}")
        if step.fix:
            click.echo(f"{'':<22}→ {step.fix}")
    click.echo()
    return failed
