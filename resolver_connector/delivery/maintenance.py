"""Periodic jobs of the worker: statistics, and deletion of expired data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType

from resolver_connector.attested.receivers import Receivers
from resolver_connector.delivery.event_log import EventLog
from sql.repositories.attempts import KEEP_EXPIRED
from sql.store import Store

INTERVAL = timedelta(minutes=1)
GRACE_PERIOD = timedelta(minutes=15)
"""How long the person sees the result on their page after the last delivery, before it is deleted."""
KEEP_MERGED = timedelta(days=30)
"""How long the history of people is kept at an organisation that was merged into another one."""
KEEP_REVOKED = timedelta(days=30)
"""How long it is kept that ORCID had given a token, after it was revoked."""
NIGHT_HOURS = range(1, 4)
"""UTC: when the database is vacuumed, which blocks writers."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long the data of one organisation's people is kept."""

    organisation_id: str
    keeps_links: bool = True
    """False where links are deleted once they have been delivered."""
    days: int | None = None
    """Days after which the data of a person without a link is deleted; None where it is kept."""
    uses_feed: bool = False
    """Whether the organisation can fetch changes, so that a removal stays until it has."""


class Maintenance:
    """Counts statistics and deletes expired data.

    Expired data: attempts that have expired, delivered links that are not kept, and people whose erasure is due.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a value of each subject
        self,
        store: Store,
        policies: Iterable[RetentionPolicy],
        report: EventLog,
        misconfigured: Collection[str] = (),
        former_clients: Collection[str] = (),
        affiliation_transfers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Initialise the jobs.

        Args:
            store: Has the data.
            policies: One for each organisation.
            report: Writes the log.
            misconfigured: The ids of organisations without a policy, whose data is left as it is.
            former_clients: The ids of ORCID clients that are used no more, whose tokens are revoked.
            affiliation_transfers: The name of the transfer that writes to ORCID records, by the organisation's id.
        """
        self._store = store
        self._former_clients = former_clients
        self._affiliation_transfers = affiliation_transfers
        self._misconfigured = misconfigured
        self._policies = tuple(policies)
        self._keep_nothing = tuple(each.organisation_id for each in self._policies if not each.keeps_links)
        self._report = report
        self._erased_on: date | None = None
        self._vacuumed_on: date | None = None

    def run(self, now: datetime) -> None:
        """Run the jobs that are due.

        Raises:
            StoreUnavailable: If the store does not answer; the next run does what is left.
        """
        self._store.statistics.update_counts()
        self._store.attempts.delete_expired(now - KEEP_EXPIRED)
        self._make_tokens_due(now)
        if deleted := sum(self._delete_delivered(organisation_id, now) for organisation_id in self._keep_nothing):
            self._report("delivered-changes-deleted", changes=deleted)
        if erased := self._store.erasures.finish_due(now, self._misconfigured) + self._erase_inactive(now):
            self._report("erased", persons=erased)
        if (
            now.hour in NIGHT_HOURS
            and self._vacuumed_on != now.date()
            and (self._keep_nothing or self._store.erasures.finished_since_vacuum())
            and self._store.vacuum(now)
        ):
            self._vacuumed_on = now.date()
            self._report("vacuumed")

    def _make_tokens_due(self, now: datetime) -> None:
        # Mostly those of attempts that nobody ended
        if due := self._store.orcid_tokens.make_due(now, self._former_clients, self._affiliation_transfers):
            self._report("orcid-tokens-due", tokens=due)
        self._store.orcid_tokens.delete_revoked(now - KEEP_REVOKED)

    def _delete_delivered(self, organisation_id: str, now: datetime) -> int:
        deleted, before = 0, now - GRACE_PERIOD
        while numbers := self._store.retention.list_expired_changes(organisation_id, before):
            count = sum(self._store.retention.delete_change(organisation_id, number, now) for number in numbers)
            if not count:
                break
            deleted += count
        return deleted

    def _erase_inactive(self, now: datetime) -> int:
        if now.hour not in NIGHT_HOURS or self._erased_on == now.date():
            return 0
        merged = [RetentionPolicy(one, days=KEEP_MERGED.days) for one in self._store.organisations.list_merged()]
        erased = sum(
            self._store.erasures.erase_inactive(
                each.organisation_id, now - timedelta(days=each.days), now, uses_feed=each.uses_feed
            )
            for each in (*self._policies, *merged)
            if each.days is not None
        )
        self._erased_on = now.date()
        return erased


def execute_due_removals(
    store: Store, receivers: Receivers, report: EventLog, now: datetime, *, misconfigured: Collection[str] = ()
) -> None:
    """Remove the links whose removal by a list is due.

    Args:
        store: The store.
        receivers: The transfers to which removals are delivered.
        report: The log.
        now: The time.
        misconfigured: The ids of organisations whose transfers are not known, so that their removals wait.

    Raises:
        StoreUnavailable: If the store does not answer.
    """
    if removed := store.removals.execute_due(receivers.attester, now, misconfigured):
        report("removals-executed", links=removed)


def delete_old_changes(
    store: Store, keep: timedelta, report: EventLog, now: datetime, *, misconfigured: Collection[str] = ()
) -> None:
    """Delete each organisation's changes older than `keep`.

    Those of misconfigured organisations are kept. In each other one it stops at the first change with a waiting or
    dead-letter delivery. The feed no longer has the deleted ones.

    Raises:
        StoreUnavailable: If the store does not answer.
    """
    if deleted := store.changes.delete_before(now - keep, misconfigured):
        report("changes-deleted", changes=deleted)
