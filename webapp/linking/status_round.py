"""Looks up the linked iDs at ORCID, and acts on the states of their records.

* The round reads each iD once in `status_check_days`, and each that is not in its normal state once a day.
* At most BATCH_REQUESTS requests are sent in BATCH_INTERVAL, and at most DAILY_REQUESTS on a UTC day, by all workers
  together; ORCID's own limits are 12 requests a second and, by its smallest figure, 25,000 a day.
* A batch ends at the first answer that shows nothing. The next one waits, longer each time, and as long as ORCID asks.
* An organisation's policy is applied to a state that a second look-up has confirmed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

from shibboleth.orcid_id import OrcidId, Registry
from sql.errors import OrcidIdInUse, StoreUnavailable
from sql.records import CONFIRMED_AFTER, ChangeKind, Link, RecordState
from sql.store import Store
from webapp.linking.public_api import LookupFailed, LookupPaused, RecordAnswer
from webapp.log import log

BATCH_INTERVAL = timedelta(seconds=10)
BATCH_REQUESTS = 10
DAILY_REQUESTS = 20_000
BATCH_TIME = 30.0
"""Seconds after which a batch begins no further look-up."""
LEASE = timedelta(minutes=10)
"""Longer than a batch can take."""
MAX_MERGES = 3
"""How many records are followed from a deprecated iD to the one that is in use."""
RECHECK = timedelta(days=1)
"""When an iD whose record is not in its normal state is looked up again."""
RETRY = timedelta(hours=1)
"""When an iD is looked up again whose look-up has failed, so that the other iDs are looked up first."""
FIRST_PAUSE, MAX_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""The wait after a batch that failed; it doubles with each further one."""
THREAD = "orcid-status"


class RecordApi(Protocol):
    """An API that returns the state of records; `PublicApi` implements it."""

    def check_status(self, now: datetime) -> None:
        """See `PublicApi.check_status`."""

    def look_up(self, orcid_id: OrcidId, now: datetime) -> RecordAnswer:
        """See `PublicApi.look_up`."""


@dataclass(frozen=True, slots=True)
class RecordPolicy:
    """What an organisation does about a record that is not `ok`."""

    replace_deprecated: bool = False
    suspend_inactive: bool = False
    transfers: Sequence[str] = ()
    """The names of its transfers, to which changes are delivered."""


