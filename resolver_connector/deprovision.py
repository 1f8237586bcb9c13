"""Removal of the links of people who have left their organisation.

`DELETE /v1/people/{account}` removes one; `POST /v1/reconciliation` removes all that are not in a list of accounts. The
list is CSV with one column, `account`. The client states how many rows it has and when it was made, so that a list that
is truncated or old removes no link.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from resolver_connector.csv_file import CsvRow, InvalidCsvFile, read_csv_stream
from resolver_connector.http import BadRequest, Environ, parse_query, read_body, single_value
from resolver_connector.resolver import PEOPLE_PATH, requested_account
from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from shibboleth.person import MAX_ACCOUNT_LENGTH
from sql.records import Link
from sql.repositories.deletion.removals import PendingRemovals
from sql.store import Store

COLUMNS = ("account",)
MAX_LIST_BYTES = 8 * 1024 * 1024
MAX_PERCENT = 5
"""Share of an organisation's links that a list removes at most, unless its sender states more."""
MAX_LIST_AGE = timedelta(days=1)
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
"""How far the sender's clock may be ahead."""
MAX_ERRORS = 20
"""Number of wrong rows that a message names."""


@dataclass(frozen=True, slots=True)
class DeprovisionRequest:
    """A request to delete what is stored about a person."""

    account: str
    dry_run: bool
    """Whether to count only, and change nothing."""

    @classmethod
    def parse(cls, environ: Environ, path: str) -> DeprovisionRequest:
        """Parse the account and `dry_run`.

        Raises:
            BadRequest: If a parameter is unknown, or the account or `dry_run` is invalid.
        """
        parameters = parse_query(environ)
        # A misspelt `dryrun=true` must not delete anything
        for name in parameters.keys() - ({"dry_run"} if path.startswith(PEOPLE_PATH) else {"dry_run", "account"}):
            raise BadRequest(f"unknown parameter {name[:100]}; dry_run=true shows what would be deleted")
        dry_run = parse_dry_run(parameters)
        return cls(requested_account(environ, path), dry_run)


def deprovision(  # noqa: PLR0913 - all that a request says
    store: Store,
    organisation: Organisation,
    request: DeprovisionRequest,
    now: datetime,
    *,
    transfers: Sequence[str],
    precondition: Callable[[Link | None], None],
) -> dict[str, int]:
    """End the person's link and delete their attempts; return the counts.

    With `request.dry_run` nothing is changed. What `precondition` raises changes nothing either.
    """
    counts = store.retention.deprovision(
        organisation.id,
        fold(request.account),
        now,
        transfers=transfers,
        precondition=precondition,
        dry_run=request.dry_run,
    )
    return asdict(counts)


class InvalidList(ValueError):
    """The list cannot be used; the message has the reason."""


@dataclass(frozen=True, slots=True)
class ReconciliationRequest:
    """A list of an organisation's accounts, as its sender describes it."""

    person_keys: frozenset[str]
    rows: int
    made_at: datetime
    max_percent: int
    dry_run: bool

    @classmethod
    def parse(cls, organisation: Organisation, environ: Environ, now: datetime) -> ReconciliationRequest:
        """Parse the parameters and the body of a request.

        Raises:
            BadRequest: If a parameter is missing, unknown or invalid, or the list is.
            RequestTooLarge: If the list has more than MAX_LIST_BYTES.
        """
        parameters = parse_query(environ)
        # A misspelt `dryrun=true` must not remove a link
        for name in parameters.keys() - {"rows", "made_at", "max_percent", "dry_run"}:
            raise BadRequest(f"unknown parameter {name[:100]}; there are rows, made_at, max_percent and dry_run")
        stated = {name: single_value(parameters, name) for name in ("rows", "made_at", "max_percent")}
        rows = parse_number("rows", stated["rows"], 10**9)
        max_percent = parse_number("max_percent", stated["max_percent"] or str(MAX_PERCENT), 100)
        dry_run = parse_dry_run(parameters)
        try:
            made_at = parse_made_at(stated["made_at"] or "", now)
            found = read_csv_stream(io.BytesIO(read_body(environ, MAX_LIST_BYTES)), COLUMNS, COLUMNS)
            keys = read_person_keys(organisation, found, rows)
        except (InvalidList, InvalidCsvFile) as error:
            raise BadRequest(f"the list: {error}") from None
        return cls(keys, rows, made_at, max_percent, dry_run)


