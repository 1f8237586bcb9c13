"""The worker: tries due deliveries in threads, and runs periodic jobs."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from resolver_connector.delivery.dispatcher import Dispatcher, make_worker_id
from resolver_connector.delivery.event_log import EventLog
from sql.errors import StoreUnavailable
from sql.records import Delivery

JOB_FAILED = "job-failed"
"""The event in the log when a job raised an exception."""


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic task that the worker runs beside the deliveries, such as mail."""

    name: str
    """As in the log."""
    run: Callable[[datetime], object]
    """Gets the time. May raise: the worker logs it, and runs the job again after `error_interval`."""
    interval: timedelta = timedelta()
    """How long after a successful run the next may begin."""
    stop: Callable[[], object] | None = None
    """Makes what `run` has left running in a thread end soon. A signal handler calls it, so it takes no lock."""


class Worker:
    """Delivers what is due, until it is stopped (`run`) or once (`run_once`).

    Several workers may use one store.
    """

    def __init__(
        self, dispatcher: Dispatcher, jobs: Iterable[Job], report: EventLog, clock: Callable[[], datetime]
    ) -> None:
        self._dispatcher = dispatcher
        self._settings = dispatcher.settings
        self._jobs = tuple(jobs)
        self._report = report
        self._clock = clock
        self._finished_at: dict[str, datetime] = {}
        self._paused_until: dict[str, float] = {}
        self._lock = threading.Lock()
        self._running: Counter[tuple[str, str]] = Counter()
        self._events: Counter[str] = Counter()
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False
        self._alive_at = monotonic()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the loop of `run` last began a round."""
        return monotonic() - self._alive_at

    def run(self) -> None:
        """Deliver and run jobs until `stop` is called; finish running tries.

        An error of the store or a bug is logged, and the worker continues after `error_interval`.
        """
        with ThreadPoolExecutor(self._settings.max_workers) as pool:
            while not self._stopped:
                interval, self._alive_at = self._settings.poll_interval, monotonic()
                try:
                    self._start_tries(pool)
                    self._run_jobs()
                except Exception as error:  # noqa: BLE001 - the worker must not end
                    interval = self._settings.error_interval
                    self._log_error(error)
                self._wait(interval)

    def run_once(self) -> Counter[str]:
        """Deliver what is due and run each job once; return the count of each event.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        self._events.clear()
        with ThreadPoolExecutor(self._settings.max_workers) as pool:
            while not self._stopped:
                # Read before the claim: a try that ends in between may have made another delivery due
                with self._lock:
                    running = self._running.total()
                if not self._start_tries(pool) and not running:
                    break
                self._wait(self._settings.poll_interval)
        self._run_jobs()
        return self._events

    def stop(self) -> None:
        """End `run` and `run_once`.

        It takes no lock, so a signal handler may call it.
        """
        self._stopped = True
        for job in self._jobs:
            if job.stop is not None:
                job.stop()
        self._wakeups.put(None)

    def _start_tries(self, pool: ThreadPoolExecutor) -> int:
        """Start tries of due deliveries in free threads; return how many."""
        with self._lock:
            free = self._settings.max_workers - self._running.total()
        if not free:
            return 0
        worker_id = make_worker_id()
        claimed = self._dispatcher.claim(worker_id, free, self._remaining_capacity)
        for delivery in claimed:
            with self._lock:
                self._running[delivery.organisation, delivery.transfer] += 1
            try:
                pool.submit(self._try, delivery, worker_id)
            except BaseException:  # no thread available; the delivery is claimed again when its lease has expired
                self._end_try(delivery)
                raise
        return len(claimed)

    def _remaining_capacity(self, organisation: str, transfer: str) -> int:
        with self._lock:
            return self._settings.max_workers_per_transfer - self._running[organisation, transfer]

    def _try(self, delivery: Delivery, worker_id: str) -> None:
        event = self._dispatcher.try_delivery(delivery, worker_id, self._settings.try_timeout)
        self._end_try(delivery, event)
        self._wakeups.put(None)

    def _end_try(self, delivery: Delivery, *events: str) -> None:
        with self._lock:
            self._running[delivery.organisation, delivery.transfer] -= 1
            self._events.update(events)

    def _wait(self, seconds: float) -> None:
        """Wait until a try ends or `stop` is called, for `seconds` at most."""
        with suppress(queue.Empty):
            self._wakeups.get(timeout=seconds)

    def _run_jobs(self) -> None:
        """Run each job that is due.

        An exception of one job affects neither the other jobs nor the deliveries.
        """
        for job in self._jobs:
            now, finished_at = self._clock(), self._finished_at.get(job.name)
            early = finished_at is not None and abs(now - finished_at) < job.interval
            if early or monotonic() < self._paused_until.get(job.name, 0.0):
                continue
            try:
                job.run(now)
                self._finished_at[job.name] = now
            except Exception as error:  # noqa: BLE001 - jobs do not depend on each other
                self._paused_until[job.name] = monotonic() + self._settings.error_interval
                self._events[JOB_FAILED] += 1
                self._report(JOB_FAILED, job=job.name)
                self._log_error(error)

    def _log_error(self, error: Exception) -> None:
        if isinstance(error, StoreUnavailable):
            self._report("store-unavailable", reason=str(error))
        else:
            self._report.exception(error)