@dataclass(slots=True)
class StatusRound:
    """Looks up iDs at ORCID, and applies the organisations' policies."""

    store: Store
    api: RecordApi
    registry: Registry
    policies: Mapping[str, RecordPolicy]
    """By organisation, as in the store."""
    interval: timedelta
    """How long after a look-up the next one of the same iD follows; zero: `run` does nothing."""
    daily_requests: int = DAILY_REQUESTS
    misconfigured: Collection[str] = ()
    """The ids of organisations whose policy is not known, and is applied later."""
    _thread: threading.Thread | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def start_batch(self, now: datetime) -> None:
        """Run a batch in a thread of its own, unless one runs.

        ORCID may be slow, and deliveries must not wait for it.
        """
        if self.interval and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run_logged, args=(now,), name=THREAD)
            self._thread.start()

    def stop(self) -> None:
        """Make a running batch end after the request that it waits for.

        It takes no lock, so a signal handler may call it.
        """
        self._stopped = True

    def _run_logged(self, now: datetime) -> None:
        try:
            self.run(now)
        except StoreUnavailable as error:
            log("store-unavailable", reason=str(error))
        except Exception as error:  # noqa: BLE001 - an exception in a thread is not logged otherwise
            log.exception(error)

    def run(self, now: datetime) -> None:
        """Run a batch of look-ups, if one is due and no other worker runs one.

        Raises:
            StoreUnavailable: If the store does not answer; what was not scheduled stays due.
        """
        statuses = self.store.record_statuses
        batch = statuses.begin_batch(self.registry, now, now + LEASE) if self.interval else None
        if batch is None:
            return
        left, failures, pause = self.daily_requests - batch.requests, 0, BATCH_INTERVAL
        counter, began = _RequestCounter(self.api, lambda: self._stopped), monotonic()
        try:
            due = statuses.list_due(self.registry, now, BATCH_REQUESTS) if left >= BATCH_REQUESTS else []
            if left < BATCH_REQUESTS:
                midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
                pause = midnight - now
            if due:
                counter.check_status(now)
            for orcid_id in due:
                # A deprecated iD may need a request for each record that it was merged into
                late = monotonic() - began > BATCH_TIME
                if late or self._stopped or counter.requests + 1 + MAX_MERGES > BATCH_REQUESTS:
                    break
                self._check(orcid_id, counter, now)
        except LookupFailed as error:
            failures = batch.failures + 1
            pause = max(min(FIRST_PAUSE * 2 ** min(batch.failures, 10), MAX_PAUSE), error.retry_after or timedelta())
            log("record-lookup-failed", reason=error.reason, failures=failures, pause=int(pause.total_seconds()))
        statuses.count_requests(self.registry, now, counter.requests)
        statuses.finish_batch(self.registry, now + pause, failures)

    def check(self, orcid_id: OrcidId, now: datetime) -> RecordAnswer:
        """Look up one iD now, store its record's state, and apply the policies.

        It waits for no batch, but sends nothing while the round backs off, or when the requests of the day are used up.

        Raises:
            LookupFailed: If ORCID does not tell the state.
            LookupPaused: If nothing was sent.
            StoreUnavailable: If the store does not answer.
        """
        batch = self.store.record_statuses.batch(self.registry, now)
        if batch.failures and batch.next_batch_at is not None and batch.next_batch_at > now:
            raise LookupPaused("look-ups are paused, because ORCID did not answer", batch.next_batch_at - now)
        if batch.requests + 1 + MAX_MERGES > self.daily_requests:
            raise LookupPaused("the requests of this day are used up")
        counter = _RequestCounter(self.api)
        try:
            return self._check(orcid_id, counter, now)
        finally:
            self.store.record_statuses.count_requests(self.registry, now, counter.requests)

    def _check(self, orcid_id: OrcidId, api: RecordApi, now: datetime) -> RecordAnswer:
        statuses = self.store.record_statuses
        try:
            answer = _look_up(orcid_id, api, now)
        except Exception:
            # A bug too: the same iD would be the first of every batch
            statuses.schedule(orcid_id, now + RETRY)
            raise
        links = statuses.save(orcid_id, answer.state, answer.primary, now)
        for link in links:
            self._apply_policy(link, now)
        # Last, so that what a crash has left undone is due again
        statuses.schedule(orcid_id, now + self._next_interval(links, answer))
        return answer

    def _next_interval(self, links: Sequence[Link], answer: RecordAnswer) -> timedelta:
        interval = self.interval or RECHECK
        if any(link.organisation in self.misconfigured for link in links):
            return min(interval, RECHECK)
        if answer.state is RecordState.OK:
            return interval
        confirmed = all(link.record is not None and link.record.confirmed for link in links)
        return min(interval, RECHECK if confirmed else CONFIRMED_AFTER)

    def _apply_policy(self, link: Link, now: datetime) -> None:
        statuses, record = self.store.record_statuses, link.record
        policy = self.policies.get(link.organisation, RecordPolicy())
        if record is None or link.organisation in self.misconfigured:
            return
        change = None
        if record.inactive and policy.suspend_inactive:
            change = statuses.suspend(link, now, policy.transfers) if record.confirmed else None
        elif link.suspended_at is not None and record.state is not RecordState.NOT_FOUND:
            change = statuses.resume(link, now, policy.transfers)
        if record.primary is not None and record.confirmed and policy.replace_deprecated:
            try:
                change = statuses.replace_deprecated(link, now, policy.transfers)
            except OrcidIdInUse:
                log("record-primary-in-use", organisation=link.organisation)
        if change is not None:
            log(_EVENTS[change.kind], organisation=link.organisation)


_EVENTS = {
    ChangeKind.REMOVED: "link-suspended",
    ChangeKind.LINKED: "link-resumed",
    ChangeKind.REPLACED: "link-replaced",
}
"""The name of a change in the log."""


@dataclass(slots=True)
class _RequestCounter:
    """Counts the requests that are sent to an API until `stopped`."""

    api: RecordApi
    stopped: Callable[[], bool] = lambda: False
    requests: int = 0

    def check_status(self, now: datetime) -> None:
        self.requests += 1
        self.api.check_status(now)

    def look_up(self, orcid_id: OrcidId, now: datetime) -> RecordAnswer:
        if self.stopped():
            raise LookupFailed("the worker ends")
        self.requests += 1
        return self.api.look_up(orcid_id, now)


def _look_up(orcid_id: OrcidId, api: RecordApi, now: datetime) -> RecordAnswer:
    # The primary iD of the answer is in use; it is None where records were merged in a circle, too often, or into one
    # that is not in use itself
    answer = api.look_up(orcid_id, now)
    seen, last = {orcid_id}, answer
    while last.primary is not None and last.primary not in seen and len(seen) <= MAX_MERGES:
        seen.add(last.primary)
        primary, last = last.primary, api.look_up(last.primary, now)
        if last.state is RecordState.OK:
            return RecordAnswer(answer.state, primary)
    return RecordAnswer(answer.state)
