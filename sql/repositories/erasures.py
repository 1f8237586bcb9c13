"""A person wishes to be erased: their link ends, and once nothing is owed of that any more, nothing of them is left.

* The removal is delivered and fed like any other. What waited to be delivered before it is spared.
* Until it has arrived the account and the number of the removal are kept, and what is needed to deliver it.
* A transfer that refused the removal, and a reader of the feed that does not come, are waited for no longer than
  `PATIENCE`. A reader that comes later begins again with a snapshot.
* What came after the wish, since the person began anew, is not touched.

What stays names nobody: that there were changes, where and when they arrived, and the audit's chain.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sql import rows
from sql.audit import facts_of
from sql.engines.base import Row, Transaction, Values
from sql.organisation_transaction import ID_BYTES, OrganisationTransaction, Repository
from sql.records import Change, Erasure
from sql.repositories.statistics import count_attempts

PATIENCE = timedelta(days=30)
"""How long to wait for who refused the removal, and for a reader of the feed."""
ENOUGH = "kept for long enough"
"""The reason in the audit of an erasure that nobody asked for."""
_SOME = 500
_BEYOND = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Erased:
    """What came of a wish to be erased."""

    anything: bool
    """Whether there was anything to erase."""
    removal: Change | None
    """What the organisation has to learn now, if there was a link."""
    done: bool
    """Whether all is erased; otherwise something of the removal is still owed."""


class ErasureRepository(Repository):
    """Erasures that people asked for, until nothing is owed of them."""

    def erase(  # noqa: PLR0913 - who, whose, why and when: an audit needs them all
        self,
        entity_id: str,
        person_key: str,
        actor: str,
        reason: str,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        by_feed: bool = False,
        since: datetime | None = None,
    ) -> Erased:
        """End a person's link and erase everything about them, as far as it is not owed to the organisation any more.

        The removal is owed to the `transfers`, and `by_feed` to whoever fetches changes. `since` is from when on they
        are waited for, if not from now. Twice is the same as once.
        """
        whose = {"organisation": entity_id, "person_key": person_key}
        with self._holding(entity_id, now) as held:
            own = held.session.fetch_one("link_of", **whose)
            if held.session.fetch_one("anything_of", **whose) is None:
                return Erased(anything=False, removal=None, done=True)
            count_attempts(held.session, held.session.fetch_all("forget_attempts", **whose))
            held.session.execute("forget_mails", **whose)
            removal = held.remove(rows.link_of(own), actor, reason, transfers) if own else None
            if removal is None:
                held.event("erasing", actor, person_key, {"reason": reason})
            held.session.execute("spare_deliveries", **whose, now=rows.timestamp(now))
            (newest,) = held.session.fetch_all("newest_number_of", **whose)
            wish = _wish(whose, newest["number"] or 0, held, by_feed=by_feed)
            held.session.execute("ask_erasure", **wish, now=rows.timestamp(since or now))
            return Erased(anything=True, removal=removal, done=_finish(held, person_key, now))

    def finish_due(self, now: datetime) -> int:
        """Fulfil the wishes of which nothing is owed any more, and tell how many they were."""
        finished, round_ = 0, _SOME
        while round_ == _SOME:
            due = self.engine.fetch_all("erasures_due", long_ago=rows.timestamp(now - PATIENCE), limit=_SOME)
            round_ = sum(self.finish(row["organisation"], row["person_key"], now) for row in due)
            finished += round_
        return finished

    def finish(self, entity_id: str, person_key: str, now: datetime) -> bool:
        """Fulfil one person's wish, if nothing is owed of it any more; false where something is, or it is done."""
        with self._holding(entity_id, now) as held:
            return _finish(held, person_key, now)

    def erase_inactive(self, entity_id: str, before: datetime, now: datetime, *, by_feed: bool) -> int:
        """Erase the people of an organisation who have no link, and of whom there was nothing since a moment."""
        erased, round_ = 0, _SOME
        while round_ == _SOME:
            gone = self.engine.fetch_all(
                "gone_since", organisation=entity_id, before=rows.timestamp(before), limit=_SOME
            )
            keys = [row["person_key"] for row in gone]
            told = [self.erase(entity_id, key, "service", ENOUGH, now, by_feed=by_feed, since=before) for key in keys]
            round_ = len(told)
            erased += sum(each.done for each in told)
        return erased

    def finished_since_vacuum(self) -> bool:
        """Tell whether somebody was erased since the database's files were written anew."""
        row = self.engine.fetch_one("erasures_done")
        return row is not None and bool(row["count"])

    def get(self, entity_id: str, person_key: str) -> Erasure | None:
        """Give a person's wish to be forgotten, as long as it is not done."""
        row = self.engine.fetch_one("erasure_of_person", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.erasure_of(row)


def _wish(whose: Values, number: int, held: OrganisationTransaction, *, by_feed: bool) -> dict[str, str | int | None]:
    return {
        **whose,
        "id": secrets.token_hex(ID_BYTES),
        "change_number": number,
        "event_number": held.events,
        "by_feed": int(by_feed),
    }


def _finish(held: OrganisationTransaction, person_key: str, now: datetime) -> bool:
    """Erase a person, if nothing is owed of their removal any more."""
    whose = {"organisation": held.organisation, "person_key": person_key}
    session = held.session
    wish = session.fetch_one("erasure_due", **whose, long_ago=rows.timestamp(now - PATIENCE))
    if wish is None:
        return False
    number = wish["change_number"]
    session.execute("erase_changes", **whose, number=number)
    session.execute("erase_deliveries", **whose, number=number)
    session.execute("erase_ended_links", **whose, until=wish["asked_at"])
    _erase_events(session, whose, wish)
    if wish["by_feed"] and wish["acknowledged"] < number:
        session.execute("raise_forgotten", organisation=held.organisation, number=number)
    session.execute("end_erasure", id=wish["id"], now=rows.timestamp(now))
    held.event("erased", "service", None, {})
    return True


def _erase_events(session: Transaction, whose: dict[str, str], wish: Row) -> None:
    (newest,) = session.fetch_all("newest_number_of", **whose)
    if newest["number"] is None and not session.fetch_all("attempts_of_person", **whose, limit=1):
        session.execute("erase_facts", **whose)
        return
    # The person began anew. Of the lines that came since, those about the removal's way belong to what is erased
    session.execute("erase_facts_until", **whose, number=wish["event_number"])
    for row in session.fetch_all("person_events_after", **whose, after=wish["event_number"], limit=_BEYOND):
        if int(facts_of(row["facts"]).get("change", _BEYOND)) <= wish["change_number"]:
            session.execute("erase_facts_at", organisation=whose["organisation"], number=row["number"])
