"""Erasure of people: the link ends, then the person's data is deleted.

* The removal is delivered and fed like any other. Deliveries that were waiting before it are superseded.
* Until it has arrived, the account, the number of the removal, and what its delivery needs are kept.
* After `MAX_WAIT` the data is deleted even if a transfer has not received the removal or the feed has not been read.
  Deliveries that still wait become dead letters. A reader of the feed that comes later needs a new snapshot.
* What is written about the person after the request, because they linked again, is kept.

What stays identifies no person: that there were changes, where and when they arrived, and the chain of the audit log.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sql import rows
from sql.audit import facts_of
from sql.endings import delete_attempts
from sql.engines.base import Row, Transaction
from sql.records import Change, Erasure
from sql.repositories.audit_log import earlier_accounts
from sql.repositories.base import ID_BYTES, NO_LIMIT, PAGE_SIZE, OrganisationTransaction, Repository

MAX_WAIT = timedelta(days=30)
"""How long an erasure waits for the transfers and for a reader of the feed."""
RETENTION_ENDED = "kept for long enough"
"""The reason in the audit log of an erasure at the end of the retention period."""


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What a request to be erased has led to."""

    found: bool
    """Whether there was anything to erase."""
    removal: Change | None
    """The removal of the link, if there was one."""
    finished: bool
    """Whether everything is erased; otherwise the removal is still owed to the organisation."""


class ErasureRepository(Repository):
    """Erasures that people asked for, until they are finished."""

    def erase(  # noqa: PLR0913 - all that an audit event says
        self,
        organisation_id: str,
        person_key: str,
        actor: str,
        reason: str,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        uses_feed: bool = False,
        since: datetime | None = None,
    ) -> ErasureResult:
        """End a person's link and erase their data.

        The data is erased now, or as soon as the removal has reached the organisation. A repeated call changes nothing.

        Args:
            transfers: The names of the organisation's transfers, to which the removal is delivered.
            uses_feed: Whether the organisation may read the removal from its feed.
            since: When `MAX_WAIT` begins; `now` if None.
        """
        with self.organisation_transaction(organisation_id, now, exclusive=True) as transaction:
            return _erase(transaction, person_key, actor, reason, transfers, uses_feed=uses_feed, since=since or now)

    def finish_due(self, now: datetime, except_for: Collection[str] = ()) -> int:
        """Finish the erasures that are due; return their number.

        An erasure is due when the removal has reached the organisation, or `MAX_WAIT` has passed.

        Args:
            except_for: The ids of organisations whose erasures wait.
        """
        finished, before = 0, rows.format_timestamp(now - MAX_WAIT)
        found = self.engine.fetch_all("list_organisations_of_erasures")
        for organisation_id in [row["organisation"] for row in found if row["organisation"] not in except_for]:
            batch = PAGE_SIZE
            while batch == PAGE_SIZE:
                due = self.engine.fetch_all(
                    "list_due_erasures", organisation=organisation_id, give_up_before=before, limit=PAGE_SIZE
                )
                batch = sum(self.finish(organisation_id, row["person_key"], now) for row in due)
                finished += batch
        return finished

    def finish(self, organisation_id: str, person_key: str, now: datetime) -> bool:
        """Finish a person's erasure if it is due.

        Returns:
            False when it is not, or is finished already.
        """
        with self.organisation_transaction(organisation_id, now, exclusive=True) as transaction:
            return _finish(transaction, person_key, now)

    def erase_inactive(self, organisation_id: str, before: datetime, now: datetime, *, uses_feed: bool) -> int:
        """Erase an organisation's inactive people; return their number.

        Inactive people have no link, attempt, waiting delivery or recent event. Each is checked again in the
        transaction that erases them: they may have come back since they were listed.

        Args:
            before: An event is recent from this time on.
            uses_feed: As in `erase`.
        """
        erased, batch = 0, PAGE_SIZE
        while batch == PAGE_SIZE:
            people = self.engine.fetch_all(
                "list_inactive_people",
                organisation=organisation_id,
                before=rows.format_timestamp(before),
                limit=PAGE_SIZE,
            )
            batch = len(people)
            for row in people:
                person = {"organisation": organisation_id, "person_key": row["person_key"]}
                with self.organisation_transaction(organisation_id, now, exclusive=True) as transaction:
                    if transaction.session.fetch_one("has_activity", **person, before=rows.format_timestamp(before)):
                        continue
                    result = _erase(
                        transaction,
                        row["person_key"],
                        "service",
                        RETENTION_ENDED,
                        (),
                        uses_feed=uses_feed,
                        since=before,
                    )
                erased += result.finished
        return erased

    def finished_since_vacuum(self) -> bool:
        """Return whether an erasure was finished since the last vacuum."""
        (row,) = self.engine.fetch_all("count_finished_erasures")
        return bool(row["count"])

    def get(self, organisation_id: str, person_key: str) -> Erasure | None:
        """Return a person's unfinished erasure."""
        row = self.engine.fetch_one("get_erasure", organisation=organisation_id, person_key=person_key)
        if row is None:
            return None
        return Erasure(
            organisation=row["organisation"],
            person_key=row["person_key"],
            change_number=row["change_number"],
            event_number=row["event_number"],
            requested_at=rows.parse_timestamp(row["requested_at"]),
        )


