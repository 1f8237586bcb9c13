"""Counts by organisation and period, without personal data."""

from __future__ import annotations

from collections import Counter

from sql.engines.base import Transaction, Values

CountKey = tuple[str, str]
"""The source of a count, `attempt`, `event`, `revocation` or `sign-in`, and its name.

The name is `started` or an outcome for attempts, a kind for events, what revocations of ORCID's tokens came to, and
the code of the problem for refused sign-ins.
"""
STARTED: CountKey = ("attempt", "started")
DAY_LENGTH, MONTH_LENGTH, ALL_LENGTH = 10, 7, 0
"""How many characters of a day, as 2026-01-15, name the periods whose counts are stored: a day, a month, all time."""

Counts = Counter[tuple[str, str, str, str]]
"""Counts by organisation, day, source and name."""


def add_counts(session: Transaction, counts: Counts) -> None:
    """Add to the stored counts of the days, of their months, and of all time."""
    of_periods: Counter[tuple[str, int, str, str, str]] = Counter()
    for (organisation, day, source, name), count in counts.items():
        for length in (DAY_LENGTH, MONTH_LENGTH, ALL_LENGTH):
            of_periods[organisation, length, day[:length], source, name] += count
    # Sorted, so that concurrent transactions lock the rows in one order and cannot deadlock
    for (organisation, length, period, source, name), count in sorted(of_periods.items()):
        values: Values = {"length": length, "period": period, "source": source, "name": name, "count": count}
        session.execute("add_to_period_count", organisation=organisation, **values)
