"""A piece of news as a record: the same members wherever it is written as JSON or as a row of a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from resolver_connector.transfers.transfer import News, ValueForm


def record(news: News, form: ValueForm = ValueForm.HTTPS) -> dict[str, Any]:
    """Give the news as JSON writes it; iDs in this form, and null where there is none."""
    known = news.orcid_id or news.previous
    return {
        "id": news.id,
        "action": news.kind.value,
        "organisation": news.organisation,
        "person": {"attribute": news.key, "value": news.account},
        "orcid": form.write(news.orcid_id) if news.orcid_id else None,
        "previous": form.write(news.previous) if news.previous else None,
        "registry": known.registry.value if known else None,
        "time": moment(news.at),
    }


def moment(at: datetime) -> str:
    """Give a time as `2026-01-15T12:00:00Z` (RFC 3339)."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
