"""The contract of transfers: the ways by which a change reaches an organisation's own identity management.

One file here, and one line in `TRANSFERS` (`__init__.py`), for each kind.  A kind is a frozen dataclass: its fields
are its settings, in the organisation's file under `[[transfer]]`, and its `deliver` sends one piece of news and says
in the one vocabulary what came of it.  It never raises for what the other side does: silence, refusal and nonsense
are answers.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from shibboleth.orcid_id import OrcidId
from sql.records import ChangeKind

LONGEST_MESSAGE = 500


def about(meaning: str, example: Any, *, secret: bool = False) -> dict[str, Any]:
    """Give the metadata of a setting: what it is, with an example, for the reference page and for messages.

    The setting of a secret is a reference (`file:` or `env:`); the field itself holds the secret's text, and is
    not shown (`repr=False`).
    """
    return {"meaning": meaning, "example": example, "secret": secret}


class Outcome(StrEnum):
    """What came of a delivery."""

    STORED = "stored"
    ALREADY_THERE = "already-there"
    UNKNOWN_PERSON = "unknown-person"
    CONFLICT = "conflict"
    REFUSED = "refused"
    TEMPORARY = "temporary"
    MISCONFIGURED = "misconfigured"

    @property
    def arrived(self) -> bool:
        """Whether the other side has the news now."""
        return self in {Outcome.STORED, Outcome.ALREADY_THERE}

    @property
    def again(self) -> bool:
        """Whether it is worth trying again by itself: the other side or the way to it was out of order."""
        return self in {Outcome.TEMPORARY, Outcome.MISCONFIGURED}


class ValueForm(StrEnum):
    """How an iD is written towards the other side."""

    HTTPS = "https"
    """`https://orcid.org/0000-0002-1825-0097`"""
    HTTP = "http"
    """`http://orcid.org/0000-0002-1825-0097`, as before 2018."""
    BARE = "bare"
    """`0000-0002-1825-0097`"""

    def write(self, orcid_id: OrcidId) -> str:
        """Write an iD in this form."""
        forms = {"https": orcid_id.uri, "http": "http" + orcid_id.uri.removeprefix("https"), "bare": orcid_id.bare}
        return forms[self.value]


class Policy(StrEnum):
    """What becomes of another iD that the other side already holds, neither the new one nor the one it replaces."""

    OWN = "own"
    """It stays, and ours stands beside it."""
    SINGLE = "single"
    """It stays, and nothing is written: a conflict for people to settle."""
    REPLACE = "replace"
    """It goes, and whatever else the attribute holds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a delivery, and what the other side said of it."""

    outcome: Outcome
    message: str = ""
    """The other side's own words: plain text of at most LONGEST_MESSAGE characters, never markup."""
    retry_after: timedelta | None = None
    """When the other side asked to be asked again."""


@dataclass(frozen=True, slots=True)
class News:
    """One change, as it is told to the other side."""

    id: str
    """The same however often it is sent: the idempotency key."""
    kind: ChangeKind
    organisation: str
    """entityID."""
    key: str
    """The attribute by which the organisation tells its people apart, for example `eppn`."""
    account: str
    orcid_id: OrcidId | None
    """The iD that now holds; none after a removal."""
    previous: OrcidId | None
    at: datetime


class Transfer(Protocol):
    """A way to an organisation's identity management."""

    kind: ClassVar[str]

    def deliver(self, news: News, *, now: datetime, seconds: float) -> Answer:
        """Send one piece of news, taking no longer than so many seconds; sending twice is the same as once."""


def plain(text: str) -> str:
    """Give the other side's words as plain text: one line, nothing that cannot be seen, and not too long."""
    seen = "".join(" " if unicodedata.category(each).startswith(("C", "Z")) else each for each in text)
    words = " ".join(seen.split())
    return words if len(words) <= LONGEST_MESSAGE else words[: LONGEST_MESSAGE - 1] + "…"
