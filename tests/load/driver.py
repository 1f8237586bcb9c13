"""Calls functions at the times of a schedule, whether earlier calls have ended or not, and counts what came of them."""

from __future__ import annotations

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import monotonic, sleep

THREADS = 96
"""More than calls can wait at the same time, so that no call waits for a thread."""
GRACE = 90.0
"""Seconds after the end of the day in which calls and events must end."""


@dataclass(slots=True)
class Results:
    """What came of the requests."""

    durations: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """In seconds, by kind, of those that succeeded."""
    errors: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By kind, what the client saw, and what happened to the service at that time."""
    phase: str = ""
    """What happens to the service now."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def succeeded(self, kind: str, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self.durations[kind].append(seconds)

    def failed(self, kind: str, result: str) -> None:
        """Count a request for which the client saw something else than it should."""
        with self._lock:
            self.errors[kind, result, self.phase] += 1


def run(
    seconds: float,
    rates: Mapping[Callable[[], None], Callable[[float], float]],
    events: Mapping[float, Callable[[], None]],
    operator: Executor,
) -> tuple[float, int]:
    """Call functions at their rates until the time is over.

    Args:
        seconds: How long.
        rates: How often in a second each function is called, at a part of the day between 0 and 1.
        events: Functions that are called once, at a part of the day.
        operator: Calls them.

    Returns:
        The largest delay of a call in seconds, which is the driver's own and not the service's; and how many calls
        had not ended `GRACE` after the end of the day.
    """
    begun, late = monotonic(), 0.0
    queue = [(0.0, number, call) for number, call in enumerate(rates)]
    pending = sorted(events.items(), reverse=True)
    running: set[Future[None]] = set()
    clients = ThreadPoolExecutor(THREADS)
    try:
        while (now := monotonic() - begun) < seconds:
            while pending and pending[-1][0] * seconds <= now:
                running.add(operator.submit(pending.pop()[1]))
            due, number, call = queue[0]
            if due > now:
                sleep(min(due - now, 0.05))
                continue
            late = max(late, now - due)
            future = clients.submit(call)
            running.add(future)
            future.add_done_callback(running.discard)
            heapq.heapreplace(queue, (due + 1 / rates[call](due / seconds), number, call))
        return late, len(wait(running.copy(), GRACE).not_done)
    finally:
        clients.shutdown(wait=False, cancel_futures=True)
