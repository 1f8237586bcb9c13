"""The contract of transfers: the ways by which a change reaches an organisation's own identity management.

Each kind has one file in this package and one line in `TRANSFERS` (`__init__.py`). A kind is a `TransferModel`: a
pydantic model whose fields are its settings, in the organisation's file under `[[transfer]]`. Its `deliver` sends one
change and returns what came of it. It does not raise for anything that the receiver does: silence, refusal and
nonsense are answers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr, ValidationInfo

from resolver_connector.transfers.deadline import BoundedThreads, Deadline, Saturated
from shibboleth.orcid_id import OrcidId
from sql.records import ChangeKind

LONGEST_MESSAGE = 500


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
class DeliveryResult:
    """What came of a delivery, and what the other side said of it."""

    outcome: Outcome
    message: str = ""
    """The other side's own words: plain text of at most LONGEST_MESSAGE characters, never markup."""
    retry_after: timedelta | None = None
    """When the other side asked to be asked again."""


@dataclass(frozen=True, slots=True)
class ChangeMessage:
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

    def deliver(self, news: ChangeMessage, *, now: datetime, seconds: float) -> DeliveryResult:
        """Send one change and return within `seconds`; sending twice is the same as once."""


# --- Settings -----------------------------------------------------------------------------------------------------


class References(Protocol):
    """Resolves what settings in a file refer to; the context in which `TransferModel`s are validated.

    Both methods raise ValueError for what they cannot resolve.
    """

    def read_secret(self, reference: Any) -> Any:
        """Return the text of the secret behind a reference, `file:PATH` or `env:NAME`."""

    def locate(self, path: Any) -> Any:
        """Return the path of a file that is written relative to the configuration."""


def _read_secret(value: Any, info: ValidationInfo) -> Any:
    return value if info.context is None else info.context.read_secret(value)


def _locate(value: Any, info: ValidationInfo) -> Any:
    return value if info.context is None else info.context.locate(value)


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
"""A secret: a reference in a file, the secret itself in code."""
FilePath = Annotated[Path, BeforeValidator(_locate)]
"""A path: in a file, relative to the service's own configuration file."""
NO_SECRET = SecretStr("")


def setting(meaning: str, example: Any, *, default: Any = ..., **rules: Any) -> Any:
    """Describe a setting, for the reference page and for messages."""
    return Field(default, description=meaning, examples=[example], **rules)


class TransferModel(BaseModel):
    """Base of all kinds of transfers: how their settings are read, and the threads in which they deliver."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: ClassVar[str]

    _threads: BoundedThreads = PrivateAttr(default_factory=BoundedThreads)

    def _within(self, deadline: Deadline, attempt: Callable[[Deadline], DeliveryResult]) -> DeliveryResult:
        """Make one attempt and return by the deadline; it must not send anything once that has passed."""
        try:
            return self._threads.run(lambda: attempt(deadline), deadline)
        except TimeoutError:
            return DeliveryResult(Outcome.TEMPORARY, "no answer in time")
        except Saturated as error:
            return DeliveryResult(Outcome.TEMPORARY, f"{error.running} earlier deliveries still wait for its answer")


def plain(text: str) -> str:
    """Give the other side's words as plain text: one line, nothing that cannot be seen, and not too long."""
    seen = "".join(" " if unicodedata.category(each).startswith(("C", "Z")) else each for each in text)
    words = " ".join(seen.split())
    return words if len(words) <= LONGEST_MESSAGE else words[: LONGEST_MESSAGE - 1] + "…"
