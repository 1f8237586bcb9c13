"""Counts of what happened, by organisation and day, without personal data."""

from __future__ import annotations

from collections import Counter

from sql.engines.base import Transaction

CountKey = tuple[str, str]
"""The source of a count, `attempt`, `event`, `revocation` or `sign-in`, and its name.

The name is `started` or an outcome for attempts, a kind for events, what revocations of ORCID's tokens came to, and
the code of the problem for refused sign-ins.
"""
STARTED: CountKey = ("attempt", "started")
ALL_DAYS = ""
"""The day of the sum of all days."""

Counts = Counter[tuple[str, str, str, str]]
"""Counts by organisation, day, source and name."""


def add_counts(session: Transaction, counts: Counts) -> None:
    """Add to the stored counts of the days, and of all days together."""
    # Sorted, so that concurrent transactions lock the rows in one order and cannot deadlock
    both = counts + Counter[tuple[str, str, str, str]]()
    for (organisation, _day, source, name), count in counts.items():
        both[organisation, ALL_DAYS, source, name] += count
    for (organisation, day, source, name), count in sorted(both.items()):
        session.execute("add_to_daily_count", organisation=organisation, day=day, source=source, name=name, count=count)
