"""`orcid-connect deliver`: the worker, and what an operator may want of what is owed."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path

import click

from sql.store import Store
from webapp.cli.common import (
    WRONG,
    CommandError,
    configuration,
    counted,
    in_words,
    local_time,
    now,
    organisation_of,
    ready_store,
    safe,
)
from webapp.config.loader import Config
from webapp.log import configure_logging


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is due, and end.")
@click.option("--dry-run", is_flag=True, help="Send nothing; say what is owed to whom.")
@click.option("--retry", metavar="ORGANISATION", help="Let what was given up, or waits for later, be due now; and end.")
@click.option("--transfer", metavar="NAME", help="With --retry: only what this transfer is owed.")
@click.pass_obj
@in_words
def deliver(path: Path, *, once: bool, dry_run: bool, retry: str | None, transfer: str | None) -> None:
    """Take changes to the organisations' own identity management.

    Runs until SIGTERM or Ctrl-C; then what is on its way is let end. Several may run, on several machines.
    """
    if transfer and not retry:
        raise click.UsageError("--transfer goes with --retry.")
    config = configuration(path)
    with ready_store(config) as store:
        if retry:
            _retry(config, store, retry, transfer)
        elif dry_run:
            _would_deliver(config, store)
        else:
            _deliver(config, store, once=once)


def _deliver(config: Config, store: Store, *, once: bool) -> None:
    from webapp.wiring.worker import make_worker  # noqa: PLC0415 - the connector's command does not load the pages

    configure_logging(config.service.log)
    worker = make_worker(config, store)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _signal, _frame: worker.stop())
    if once:
        events = worker.run_once()
        click.echo(", ".join(f"{word} {count}" for word, count in sorted(events.items())) or "nothing is due")
        sys.exit(WRONG if events - Counter(delivered=events["delivered"]) else 0)
    click.echo(f"delivering for {counted(len(config.organisations), 'organisation', 'organisations')}")
    worker.run()


def _would_deliver(config: Config, store: Store) -> None:
    counts: Counter[str] = Counter()
    for organisation in config.organisations:
        for one in store.deliveries.list_waiting(organisation.entity_id):
            counts[f"{organisation.id} {one.transfer}"] += 1
            account = safe(one.change.account) if one.change else "-"
            tried = f", after {counted(one.attempts, 'try', 'tries')}: {one.outcome}" if one.outcome else ""
            due = f"due {local_time(one.next_attempt_at)}{tried}"
            click.echo(f"{organisation.id}  {one.transfer}  {one.kind}  {account}  {due}")
    click.echo(f"{counted(counts.total(), 'delivery is', 'deliveries are')} owed")
    click.echo("".join(f"  {where}: {count}\n" for where, count in sorted(counts.items())), nl=False)


def _retry(config: Config, store: Store, name: str, transfer: str | None) -> None:
    organisation = organisation_of(config, name)
    known = [each.transfer for each in store.deliveries.breakers(organisation.entity_id)]
    if transfer is not None and transfer not in known:
        raise CommandError(f"{organisation.id} was never owed anything by a transfer called {safe(transfer)}")
    again = store.deliveries.retry(organisation.entity_id, transfer, now())
    sooner = store.deliveries.make_due(organisation.entity_id, transfer, now())
    for each in known:
        if transfer in {None, each}:
            store.deliveries.record_success(organisation.entity_id, each)
    click.echo(f"{counted(again, 'delivery was', 'deliveries were')} taken up again, {sooner} made due now")
