"""Rate limits: 503 beyond the burst, 429 beyond the daily quota.

They are off unless the option `limits` is set. Anonymous requests are counted by IP address, others by client.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from .http import Request, Response, html_response

if TYPE_CHECKING:
    from .simulator import OrcidSimulator

QUOTA: Final = b"Too Many Requests. You have exceeded the daily quota for anonymous usage of this API (simulated)."


@dataclass(slots=True)
class Usage:
    """What a caller has left: a token bucket, and the requests of the day."""

    left: float
    at: datetime
    day: date
    today: int = 0


def check(simulator: OrcidSimulator, request: Request, host: str) -> Response | None:
    """Return the rejection of a caller beyond a limit, or None."""
    if not simulator.options.limits:
        return None
    tokens = simulator.data.by_access_token.get(request.bearer or "")
    client = simulator.clients[tokens.client_id] if tokens else None
    caller = client.client_id if client else request.peer
    usage = count_request(simulator, caller, double=client is not None and not client.public)
    if usage.left < 0:
        return html_response(503, "<!doctype html><title>503</title><h1>503 Service Temporarily Unavailable</h1>")
    if host == "pub" and client is None and usage.today > simulator.options.per_day:
        return Response(429, QUOTA, (("Content-Type", "text/plain;charset=UTF-8"),))
    return None


def count_request(simulator: OrcidSimulator, caller: str, *, double: bool) -> Usage:
    """Count a request of a caller; `double`: member clients have twice the rate."""
    now, options = simulator.now(), simulator.options
    with simulator.lock:
        usage = simulator.data.usage_by_caller.setdefault(caller, Usage(options.burst, now, now.date()))
        refill = (now - usage.at).total_seconds() * options.per_second * (2 if double else 1)
        usage.left = max(min(options.burst, usage.left + refill) - 1, -1)
        usage.at = now
        usage.today = usage.today + 1 if usage.day == now.date() else 1
        usage.day = now.date()
        return usage