def parse_made_at(text: str, now: datetime) -> datetime:
    """Return the time at which a list was made.

    Raises:
        InvalidList: If it is no time with a time zone, in the future, or longer ago than MAX_LIST_AGE.
    """
    try:
        made_at = datetime.fromisoformat(text)
    except ValueError:
        made_at = None
    if made_at is None or made_at.tzinfo is None:
        raise InvalidList("made_at must be when it was made, for example 2026-01-15T12:00:00Z")
    return check_made_at(made_at, now)


def check_made_at(made_at: datetime, now: datetime) -> datetime:
    """Return the time at which a list was made, if the list is new enough.

    Raises:
        InvalidList: If it is in the future, or longer ago than MAX_LIST_AGE.
    """
    if made_at > now + MAX_CLOCK_DIFFERENCE:
        raise InvalidList("it was made in the future; compare the clocks")
    if made_at < now - MAX_LIST_AGE:
        raise InvalidList("it was made more than a day ago; make a new one")
    return min(made_at, now).astimezone(UTC)


def read_person_keys(organisation: Organisation, found: Iterable[CsvRow], rows: int) -> frozenset[str]:
    """Return the keys of the accounts in a list.

    Args:
        organisation: The organisation whose accounts they are.
        found: The rows.
        rows: How many there are, as their sender states.

    Raises:
        InvalidList: If it has another number of rows, an account twice, or a row that is no account of the
            organisation.
    """
    lines: dict[str, int] = {}
    errors: list[str] = []
    count = 0
    for row in found:
        count += 1
        error = row.error or _account_error(organisation, row.cells["account"])
        if not error:
            first = lines.setdefault(fold(row.cells["account"]), row.line)
            error = "" if first == row.line else f"the account is that of line {first}"
        if error and len(errors) < MAX_ERRORS:
            errors.append(f"line {row.line}: {error}")
    if errors:
        raise InvalidList("; ".join(errors))
    if count != rows:
        raise InvalidList(f"it has {count} rows, and {rows} were stated")
    return frozenset(lines)


def _account_error(organisation: Organisation, account: str) -> str:
    user, _, scope = account.rpartition("@")
    if len(account) > MAX_ACCOUNT_LENGTH or not user or "@" in user or not organisation.has_scope(scope):
        scopes = ", ".join(f"@{each}" for each in sorted(organisation.scopes))
        return f"it is no account of this organisation, whose accounts end in {scopes}"
    return ""


def parse_dry_run(parameters: Mapping[str, list[str]]) -> bool:
    """Return the parameter `dry_run`; false if it is absent.

    Raises:
        BadRequest: If it is neither true nor false.
    """
    dry_run = single_value(parameters, "dry_run")
    if dry_run not in {None, "false", "true"}:
        raise BadRequest("dry_run must be true or false")
    return dry_run == "true"


def parse_number(name: str, text: str | None, largest: int) -> int:
    """Return a parameter that is a whole number from 1 to `largest`.

    Raises:
        BadRequest: If it is none.
    """
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > len(str(largest)):
        raise BadRequest(f"{name} must be a whole number from 1 to {largest}")
    if not 1 <= int(text) <= largest:
        raise BadRequest(f"{name} must be a whole number from 1 to {largest}")
    return int(text)


def pending_json(pending: PendingRemovals) -> dict[str, Any]:
    """Return the JSON members of pending removals: how many, and when."""
    times = {"requested_at": pending.requested_at, "due_at": pending.due_at}
    return {
        "removals": pending.count,
        **{name: None if at is None else at.isoformat().replace("+00:00", "Z") for name, at in times.items()},
        "source": pending.source,
        "credential": pending.credential,
    }


def cancelled_json(cancelled: PendingRemovals) -> dict[str, Any]:
    """Return the JSON members of cancelled removals: how many, of which list."""
    return {"cancelled": cancelled.count, "source": cancelled.source, "credential": cancelled.credential}
