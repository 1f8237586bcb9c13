"""Takes what the outbox holds to the organisations' transfers: at once after a change, and again by the worker.

* Whatever comes of a try, its delivery ends, waits or is given up in the store; while the try lasts it is leased, and
  when this process dies the lease runs out and somebody else tries. So news may arrive twice; its id tells.
* What the other side refuses for good (an unknown person, a conflict) is given up at once, said aloud, and left to
  people. What may pass (`Outcome.again`) is tried again for three days (`backoff.py`).
* Nobody waits for a dead receiver: its breaker opens after a few failures, and before that it holds only some of the
  worker's hands.
* No bug ends the worker, be it in a chore or in a try: the log says where, and what failed is tried again later.

In which order is the store's promise: of one person's deliveries to one transfer, only the oldest is ever given out.
"""

from __future__ import annotations

import os
import queue
import random
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from resolver_connector.delivery.backoff import next_try
from resolver_connector.http import Report
from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, Transfer
from shibboleth.organisation import Organisations
from sql.errors import StoreUnavailable
from sql.records import Change, Delivery
from sql.store import Store

DELIVERED, POSTPONED, GIVEN_UP, LOST = "delivered", "postponed", "given-up", "lost"
"""What came of a try, in the words of the log; lost: the lease had run out, and somebody else has it now."""
BUG = "bug"
"""What came of a chore that could not be done."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How long things may take, and how many are done at once."""

    at_once: float = 9.5
    """Seconds that a person waits for the deliveries of a change, all together."""
    at_once_try: float = 8.0
    """Of these, how many for the other side; the rest is ours to write down what it said."""
    a_try: float = 20.0
    """Seconds for a try that nobody waits for."""
    lease: timedelta = timedelta(minutes=1)
    """Longer than any try: after it, whoever tried is taken for dead."""
    threads: int = 64
    """How many tries the worker has under way at most; threads that only wait are cheap."""
    threads_each: int = 4
    """Of these, how many to one transfer: the others are not delayed as long as fewer than sixteen do not answer."""
    poll: float = 1.0
    """Seconds after which an idle worker looks again."""
    away: float = 10.0
    """Seconds after which a worker looks again that could not reach the store, or that met a bug."""
    most_failures: int = 5
    """So many in a row open a transfer's breaker."""
    rest: timedelta = timedelta(minutes=1)
    """For so long a breaker stays open."""