def _erase(  # noqa: PLR0913 - as `ErasureRepository.erase`
    transaction: OrganisationTransaction,
    person_key: str,
    actor: str,
    reason: str,
    transfers: Sequence[str],
    *,
    uses_feed: bool,
    since: datetime,
) -> ErasureResult:
    session, now = transaction.session, transaction.now
    person = {"organisation": transaction.organisation, "person_key": person_key}
    if session.fetch_one("has_personal_data", **person) is None:
        return ErasureResult(found=False, removal=None, finished=True)
    link = transaction.current_link(person_key)
    delete_attempts(session, session.fetch_all("list_attempts_of_person", **person, limit=NO_LIMIT), now)
    session.execute("delete_mail_of_person", **person)
    session.execute("delete_pending_removal", **person)
    removal = None
    if link is None:
        transaction.insert_event("erasure-requested", actor, person_key, {"reason": reason})
    else:
        removal = transaction.remove_link(link, actor, reason, transfers)
    session.execute("supersede_waiting_deliveries", **person, now=rows.format_timestamp(now))
    (newest,) = session.fetch_all("get_newest_change_number_of_person", **person)
    session.execute(
        "insert_erasure",
        **person,
        id=secrets.token_hex(ID_BYTES),
        change_number=newest["number"] or 0,
        event_number=transaction.last_event_number,
        uses_feed=int(uses_feed),
        now=rows.format_timestamp(since),
    )
    # Read before the events that name them are erased
    earlier = earlier_accounts(session, transaction.organisation, person_key)
    finished = _finish(transaction, person_key, now)
    for each in earlier:
        session.execute(
            "insert_erasure",
            organisation=transaction.organisation,
            person_key=each.person_key,
            id=secrets.token_hex(ID_BYTES),
            change_number=each.change_number,
            event_number=each.event_number + 1,
            uses_feed=int(uses_feed),
            now=rows.format_timestamp(since),
        )
        finished = _finish(transaction, each.person_key, now) and finished
    return ErasureResult(found=True, removal=removal, finished=finished)


def _finish(transaction: OrganisationTransaction, person_key: str, now: datetime) -> bool:
    session = transaction.session
    person = {"organisation": transaction.organisation, "person_key": person_key}
    erasure = session.fetch_one("get_due_erasure", **person, give_up_before=rows.format_timestamp(now - MAX_WAIT))
    if erasure is None:
        return False
    number = erasure["change_number"]
    given_up = session.fetch_all(
        "give_up_deliveries_of_person", **person, number=number, now=rows.format_timestamp(now)
    )
    for row in given_up:
        facts = {"transfer": row["transfer"], "change": str(row["change_number"]), "outcome": row["outcome"]}
        transaction.insert_event("dead-letter", "service", None, facts)
    session.execute("delete_read_events", **person)
    session.execute("delete_changes_of_person", **person, number=number)
    session.execute("anonymise_deliveries_of_person", **person, number=number)
    session.execute("delete_ended_links_of_person", **person, event_number=erasure["event_number"])
    _erase_facts(session, person, erasure)
    if erasure["uses_feed"] and erasure["acknowledged"] < number:
        session.execute("update_erased_through", organisation=transaction.organisation, number=number)
    session.execute("finish_erasure", id=erasure["id"], now=rows.format_timestamp(now))
    transaction.insert_event("erased", "service", None, {})
    return True


def _erase_facts(session: Transaction, person: dict[str, str], erasure: Row) -> None:
    (newest,) = session.fetch_all("get_newest_change_number_of_person", **person)
    if newest["number"] is None and not session.fetch_all("list_attempts_of_person", **person, limit=1):
        session.execute("erase_facts_of_person", **person)
        return
    # The person linked again. Of the events since the request, those about erased changes' deliveries are erased too
    last = erasure["event_number"]
    session.execute("erase_facts_of_person_until", **person, number=last)
    for row in session.fetch_all("list_person_events_after", **person, after=last, limit=NO_LIMIT):
        if int(facts_of(row["facts"]).get("change", NO_LIMIT)) <= erasure["change_number"]:
            session.execute("erase_facts_of_event", organisation=person["organisation"], number=row["number"])
