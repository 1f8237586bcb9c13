"""The statistics on the operator's pages: counts, current status, charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from shibboleth.organisation import Organisation
from sql.counts import STARTED, CountKey
from sql.records import FeedProgress, ReleaseCounts, TransferBacklog
from sql.store import Store
from webapp.i18n.language import gettext_noop
from webapp.pages.problems import PROBLEMS, PROBLEMS_BY_CODE, REFUSED_SIGN_INS

PERIODS = (7, 30, 90, 365)
"""The selectable periods, in days."""
DEFAULT_PERIOD = 30
REFUSED_CODES = tuple(PROBLEMS[each].code for each in REFUSED_SIGN_INS)
_WEEK = 7
_MAX_BARS = 31
_CHART_HEIGHT = 60
_BAR_WIDTH, _BAR_GAP = 8, 2


@dataclass(frozen=True, slots=True)
class Column:
    """One statistic: its heading and what it counts."""

    name: str
    label: str
    """A message of the catalogues."""
    counted: tuple[CountKey, ...]
    """The events and attempt outcomes that it adds up."""
    row: int = 0
    """The row of its chart; charts of a row have the same scale."""

    def sum(self, counts: Counter[CountKey]) -> int:
        """Return the sum of its counts."""
        return sum(counts[word] for word in self.counted)


COLUMNS = (
    Column("started", gettext_noop("Started"), (STARTED,)),
    Column("declined", gettext_noop("Declined"), (("attempt", "declined"),)),
    Column("problems", gettext_noop("Failed attempts"), tuple(("attempt", word) for word in PROBLEMS_BY_CODE)),
    Column("refused", gettext_noop("Sign-ins refused"), tuple(("sign-in", code) for code in REFUSED_CODES)),
    Column("linked", gettext_noop("New connections"), (("event", "linked"),), row=1),
    Column("replaced", gettext_noop("Replaced"), (("event", "replaced"),), row=1),
    Column("removed", gettext_noop("Removed"), (("event", "removed"),), row=1),
    Column("released", gettext_noop("Release first confirmed"), (("event", "release-seen"),), row=1),
    Column("delivered", gettext_noop("Delivered"), (("event", "delivered"),), row=2),
    Column("dead-letter", gettext_noop("Failed"), (("event", "dead-letter"),), row=2),
)


@dataclass(frozen=True, slots=True)
class Period:
    """A day or consecutive days, with the counts of events in them."""

    first: date
    last: date
    counts: Counter[CountKey]
    unit: str = ""
    """As `PeriodStatistics.unit`; empty for days and weeks."""

    @property
    def numbers(self) -> list[int]:
        """The sum of each statistic, in the order of COLUMNS."""
        return [column.sum(self.counts) for column in COLUMNS]


class ChartPeriod(Protocol):
    """A period that a bar of a chart stands for."""

    @property
    def numbers(self) -> Sequence[int]:
        """The counts in the order of the chart's columns."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart, in the chart's units."""

    x: int
    y: float
    height: float
    count: int
    period: ChartPeriod


@dataclass(frozen=True, slots=True)
class Chart:
    """A statistic over time."""

    column: Column
    bars: tuple[Bar, ...]
    scale: int
    """The count at the top of the chart."""

    width = property(lambda self: len(self.bars) * (_BAR_WIDTH + _BAR_GAP) - _BAR_GAP)
    height = _CHART_HEIGHT
    bar = _BAR_WIDTH

    @property
    def total(self) -> int:
        """The sum of all bars."""
        return sum(bar.count for bar in self.bars)

    @property
    def highest(self) -> Bar:
        """The first of the highest bars."""
        return max(self.bars, key=lambda bar: bar.count)


@dataclass(frozen=True, slots=True)
class OrganisationStatus:
    """The current status of an organisation, and its statistics of a period."""

    organisation: Organisation
    links: ReleaseCounts
    backlogs: tuple[TransferBacklog, ...]
    feed: FeedProgress | None
    numbers: Sequence[int]
    """In the order of COLUMNS."""

    @property
    def needs_attention(self) -> bool:
        """Whether changes were not delivered, or a transfer is paused."""
        return bool(self.given_up or self.paused)

    @property
    def waiting(self) -> int:
        """The number of waiting deliveries."""
        return sum(backlog.waiting for backlog in self.backlogs)

    @property
    def given_up(self) -> int:
        """The number of dead letters."""
        return sum(backlog.dead_letters for backlog in self.backlogs)

    @property
    def paused(self) -> int:
        """The number of transfers whose circuit breaker is open or half-open."""
        return sum(backlog.breaker.open_until is not None for backlog in self.backlogs)


def parse_period(text: str) -> int:
    """Return the selected period in days.

    It is the default if the text is not one of PERIODS.
    """
    return next((days for days in PERIODS if str(days) == text), DEFAULT_PERIOD)


def organisation_statuses(
    store: Store, organisations: Sequence[Organisation], days: int, now: datetime
) -> list[OrganisationStatus]:
    """Return each organisation's status and counts of `days` days."""
    backlogs, feeds = (
        store.statistics.backlogs(),
        {each.organisation: each for each in store.statistics.feed_progress()},
    )
    return [
        OrganisationStatus(
            organisation=one,
            links=store.statistics.release_counts(one.id, store.statistics.totals(one.id)),
            backlogs=tuple(each for each in backlogs if each.breaker.organisation == one.id),
            feed=feeds.get(one.id),
            numbers=_sums(store.statistics.by_day(one.id, _first_day(days, now))),
        )
        for one in organisations
    ]


