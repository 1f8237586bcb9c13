"""The audit log: a chain of events for each organisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from sql import audit, rows
from sql.engines.base import Engine, Row, Transaction
from sql.records import EarlierAccount, Event, ReadEvents
from sql.repositories.base import NO_LIMIT, PAGE_SIZE, Repository


class AuditRepository(Repository):
    """The audit log: a chain of events for each organisation."""

    def add(  # noqa: PLR0913, PLR0917 - the columns of an event
        self,
        organisation_id: str,
        kind: str,
        actor: str,
        person_key: str | None,
        facts: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Append an event that belongs to no change of a link."""
        with self.organisation_transaction(organisation_id, now) as transaction:
            transaction.insert_event(kind, actor, person_key, facts)

    def list_events(
        self,
        organisation_id: str,
        person_key: str | None = None,
        *,
        newest_first: bool = False,
        limit: int = NO_LIMIT,
        without: str = "",
    ) -> Iterator[Event]:
        """Yield the events of an organisation, or of one person, a page at a time.

        Args:
            without: A kind of events that is left out of one person's, where the newest come first.
        """
        values: dict[str, str | int] = {"organisation": organisation_id}
        if person_key is not None:
            values |= {"person_key": person_key, "without": without}
        prefix = "list_events" if person_key is None else "list_person_events"
        direction, bound = ("before", NO_LIMIT) if newest_first else ("after", 0)
        while limit > 0:
            values |= {direction: bound, "limit": min(limit, PAGE_SIZE)}
            page = self.engine.fetch_all(f"{prefix}_{direction}", **values)
            yield from map(_event_from_row, page)
            if len(page) < PAGE_SIZE:
                return
            limit, bound = limit - len(page), page[-1]["number"]

    def list_events_of_others(self, organisation_id: str, person_key: str, after: int) -> list[Event]:
        """Return the events about a person that others caused, after an event number.

        A move to another account is included even if the person made it. The newest come first, at most PAGE_SIZE.
        """
        found = self.engine.fetch_all(
            "list_events_of_others", organisation=organisation_id, person_key=person_key, after=after, limit=PAGE_SIZE
        )
        return [_event_from_row(row) for row in found]

    def last_event(self, organisation_id: str, person_key: str, kind: str) -> Event | None:
        """Return the newest event of a kind about a person."""
        row = self.engine.fetch_one(
            "get_last_person_event",
            organisation=organisation_id,
            person_key=person_key,
            kind=kind,
        )
        return None if row is None else _event_from_row(row)

    def read_events(self, organisation_id: str, person_key: str) -> ReadEvents | None:
        """Return up to which event a person has confirmed to have read."""
        row = self.engine.fetch_one("get_read_events", organisation=organisation_id, person_key=person_key)
        return None if row is None else ReadEvents(row["event_number"], rows.parse_timestamp(row["at"]))

    def mark_read(self, organisation_id: str, person_key: str, number: int, now: datetime) -> None:
        """Store up to which event a person has read.

        A number smaller than the stored one changes nothing.

        Args:
            organisation_id: The organisation's id.
            person_key: The person's key.
            number: The number of the last event that was shown.
            now: The time.
        """
        self.engine.execute(
            "mark_events_read",
            organisation=organisation_id,
            person_key=person_key,
            number=number,
            now=rows.format_timestamp(now),
        )

    def verify(self, organisation_id: str) -> list[str]:
        """Verify an organisation's chain of events.

        Returns:
            A sentence for each place where the chain is broken.
        """
        end = self.engine.fetch_one("get_chain_end", organisation=organisation_id)
        if end is None:
            events = self.engine.fetch_all("list_events_after", organisation=organisation_id, after=0, limit=1)
            return ["there are events, but the row with their number is missing"] if events else []
        last = end["last_event_number"]
        found, number, last_hash = self._verify_until(organisation_id, last)
        if number < last:
            found.append(f"the last events are missing: {last} were written, and the last one found is {number}")
        elif last_hash != end["last_event_hash"]:
            found.append(f"event {number} is not the one that was written last")
        if end["highest"] > last:
            found.append(f"there are events after number {last}, which this program did not write")
        return found

    def _verify_until(self, organisation_id: str, last: int) -> tuple[list[str], int, str]:
        # Not further than `last`: events may be written meanwhile
        found: list[str] = []
        number, last_hash = 0, ""
        while page := self.engine.fetch_all(
            "list_events_after", organisation=organisation_id, after=number, limit=PAGE_SIZE
        ):
            for row in page:
                if row["number"] > last:
                    return found, number, last_hash
                found += audit.verify_event(last_hash, number + 1, row)
                number, last_hash = row["number"], row["hash"]
        return found, number, last_hash

    def last_hash(self, organisation_id: str) -> str:
        """Return the hash of an organisation's last event; empty if there is none.

        The operator gives it to another party, which keeps it.

        Returns:
            Empty where there is none.
        """
        end = self.engine.fetch_one("get_chain_end", organisation=organisation_id)
        return "" if end is None else str(end["last_event_hash"])

    def find_hash(self, organisation_id: str, value: str) -> int | None:
        """Return the number of the event with this hash.

        Returns:
            None if the chain was rewritten since the hash was kept.
        """
        row = self.engine.fetch_one("get_event_number", organisation=organisation_id, hash=value)
        return None if row is None else int(row["number"])

    def earlier_accounts(self, organisation_id: str, person_key: str) -> list[EarlierAccount]:
        """Return the accounts from which a person's link moved, newest first."""
        return earlier_accounts(self.engine, organisation_id, person_key)

    def compare_with_links(self, organisation_id: str) -> list[str]:
        """Compare an organisation's current links with their newest events.

        Returns:
            A sentence for each link without an event that made it, and for each such event without its link.
        """
        found = []
        for row in self.pages("list_links_with_newest_event", organisation_id):
            facts = audit.facts_of(row["facts"])
            uri = f"https://{Registry(row['registry']).host}/{row['orcid']}"
            made = row["kind"] in {"linked", "replaced", "moved"}
            if not made or (facts.get("link"), facts.get("orcid")) != (row["id"], uri):
                found.append(f"link {row['id']} is there, and the newest event about it is not")
        found += [
            f"event {row['number']} made a link that is not there, and no event has removed it"
            for row in self.pages("list_events_without_link", organisation_id)
        ]
        return found


def earlier_accounts(source: Engine | Transaction, organisation_id: str, person_key: str) -> list[EarlierAccount]:
    """Return the accounts from which a person's link moved, newest first.

    They are facts of events in the audit log.
    """
    found: list[EarlierAccount] = []
    before, key = NO_LIMIT, person_key
    while True:
        row = source.fetch_one("get_last_holder_event", organisation=organisation_id, person_key=key, before=before)
        facts = {} if row is None else audit.facts_of(row["facts"])
        if row is None or row["kind"] != "moved" or "previous_account" not in facts:
            if found and row is not None:
                found[-1] = replace(found[-1], since=rows.parse_timestamp(row["at"]))
            return found
        until = rows.parse_timestamp(row["at"])
        key, before = fold(facts["previous_account"]), row["number"]
        found.append(EarlierAccount(key, None, until, int(facts["change"]), row["number"]))


def _event_from_row(row: Row) -> Event:
    return Event(
        organisation=row["organisation"],
        number=row["number"],
        at=rows.parse_timestamp(row["at"]),
        kind=row["kind"],
        actor=row["actor"],
        person_key=row["person_key"],
        facts=audit.facts_of(row["facts"]),
        digest=row["digest"],
        hash=row["hash"],
    )
