"""What the store keeps of releases: whether an organisation was seen to give a linked iD to a service, us."""

from __future__ import annotations

from datetime import datetime

from sql import rows
from sql.organisation_transaction import Repository
from sql.records import Link, ReleaseCounts, ReleaseState


class ReleaseRepository(Repository):
    """Whether an organisation was seen to release linked iDs."""

    def record(self, link: Link, state: ReleaseState, now: datetime) -> bool:
        """Keep what a sign-in showed of a link's release; false where no more is told than was known, or it ended.

        A link is written at most once for each state. The first release seen has its event.
        """
        if state is not ReleaseState.SEEN:
            return self.engine.execute("note_release", id=link.id, state=state.value, now=rows.timestamp(now)) == 1
        with self._holding(link.organisation, now) as held:
            noted = held.session.execute("note_release", id=link.id, state=state.value, now=rows.timestamp(now)) == 1
            if noted:
                facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
                held.event("release-seen", "organisation", link.person_key, facts)
            return noted

    def counts(self, entity_id: str) -> ReleaseCounts:
        """Tell how many persons of an organisation have a link, and what was seen of its release."""
        (row,) = self.engine.fetch_all("release_counts", organisation=entity_id)
        return ReleaseCounts(row["linked"], row["seen"], row["other"], row["missing"])

    def count_linked_before(self, entity_id: str, before: datetime, most: int) -> int:
        """Tell how many persons of an organisation have had their link since before a moment; `most` says enough."""
        since = rows.timestamp(before)
        (row,) = self.engine.fetch_all("count_linked_before", organisation=entity_id, before=since, most=most)
        return int(row["count"])
