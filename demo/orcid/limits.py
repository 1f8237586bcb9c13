"""How often one may call: 503 over the burst, 429 over the day's quota, both behind a switch as at ORCID."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from .wire import Answer, Call, html_answer

if TYPE_CHECKING:
    from .world import OrcidWorld

ANONYMOUS: Final = ""
QUOTA: Final = b"Too Many Requests. You have exceeded the daily quota for anonymous usage of this API (simulated)."


@dataclass(slots=True)
class Meter:
    """What one caller has left: a bucket that fills again, and the calls of the day."""

    left: float
    at: datetime
    day: date
    today: int = 0


def refused(world: OrcidWorld, call: Call, host: str) -> Answer | None:
    """Give the answer to a caller who is too quick, or nothing."""
    if not world.options.limits:
        return None
    pair = world.memory.by_access.get(call.bearer or "")
    caller = pair.client_id if pair else ANONYMOUS
    client = world.clients.get(caller)
    meter = metered(world, caller, double=client is not None and not client.public)
    if meter.left < 0:
        return html_answer(503, "<!doctype html><title>503</title><h1>503 Service Temporarily Unavailable</h1>")
    if host == "pub" and caller == ANONYMOUS and meter.today > world.options.per_day:
        return Answer(429, QUOTA, (("Content-Type", "text/plain;charset=UTF-8"),))
    return None


def metered(world: OrcidWorld, caller: str, *, double: bool) -> Meter:
    """Count one more call on the meter of a caller; member clients may go twice as fast."""
    now, options = world.now(), world.options
    with world.lock:
        meter = world.memory.meters.setdefault(caller, Meter(options.burst, now, now.date()))
        refill = (now - meter.at).total_seconds() * options.per_second * (2 if double else 1)
        meter.left = max(min(options.burst, meter.left + refill) - 1, -1)
        meter.at = now
        meter.today = meter.today + 1 if meter.day == now.date() else 1
        meter.day = now.date()
        return meter
