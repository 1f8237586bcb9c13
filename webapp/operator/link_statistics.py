"""Statistics of links by day, month and year, exact and published.

Published statistics have no count under five, and nothing from which one follows (docs/decisions/0052).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from shibboleth.organisation import Organisation
from sql.counts import CountKey
from sql.store import Store
from webapp.i18n.language import gettext_noop
from webapp.operator.statistics import Column

SMALLEST_PUBLISHED = 5
"""Smaller counts are not published by themselves."""


class Unit(StrEnum):
    """The length of a period."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    ALL = "all"


KEY_LENGTHS: Mapping[Unit, int] = {Unit.DAY: 10, Unit.MONTH: 7, Unit.YEAR: 4, Unit.ALL: 0}
"""How many characters of a day, as 2026-01-15, name its period."""

MEASURES = (
    Column("linked", gettext_noop("Connected"), (("event", "linked"),)),
    Column("removed", gettext_noop("Removed"), (("event", "removed"),)),
    Column("replaced", gettext_noop("Replaced"), (("event", "replaced"),), row=1),
    Column("moved", gettext_noop("Moved"), (("event", "moved"),), row=1),
    Column("release-confirmed", gettext_noop("Release confirmed"), (("event", "release-seen"),), row=2),
)
_DELETED = Column("deleted", "", (("event", "forgotten"),))
"""Links that were deleted because nothing is kept of them; they are no longer current."""


@dataclass(frozen=True, slots=True)
class PeriodStatistics:
    """The statistics of one period."""

    key: str
    """A day, month or year, as 2026-01-15, 2026-01 or 2026; empty for all time."""
    counts: Mapping[str, int | None]
    """By the name of the measure; None where it is not published."""
    current: int | None
    """Links at the end of the period."""

    @property
    def first(self) -> date:
        """The first day of a day, month or year."""
        return date.fromisoformat(f"{self.key}-01-01"[:10])

    @property
    def last(self) -> date:
        """The last day of a day; of longer periods it is not needed."""
        return self.first

    @property
    def unit(self) -> str:
        """The unit of which it is one, by its key."""
        return next(unit for unit, length in KEY_LENGTHS.items() if length == len(self.key))

    @property
    def numbers(self) -> list[int]:
        """The counts in the order of MEASURES."""
        return [self.counts[each.name] or 0 for each in MEASURES]


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """The statistics of an organisation, or of several together."""

    organisation: Organisation | None
    """None for several together."""
    periods: Sequence[PeriodStatistics]
    """In order, without gaps."""
    totals: PeriodStatistics
    """Of all time, and the links at its end."""
    researchers: int | None = None
    """How many researchers there are; None if the configuration does not say it."""
    of_researchers: int | None = None
    """The links of organisations that have a number of researchers."""

    def share(self, current: int | None) -> float | None:
        """Return a number of links for each researcher, as a percentage.

        Args:
            current: The links; of several organisations, only `of_researchers` are compared with the researchers.
        """
        links = current if self.organisation else self.of_researchers
        return round(100 * links / self.researchers, 1) if self.researchers and links is not None else None


def link_statistics(  # noqa: PLR0913, PLR0917 - whose, of which periods
    store: Store,
    organisation: Organisation,
    researchers: int | None,
    unit: Unit,
    today: date,
    since: date = date.min,
) -> LinkStatistics:
    """Return the exact statistics of an organisation up to today.

    Args:
        since: The first day of the first period; the totals are those of all time.
    """
    totals = store.statistics.totals(organisation.id)
    counts = store.statistics.by_period(organisation.id, KEY_LENGTHS[unit], since)
    first = min(counts, default="") if since == date.min else since.isoformat()
    found: list[PeriodStatistics] = []
    current = links = _growth(totals)
    for key in reversed(list(_keys(unit, first, today))):
        of_period = counts.get(key, Counter())
        found.append(PeriodStatistics(key, {each.name: each.sum(of_period) for each in MEASURES}, current))
        current -= _growth(of_period)
    whole = PeriodStatistics("", {each.name: each.sum(totals) for each in MEASURES}, links)
    return LinkStatistics(organisation, found[::-1], whole, researchers, links if researchers else None)


