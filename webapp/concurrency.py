"""Shares of a server's threads: how many people may wait at once for ORCID and for organisations' receivers.

Whoever waits for a slow neighbour occupies a thread. A share is bounded, so that threads are left for everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from sql.records import Change


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """How many threads of a process may wait at once for each neighbour; a quarter is left to everybody else."""

    orcid: int
    """For ORCID."""
    transfers: int
    """For all organisations' receivers together."""
    organisation: int
    """For the receivers of one organisation."""

    @classmethod
    def of(cls, threads: int) -> ConcurrencyLimits:
        """Divide the threads of a process."""
        return cls(*(max(1, threads // part) for part in (2, 4, 8)))


@contextmanager
def place(semaphore: BoundedSemaphore) -> Iterator[bool]:
    """Occupy one place of a share, without waiting; false where none is free."""
    taken = semaphore.acquire(blocking=False)
    try:
        yield taken
    finally:
        if taken:
            semaphore.release()


def with_limits(
    deliver_now: Callable[[Change], object], organisations: Iterable[str], shares: ConcurrencyLimits
) -> Callable[[Change], object]:
    """Return `deliver_now` with a bounded number of callers.

    A change for which there is no place stays in the outbox, for the worker.

    Args:
        deliver_now: Delivers a change, and may take seconds.
        organisations: The entityIDs of all organisations.
        shares: The bounds.
    """
    everybody = BoundedSemaphore(shares.transfers)
    own = {entity_id: BoundedSemaphore(shares.organisation) for entity_id in organisations}

    def deliver(change: Change) -> object:
        with place(own[change.organisation]) as one, place(everybody) as other:
            return deliver_now(change) if one and other else None

    return deliver
