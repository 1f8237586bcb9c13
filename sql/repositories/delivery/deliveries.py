"""The outbox: changes owed to organisations' transfers, leased by workers.

* A delivery is inserted in the transaction of its change and waits until a worker finishes it: none is lost.
* A worker leases deliveries before it tries them. No other worker gets them while the lease lasts; an expired lease
  is reclaimed. A delivery can therefore be sent twice; the change's id shows it.
* Of waiting deliveries to one transfer whose changes share a person or an iD, only the oldest is leased: a removal
  never overtakes its link, nor another person's link with the iD the removal of the previous one. A dead letter blocks
  nothing, and is superseded when a later change of the person arrives. The iDs that it would have taken away are
  removed with that change (`list_missed`).
* A transfer that keeps failing is not tried while its circuit breaker is open, and gets one delivery at a time while
  it is half-open. Other transfers are not affected.

The worker decides whether, when and for how long to retry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from sql import rows
from sql.engines.base import Row, Transaction, Values
from sql.records import Change, ChangeKind, Delivery, DeliveryCount, DeliveryState, TransferBreaker
from sql.repositories.base import PAGE_SIZE, OrganisationTransaction, Repository

Capacity = Callable[[str, str], int]
"""Returns how many more deliveries to a transfer (organisation, name) a worker can take."""

_REMOVALS, _LINKS = _BACKFILL_QUERIES = ("list_removals_for_backfill", "list_links_for_backfill")
_EVENT_KINDS = {DeliveryState.DONE: "delivered", DeliveryState.DEAD_LETTER: "dead-letter"}


class DeliveryRepository(Repository):
    """Deliveries, and the circuit breakers of transfers."""

    def claim(  # noqa: PLR0913, PLR0917 - who, for how long, and which
        self,
        worker: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        only: tuple[str, int] | None = None,
        capacity: Capacity | None = None,
    ) -> list[Delivery]:
        """Lease deliveries that are due, until `now + lease`.

        Each try must have ended by then.

        Args:
            worker: A name of the calling thread, unique over all machines.
            limit: The most deliveries to lease. Transfers share it, those with the longest due deliveries first.
            only: Lease the deliveries of this change (organisation, number) instead, without a limit.
            capacity: Limits the deliveries to each transfer, so that a slow one does not occupy all threads.
        """
        lease_values = {
            "worker": worker,
            "now": rows.format_timestamp(now),
            "lease_expires_at": rows.format_timestamp(now + lease),
        }
        with self.engine.transaction(exclusive=True) as session:
            if only is None:
                claimed = _claim_due(session, lease_values, limit, capacity)
            else:
                organisation, number = only
                claimed = session.fetch_all(
                    "claim_deliveries_of_change", **lease_values, organisation=organisation, change_number=number
                )
            keys = [{name: row[name] for name in ("organisation", "change_number", "transfer")} for row in claimed]
            found = session.fetch_batch("get_delivery", keys)
        return [rows.delivery_from_row(row) for (row,) in found]

    def complete(self, delivery: Delivery, worker: str, outcome: str, message: str, now: datetime) -> bool:
        """Finish a delivery that arrived.

        The circuit breaker of the transfer is closed, and the person's dead letters are superseded.

        Returns:
            False, having written nothing, when the worker's lease has ended.
        """
        return self._finish(delivery, worker, DeliveryState.DONE, outcome, message, now)

    def dead_letter(self, delivery: Delivery, worker: str, outcome: str, message: str, now: datetime) -> bool:
        """Finish a delivery that is not tried again.

        Returns:
            False when the worker's lease has ended.
        """
        return self._finish(delivery, worker, DeliveryState.DEAD_LETTER, outcome, message, now)

    def _finish(  # noqa: PLR0913, PLR0917 - the columns of a finished delivery
        self, delivery: Delivery, worker: str, state: DeliveryState, outcome: str, message: str, now: datetime
    ) -> bool:
        message = rows.storable(message)
        with self.organisation_transaction(delivery.organisation, now) as transaction:
            session = transaction.session
            finished = session.fetch_one(
                "finish_delivery",
                **_lease(delivery, worker),
                state=state.value,
                outcome=outcome,
                message=message,
                now=rows.format_timestamp(now),
            )
            if finished is None:
                return False
            facts = {"transfer": delivery.transfer, "change": str(delivery.change_number), "outcome": outcome}
            if delivery.change is not None and delivery.change.orcid_id is not None:
                facts["orcid"] = delivery.change.orcid_id.uri
            if state is DeliveryState.DEAD_LETTER:
                facts["message"] = message
            with session.pipeline():
                if state is DeliveryState.DONE:
                    transfer = {"organisation": delivery.organisation, "transfer": delivery.transfer}
                    person = {"change_number": delivery.change_number, "person_key": delivery.person_key}
                    session.execute("supersede_dead_letters", **transfer, **person)
                    if delivery.change is not None and delivery.change.previous_person_key is not None:
                        moved = {**person, "person_key": delivery.change.previous_person_key}
                        session.execute("supersede_dead_letters", **transfer, **moved)
                    session.execute("record_transfer_success", **transfer)
                transaction.insert_event(_EVENT_KINDS[state], "service", delivery.person_key, facts)
            return True

    def has_earlier_waiting(self, delivery: Delivery) -> bool:
        """Return whether a delivery of an earlier, related change waits.

        Related changes have the same person or the same iD. An earlier one can wait after a backfill. A conflict at the
        receiver is temporary in this case.
        """
        found = self.engine.fetch_one(
            "get_earlier_waiting_delivery",
            organisation=delivery.organisation,
            transfer=delivery.transfer,
            change_number=delivery.change_number,
        )
        return found is not None

    def list_missed(self, delivery: Delivery, person_key: str | None = None) -> list[Change]:
        """Return earlier changes of the person whose iD the receiver may still have.

        Their deliveries are dead letters or superseded, and no later change has arrived since. The oldest come first.
        If `person_key` is given, they are changes of this key.
        """
        found = self.engine.fetch_all(
            "list_missed_changes",
            organisation=delivery.organisation,
            transfer=delivery.transfer,
            change_number=delivery.change_number,
            person_key=person_key or delivery.person_key,
        )
        return [rows.change_from_row(row) for row in found]

    def reschedule(  # noqa: PLR0913, PLR0917 - the result of a try, and when the next one is due
        self, delivery: Delivery, worker: str, outcome: str, message: str, next_try_at: datetime, now: datetime
    ) -> bool:
        """Set when a delivery is due next.

        Returns:
            False when the worker's lease has ended.
        """
        changed = self.engine.execute(
            "reschedule_delivery",
            **_lease(delivery, worker),
            outcome=outcome,
            message=rows.storable(message),
            next_try_at=rows.format_timestamp(next_try_at),
            now=rows.format_timestamp(now),
        )
        return changed == 1

    def record_failure(
        self, organisation_id: str, transfer: str, now: datetime, failure_threshold: int, reset_timeout: timedelta
    ) -> None:
        """Count a failure of a transfer.

        From the `failure_threshold`-th in a row on, its circuit breaker is opened.

        Args:
            reset_timeout: How long the breaker stays open before it is half-open.
        """
        self.engine.execute(
            "record_transfer_failure",
            organisation=organisation_id,
            transfer=transfer,
            failure_threshold=failure_threshold,
            open_until=rows.format_timestamp(now + reset_timeout),
        )

    def record_success(self, organisation_id: str, transfer: str) -> None:
        """Close a transfer's circuit breaker: its receiver answered, in any way."""
        self.engine.execute("record_transfer_success", organisation=organisation_id, transfer=transfer)

    def retry(
        self,
        organisation_id: str,
        transfer: str | None,
        now: datetime,
        actor: str = "operator",
        by: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        """Queue dead letters again, in their old order, and return their number.

        A dead letter stays one while a later delivery to the same transfer that shares its person or iD is leased, and
        when its change was deleted.

        Args:
            transfer: One of the organisation's transfers; None means all.
            by: Facts for the audit event about who asked for it.
        """
        with self.organisation_transaction(organisation_id, now, exclusive=True) as transaction:
            session = transaction.session
            breakers = session.fetch_all("list_circuit_breakers", organisation=organisation_id)
            names = [row["transfer"] for row in breakers if transfer in {None, row["transfer"]}]
            values = {"organisation": organisation_id, "now": rows.format_timestamp(now)}
            queued = sum(session.execute("retry_dead_letters", **values, transfer=name) for name in names)
            if queued:
                facts = {"transfer": transfer or "all", "deliveries": str(queued), **by}
                transaction.insert_event("dead-letters-retried", actor, None, facts)
            return queued

    def make_due(self, organisation_id: str, transfer: str | None, now: datetime) -> int:
        """Make deliveries that wait for a later try due now; return their number.

        Args:
            organisation_id: The organisation's id.
            transfer: The name of one of its transfers; None means all.
            now: The time.
        """
        names = [each.transfer for each in self.breakers(organisation_id) if transfer in {None, each.transfer}]
        values = {"organisation": organisation_id, "now": rows.format_timestamp(now)}
        return sum(self.engine.execute("expedite_deliveries", **values, transfer=name) for name in names)

    def count_missing(self, organisation_id: str, transfer: str) -> int:
        """Count what `backfill` would queue for a transfer."""
        values: Values = {"organisation": organisation_id, "transfer": transfer, "limit": PAGE_SIZE}
        missing = 0
        for query in _BACKFILL_QUERIES:
            after = ""
            while page := self.engine.fetch_all(query, **values, after=after):
                missing += sum(not row["owed"] for row in page)
                after = page[-1]["person_key"]
        return missing

    def backfill(self, organisation_id: str, transfer: str, now: datetime) -> Iterator[list[str]]:
        """Queue links and removals that were never queued for a transfer.

        Removals are those of links that the transfer has received.

        Works through a page of people at a time, each in its own transaction, as the iterator is read. Removals come
        first, as they free iDs. The delivery is of the change that made or ended the link, so that it stays before
        later changes. Where that change is deleted, a new one is inserted, which the feed contains too.

        Yields:
            The person keys of a page.
        """
        values: Values = {"organisation": organisation_id, "transfer": transfer, "limit": PAGE_SIZE}
        for query in _BACKFILL_QUERIES:
            after: str | None = ""
            while after is not None:
                with self.organisation_transaction(organisation_id, now) as transaction:
                    session = transaction.session
                    page = session.fetch_all(query, **values, after=after)
                    missing = [row for row in page if not row["owed"]]
                    if missing:
                        session.execute("insert_circuit_breaker", organisation=organisation_id, transfer=transfer)
                        deliveries = [_backfill_values(transaction, row, transfer, query) for row in missing]
                        session.execute_many("insert_delivery", deliveries)
                        facts = {"transfer": transfer, "deliveries": str(len(missing))}
                        transaction.insert_event("backfilled", "operator", None, facts)
                if missing:
                    yield [row["person_key"] for row in missing]
                after = page[-1]["person_key"] if page else None

    def list_for_person(self, organisation_id: str, person_key: str, limit: int = PAGE_SIZE) -> list[Delivery]:
        """Return the deliveries of a person's changes, newest first."""
        found = self.engine.fetch_all(
            "list_deliveries_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [rows.delivery_from_row(row) for row in found]

    def newest_of_transfer(self, organisation_id: str, person_key: str, transfer: str) -> Delivery | None:
        """Return the newest delivery of a person's changes to a transfer."""
        row = self.engine.fetch_one(
            "get_newest_delivery_to_transfer", organisation=organisation_id, person_key=person_key, transfer=transfer
        )
        return None if row is None else rows.delivery_from_row(row)

    def list_for_change(self, organisation_id: str, number: int) -> list[Delivery]:
        """Return the deliveries of one change, by the names of the transfers."""
        found = self.engine.fetch_all("list_deliveries_of_change", organisation=organisation_id, change_number=number)
        return [rows.delivery_from_row(row) for row in found]

    def list_dead_letters(self, organisation_id: str) -> Iterator[Delivery]:
        """Yield an organisation's dead letters by transfer and number.

        They are read a page at a time.
        """
        return self._list_in_state(organisation_id, DeliveryState.DEAD_LETTER)

    def list_waiting(self, organisation_id: str) -> Iterator[Delivery]:
        """Yield an organisation's waiting deliveries by transfer and number.

        They are read a page at a time.
        """
        return self._list_in_state(organisation_id, DeliveryState.WAITING)

    def _list_in_state(self, organisation_id: str, state: DeliveryState) -> Iterator[Delivery]:
        for breaker in self.breakers(organisation_id):
            values, after = {"organisation": organisation_id, "transfer": breaker.transfer, "state": state.value}, 0
            while page := self.engine.fetch_all("list_deliveries_in_state", **values, after=after, limit=PAGE_SIZE):
                yield from map(rows.delivery_from_row, page)
                after = page[-1]["change_number"]

    def counts(self, organisation_id: str) -> list[DeliveryCount]:
        """Count an organisation's deliveries by transfer and state, without zeros."""
        return [
            DeliveryCount(
                row["transfer"], DeliveryState(row["state"]), row["count"], rows.parse_timestamp(row["oldest"])
            )
            for row in self.engine.fetch_all("count_deliveries", organisation=organisation_id)
        ]

    def breakers(self, organisation_id: str) -> list[TransferBreaker]:
        """Return the circuit breakers of an organisation's transfers.

        A transfer has one as soon as it had a delivery.
        """
        found = self.engine.fetch_all("list_circuit_breakers", organisation=organisation_id)
        return [rows.breaker_from_row(row) for row in found]


def _claim_due(session: Transaction, lease_values: dict[str, str], limit: int, capacity: Capacity | None) -> list[Row]:
    found = session.fetch_all("list_due_transfers", now=lease_values["now"])
    limits = [limit if capacity is None else capacity(row["organisation"], row["transfer"]) for row in found]
    transfers = [(row, most) for row, most in zip(found, limits, strict=True) if most > 0]
    claimed: list[Row] = []
    # Due deliveries may have to wait for earlier ones; then the next transfers are read
    while transfers and (left := limit - len(claimed)) > 0:
        group, transfers = transfers[:left], transfers[left:]
        share, rest = divmod(left, len(group))
        claims = [
            {
                **lease_values,
                "organisation": row["organisation"],
                "transfer": row["transfer"],
                "limit": 1 if row["half_open"] else min(most, share + (index < rest)),
            }
            for index, (row, most) in enumerate(group)
        ]
        for each in session.fetch_batch("claim_deliveries", claims):
            claimed += sorted(each, key=lambda row: row["change_number"])
    return claimed


def _lease(delivery: Delivery, worker: str) -> dict[str, str | int | None]:
    # `tries` distinguishes this lease from a later one by the same worker
    return {
        "organisation": delivery.organisation,
        "change_number": delivery.change_number,
        "transfer": delivery.transfer,
        "worker": worker,
        "lease_expires_at": rows.format_optional_timestamp(delivery.lease_expires_at),
        "tries": delivery.tries,
    }


def _backfill_values(transaction: OrganisationTransaction, row: Row, transfer: str, query: str) -> dict[str, str | int]:
    number, kind = row["number"], row["kind"]
    if query == _REMOVALS and number is None:
        link = rows.link_summary_from_row(row)
        change = transaction.insert_change(ChangeKind.REMOVED, link, None, link.orcid_id)
        number, kind = change.number, change.kind.value
    elif query == _LINKS and (row["newest_registry"], row["newest_orcid"]) != (row["registry"], row["orcid"]):
        link = rows.link_summary_from_row(row)
        change = transaction.insert_change(ChangeKind.LINKED, link, link.orcid_id, None)
        number, kind = change.number, change.kind.value
    return {
        "organisation": transaction.organisation,
        "change_number": number,
        "transfer": transfer,
        "kind": kind,
        "person_key": row["person_key"],
        "now": rows.format_timestamp(transaction.now),
    }
