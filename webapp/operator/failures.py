"""Dead letters, grouped by the receiver's message, without personal data.

A receiver's message may quote the person: iDs, addresses and the account are removed from it. `orcid-connect history`
and the search for a person, which is audited, show whom a delivery was about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sql.records import Delivery
from sql.store import Store

MAX_DELIVERIES = 1000
"""At most this many deliveries are read for a page, the oldest ones."""
_REMOVED = "…"
_MIN_NAME_LENGTH = 3
_ORCID = re.compile(r"\d{4}[- ]?\d{4}[- ]?\d{4}[- ]?\d{3}[\dXx]", re.ASCII)
_ADDRESS = re.compile(r"[^\s@<>\"'(),;=]+@[^\s@<>\"'(),;=]+")


@dataclass(frozen=True, slots=True)
class Failure:
    """Dead letters for which a receiver gave the same message."""

    transfer: str
    outcome: str
    message: str
    """The receiver's text, without personal data."""
    count: int
    first: datetime
    """When the oldest of the deliveries was created."""
    last: datetime


def list_failures(store: Store, organisation_id: str) -> list[Failure]:
    """Return an organisation's dead letters by transfer, outcome and message.

    The most frequent message of each transfer is first.
    """
    found: dict[tuple[str, str, str], list[datetime]] = {}
    for delivery in islice(store.deliveries.list_dead_letters(organisation_id), MAX_DELIVERIES):
        answer = (delivery.transfer, delivery.outcome or "", anonymized_message(delivery))
        found.setdefault(answer, []).append(delivery.created_at)
    grouped = [Failure(*answer, len(times), min(times), max(times)) for answer, times in found.items()]
    return sorted(grouped, key=lambda one: (one.transfer, -one.count, one.message))


def anonymized_message(delivery: Delivery) -> str:
    """Return the receiver's message without iDs, addresses and the account."""
    text = _ADDRESS.sub(_REMOVED, _ORCID.sub(_REMOVED, delivery.message))
    for name in sorted(_names(delivery), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _REMOVED, text, flags=re.IGNORECASE)
    return text


def _names(delivery: Delivery) -> Iterable[str]:
    account = delivery.change.account if delivery.change else ""
    for whole in {account, delivery.person_key or ""}:
        yield from (name for name in (whole, whole.partition("@")[0]) if len(name) >= _MIN_NAME_LENGTH)
