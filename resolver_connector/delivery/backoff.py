"""Back-off: when a failed delivery is tried again, or given up."""

from __future__ import annotations

from datetime import datetime, timedelta

BACKOFF = (
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
"""The wait after the first failed try, the second, and so on: the example schedule of Standard Webhooks 1.0.0."""
MISCONFIGURED_SKIPS = 2
"""How many of the first, short waits are skipped for `misconfigured`: people do not correct settings within seconds."""
MAX_AGE = timedelta(days=3)
"""How long a delivery is tried; the last try is at the end of it."""
MIN_TRIES = 4
"""How often a delivery is tried that waited for longer, while no worker ran or its organisation was left out."""
JITTER = 0.2
"""The share of a wait by which it is shortened or lengthened, so that deliveries that failed together spread out."""


def next_try_at(  # noqa: PLR0913 - all that the back-off depends on
    tries: int,
    queued_at: datetime,
    now: datetime,
    *,
    misconfigured: bool,
    retry_after: timedelta | None,
    random: float,
) -> datetime | None:
    """Return when to try a delivery again; None if it is a dead letter.

    Args:
        tries: How many there have been.
        queued_at: The beginning of MAX_AGE.
        now: The end of the last try.
        misconfigured: Whether people have to correct settings first.
        retry_after: The wait that the receiver asked for. It is kept, even beyond MAX_AGE.
        random: Between 0 and 1, for the jitter.
    """
    end = queued_at + MAX_AGE
    if now >= end and tries >= MIN_TRIES:
        return None
    step = min(max(tries, 1) - 1 + MISCONFIGURED_SKIPS * misconfigured, len(BACKOFF) - 1)
    wait = BACKOFF[step] * (1 + JITTER * (2 * random - 1))
    last = end if now < end else now + wait
    return max(min(now + wait, last), now + (retry_after or timedelta()))