def published_statistics(
    store: Store, organisation: Organisation, researchers: int | None, unit: Unit, today: date
) -> LinkStatistics:
    """Return the statistics of an organisation as others may see them.

    They end with the last complete month. A count under five is left out, and added to that of the next month that then
    comes to five; zero is published where nothing waits to be added. Longer periods, totals and current links are made
    from these months, so they tell no more than the months do.

    Args:
        unit: Not a day.
    """
    counts = store.statistics.by_period(organisation.id, KEY_LENGTHS[Unit.MONTH], date.min)
    months = list(_keys(Unit.MONTH, min(counts, default=""), today.replace(day=1) - timedelta(days=1)))
    series = {
        each.name: list(_published(each.sum(counts.get(month, Counter())) for month in months))
        for each in (*MEASURES, _DELETED)
    }
    length = KEY_LENGTHS[unit]
    found, links = [], 0
    for key in dict.fromkeys(month[:length] for month in months):
        of_key = [at for at, month in enumerate(months) if month.startswith(key)]
        sums = {name: _sum(values[at] for at in of_key) for name, values in series.items()}
        links += (sums["linked"] or 0) - (sums["removed"] or 0) - (sums[_DELETED.name] or 0)
        found.append(PeriodStatistics(key, {each.name: sums[each.name] for each in MEASURES}, _publishable(links)))
    whole = PeriodStatistics("", {each.name: _sum(series[each.name]) for each in MEASURES}, _publishable(links))
    return LinkStatistics(organisation, found, whole, researchers, whole.current if researchers else None)


def together(all_of: Sequence[LinkStatistics]) -> LinkStatistics:
    """Return the sums of several organisations' statistics."""
    by_key: dict[str, list[PeriodStatistics]] = {}
    for one in all_of:
        for each in one.periods:
            by_key.setdefault(each.key, []).append(each)
    periods = [_sums(key, by_key[key]) for key in sorted(by_key)]
    counted = [one for one in all_of if one.researchers]
    return LinkStatistics(
        None,
        periods,
        _sums("", [one.totals for one in all_of]),
        sum(one.researchers or 0 for one in counted) or None,
        _sum(one.of_researchers for one in counted),
    )


def _growth(counts: Counter[CountKey]) -> int:
    return counts["event", "linked"] - counts["event", "removed"] - _DELETED.sum(counts)


def _sums(key: str, of: Sequence[PeriodStatistics]) -> PeriodStatistics:
    counts = {each.name: _sum(one.counts[each.name] for one in of) for each in MEASURES}
    return PeriodStatistics(key, counts, _sum(one.current for one in of))


def _sum(values: Iterable[int | None]) -> int | None:
    # None only where nothing is published
    found = list(values)
    known = [each for each in found if each is not None]
    return sum(known) if known or not found else None


def _publishable(count: int) -> int | None:
    return count if count == 0 or count >= SMALLEST_PUBLISHED else None


def _published(counts: Iterable[int]) -> Iterator[int | None]:
    waiting = 0
    for count in counts:
        waiting += count
        published = _publishable(waiting)
        waiting -= published or 0
        yield published


def _keys(unit: Unit, first: str, last: date) -> Iterator[str]:
    # Each period from the first one to the one of the last day
    day, length = date.fromisoformat(f"{first}-01-01"[:10]) if first else last, KEY_LENGTHS[unit]
    if unit is Unit.DAY:
        yield from ((day + timedelta(days=number)).isoformat() for number in range((last - day).days + 1))
    else:
        months = range(day.year * 12 + day.month - 1, last.year * 12 + last.month)
        yield from dict.fromkeys(f"{month // 12}-{month % 12 + 1:02}"[:length] for month in months)
