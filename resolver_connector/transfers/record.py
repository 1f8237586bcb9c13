"""A piece of news as a record: the same members wherever it is written as JSON or as a row of a table."""

from __future__ import annotations

from typing import Any

from resolver_connector.change_json import change_record, timestamp
from resolver_connector.transfers.base import ChangeMessage, ValueForm

__all__ = ["record", "timestamp"]


def record(news: ChangeMessage, form: ValueForm = ValueForm.HTTPS) -> dict[str, Any]:
    """Give the news as JSON writes it; iDs in this form, and null where there is none."""
    known = news.orcid_id or news.previous
    return change_record(
        id_=news.id,
        kind=news.kind,
        organisation=news.organisation,
        key=news.key,
        account=news.account,
        orcid=form.write(news.orcid_id) if news.orcid_id else None,
        previous=form.write(news.previous) if news.previous else None,
        registry=known.registry if known else None,
        at=news.at,
    )