def periods(store: Store, organisation_id: str, days: int, now: datetime) -> list[Period]:
    """Return the counts of each of the last `days` days, up to today.

    If there are many days, return the counts of each week instead.
    """
    by_day = store.statistics.by_day(organisation_id, _first_day(days, now))
    length = 1 if days <= _MAX_BARS else _WEEK
    today, many = now.date(), -(-days // length)
    return [_period(by_day, today - timedelta(days=length * back), length) for back in reversed(range(many))]


def chart_rows(columns: Sequence[Column], periods: Sequence[ChartPeriod]) -> list[list[Chart]]:
    """Return a chart for each column, in rows of charts with the same scale."""
    numbers = [list(counts) for counts in zip(*(each.numbers for each in periods), strict=True)]
    rows: dict[int, list[tuple[Column, list[int]]]] = {}
    for column, counts in zip(columns, numbers, strict=True):
        rows.setdefault(column.row, []).append((column, counts))
    found = []
    for row in rows.values():
        scale = max(1, *(max(counts) for _, counts in row))
        found.append([Chart(column, tuple(_bars(counts, scale, periods)), scale) for column, counts in row])
    return found


def _first_day(days: int, now: datetime) -> date:
    # Whole weeks, so that the first bar of a long period covers as many days as the others
    length = 1 if days <= _MAX_BARS else _WEEK
    return now.date() - timedelta(days=-(-days // length) * length - 1)


def _sums(by_day: Mapping[date, Counter[CountKey]]) -> list[int]:
    together = sum(by_day.values(), Counter[CountKey]())
    return [column.sum(together) for column in COLUMNS]


def _period(by_day: Mapping[date, Counter[CountKey]], last: date, length: int) -> Period:
    days = [last - timedelta(days=back) for back in range(length)]
    return Period(days[-1], last, sum((by_day.get(day, Counter()) for day in days), Counter()))


def _bars(counts: Sequence[int], scale: int, periods: Sequence[ChartPeriod]) -> list[Bar]:
    heights = [round(_CHART_HEIGHT * count / scale, 2) for count in counts]
    return [
        Bar(at * (_BAR_WIDTH + _BAR_GAP), round(_CHART_HEIGHT - height, 2), height, count, period)
        for at, (count, height, period) in enumerate(zip(counts, heights, periods, strict=True))
    ]
