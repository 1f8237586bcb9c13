"""A change message as a record, for JSON and for a row of CSV."""

from __future__ import annotations

from typing import Any

from resolver_connector.change_json import change_record, timestamp
from resolver_connector.transfers.base import ChangeMessage, ValueForm

__all__ = ["record", "timestamp"]


def record(message: ChangeMessage, form: ValueForm = ValueForm.HTTPS) -> dict[str, Any]:
    """Return the members of a change message, with the iDs in this form, or None."""
    known = message.orcid_id or message.previous
    return change_record(
        id_=message.id,
        kind=message.kind,
        organisation=message.organisation,
        key=message.key,
        account=message.account,
        previous_account=message.previous_account,
        orcid=form.write(message.orcid_id) if message.orcid_id else None,
        previous=form.write(message.previous) if message.previous else None,
        registry=known.registry if known else None,
        at=message.at,
        reason=message.reason,
    )
