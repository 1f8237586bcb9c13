"""What happened, counted by organisation and day, and how things stand now; nobody is named in it.

* Attempts are counted in the transaction that deletes them, and until then as they are: a linking pays for nothing.
* Events are never deleted, so they are counted afterwards, in steps (`count_up`); what is not counted yet is added by
  whoever asks. So each answer is right at any moment, and takes as long as what is not counted yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Literal

from sql import rows
from sql.audit import facts_of
from sql.engines.base import Row, Transaction
from sql.organisation_transaction import Repository
from sql.records import FeedProgress, ReleaseCounts, TransferBacklog

STEP = 10_000
"""How many events are counted in one transaction, and at most by somebody who only asks."""
SWEPT = 1000
"""How many attempts are deleted in one transaction."""

Word = tuple[Literal["attempt", "event"], str]
"""Where something was seen, and as what: an attempt was `started` or had an outcome, an event had a kind."""
STARTED: Word = ("attempt", "started")
_CAME: Word = ("event", "linked")
_WENT: tuple[Word, ...] = (("event", "removed"), ("event", "forgotten"))
"""A link that is forgotten while it holds has no event of its own: `count_forgotten` counts it."""

_BEYOND = 2**63 - 1
_ALL_DAYS = ""
_LAST_DAY = "9999-12-31"

_Counts = Counter[tuple[str, str, str, str]]
"""How many, by organisation, day, source and word."""


class StatisticsRepository(Repository):
    """Counts by organisation and day, and how things stand now."""

    def count_up(self) -> int:
        """Take all events into the counts that are not there yet, in steps; tell how many they were."""
        return sum(self._count_up(row["organisation"]) for row in self.engine.fetch_all("organisations"))

    def _count_up(self, entity_id: str, leave: int = 0) -> int:
        """Count an organisation's events until no more than these are left."""
        counted = 0
        # A step that finds none is the last, though some should be there: where a line of the audit was taken away
        while self._uncounted(entity_id) > leave and (step := self._count_step(entity_id)):
            counted += step
        return counted

    def _uncounted(self, entity_id: str) -> int:
        row = self.engine.fetch_one("uncounted_events", organisation=entity_id)
        return 0 if row is None else int(row["count"])

    def _count_step(self, entity_id: str) -> int:
        with self.engine.transaction(exclusive=True) as session:
            (held,) = session.fetch_all("hold_counted_events", organisation=entity_id)
            some = {"organisation": entity_id, "after": held["number"], "until": held["number"] + STEP}
            found = session.fetch_all("counts_of_events", **some)
            imports = session.fetch_all("imports_between", **some)
            last = max((row["last"] for row in found), default=held["number"])
            _add(session, _of_events(entity_id, found, imports))
            session.execute("count_events_to", organisation=entity_id, number=last)
            return int(last - held["number"])

    def by_day(self, entity_id: str, since: date) -> Mapping[date, Counter[Word]]:
        """Tell what happened at an organisation on each day (UTC) from a day on; days of nothing are left out."""
        found: dict[date, Counter[Word]] = {}
        for (_, day, source, word), count in self._counts(entity_id, since.isoformat(), _LAST_DAY).items():
            if day >= since.isoformat():
                found.setdefault(date.fromisoformat(day), Counter())[_word(source, word)] += count
        return found

    def totals(self, entity_id: str) -> Counter[Word]:
        """Tell what has ever happened at an organisation."""
        found: Counter[Word] = Counter()
        for (_, _day, source, word), count in self._counts(entity_id, _ALL_DAYS, _ALL_DAYS).items():
            found[_word(source, word)] += count
        return found

    def _counts(self, entity_id: str, since: str, until: str) -> _Counts:
        self._count_up(entity_id, leave=STEP)
        kept = self.engine.fetch_all("counts_kept", organisation=entity_id, since=since, until=until)
        counts: _Counts = Counter()
        for row in kept:
            if row["source"] != "mark":
                counts[entity_id, row["day"], row["source"], row["word"]] += row["count"]
        # No event is ever deleted: all that came after the mark is still there, whoever counts meanwhile
        mark = next((row["count"] for row in kept if row["source"] == "mark"), 0)
        rest = {"organisation": entity_id, "after": mark, "until": _BEYOND}
        return counts + _of_events(
            entity_id,
            self.engine.fetch_all("counts_of_events", **rest),
            self.engine.fetch_all("imports_between", **rest),
        )

    def links_now(self, entity_id: str, totals: Counter[Word]) -> ReleaseCounts:
        """Tell how many persons of an organisation have a link, as its `totals` add up, and what was seen of releases.

        The same as `ReleaseRepository.counts`, without counting a million links.
        """
        linked = totals[_CAME] - sum(totals[word] for word in _WENT)
        found = self.engine.fetch_all("releases_by_state", organisation=entity_id)
        states = {row["release_state"]: int(row["count"]) for row in found}
        return ReleaseCounts(linked, *(states.get(state, 0) for state in ("seen", "other", "missing")))

    def backlogs(self) -> list[TransferBacklog]:
        """Tell of each transfer of all organisations that was ever owed something how it stands."""
        return [rows.way_of(row) for row in self.engine.fetch_all("ways")]

    def feed_progress(self) -> list[FeedProgress]:
        """Tell of each organisation that ever acknowledged changes of its feed how far it has come."""
        return [rows.fetching_of(row) for row in self.engine.fetch_all("fetching")]


def count_attempts(session: Transaction, gone: Iterable[Row]) -> None:
    """Count attempts that are being deleted, in the transaction that deletes them."""
    counts: _Counts = Counter()
    for row in gone:
        counts[row["organisation"], row["started_at"][:10], *STARTED] += 1
        if row["closed_at"] is not None:
            counts[row["organisation"], row["closed_at"][:10], "attempt", row["outcome"]] += 1
    _add(session, counts)


def count_forgotten(session: Transaction, entity_id: str, day: str, links: int) -> None:
    """Count links that are deleted while they hold, in the transaction that deletes them."""
    _add(session, Counter({(entity_id, day, *_WENT[1]): links} if links else {}))


def _of_events(entity_id: str, found: Iterable[Row], imports: Iterable[Row]) -> _Counts:
    counts: _Counts = Counter()
    for row in found:
        counts[entity_id, row["day"], "event", row["kind"]] += row["count"]
    for row in imports:
        counts[entity_id, row["day"], "event", "linked"] += int(facts_of(row["facts"]).get("linked", 0))
    return counts


def _add(session: Transaction, counts: _Counts) -> None:
    # In one order, so that no two who count ever wait for each other
    both = counts + Counter[tuple[str, str, str, str]]()
    for (organisation, _day, source, word), count in counts.items():
        both[organisation, _ALL_DAYS, source, word] += count
    for (organisation, day, source, word), count in sorted(both.items()):
        session.execute("add_count", organisation=organisation, day=day, source=source, word=word, count=count)


def _word(source: str, word: str) -> Word:
    return ("attempt" if source == "attempt" else "event", word)
