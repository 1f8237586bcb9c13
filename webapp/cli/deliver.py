"""`orcid-connect deliver`: run the worker; list or retry deliveries."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import click

from shibboleth.process_state import ProcessState
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, may_reload, open_store, utc_now
from webapp.cli.errors import EXIT_FAILURE, CommandError, handle_errors
from webapp.cli.output import format_time, pluralize, printable
from webapp.cli.serve import server
from webapp.config.loader import Config
from webapp.log import configure_logging


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is due, then exit.")
@click.option("--dry-run", is_flag=True, help="Send nothing; list the waiting deliveries.")
@click.option(
    "--retry",
    metavar="ORGANISATION",
    help="Make the given-up and waiting deliveries of ORGANISATION due now, then exit.",
)
@click.option("--transfer", metavar="NAME", help="With --retry: only the deliveries of this transfer.")
@click.pass_obj
@handle_errors
def deliver(path: Path, *, once: bool, dry_run: bool, retry: str | None, transfer: str | None) -> None:
    """Deliver changes to the organisations' identity management systems.

    Runs until SIGTERM or Ctrl-C; deliveries in progress are finished first. Several workers may run at once.
    """
    if transfer and not retry:
        raise click.UsageError("--transfer requires --retry.")
    if not (once or dry_run or retry):
        server.remember_hang_up()
    config = load_config(path)
    with open_store(config) as store:
        if retry:
            _retry(config, store, retry, transfer)
        elif dry_run:
            _list_waiting(config, store)
        else:
            _run(config, store, once=once)


def _run(config: Config, store: Store, *, once: bool) -> None:
    from webapp.wiring.common import log_misconfigured  # noqa: PLC0415
    from webapp.wiring.worker import make_worker, make_worker_health  # noqa: PLC0415 - the connector's command does not load the pages

    configure_logging(config.service.log)
    log_misconfigured(config)
    worker = make_worker(config, store)
    process, reload = ProcessState(config.digest), False

    def stop(_signal: int, _frame: object) -> None:
        process.ending = True
        worker.stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    if once:
        events = worker.run_once()
        click.echo(", ".join(f"{word} {count}" for word, count in sorted(events.items())) or "nothing is due")
        sys.exit(EXIT_FAILURE if events - Counter(delivered=events["delivered"]) else 0)

    def hang_up(_signal: int, _frame: object) -> None:
        nonlocal reload
        if not process.ending and valid():
            server.ignore_hang_up()
            reload = True
            worker.stop()

    valid = may_reload(config)
    server.on_hang_up(hang_up)
    left_out = f", without {', '.join(config.misconfigured)}" if config.misconfigured else ""
    click.echo(f"delivering for {pluralize(len(config.organisations), 'organisation', 'organisations')}{left_out}")
    health = make_worker_health(store, worker, process)
    try:
        with server.serve_beside(health, config.worker) if config.worker.enabled else nullcontext():
            worker.run()
    except server.CannotListen as error:
        raise CommandError(str(error)) from None
    if reload and not process.ending:
        server.execute_again()


def _list_waiting(config: Config, store: Store) -> None:
    counts: Counter[str] = Counter()
    for organisation_id in [*config.organisation_settings, *config.misconfigured]:
        for one in store.deliveries.list_waiting(organisation_id):
            counts[f"{organisation_id} {one.transfer}"] += 1
            account = printable(one.change.account) if one.change else "-"
            tries = pluralize(one.tries, "try", "tries")
            tried = f", after {tries}: {one.outcome}" if one.outcome else ""
            due = f"due {format_time(one.next_try_at)}{tried}"
            click.echo(f"{organisation_id}  {one.transfer}  {one.kind}  {account}  {due}")
    click.echo(f"{pluralize(counts.total(), 'delivery is', 'deliveries are')} waiting")
    click.echo("".join(f"  {transfer}: {count}\n" for transfer, count in sorted(counts.items())), nl=False)
    for organisation_id in config.misconfigured:
        click.echo(f"{organisation_id} is left out until its file is valid; run: orcid-connect check")


def _retry(config: Config, store: Store, name: str, transfer: str | None) -> None:
    organisation = find_organisation(config, name)
    known = [each.transfer for each in store.deliveries.breakers(organisation.id)]
    if transfer is not None and transfer not in known:
        raise CommandError(f"{organisation.id} has never had a delivery for a transfer {printable(transfer)}")
    retried = store.deliveries.retry(organisation.id, transfer, utc_now())
    waiting = store.deliveries.make_due(organisation.id, transfer, utc_now())
    for each in known:
        if transfer in {None, each}:
            store.deliveries.record_success(organisation.id, each)
    click.echo(f"{pluralize(retried, 'given-up delivery', 'given-up deliveries')} and {waiting} waiting are due now")
