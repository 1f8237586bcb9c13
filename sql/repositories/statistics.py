"""Counts of attempts and events by organisation and day, and backlogs.

They contain no personal data.

* Attempts are added to the counts in the transaction that deletes them, and are counted as rows until then.
* Revocations and refused sign-ins leave no row, and are added to the counts at once.
* Events are never deleted. They are added later, in batches (`update_counts`), and counted as rows until then.

So every answer is exact, and costs as much as there are rows that the counts do not include yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date

from sql import rows
from sql.counts import ALL_LENGTH, DAY_LENGTH, MONTH_LENGTH, CountKey, Counts, add_counts
from sql.engines.base import Row, Transaction, Values
from sql.records import CredentialRight, FeedProgress, ReleaseCounts, TransferBacklog
from sql.repositories.base import NO_LIMIT, Repository

EVENT_BATCH = 10_000
"""Number of events that one transaction adds to the counts, and the most that a query counts as rows."""

_LINKED: CountKey = ("event", "linked")
_DELETED_LINK: CountKey = ("event", "forgotten")
"""A current link that was deleted; it has no event of its own, so `count_deleted_links` counts it."""


class StatisticsRepository(Repository):
    """Counts by organisation and day, and present backlogs."""

    def update_counts(self) -> int:
        """Add all events to the stored counts, in batches, and return their number."""
        return sum(self._add_events(row["organisation"]) for row in self.engine.fetch_all("list_organisations"))

    def _add_events(self, organisation_id: str, leave: int = 0) -> int:
        # Until at most `leave` are left; a batch without events is the last, as after events were deleted by hand
        added = 0
        while self._count_uncounted(organisation_id) > leave and (batch := self._add_batch(organisation_id)):
            added += batch
        return added

    def _count_uncounted(self, organisation_id: str) -> int:
        row = self.engine.fetch_one("count_uncounted_events", organisation=organisation_id)
        return 0 if row is None else int(row["count"])

    def _add_batch(self, organisation_id: str) -> int:
        with self.engine.transaction(exclusive=True) as session:
            (counted,) = session.fetch_all("lock_counted_events", organisation=organisation_id)
            first = counted["number"]
            batch = {"organisation": organisation_id, "after": first, "until": first + EVENT_BATCH}
            events = session.fetch_all("count_events_between", **batch)
            last = max((row["last"] for row in events), default=first)
            add_counts(session, _event_counts(organisation_id, events))
            session.execute("update_counted_events", organisation=organisation_id, number=last)
            return int(last - first)

    def count_refused_sign_in(self, organisation_id: str, reason: str, today: date) -> None:
        """Count a sign-in that was refused.

        Args:
            organisation_id: The organisation of the person; empty where that is none that is known.
            reason: The code of the problem.
            today: The day (UTC).
        """
        with self.engine.transaction() as session:
            add_counts(session, Counter({(organisation_id, today.isoformat(), "sign-in", reason): 1}))

    def by_day(self, organisation_id: str, since: date) -> Mapping[date, Counter[CountKey]]:
        """Return an organisation's counts for each day (UTC) from a day on.

        A day without any is left out.
        """
        found: dict[date, Counter[CountKey]] = {}
        for (_, day, source, name), count in self._counts(organisation_id, DAY_LENGTH, since.isoformat()).items():
            if day >= since.isoformat():
                found.setdefault(date.fromisoformat(day), Counter())[source, name] += count
        return found

    def by_period(self, organisation_id: str, length: int, since: date) -> Mapping[str, Counter[CountKey]]:
        """Return the counts of events and refused sign-ins for each period.

        A period without any is left out. Attempts are not counted, so this reads no row of a person.

        Args:
            organisation_id: The organisation; empty for refused sign-ins at none that is known.
            length: The number of characters of a day (UTC) that make a period: 4 for years, 7 for months, 10 for days.
            since: The first day of a period.
        """
        self._add_events(organisation_id, leave=EVENT_BATCH)
        stored_length = DAY_LENGTH if length == DAY_LENGTH else MONTH_LENGTH
        stored = self.engine.fetch_all(
            "list_counts_by_period",
            organisation=organisation_id,
            length=stored_length,
            group_length=length,
            since=since.isoformat()[:stored_length],
        )
        found: dict[str, Counter[CountKey]] = {}
        counted = 0
        for row in stored:
            if row["source"] == "counted-events":
                counted = int(row["count"])
            else:
                found.setdefault(row["period"], Counter())[row["source"], row["name"]] += int(row["count"])
        rest: Values = {"organisation": organisation_id, "after": counted, "until": NO_LIMIT}
        for row in self.engine.fetch_all("count_events_between", **rest):
            if row["day"] >= since.isoformat():
                found.setdefault(row["day"][:length], Counter())["event", row["kind"]] += row["count"]
        return found

    def refused_sign_ins(self, organisation_id: str, since: date | None = None) -> Counter[str]:
        """Return how many sign-ins were refused, by the code of the problem.

        Args:
            organisation_id: The organisation; empty for those at none that is known.
            since: The first day (UTC); None for all days together.
        """
        length, first = (ALL_LENGTH, "") if since is None else (DAY_LENGTH, since.isoformat())
        found = self.engine.fetch_all(
            "count_refused_sign_ins", organisation=organisation_id, length=length, since=first
        )
        return Counter({row["name"]: int(row["count"]) for row in found})

    def totals(self, organisation_id: str) -> Counter[CountKey]:
        """Return an organisation's counts of all days together."""
        found: Counter[CountKey] = Counter()
        for (_, _day, source, name), count in self._counts(organisation_id, ALL_LENGTH, "").items():
            found[source, name] += count
        return found

    def _counts(self, organisation_id: str, length: int, since: str) -> Counts:
        self._add_events(organisation_id, leave=EVENT_BATCH)
        stored = self.engine.fetch_all("list_counts", organisation=organisation_id, length=length, since=since)
        counts: Counts = Counter()
        counted = 0
        for row in stored:
            if row["source"] == "counted-events":
                counted = row["count"]
            else:
                counts[organisation_id, row["day"], row["source"], row["name"]] += row["count"]
        # Events are never deleted: those after `counted` are all there, even if another process counts them meanwhile
        rest: Values = {"organisation": organisation_id, "after": counted, "until": NO_LIMIT}
        return counts + _event_counts(organisation_id, self.engine.fetch_all("count_events_between", **rest))

    def release_counts(self, organisation_id: str, totals: Counter[CountKey]) -> ReleaseCounts:
        """Return what `ReleaseRepository.counts` returns, without reading all links.

        It reads `totals` instead.
        """
        linked = totals[_LINKED] - totals["event", "removed"] - totals[_DELETED_LINK]
        found = self.engine.fetch_all("count_releases_by_state", organisation=organisation_id)
        states = {row["release_state"]: int(row["count"]) for row in found}
        return ReleaseCounts(linked, *(states.get(state, 0) for state in ("seen", "other", "missing")))

    def backlogs(self) -> list[TransferBacklog]:
        """Return the backlog of each transfer that ever had a delivery."""
        return [
            TransferBacklog(
                rows.breaker_from_row(row),
                row["waiting"],
                rows.parse_optional_timestamp(row["oldest_waiting_at"]),
                row["dead_letters"],
            )
            for row in self.engine.fetch_all("list_transfer_backlogs")
        ]

    def feed_progress(self) -> list[FeedProgress]:
        """Return the progress of each organisation that acknowledged changes."""
        return [
            FeedProgress(
                organisation=row["organisation"],
                number=row["number"],
                at=rows.parse_timestamp(row["at"]),
                unfetched=max(row["last_change_number"] - row["number"], 0),
                oldest_unfetched_at=rows.parse_optional_timestamp(row["oldest_unfetched_at"]),
            )
            for row in self.engine.fetch_all("list_feed_progress")
        ]

    def register_credential_rights(self, configured: Collection[CredentialRight], today: date) -> None:
        """Store which rights the credentials have in the configuration.

        A right that is stored already keeps its days; one that is not configured any more is deleted.
        """
        wanted = sorted({*configured}, key=lambda each: (each.organisation, each.credential, each.right))
        with self.engine.transaction() as session:
            for organisation in dict.fromkeys(each.organisation for each in wanted):
                for row in session.fetch_all("list_credential_rights", organisation=organisation):
                    if (stored := _credential_right_from_row(row)) not in wanted:
                        session.execute("delete_credential_right", **_credential_right_key(stored))
            for each in wanted:
                session.execute("insert_credential_right", **_credential_right_key(each), today=today.isoformat())

    def record_credential_use(self, right: CredentialRight, today: date) -> None:
        """Store that a right was used today."""
        self.engine.execute("record_credential_use", **_credential_right_key(right), today=today.isoformat())

    def credential_rights(self, organisation_id: str) -> list[CredentialRight]:
        """Return the rights of an organisation's credentials.

        A connector stores them when it starts.
        """
        found = self.engine.fetch_all("list_credential_rights", organisation=organisation_id)
        return [_credential_right_from_row(row) for row in found]


def _credential_right_from_row(row: Row) -> CredentialRight:
    since, last_used_on = date.fromisoformat(row["since"]), row["last_used_on"]
    last = None if last_used_on is None else date.fromisoformat(last_used_on)
    return CredentialRight(row["organisation"], row["credential"], row["access_right"], since, last)


def _credential_right_key(right: CredentialRight) -> dict[str, str]:
    return {"organisation": right.organisation, "credential": right.credential, "access_right": right.right}


def count_deleted_links(session: Transaction, organisation_id: str, day: str, links: int) -> None:
    """Count current links that are deleted because nothing is kept of them.

    They leave no event, so the transaction that deletes them adds them to the counts.
    """
    add_counts(session, Counter({(organisation_id, day, *_DELETED_LINK): links} if links else {}))


def _event_counts(organisation_id: str, events: Iterable[Row]) -> Counts:
    counts: Counts = Counter()
    for row in events:
        counts[organisation_id, row["day"], "event", row["kind"]] += row["count"]
    return counts
