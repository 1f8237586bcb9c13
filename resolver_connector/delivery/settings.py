"""Settings of deliveries: time-outs, threads, circuit breaker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How long tries may take, and how many run at the same time."""

    interactive_timeout: float = 9.5
    """Seconds that a web request waits for all deliveries of its change."""
    interactive_try_timeout: float = 8.0
    """Seconds for each of these tries; the rest of `interactive_timeout` is for storing the results."""
    try_timeout: float = 20.0
    """Seconds for a try of the worker."""
    lease_duration: timedelta = timedelta(minutes=1)
    """Longer than any try. A delivery whose lease has expired is stalled, and the next claim reclaims it."""
    max_workers: int = 64
    """Threads of the worker, one for each running try; waiting threads are cheap."""
    max_workers_per_transfer: int = 4
    """Of these, how many for one transfer: fewer than sixteen silent receivers do not delay the others."""
    poll_interval: float = 1.0
    """Seconds between two claims while no try ends."""
    error_interval: float = 10.0
    """Seconds until the worker tries again what failed: to reach the store, or to run a job."""
    failure_threshold: int = 5
    """Failures in a row that open the circuit breaker of a transfer."""
    reset_timeout: timedelta = timedelta(minutes=1)
    """How long a breaker stays open before it is half-open: one delivery at a time is tried."""
