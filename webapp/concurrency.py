"""Limits on the threads of a process that wait for other servers.

A request that waits for ORCID or an organisation's receiver occupies a thread; the limits leave threads for all other
requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from sql.records import Change


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """How many threads of a process may wait at the same time.

    A quarter of the threads is left for other requests.
    """

    orcid: int
    """For ORCID."""
    transfers: int
    """For all organisations' receivers together."""
    organisation: int
    """For the receivers of one organisation."""

    @classmethod
    def of(cls, threads: int) -> ConcurrencyLimits:
        """Return the limits for a process with this number of threads."""
        return cls(*(max(1, threads // part) for part in (2, 4, 8)))


@contextmanager
def try_acquire(semaphore: BoundedSemaphore) -> Iterator[bool]:
    """Acquire a semaphore for the block without waiting.

    Yields:
        Whether it was acquired.
    """
    acquired = semaphore.acquire(blocking=False)
    try:
        yield acquired
    finally:
        if acquired:
            semaphore.release()


def with_limits(
    deliver_now: Callable[[Change], object], organisation_ids: Iterable[str], limits: ConcurrencyLimits
) -> Callable[[Change], object]:
    """Return `deliver_now` with a limit of concurrent calls.

    A call beyond the limit does nothing, and the worker delivers the change.

    Args:
        deliver_now: Delivers a change, which may take seconds.
        organisation_ids: The ids of all organisations.
        limits: The limits.
    """
    total = BoundedSemaphore(limits.transfers)
    per_organisation = {organisation_id: BoundedSemaphore(limits.organisation) for organisation_id in organisation_ids}

    def deliver(change: Change) -> object:
        with try_acquire(per_organisation[change.organisation]) as own, try_acquire(total) as shared:
            return deliver_now(change) if own and shared else None

    return deliver
