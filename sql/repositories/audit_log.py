"""The audit log: a chain of events for each organisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from sql import audit, rows
from sql.organisation_transaction import Repository
from sql.records import Event
from sql.repositories.links import PAGE

_BEYOND = 2**63 - 1


class AuditRepository(Repository):
    """The audit log: a chain of events for each organisation."""

    def add(  # noqa: PLR0913, PLR0917 - the columns of a line
        self,
        entity_id: str,
        kind: str,
        actor: str,
        person_key: str | None,
        facts: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Write a line of the audit about something that changed no link."""
        with self._holding(entity_id, now) as held:
            held.event(kind, actor, person_key, facts)

    def list_events(
        self, entity_id: str, person_key: str | None = None, *, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[Event]:
        """Give the events of an organisation, or of one person there, a page at a time."""
        query = "events_before" if newest_first else "events_after"
        whose = {"organisation": entity_id}
        if person_key is not None:
            query, whose = f"person_{query}", {**whose, "person_key": person_key}
        side, mark = query.rsplit("_", 1)[1], _BEYOND if newest_first else 0
        wanted = _BEYOND if limit is None else limit
        while wanted > 0:
            page = self.engine.fetch_all(query, **whose, **{side: mark}, limit=min(wanted, PAGE))
            yield from map(rows.event_of, page)
            if len(page) < PAGE:
                return
            wanted, mark = wanted - len(page), page[-1]["number"]

    def verify(self, entity_id: str) -> list[str]:
        """Walk along an organisation's audit and tell each place where it does not hold; nothing means it is sound."""
        end = self.engine.fetch_one("end_of_chain", organisation=entity_id)
        if end is None:
            return ["events are there, and the row that counts them is not"] if self._has_events(entity_id) else []
        counted = end["counted"]
        found, number, last_hash = self._walk(entity_id, counted)
        if number < counted:
            found.append(f"the last events are missing: {counted} were written, and the last one found is {number}")
        elif last_hash != end["last_event_hash"]:
            found.append(f"event {number} is not the one that was written last")
        if end["highest"] > counted:
            found.append(f"there are events after number {counted}, which this program did not write")
        return found

    def _has_events(self, entity_id: str) -> bool:
        return bool(self.engine.fetch_all("events_after", organisation=entity_id, after=0, limit=1))

    def _walk(self, entity_id: str, counted: int) -> tuple[list[str], int, str]:
        # No further than was counted: what is written while we walk is not our business
        found: list[str] = []
        number, last_hash = 0, ""
        while page := self.engine.fetch_all("events_after", organisation=entity_id, after=number, limit=PAGE):
            for row in page:
                if row["number"] > counted:
                    return found, number, last_hash
                found += audit.problems(last_hash, number + 1, row)
                number, last_hash = row["number"], row["hash"]
        return found, number, last_hash

    def erase_facts(self, entity_id: str, person_key: str) -> int:
        """Make the audit forget whom its lines about a person were about; the chain holds. Gives their number."""
        with self.engine.transaction() as session:
            return session.execute("erase_facts", organisation=entity_id, person_key=person_key)
