"""Sends requests at the times of a schedule, whether earlier ones are answered or not, and measures them."""

from __future__ import annotations

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, sleep

THREADS = 96
"""More than requests can wait at the same time, so that no request waits for a thread."""


@dataclass(slots=True)
class Results:
    """What came of the requests."""

    begun: float = field(default_factory=monotonic)
    durations: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """In seconds, by kind, of those that succeeded."""
    errors: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By kind, what the client saw, and what happened to the service at that time."""
    phase: str = ""
    """What happens to the service now."""
    phases: list[tuple[float, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, kind: str, result: str, seconds: float) -> None:
        """Count a request: `ok`, or what the client saw in its place."""
        with self._lock:
            if result == "ok":
                self.durations[kind].append(seconds)
            else:
                self.errors[kind, result, self.phase] += 1

    def enter(self, phase: str) -> None:
        """Say what happens to the service from now on."""
        with self._lock:
            self.phase = phase
            self.phases.append((monotonic() - self.begun, phase))


def run(
    seconds: float,
    rates: Mapping[Callable[[], None], Callable[[float], float]],
    events: Mapping[float, Callable[[], Future[None] | None]],
) -> float:
    """Call functions at their rates until the time is over.

    Args:
        seconds: How long.
        rates: How often in a second each function is called, at a part of the day between 0 and 1.
        events: Functions that are called once at a part of the day; the day lasts until the futures that they return
            are done.

    Returns:
        The largest delay of a call in seconds, which is the driver's own and not the service's.
    """
    begun, late = monotonic(), 0.0
    queue = [(0.0, number, call) for number, call in enumerate(rates)]
    pending = sorted(events.items())
    futures: list[Future[None] | None] = []
    with ThreadPoolExecutor(THREADS) as pool:
        while (now := monotonic() - begun) < seconds or any(each and not each.done() for each in futures):
            while pending and pending[0][0] * seconds <= now:
                futures.append(pending.pop(0)[1]())
            due, number, call = queue[0]
            if due > now:
                sleep(min(due - now, 0.05))
                continue
            late = max(late, now - due)
            pool.submit(call)
            heapq.heapreplace(queue, (due + 1 / rates[call](due / seconds), number, call))
    return late
