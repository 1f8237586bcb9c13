"""A change as a record: the same members wherever it is written as JSON, whether it is sent or fetched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shibboleth.orcid_id import Registry
from sql.records import ChangeKind


def change_record(  # noqa: PLR0913 - the members of a record
    *,
    id_: str,
    kind: ChangeKind,
    organisation: str,
    key: str,
    account: str,
    orcid: str | None,
    previous: str | None,
    registry: Registry | None,
    at: datetime,
) -> dict[str, Any]:
    """Give a change as JSON writes it; iDs as they are written here, and null where there is none."""
    return {
        "id": id_,
        "action": kind.value,
        "organisation": organisation,
        "person": {"attribute": key, "value": account},
        "orcid": orcid,
        "previous": previous,
        "registry": registry.value if registry else None,
        "time": timestamp(at),
    }


def timestamp(at: datetime) -> str:
    """Give a time as `2026-01-15T12:00:00Z` (RFC 3339)."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
