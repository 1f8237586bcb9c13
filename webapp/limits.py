"""Daily limits for one person and for one organisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import Lock

MAX_INCIDENTS_OF_PERSON = 20
MAX_INCIDENTS_OF_ORGANISATION = 1_000
MAX_MAILS_OF_PERSON = 10
MAX_SIGN_INS_RECORDED = 1
MAX_REFUSED_SIGN_INS = 1_000


class DailyLimit:
    """Counts events of this process by key and day (UTC)."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._lock = Lock()
        self._day = date.min
        self._counts: Counter[Hashable] = Counter()

    def allow(self, key: Hashable, now: datetime, number: int = 1) -> bool:
        """Count `number` events, unless the maximum would be exceeded.

        Returns:
            Whether they were counted.
        """
        with self._lock:
            if now.date() != self._day:
                self._day, self._counts = now.date(), Counter()
            if self._counts[key] + number > self.maximum:
                return False
            self._counts[key] += number
            return True


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process."""

    incidents_of_person: DailyLimit = field(default_factory=lambda: DailyLimit(MAX_INCIDENTS_OF_PERSON))
    incidents_of_organisation: DailyLimit = field(default_factory=lambda: DailyLimit(MAX_INCIDENTS_OF_ORGANISATION))
    mails_of_person: DailyLimit = field(default_factory=lambda: DailyLimit(MAX_MAILS_OF_PERSON))
    sign_ins_recorded: DailyLimit = field(default_factory=lambda: DailyLimit(MAX_SIGN_INS_RECORDED))
    """By organisation, entityID and whether the person was refused."""
    refused_sign_ins: DailyLimit = field(default_factory=lambda: DailyLimit(MAX_REFUSED_SIGN_INS))
    """Counted ones, by organisation; more add nothing to what the operator sees."""
