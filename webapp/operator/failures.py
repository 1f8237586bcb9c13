"""Deliveries that were given up, put together by what the other side said, and with nobody named in it.

An interface's words may quote the person they are about: what is theirs is taken out before anybody reads it here.
Who it was about, `orcid-connect history` tells, and the search for a person, which is audited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sql.records import Delivery
from sql.store import Store

MOST = 1000
"""How many deliveries are looked at for one page."""
GONE = "…"
_SHORTEST_NAME = 3
_ORCID = re.compile(r"\d{4}[- ]?\d{4}[- ]?\d{4}[- ]?\d{3}[\dXx]", re.ASCII)
_ADDRESS = re.compile(r"[^\s@<>\"'(),;=]+@[^\s@<>\"'(),;=]+")


@dataclass(frozen=True, slots=True)
class Failure:
    """What one transfer answered, and how often."""

    transfer: str
    outcome: str
    message: str
    """Plain text from outside, in which nobody is named."""
    count: int
    first: datetime
    """When the oldest of them was made."""
    last: datetime


def failures(store: Store, entity_id: str) -> list[Failure]:
    """Give what was given up by transfer and answer, the most frequent first; of very many, the oldest."""
    found: dict[tuple[str, str, str], list[datetime]] = {}
    for delivery in islice(store.deliveries.list_dead_letters(entity_id), MOST):
        said = (delivery.transfer, delivery.outcome or "", nameless(delivery))
        found.setdefault(said, []).append(delivery.created_at)
    told = [Failure(*said, len(times), min(times), max(times)) for said, times in found.items()]
    return sorted(told, key=lambda one: (one.transfer, -one.count, one.message))


def nameless(delivery: Delivery) -> str:
    """Give the other side's words without any iD, any address, and the person's own account."""
    text = _ADDRESS.sub(GONE, _ORCID.sub(GONE, delivery.message))
    for name in sorted(_names(delivery), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", GONE, text, flags=re.IGNORECASE)
    return text


def _names(delivery: Delivery) -> Iterable[str]:
    account = delivery.change.account if delivery.change else ""
    for whole in {account, delivery.person_key or ""}:
        yield from (name for name in (whole, whole.partition("@")[0]) if len(name) >= _SHORTEST_NAME)
