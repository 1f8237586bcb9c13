"""Whether Identity Providers were seen to release the linked iDs."""

from __future__ import annotations

from datetime import datetime

from sql import rows
from sql.records import Link, ReleaseCounts, ReleaseState
from sql.repositories.base import Repository


class ReleaseRepository(Repository):
    """Whether Identity Providers were seen to release the linked iDs."""

    def record(self, link: Link, state: ReleaseState, now: datetime) -> bool:
        """Store what a sign-in showed of a link's release.

        The first `SEEN` is written to the audit log too.

        Returns:
            False, having written nothing, when the link has ended or its stored state is not before `state`.
        """
        values = {"id": link.id, "state": state.value, "now": rows.format_timestamp(now)}
        if state is not ReleaseState.SEEN:
            return self.engine.execute("record_release", **values) == 1
        with self.organisation_transaction(link.organisation, now) as transaction:
            recorded = transaction.session.execute("record_release", **values) == 1
            if recorded:
                facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
                transaction.insert_event("release-seen", "organisation", link.person_key, facts)
            return recorded

    def counts(self, organisation_id: str) -> ReleaseCounts:
        """Count an organisation's current links by the state of their release."""
        (row,) = self.engine.fetch_all("count_releases", organisation=organisation_id)
        return ReleaseCounts(row["linked"], row["seen"], row["other"], row["missing"])

    def count_linked_before(self, organisation_id: str, before: datetime, limit: int) -> int:
        """Count an organisation's current links made before a time, up to `limit`."""
        time = rows.format_timestamp(before)
        (row,) = self.engine.fetch_all("count_linked_before", organisation=organisation_id, before=time, limit=limit)
        return int(row["count"])
