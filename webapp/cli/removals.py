"""Removals that a list leads to: their errors and their output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from resolver_connector.csv_file import InvalidCsvFile
from resolver_connector.deprovision import MAX_PERCENT, InvalidList, check_made_at
from sql.repositories.deletion.removals import PendingRemovals, RemovalsPending, TooManyRemovals
from webapp.cli.errors import CommandError
from webapp.cli.output import format_time, pluralize, printable


def max_percent_option(text: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Return the option `--max-percent` with this help; None if not given."""
    return click.option(
        "--max-percent",
        metavar="PERCENT",
        show_default=str(MAX_PERCENT),
        type=click.IntRange(1, 100),
        help=text,
    )


@contextmanager
def list_errors(file: Path, organisation_id: str) -> Iterator[None]:
    """Turn errors of a list of accounts or iDs into messages.

    Raises:
        CommandError: If the file cannot be read, or its removals cannot be scheduled.
    """
    try:
        yield
    except OSError as error:
        raise CommandError(f"{file}: cannot be read: {error.strerror}") from None
    except (InvalidList, InvalidCsvFile) as error:
        raise CommandError(f"{file}: {error}") from None
    except RemovalsPending as error:
        raise CommandError(f"{error}: orcid-connect link cancel-removals {organisation_id}") from None
    except TooManyRemovals as error:
        raise CommandError(str(error).replace("max_percent", "--max-percent")) from None


def made_at(file: Path, now: datetime) -> datetime:
    """Return when a list was made: the file's time of modification.

    Raises:
        InvalidList: If it is in the future, or longer ago than a day.
        OSError: If the file cannot be read.
    """
    return check_made_at(datetime.fromtimestamp(file.stat().st_mtime, UTC), now)


def print_removals(scheduled: PendingRemovals, organisation_id: str, *, dry_run: bool) -> None:
    """Print whose links are going to be removed, and when."""
    for account in scheduled.accounts:
        click.echo(printable(account))
    links = f"{scheduled.count} of {pluralize(scheduled.links, 'link', 'links')}"
    if scheduled.due_at is None or dry_run:
        click.echo(f"{links} would be removed" if scheduled.count else f"{links}: nothing is removed")
        return
    when = format_time(scheduled.due_at)
    click.echo(f"{links} will be removed at {when}; to cancel: orcid-connect link cancel-removals {organisation_id}")
