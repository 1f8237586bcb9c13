"""States of the linked iDs' records at ORCID, and the round of look-ups.

A state is stored with each current link of the iD, in all organisations.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shibboleth.orcid_id import OrcidId, Registry
from sql import rows
from sql.errors import OrcidIdInUse
from sql.records import Change, ChangeKind, ChangeReason, Link, RecordState, StatusBatch
from sql.repositories.base import ID_BYTES, OrganisationTransaction, Repository


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """Links of an organisation whose iD's record is not in its normal state."""

    by_state: Mapping[RecordState, int]
    suspended: int
    """Number of links that are not released."""
    conflicts: int
    """Number of deprecated iDs whose primary iD another account of the organisation holds."""


class RecordStatusRepository(Repository):
    """States of the linked iDs' records at ORCID."""

    def begin_batch(self, registry: Registry, now: datetime, lease_expires_at: datetime) -> StatusBatch | None:
        """Begin a batch of look-ups.

        Returns:
            None if none is due, or another worker runs one.
        """
        begun = self.engine.execute(
            "begin_status_batch",
            registry=registry.value,
            now=rows.format_timestamp(now),
            lease_expires_at=rows.format_timestamp(lease_expires_at),
        )
        return self.batch(registry, now) if begun else None

    def batch(self, registry: Registry, now: datetime) -> StatusBatch:
        """Return the state of the round of look-ups."""
        row = self.engine.fetch_one("get_status_round", registry=registry.value)
        if row is None:
            return StatusBatch(0, 0)
        requests = row["requests"] if row["day"] == _day(now) else 0
        return StatusBatch(row["failures"], requests, rows.parse_optional_timestamp(row["next_batch_at"] or None))

    def finish_batch(self, registry: Registry, next_batch_at: datetime, failures: int) -> None:
        """End a batch, and store when the next may begin."""
        at = rows.format_timestamp(next_batch_at)
        self.engine.execute("finish_status_batch", registry=registry.value, next_batch_at=at, failures=failures)

    def count_requests(self, registry: Registry, now: datetime, requests: int) -> None:
        """Add to the number of requests that were sent to ORCID on this UTC day."""
        self.engine.execute("count_status_requests", registry=registry.value, day=_day(now), requests=requests)

    def list_due(self, registry: Registry, now: datetime, limit: int) -> list[OrcidId]:
        """Return the distinct iDs whose look-up is due, longest overdue first."""
        found = self.engine.fetch_all(
            "list_due_status_checks", registry=registry.value, now=rows.format_timestamp(now), limit=limit
        )
        return list(dict.fromkeys(OrcidId(row["orcid"], registry) for row in found))

    def save(self, orcid_id: OrcidId, state: RecordState, primary: OrcidId | None, now: datetime) -> list[Link]:
        """Store what a look-up showed, and return the current links of the iD.

        The next look-up stays due until `schedule` is called.
        """
        self.engine.execute(
            "save_record_status",
            **rows.orcid_id_values(orcid_id),
            state=state.value,
            primary=None if primary is None else primary.bare,
            compared="" if primary is None else primary.bare,
            now=rows.format_timestamp(now),
        )
        found = self.engine.fetch_all("list_links_by_orcid_id", **rows.orcid_id_values(orcid_id))
        return [rows.link_from_row(row) for row in found]

    def schedule(self, orcid_id: OrcidId, next_check_at: datetime) -> None:
        """Store when an iD is looked up next."""
        at = rows.format_timestamp(next_check_at)
        self.engine.execute("schedule_status_check", **rows.orcid_id_values(orcid_id), next_check_at=at)

    def suspend(self, link: Link, now: datetime, transfers: Sequence[str] = ()) -> Change | None:
        """Suspend a link whose record ORCID deactivated or locked.

        The person keeps the link, and its iD is not released.

        Returns:
            The change `removed`; None if the link has ended, is suspended already, or has another state by now.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            current = _same_link(transaction, link)
            if current is None or current.suspended_at is not None or current.record is None:
                return None
            transaction.session.execute("suspend_link", id=current.id, now=rows.format_timestamp(now))
            reason, previous = ChangeReason.SUSPENDED, current.orcid_id
            change = transaction.insert_change(ChangeKind.REMOVED, current, None, previous, transfers, reason=reason)
            facts = {**_facts(current), "reason": reason.value, "record": current.record.state.value}
            transaction.insert_event("suspended", "service", current.person_key, facts)
            return change

    def resume(self, link: Link, now: datetime, transfers: Sequence[str] = ()) -> Change | None:
        """Release a suspended link again.

        Returns:
            The change `linked`; None if the link has ended or is not suspended.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            current = _same_link(transaction, link)
            if current is None or current.suspended_at is None:
                return None
            transaction.session.execute("resume_link", id=current.id)
            reason, orcid_id = ChangeReason.RESUMED, current.orcid_id
            change = transaction.insert_change(ChangeKind.LINKED, current, orcid_id, None, transfers, reason=reason)
            transaction.insert_event(
                "resumed", "service", current.person_key, {**_facts(current), "reason": reason.value}
            )
            return change

    def replace_deprecated(self, link: Link, now: datetime, transfers: Sequence[str] = ()) -> Change | None:
        """Replace a deprecated iD by the primary iD of its record.

        Returns:
            The change `replaced`; None if the link has ended, or has no primary iD by now.

        Raises:
            OrcidIdInUse: If another account of the organisation has the primary iD.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            session, current = transaction.session, _same_link(transaction, link)
            primary = None if current is None or current.record is None else current.record.primary
            if current is None or primary is None:
                return None
            holder = {"organisation": link.organisation, **rows.orcid_id_values(primary)}
            if session.fetch_one("get_link_by_orcid_id", **holder) is not None:
                raise OrcidIdInUse(primary)
            new = replace(
                current,
                id=secrets.token_hex(ID_BYTES),
                orcid_id=primary,
                linked_at=now,
                authenticated_at=current.authenticated_at or current.linked_at,
                release=None,
                record=None,
                suspended_at=None,
            )
            transaction.end_link(current, "service")
            session.execute("insert_link", **rows.link_values(new))
            reason, previous = ChangeReason.DEPRECATED, current.orcid_id
            change = transaction.insert_change(ChangeKind.REPLACED, new, primary, previous, transfers, reason=reason)
            facts = {**_facts(new), "previous": previous.uri, "reason": reason.value}
            transaction.insert_event("replaced", "service", new.person_key, facts)
            return change

    def counts(self, organisation: str) -> RecordCounts:
        """Count an organisation's links whose iD's record is not in its normal state."""
        found = self.engine.fetch_all("count_record_states", organisation=organisation)
        return RecordCounts(
            {RecordState(row["record_state"]): row["count"] for row in found},
            sum(row["suspended"] for row in found),
            sum(row["conflicts"] for row in found),
        )

    def count_due(self, registry: Registry, now: datetime) -> int:
        """Return the number of iDs whose look-up is due."""
        values = {"registry": registry.value, "now": rows.format_timestamp(now)}
        (row,) = self.engine.fetch_all("count_due_status_checks", **values)
        return int(row["count"])

    def oldest_due(self, registry: Registry) -> datetime | None:
        """Return when the longest overdue look-up was due.

        Returns:
            None if there is no link.
        """
        (row,) = self.engine.fetch_all("get_status_backlog", registry=registry.value)
        return rows.parse_optional_timestamp(row["oldest"])


def _same_link(transaction: OrganisationTransaction, link: Link) -> Link | None:
    # The link as it is under the organisation's lock; None if it has ended or its record's state is another by now
    current = transaction.current_link(link.person_key)
    return current if current and (current.id, current.record) == (link.id, link.record) else None


def _facts(link: Link) -> dict[str, str]:
    return {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()
