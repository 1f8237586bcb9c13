"""A change as a JSON object, for transfers and for the feed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shibboleth.orcid_id import Registry
from sql.records import ChangeKind, ChangeReason


def change_record(  # noqa: PLR0913 - the members of a record
    *,
    id_: str,
    kind: ChangeKind,
    organisation: str,
    key: str,
    account: str,
    previous_account: str | None,
    orcid: str | None,
    previous: str | None,
    registry: Registry | None,
    at: datetime,
    reason: ChangeReason | None,
) -> dict[str, Any]:
    """Return the members of a change.

    `orcid` and `previous` are copied as they are given; None becomes null.
    """
    return {
        "id": id_,
        "action": kind.value,
        "organisation": organisation,
        "person": {"attribute": key, "value": account},
        "previous_person": None if previous_account is None else {"attribute": key, "value": previous_account},
        "orcid": orcid,
        "previous": previous,
        "registry": registry.value if registry else None,
        "time": timestamp(at),
        "reason": reason.value if reason else None,
    }


def timestamp(at: datetime) -> str:
    """Return a time as `2026-01-15T12:00:00Z` (RFC 3339)."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
