"""What happens on the day, and when."""

from __future__ import annotations

from dataclasses import dataclass

ORGANISATIONS = 50
FAILING_FROM, FAILING_UNTIL = 0.15, 0.5
"""The part of the day in which the failing receivers fail."""
PEAK_FROM, PEAK_UNTIL = 0.1, 0.6
"""The part of the day with the national peak; the events of `EVENTS` are in it, but for the failover."""
NIGHT = 0.2
"""The share of the peak's look-ups at other times."""
RECEIVERS = (
    *("", "", "", "", ""),
    *("hang", "drip", "slow", "reset", "lost", "cut", "cut-headers", "html", "garbage", "deep", "301"),
    *("400", "401", "403", "404", "429", "500", "503"),
)
"""How the receivers of the first organisations fail; an empty text: not at all. One more is silent all day."""
EVENTS = (
    (0.2, "restart of a node"),
    (0.4, "upgrade of a node"),
    (0.7, "failover of the database"),
)
"""When something happens to the service, as a part of the day."""


@dataclass(frozen=True, slots=True)
class Day:
    """How long the day is and how much happens; rates are requests in a second."""

    seconds: float = 600
    links: int = 100_000
    lookups: float = 100
    """At the peak."""
    lookups_of_linked: float = 0.8
    """The share of look-ups of people who have a link."""
    linkings: float = 1.5
    """By people whose sign-in is passed to the pages directly, at all organisations."""
    removals: float = 0.5
    """By those people."""
    journeys: float = 0.5
    """Linkings with removal by people who are signed in through Apache and mod_shib."""
    sign_ins: float = 0.2
    """Through Apache and mod_shib."""
    departures: float = 0.5
    """People whom an organisation reports to have left."""
    polls: float = 2
    """Of the feed, by all organisations."""
    visitors: int = 8
    """Browsers with a session of mod_shib."""


QUICK = Day(seconds=100, links=5_000)
