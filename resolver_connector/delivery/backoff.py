"""When a delivery that failed is tried again, and when no more."""

from __future__ import annotations

from datetime import datetime, timedelta

SCHEDULE = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long to wait after the first failure, the second, and so on: the schedule that Standard Webhooks 1.0.0 shows."""
SKIPPED = 2
"""So many short steps are left out where settings are wrong, for nobody mends those within seconds."""
PATIENCE = timedelta(days=3)
"""How long a delivery is tried by itself; the last try is then."""
JITTER = 0.2
"""By how much of itself a wait may be shorter or longer, so that what failed together does not come back together."""


def next_try(  # noqa: PLR0913 - all that a wait depends on
    attempts: int, waiting_since: datetime, now: datetime, *, slow: bool, asked: timedelta | None, chance: float
) -> datetime | None:
    """Give the moment of the next try after so many, or none when it has been tried for long enough.

    `slow` is for what only people can mend. `asked` is how long the other side asked to be left alone, which is kept
    even where patience would end before. `chance` is between 0 and 1.
    """
    end = waiting_since + PATIENCE
    if now >= end:
        return None
    step = min(max(attempts, 1) - 1 + SKIPPED * slow, len(SCHEDULE) - 1)
    wait = SCHEDULE[step] * (1 + JITTER * (2 * chance - 1))
    return max(min(now + wait, end), now + (asked or timedelta()))
