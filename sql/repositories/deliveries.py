"""The outbox: what is owed to the organisations' transfers, and the workers that take it there.

* A delivery is made in the transaction of its change, and waits until a worker ends it: it is never lost.
* A worker leases what it is to deliver. While the lease runs nobody else gets it; when it runs out without a word,
  the worker is taken for dead, and the delivery is taken up again. So it may be sent twice; the change's id tells.
* Of one person's deliveries to one transfer, only the oldest that waits is given out: a removal never overtakes its
  link. A delivery that was given up waits for nobody, and is done as soon as later news of the person has arrived.
* A transfer that fails again and again is left alone while its breaker is open, and then probed with one delivery at
  a time. Other transfers are not slowed by it.

Whether it is worth trying again, when, and for how long, is the worker's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from sql import rows
from sql.engines.base import Row, Transaction, Values
from sql.organisation_transaction import OrganisationTransaction, Repository
from sql.records import Breaker, ChangeKind, Delivery, DeliveryCount, DeliveryState

PAGE = 500
"""How many rows are held in memory at once while many are read."""

Room = Callable[[str, str], int]
"""How many more deliveries to a transfer, given by organisation and name, its worker has room for."""


class DeliveryRepository(Repository):
    """The outbox: changes owed to transfers, and their circuit breakers."""

    def claim(  # noqa: PLR0913, PLR0917 - for whom, for how long, and which
        self,
        worker: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        only: tuple[str, int] | None = None,
        room: Room | None = None,
    ) -> list[Delivery]:
        """Lease at most so many deliveries that are due; or those of `only` one change (organisation, number).

        Of no transfer more than there is `room` for: so whoever waits for one of them has hands left for the others.

        Nobody else is given them until `now + lease`: a try has to be over by then. `worker` names one thread of one
        process on one machine. Several transfers share the limit, whoever has waited longest first; the deliveries of
        one change are as many as there are transfers, and come all together.
        """
        holder = {"worker": worker, "now": rows.timestamp(now), "until": rows.timestamp(now + lease)}
        with self.engine.transaction(exclusive=True) as session:
            claimed = _claim_change(session, holder, *only) if only else _claim_some(session, holder, limit, room)
            found = session.fetch_batch("delivery", [rows.place_values(row) for row in claimed])
        return [rows.delivery_of(row) for (row,) in found]

    def complete(self, delivery: Delivery, worker: str, outcome: str, message: str, now: datetime) -> bool:
        """Say that a delivery has arrived; false, and nothing said, when it is no longer in the worker's hands.

        Its transfer works, so its breaker closes. What had been given up for the same person is done with it.
        """
        return self._end(delivery, worker, DeliveryState.DONE, outcome, message, now)

    def dead_letter(self, delivery: Delivery, worker: str, outcome: str, message: str, now: datetime) -> bool:
        """Say that a delivery will not be tried again; false when it is no longer in the worker's hands."""
        return self._end(delivery, worker, DeliveryState.GIVEN_UP, outcome, message, now)

    def _end(  # noqa: PLR0913, PLR0917 - the columns of an end
        self, delivery: Delivery, worker: str, state: DeliveryState, outcome: str, message: str, now: datetime
    ) -> bool:
        told = {
            "state": state.value,
            "outcome": outcome,
            "message": rows.printable(message),
            "now": rows.timestamp(now),
        }
        with self._holding(delivery.organisation, now) as held:
            if not held.session.fetch_all("end_delivery", **rows.lease_values(delivery, worker), **told):
                return False
            if state is DeliveryState.DONE:
                _arrived(held.session, delivery)
            said = {} if state is DeliveryState.DONE else {"message": told["message"]}
            held.event(_EVENTS[state], "service", delivery.person_key, {**_facts(delivery, outcome), **said})
            return True

    def reschedule(  # noqa: PLR0913, PLR0917 - what came of a try, and when the next is
        self, delivery: Delivery, worker: str, outcome: str, message: str, next_at: datetime, now: datetime
    ) -> bool:
        """Let a delivery wait until `next_at`; false when it is no longer in the worker's hands."""
        told = {"outcome": outcome, "message": rows.printable(message), "now": rows.timestamp(now)}
        place = rows.lease_values(delivery, worker)
        return self.engine.execute("postpone_delivery", **place, **told, next_at=rows.timestamp(next_at)) == 1

    def release(self, delivery: Delivery, worker: str) -> bool:
        """Give a delivery back untried; false when it is no longer in the worker's hands."""
        return self.engine.execute("release_delivery", **rows.lease_values(delivery, worker)) == 1

    def record_failure(self, entity_id: str, transfer: str, now: datetime, most: int, rest: timedelta) -> None:
        """Count one more failure in a row of a transfer; from the `most`-th on each opens its breaker for `rest`."""
        until = rows.timestamp(now + rest)
        self.engine.execute("note_failure", organisation=entity_id, transfer=transfer, most=most, until=until)

    def record_success(self, entity_id: str, transfer: str) -> None:
        """Say that a transfer's other side answers, whatever its answer: its breaker closes."""
        self.engine.execute("note_success", organisation=entity_id, transfer=transfer)

    def retry(
        self,
        entity_id: str,
        transfer: str | None,
        now: datetime,
        actor: str = "operator",
        by: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        """Take up again what was given up, of one transfer or of all, and tell how many there were.

        `by` are facts for the audit about who asked for it.

        They wait as if they were new, in their old order. One stays given up while its person's next delivery to the
        same transfer is on its way; and whoever has been forgotten has nothing to be taken up.
        """
        with self._holding(entity_id, now, exclusive=True) as held:
            breakers = held.session.fetch_all("breakers_of", organisation=entity_id)
            names = [row["transfer"] for row in breakers if transfer in {None, row["transfer"]}]
            again = {"organisation": entity_id, "now": rows.timestamp(now)}
            moved = sum(held.session.execute("wait_again", **again, transfer=name) for name in names)
            if moved:
                held.event("retried", actor, None, {"transfer": transfer or "all", "deliveries": str(moved), **by})
            return moved

    def make_due(self, entity_id: str, transfer: str | None, now: datetime) -> int:
        """Let what waits for a later time, of one transfer or of all, be due now; tell how many there were."""
        names = [each.transfer for each in self.breakers(entity_id) if transfer in {None, each.transfer}]
        way = {"organisation": entity_id, "now": rows.timestamp(now)}
        return sum(self.engine.execute("wait_no_longer", **way, transfer=name) for name in names)

    def count_missing(self, entity_id: str, transfer: str) -> int:
        """Tell how many current links of an organisation a transfer has never been owed."""
        missing, after = 0, ""
        while page := self.engine.fetch_all("links_with_owed", **_page(entity_id, transfer, after)):
            missing, after = missing + sum(not row["owed"] for row in page), page[-1]["person_key"]
        return missing

    def backfill(self, entity_id: str, transfer: str, now: datetime) -> Iterator[list[str]]:
        """Owe a transfer the current links that it has never been owed, and give the keys of their persons.

        They are owed a page of PAGE links at a time, each in a transaction of its own, as the iterator is read. What is
        owed is the change that made the link, so that it keeps its place before later changes. Where that change is no
        longer kept, there is a new one, which the feed tells as well.
        """
        after = ""
        while True:
            with self._holding(entity_id, now) as held:
                page = held.session.fetch_all("links_with_owed", **_page(entity_id, transfer, after))
                missing = [row for row in page if not row["owed"]]
                if missing:
                    held.session.execute("add_breaker", organisation=entity_id, transfer=transfer)
                    held.session.execute_many("add_delivery", [_backfilled(held, row, transfer) for row in missing])
                    held.event("backfilled", "operator", None, {"transfer": transfer, "deliveries": str(len(missing))})
            if not page:
                return
            yield [row["person_key"] for row in missing]
            after = page[-1]["person_key"]

    def list_for_person(self, entity_id: str, person_key: str, limit: int = PAGE) -> list[Delivery]:
        """Give what became of a person's changes, newest first."""
        found = self.engine.fetch_all(
            "deliveries_of_person", organisation=entity_id, person_key=person_key, limit=limit
        )
        return [rows.delivery_of(row) for row in found]

    def list_for_change(self, entity_id: str, number: int) -> list[Delivery]:
        """Give what became of one change, by the names of the transfers."""
        found = self.engine.fetch_all("deliveries_of_change", organisation=entity_id, number=number)
        return [rows.delivery_of(row) for row in found]

    def list_dead_letters(self, entity_id: str) -> Iterator[Delivery]:
        """Give all that was given up and is still missing over there, by transfer and number, a page at a time."""
        return self._in_state(entity_id, DeliveryState.GIVEN_UP)

    def list_waiting(self, entity_id: str) -> Iterator[Delivery]:
        """Give all that is still owed, by transfer and number, a page at a time."""
        return self._in_state(entity_id, DeliveryState.WAITING)

    def _in_state(self, entity_id: str, state: DeliveryState) -> Iterator[Delivery]:
        for breaker in self.breakers(entity_id):
            way, after = {"organisation": entity_id, "transfer": breaker.transfer, "state": state.value}, 0
            while page := self.engine.fetch_all("some_in_state", **way, after=after, limit=PAGE):
                yield from map(rows.delivery_of, page)
                after = page[-1]["number"]

    def counts(self, entity_id: str) -> list[DeliveryCount]:
        """Tell how many deliveries of an organisation are in each state, for each transfer that has any."""
        return [
            rows.delivery_count_of(row) for row in self.engine.fetch_all("count_deliveries", organisation=entity_id)
        ]

    def breakers(self, entity_id: str) -> list[Breaker]:
        """Give the breaker of each transfer of an organisation that was ever owed something."""
        return [rows.breaker_of(row) for row in self.engine.fetch_all("breakers_of", organisation=entity_id)]


_EVENTS = {DeliveryState.DONE: "delivered", DeliveryState.GIVEN_UP: "given-up"}


def _page(entity_id: str, transfer: str, after: str) -> Values:
    return {"organisation": entity_id, "transfer": transfer, "after": after, "limit": PAGE}


def _backfilled(held: OrganisationTransaction, row: Row, transfer: str) -> dict[str, str | int]:
    number, kind = row["number"], row["kind"]
    if (row["newest_registry"], row["newest_orcid"]) != (row["registry"], row["orcid"]):
        link = rows.current_link_of(row)
        change = held.change(ChangeKind.LINKED, link, link.orcid_id, None)
        number, kind = change.number, change.kind.value
    whose = {"organisation": held.organisation, "person_key": row["person_key"]}
    return {**whose, "number": number, "kind": kind, "transfer": transfer, "now": rows.timestamp(held.now)}


def _claim_change(session: Transaction, holder: dict[str, str], organisation: str, number: int) -> list[Row]:
    return session.fetch_all("claim_change", **holder, organisation=organisation, number=number)


def _claim_some(session: Transaction, holder: dict[str, str], limit: int, room: Room | None) -> list[Row]:
    found = session.fetch_all("open_ways", now=holder["now"])
    rooms = [(way, limit if room is None else room(way["organisation"], way["transfer"])) for way in found]
    ways = [(way, most) for way, most in rooms if most > 0][:limit]
    if not ways:
        return []
    share, rest = divmod(limit, len(ways))
    asked = [{**holder, **_share(way, min(most, share + (at < rest)))} for at, (way, most) in enumerate(ways)]
    claimed = session.fetch_batch("claim_some", asked)
    return [row for way in claimed for row in sorted(way, key=lambda row: row["number"])]


def _share(way: Row, most: int) -> dict[str, str | int]:
    limit = 1 if way["probing"] else most
    return {"organisation": way["organisation"], "transfer": way["transfer"], "limit": limit}


def _arrived(session: Transaction, delivery: Delivery) -> None:
    way = {"organisation": delivery.organisation, "transfer": delivery.transfer}
    session.execute("supersede", **way, number=delivery.number, person_key=delivery.person_key)
    session.execute("note_success", **way)


def _facts(delivery: Delivery, outcome: str) -> dict[str, str]:
    change = delivery.change
    told = {"orcid": change.orcid_id.uri} if change is not None and change.orcid_id is not None else {}
    return {"transfer": delivery.transfer, "change": str(delivery.number), "outcome": outcome, **told}
