"""Tries deliveries, and stores the results.

A delivery is leased from its claim until its result is stored. If the process dies meanwhile, the lease expires and
another process claims the delivery, so a receiver may get a change twice; the id of the change is the idempotency key.
Of deliveries to one transfer that share a person or an iD, only the oldest can be claimed.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from time import monotonic

from resolver_connector.delivery.backoff import next_try_at
from resolver_connector.delivery.event_log import EventLog
from resolver_connector.delivery.settings import WorkerSettings
from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, Transfer
from shibboleth.organisation import Organisations
from sql.errors import StoreUnavailable
from sql.records import Change, ChangeKind, ChangeReason, Delivery
from sql.repositories.delivery.deliveries import Capacity
from sql.store import Store

DELIVERED, RESCHEDULED, DEAD_LETTER, LEASE_LOST = "delivered", "rescheduled", "dead-letter", "lease-lost"
"""Events in the log, one for each try. `lease-lost`: the lease had expired, so the result was not stored."""
FAILED = "failed"
"""The result of the try could not be stored, because of an error on our side; the log has another line with it."""


class Dispatcher:
    """Tries deliveries.

    Web requests use `deliver_now`, the worker `claim` and `try_delivery`.
    """

    def __init__(  # noqa: PLR0913 - its dependencies
        self,
        store: Store,
        organisations: Organisations,
        transfers: Mapping[str, Mapping[str, Transfer]],
        report: EventLog,
        clock: Callable[[], datetime],
        *,
        settings: WorkerSettings | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Initialise the dispatcher.

        Args:
            store: Has the outbox.
            organisations: Those that are connected.
            transfers: By the organisation's id, and the transfer's name.
            report: Writes the log.
            clock: Returns the time.
            settings: Time-outs and thresholds; the defaults where it is None.
            random: Returns a number between 0 and 1, for the jitter of the back-off.
        """
        self._store = store
        self._organisations = organisations
        self._transfers = transfers
        self._report = report
        self._clock = clock
        self._random = random
        self.settings = settings or WorkerSettings()

    def deliver_now(self, change: Change) -> list[Delivery]:
        """Try all deliveries of a change in parallel; return their state.

        The state is that after `interactive_timeout` at most; tries that take longer end in their own threads. An
        error of the store or a bug is logged, and the list is then empty: the change is stored, and the worker delivers
        it.
        """
        if not self._transfers.get(change.organisation):
            return []
        end = monotonic() + self.settings.interactive_timeout
        worker_id = make_worker_id()
        try:
            claimed = self._store.deliveries.claim(
                worker_id, self._clock(), self.settings.lease_duration, 0, (change.organisation, change.number)
            )
            # In the context of the request, so that its id is in the log lines of the tries
            threads = [
                threading.Thread(
                    target=copy_context().run,
                    args=(self.try_delivery, delivery, worker_id, self.settings.interactive_try_timeout),
                    daemon=True,
                )
                for delivery in claimed
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(end - monotonic(), 0))
            return self._store.deliveries.list_for_change(change.organisation, change.number)
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the link is stored, and a bug here must not turn it into an error
            self._report.exception(error)
        return []

    def claim(self, worker_id: str, limit: int, capacity: Capacity) -> list[Delivery]:
        """Lease deliveries that are due, except those of misconfigured organisations.

        Args:
            worker_id: The id of the caller (`make_worker_id`), which holds the leases.
            limit: The largest number of deliveries.
            capacity: Returns how many more tries a transfer may have, by the organisation's id and its name.

        Raises:
            StoreUnavailable: If the store does not answer.
        """

        def capacity_of_connected(organisation: str, transfer: str) -> int:
            # Deliveries of a misconfigured organisation wait
            return 0 if organisation in self._organisations.misconfigured else capacity(organisation, transfer)

        return self._store.deliveries.claim(
            worker_id, self._clock(), self.settings.lease_duration, limit, capacity=capacity_of_connected
        )

    def try_delivery(self, delivery: Delivery, worker_id: str, timeout: float) -> str:
        """Try a leased delivery, store the result, and return the event logged.

        Never raises. If the result cannot be stored, the lease expires and the delivery is tried again.

        Args:
            delivery: A delivery that `worker_id` has claimed.
            worker_id: The id that holds the lease.
            timeout: Seconds for the receiver.
        """
        try:
            result = self._deliver(delivery, timeout)
            event = self._store_result(delivery, worker_id, result, self._clock())
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))
            return FAILED
        except Exception as error:  # noqa: BLE001 - an exception in a thread would not be seen
            self._report.exception(error)
            return FAILED
        self._report(
            event,
            organisation=delivery.organisation,
            transfer=delivery.transfer,
            outcome=result.outcome.value,
            tries=delivery.tries,
        )
        return event

    def _deliver(self, delivery: Delivery, timeout: float) -> DeliveryResult:
        transfer, change = self._transfers.get(delivery.organisation, {}).get(delivery.transfer), delivery.change
        if transfer is None:
            return DeliveryResult(Outcome.MISCONFIGURED, "the configuration no longer has a transfer of this name")
        if change is None:
            return DeliveryResult(Outcome.REFUSED, "the change has been deleted")
        organisation = self._organisations.by_id(change.organisation)
        message = ChangeMessage(
            id=change.id,
            kind=change.kind,
            organisation=change.organisation,
            entity_id=organisation.entity_ids[0],
            key=organisation.key,
            account=change.account,
            orcid_id=change.orcid_id,
            previous=change.previous,
            at=change.at,
            reason=change.reason,
            number=change.number,
            previous_account=change.previous_account,
        )
        if change.kind is ChangeKind.MOVED and not transfer.writes_moves:
            return self._deliver_move(delivery, transfer, message, timeout)
        removals = self._missed_removals(delivery, message)
        try:
            # One that cannot remove an iD puts the new one in its place
            if removals and transfer.removal_probe is None:
                timeout /= len(removals) + 1
                for removal in removals:
                    result = transfer.deliver(removal, now=self._clock(), timeout=timeout)
                    if not result.delivered:
                        return result
            return transfer.deliver(message, now=self._clock(), timeout=timeout)
        except Exception as error:  # noqa: BLE001 - a bug in one transfer is retried like a failure of its receiver
            self._report.exception(error)
            return DeliveryResult(Outcome.TEMPORARY, "an error in this service; its log has the details")

    def _deliver_move(
        self, delivery: Delivery, transfer: Transfer, message: ChangeMessage, timeout: float
    ) -> DeliveryResult:
        # A receiver without a word for it: the iD is removed from the account before, and linked to the account now.
        # A removal that the receiver does not take never keeps the iD from the account now
        linked = replace(message, kind=ChangeKind.LINKED, previous_account=None, reason=ChangeReason.MOVED)
        before = replace(linked, kind=ChangeKind.REMOVED, account=message.previous_account or "", orcid_id=None)
        previous_key = delivery.change.previous_person_key if delivery.change else None
        removals = self._missed_removals(delivery, replace(before, orcid_id=message.orcid_id), previous_key)
        removals.append(replace(before, previous=message.orcid_id))
        timeout /= len(removals) + 1
        notes = []
        try:
            for each in removals:
                result = transfer.deliver(each, now=self._clock(), timeout=timeout)
                if result.retryable:
                    return result
                if not result.delivered:
                    notes.append(f"not removed from the account before ({result.outcome.value}): {result.message}")
            result = transfer.deliver(linked, now=self._clock(), timeout=timeout)
            return replace(result, message="; ".join(filter(None, (result.message, *notes))))
        except Exception as error:  # noqa: BLE001 - a bug in one transfer is retried like a failure of its receiver
            self._report.exception(error)
            return DeliveryResult(Outcome.TEMPORARY, "an error in this service; its log has the details")

    def _missed_removals(
        self, delivery: Delivery, message: ChangeMessage, person_key: str | None = None
    ) -> list[ChangeMessage]:
        # The receiver may have an iD that the message does not name, because what took it away has not arrived. Each is
        # a removal with the id of that change, from the account of the message, or from the one that a move left
        missed = self._store.deliveries.list_missed(delivery, person_key)
        removals = {
            (each.previous_account, each.previous or each.orcid_id): replace(
                message,
                id=each.id,
                kind=ChangeKind.REMOVED,
                account=each.previous_account or message.account,
                orcid_id=None,
                previous=each.previous or each.orcid_id,
                previous_account=None,
                at=each.at,
                reason=each.reason,
                number=each.number,
            )
            for each in missed
            if each.previous_account is not None or each.previous not in {message.orcid_id, message.previous}
        }
        return list(removals.values())

    def _store_result(self, delivery: Delivery, worker_id: str, result: DeliveryResult, now: datetime) -> str:
        deliveries = self._store.deliveries
        transfer = (delivery.organisation, delivery.transfer)
        ended = (delivery, worker_id, result.outcome.value, result.message)
        next_at = None
        if result.delivered:
            return DELIVERED if deliveries.complete(*ended, now) else LEASE_LOST
        if not result.retryable:
            deliveries.record_success(*transfer)  # it answers
        elif result.retry_after:
            # A receiver that sends Retry-After gets no other delivery before that time either
            deliveries.record_failure(*transfer, now, 1, result.retry_after)
        else:
            deliveries.record_failure(*transfer, now, self.settings.failure_threshold, self.settings.reset_timeout)
        # The removal that frees the iD at the receiver may be among the earlier ones
        if result.retryable or (result.outcome is Outcome.CONFLICT and deliveries.has_earlier_waiting(delivery)):
            next_at = next_try_at(
                delivery.tries,
                delivery.queued_at,
                now,
                misconfigured=result.outcome is Outcome.MISCONFIGURED,
                retry_after=result.retry_after,
                random=self._random(),
            )
        if next_at is None:
            return DEAD_LETTER if deliveries.dead_letter(*ended, now) else LEASE_LOST
        return RESCHEDULED if deliveries.reschedule(*ended, next_at, now) else LEASE_LOST


def make_worker_id() -> str:
    """Return a worker id that is unique over all machines.

    It consists of host, process, thread and random digits.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident():x}:{secrets.token_hex(4)}"
