"""How large the nation is, and what happens on its day, and when."""

from __future__ import annotations

from dataclasses import dataclass

ORGANISATIONS = 50
WORKS, SILENT = "works", "is silent all day"
FAULTS = (
    *("hang", "drip", "slow", "reset", "lost", "cut", "cut-headers", "html", "garbage", "deep", "301"),
    *("400", "401", "403", "404", "429", "500", "503"),
)
"""Names in `demo.idm.faults.FAULTS`."""
RECEIVERS = (*[WORKS] * 5, *FAULTS, SILENT)
"""How the receivers of the first organisations behave; the other organisations have none."""

# Parts of the day, between 0 and 1
FAILING_FROM, FAILING_UNTIL = 0.15, 0.5
"""When the failing receivers fail."""
PEAK_FROM, PEAK_UNTIL = 0.1, 0.6
"""When most people sign in at their organisations, and link."""
RESTART_AT, UPGRADE_AT, FAILOVER_AT = 0.2, 0.4, 0.7
NIGHT = 0.2
"""The share of the peak's look-ups and linkings at other times."""


@dataclass(frozen=True, slots=True)
class Day:
    """How long the day is and how much happens; rates are per second."""

    seconds: float = 600
    links: int = 100_000
    """That exist in the morning."""
    lookups: float = 100
    """At the peak."""
    lookups_of_linked: float = 0.8
    """The share of look-ups of people who have a link."""
    linkings: float = 2
    """By people of all organisations, at the peak."""
    removals: float = 0.5
    """By people who have linked today."""
    departures: float = 0.5
    """People whom an organisation reports to have left."""
    polls: float = 2
    """Of the feed, by all organisations."""

    @property
    def links_each(self) -> int:
        """How many links each organisation has in the morning."""
        return self.links // ORGANISATIONS

    @property
    def linkers(self) -> int:
        """How many people may link during the day."""
        return int(self.linkings * self.seconds)


QUICK = Day(seconds=100, links=5_000)