class Deliverer:
    """Delivers, for the web application (`now`) and as the worker (`run`, `once`)."""

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        store: Store,
        organisations: Organisations,
        transfers: Mapping[str, Mapping[str, Transfer]],
        report: Report,
        clock: Callable[[], datetime],
        *,
        chores: Iterable[Callable[[datetime], None]] = (),
        pace: WorkerSettings | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the transfers by entityID and name; the worker turns to each of `chores` now and then."""
        self._store = store
        self._organisations = organisations
        self._transfers = transfers
        self._report = report
        self._clock = clock
        self._pace = pace or WorkerSettings()
        self._chores = [_Chore(each) for each in chores]
        self._chance = chance
        self._hands = _Hands(self._pace)
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False

    # At once

    def now(self, change: Change) -> list[Delivery]:
        """Try the deliveries of a change at once, and tell how they stand within ten seconds.

        What is not done by then stays in the outbox; its try may still end by itself. Never raises: where the store
        is away there is nothing to tell.
        """
        if not self._transfers.get(change.organisation):
            return []
        try:
            self._try_together(change, monotonic() + self._pace.at_once)
            return self._store.deliveries.list_for_change(change.organisation, change.number)
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the link is made; no slip of ours here may say otherwise
            self._report.exception(error)
        return []

    def _try_together(self, change: Change, until: float) -> None:
        worker, only = worker_name(), (change.organisation, change.number)
        claimed = self._store.deliveries.claim(worker, self._clock(), self._pace.lease, 0, only)
        # Threads of their own: each ends within the time, so there are never more than people waiting and transfers.
        # Each in the context of the request, so that its log lines carry the request's id
        tries = [
            threading.Thread(
                target=copy_context().run, args=(self._try, each, worker, self._pace.at_once_try), daemon=True
            )
            for each in claimed
        ]
        for one in tries:
            one.start()
        for one in tries:
            one.join(max(until - monotonic(), 0))

    # The worker

    def run(self) -> None:
        """Deliver until `stop` is called; what is on its way then is let end."""
        with ThreadPoolExecutor(self._pace.threads) as pool:
            while not self._stopped:
                self._wait(self._pace.poll if self._went_round(pool) else self._pace.away)

    def _went_round(self, pool: ThreadPoolExecutor) -> bool:
        """Do what is due; false when it is better to wait a little before the next time."""
        try:
            self._take_up(pool)
            self._do_chores()
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a worker that has ended delivers nothing to anybody
            self._report.exception(error)
            return False
        return True

    def _do_chores(self) -> None:
        """Turn to each chore; one that has a bug keeps nobody from anything, and rests for a little."""
        for chore in self._chores:
            if monotonic() < chore.rests_until:
                continue
            try:
                chore.turn(self._clock())
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - mail that cannot be written is no reason to deliver nothing
                chore.rests_until = monotonic() + self._pace.away
                self._report.exception(error)
                self._hands.tell(BUG)

    def once(self) -> Counter[str]:
        """Deliver what is due, do the chores, and tell how often it came to what. Raises StoreUnavailable."""
        self._hands.told.clear()
        with ThreadPoolExecutor(self._pace.threads) as pool:
            while not self._stopped:
                # Asked first: what ends in between may have made something due that was not, when it was looked for
                busy = self._hands.busy
                if not self._take_up(pool) and not busy:
                    break
                self._wait(self._pace.poll)
        self._do_chores()
        return self._hands.told

    def stop(self) -> None:
        """End `run` and `once`. A signal handler may call it: it takes no lock."""
        self._stopped = True
        self._wakes.put(None)

    def _take_up(self, pool: ThreadPoolExecutor) -> int:
        """Begin as many tries as there are hands for; tell how many."""
        free = self._hands.free
        if not free:
            return 0
        worker = worker_name()
        claimed = self._store.deliveries.claim(worker, self._clock(), self._pace.lease, free, room=self._hands.room)
        for delivery in claimed:
            self._begin(pool, delivery, worker)
        return len(claimed)

    def _begin(self, pool: ThreadPoolExecutor, delivery: Delivery, worker: str) -> None:
        self._hands.take(delivery)
        try:
            pool.submit(self._work, delivery, worker)
        except BaseException:  # no thread to be had; whoever has the next hand free takes it up when the lease is over
            self._hands.let_go(delivery)
            raise

    def _work(self, delivery: Delivery, worker: str) -> None:
        try:
            word = self._try(delivery, worker, self._pace.a_try)
        finally:
            self._hands.let_go(delivery)
            self._wakes.put(None)
        self._hands.tell(word)

    def _wait(self, seconds: float) -> None:
        """Wait until a try has ended or `stop` is called, and no longer than this."""
        with suppress(queue.Empty):
            self._wakes.get(timeout=seconds)

    # One try

    def _try(self, delivery: Delivery, worker: str, seconds: float) -> str:
        """Deliver, and have the store know what came of it; when it cannot, the lease runs out by itself."""
        try:
            answer = self._answer(delivery, seconds)
            word = self._settled(delivery, worker, answer, self._clock())
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))
            return LOST
        except Exception as error:  # noqa: BLE001 - a thread that dies in silence tells nobody
            self._report.exception(error)
            return LOST
        self._report(
            word,
            organisation=self._called(delivery.organisation),
            transfer=delivery.transfer,
            outcome=answer.outcome.value,
            attempts=delivery.attempts,
        )
        return word

    def _answer(self, delivery: Delivery, seconds: float) -> DeliveryResult:
        transfer = self._transfers.get(delivery.organisation, {}).get(delivery.transfer)
        if transfer is None:
            return DeliveryResult(Outcome.MISCONFIGURED, "the configuration has no transfer of this name any more")
        if delivery.change is None:
            return DeliveryResult(Outcome.REFUSED, "what there was to deliver has been forgotten")
        try:
            return transfer.deliver(self._news(delivery.change), now=self._clock(), seconds=seconds)
        except Exception as error:  # noqa: BLE001 - a slip in one kind of transfer is no reason to lose a delivery
            self._report.exception(error)
            return DeliveryResult(Outcome.TEMPORARY, "something went wrong on our side; the log says what")

    def _called(self, entity_id: str) -> str:
        """Give the short name of an organisation; its entityID where it is connected no more."""
        return next((one.id for one in self._organisations if one.entity_id == entity_id), entity_id)

    def _news(self, change: Change) -> ChangeMessage:
        return ChangeMessage(
            id=change.id,
            kind=change.kind,
            organisation=change.organisation,
            key=self._organisations.by_entity_id(change.organisation).key,
            account=change.account,
            orcid_id=change.orcid_id,
            previous=change.previous,
            at=change.at,
        )

    def _settled(self, delivery: Delivery, worker: str, answer: DeliveryResult, now: datetime) -> str:
        said = (delivery, worker, answer.outcome.value, answer.message)
        if answer.outcome.arrived:
            return DELIVERED if self._store.deliveries.complete(*said, now) else LOST
        if not answer.outcome.again:
            self._store.deliveries.record_success(delivery.organisation, delivery.transfer)
            return GIVEN_UP if self._store.deliveries.dead_letter(*said, now) else LOST
        self._note_failure(delivery, answer, now)
        next_at = self._next_try(delivery, answer, now)
        if next_at is None:
            return GIVEN_UP if self._store.deliveries.dead_letter(*said, now) else LOST
        return POSTPONED if self._store.deliveries.reschedule(*said, next_at, now) else LOST

    def _note_failure(self, delivery: Delivery, answer: DeliveryResult, now: datetime) -> None:
        # Whoever asks to be left alone means everybody's news, not just this one
        most, rest = (self._pace.most_failures, self._pace.rest) if not answer.retry_after else (1, answer.retry_after)
        self._store.deliveries.record_failure(delivery.organisation, delivery.transfer, now, most, rest)

    def _next_try(self, delivery: Delivery, answer: DeliveryResult, now: datetime) -> datetime | None:
        slow = answer.outcome is Outcome.MISCONFIGURED
        asked, chance = answer.retry_after, self._chance()
        return next_try(delivery.attempts, delivery.waiting_since, now, slow=slow, asked=asked, chance=chance)


@dataclass(slots=True)
class _Chore:
    """What the worker does beside delivering."""

    turn: Callable[[datetime], None]
    rests_until: float = 0.0
    """After a bug; by the monotonic clock."""


class _Hands:
    """How many tries are under way, to which transfers, and what came of those that ended."""

    def __init__(self, pace: WorkerSettings) -> None:
        self._pace = pace
        self._lock = threading.Lock()
        self._under_way: Counter[tuple[str, str]] = Counter()
        self.told: Counter[str] = Counter()

    @property
    def busy(self) -> int:
        """How many tries are under way."""
        with self._lock:
            return self._under_way.total()

    @property
    def free(self) -> int:
        """How many more may begin."""
        return self._pace.threads - self.busy

    def room(self, organisation: str, transfer: str) -> int:
        """Tell how many more to one transfer may begin."""
        with self._lock:
            return self._pace.threads_each - self._under_way[organisation, transfer]

    def take(self, delivery: Delivery) -> None:
        """Say that a try begins."""
        with self._lock:
            self._under_way[delivery.organisation, delivery.transfer] += 1

    def let_go(self, delivery: Delivery) -> None:
        """Say that a try has ended."""
        with self._lock:
            self._under_way[delivery.organisation, delivery.transfer] -= 1

    def tell(self, word: str) -> None:
        """Say what came of a try."""
        with self._lock:
            self.told[word] += 1


def worker_name() -> str:
    """Give a name that no other worker has, on any machine: host, process, thread and chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident():x}:{secrets.token_hex(4)}"
