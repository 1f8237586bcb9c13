"""What the operator's pages show of an organisation: numbers of a period, numbers of now, and bars for plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shibboleth.organisation import Organisation
from sql.records import FeedProgress, ReleaseCounts, TransferBacklog
from sql.repositories.statistics import STARTED, CountKey
from sql.store import Store
from webapp.i18n.language import gettext_noop
from webapp.pages.problems import PROBLEMS_BY_CODE

PERIODS = (7, 30, 90, 365)
"""How many days one can look back."""
DEFAULT_PERIOD = 30
_WEEK = 7
_MOST_BARS = 31
_PLOT_HEIGHT = 60
_BAR, _GAP = 8, 2


@dataclass(frozen=True, slots=True)
class Column:
    """One thing that is counted."""

    name: str
    label: str
    """Its heading: a sentence of the catalogues."""
    counted: tuple[CountKey, ...]
    """What counts for it."""

    def of(self, counts: Counter[CountKey]) -> int:
        """Tell how many of it are among what happened."""
        return sum(counts[word] for word in self.counted)


COLUMNS = (
    Column("started", gettext_noop("Started"), (STARTED,)),
    Column("declined", gettext_noop("Declined"), (("attempt", "declined"),)),
    Column("problems", gettext_noop("Problems"), tuple(("attempt", word) for word in PROBLEMS_BY_CODE)),
    Column("linked", gettext_noop("Linked"), (("event", "linked"),)),
    Column("replaced", gettext_noop("Replaced"), (("event", "replaced"),)),
    Column("removed", gettext_noop("Removed"), (("event", "removed"),)),
    Column("delivered", gettext_noop("Delivered"), (("event", "delivered"),)),
    Column("dead-letter", gettext_noop("Given up"), (("event", "dead-letter"),)),
    Column("released", gettext_noop("Release first seen"), (("event", "release-seen"),)),
)


@dataclass(frozen=True, slots=True)
class Period:
    """A day, or some days in a row, and what happened in them."""

    first: date
    last: date
    counts: Counter[CountKey]

    @property
    def numbers(self) -> list[int]:
        """How many of each thing, in the order of COLUMNS."""
        return [column.of(self.counts) for column in COLUMNS]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a plot, in the plot's own units."""

    x: int
    y: float
    height: float
    count: int
    period: Period


@dataclass(frozen=True, slots=True)
class Chart:
    """A thing over time."""

    column: Column
    bars: tuple[Bar, ...]

    width = property(lambda self: len(self.bars) * (_BAR + _GAP) - _GAP)
    height = _PLOT_HEIGHT
    bar = _BAR

    @property
    def total(self) -> int:
        """How many there were in the whole period."""
        return sum(bar.count for bar in self.bars)

    @property
    def most(self) -> int:
        """How many there were at the most, in one bar."""
        return max(bar.count for bar in self.bars)


@dataclass(frozen=True, slots=True)
class OrganisationStatus:
    """How an organisation stands now, and what happened in a period."""

    organisation: Organisation
    links: ReleaseCounts
    backlogs: tuple[TransferBacklog, ...]
    feed: FeedProgress | None
    numbers: Sequence[int]
    """In the order of COLUMNS."""

    @property
    def waiting(self) -> int:
        """How many deliveries wait."""
        return sum(each.waiting for each in self.backlogs)

    @property
    def given_up(self) -> int:
        """How many deliveries were given up and are still missing."""
        return sum(each.dead_letters for each in self.backlogs)

    @property
    def paused(self) -> int:
        """How many transfers are left alone because they failed again and again."""
        return sum(each.breaker.open_until is not None for each in self.backlogs)


def period_of(said: str) -> int:
    """Read how many days somebody wants to look back; what is none of ours is the usual."""
    return next((days for days in PERIODS if str(days) == said), DEFAULT_PERIOD)


def organisation_statuses(
    store: Store, organisations: Sequence[Organisation], days: int, now: datetime
) -> list[OrganisationStatus]:
    """Tell how each organisation stands."""
    backlogs, feeds = (
        store.statistics.backlogs(),
        {each.organisation: each for each in store.statistics.feed_progress()},
    )
    return [
        OrganisationStatus(
            organisation=one,
            links=store.statistics.release_counts(one.entity_id, store.statistics.totals(one.entity_id)),
            backlogs=tuple(each for each in backlogs if each.breaker.organisation == one.entity_id),
            feed=feeds.get(one.entity_id),
            numbers=_sum(store.statistics.by_day(one.entity_id, _first(days, now))),
        )
        for one in organisations
    ]


def periods(store: Store, entity_id: str, days: int, now: datetime) -> list[Period]:
    """Tell what happened in each day of a period, or in each week of a long one, the last of which ends today."""
    by_day = store.statistics.by_day(entity_id, _first(days, now))
    length = 1 if days <= _MOST_BARS else _WEEK
    today, many = now.date(), -(-days // length)
    return [_period(by_day, today - timedelta(days=length * back), length) for back in reversed(range(many))]


def charts(found: Sequence[Period]) -> list[Chart]:
    """Draw each thing over time; the highest bar is as high as the plot."""
    return [Chart(column, tuple(_bars(column, found))) for column in COLUMNS]


def _first(days: int, now: datetime) -> date:
    # Whole weeks, so that the first bar of a long period is as long as the others
    length = 1 if days <= _MOST_BARS else _WEEK
    return now.date() - timedelta(days=-(-days // length) * length - 1)


def _sum(by_day: Mapping[date, Counter[CountKey]]) -> list[int]:
    together = sum(by_day.values(), Counter[CountKey]())
    return [column.of(together) for column in COLUMNS]


def _period(by_day: Mapping[date, Counter[CountKey]], last: date, length: int) -> Period:
    days = [last - timedelta(days=back) for back in range(length)]
    return Period(days[-1], last, sum((by_day.get(day, Counter()) for day in days), Counter()))


def _bars(column: Column, found: Sequence[Period]) -> list[Bar]:
    counts = [column.of(period.counts) for period in found]
    most = max([*counts, 1])
    heights = [round(_PLOT_HEIGHT * count / most, 2) for count in counts]
    return [
        Bar(at * (_BAR + _GAP), round(_PLOT_HEIGHT - height, 2), height, count, period)
        for at, (count, height, period) in enumerate(zip(counts, heights, found, strict=True))
    ]
