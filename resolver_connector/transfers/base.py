"""The interface of transfers.

A transfer sends changes to an organisation's identity management (IdM). Each kind has a module in this package and a
line in `TRANSFERS` (`__init__.py`). Its settings are a `TransferSettings`, a pydantic model: the fields are those under
`[[transfer]]` in the organisation's file. The model of most kinds sends the changes too (`TransferModel`).
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
)

from resolver_connector.transfers.accounts import is_unambiguous
from shibboleth.characters import displayed
from shibboleth.deadline import BoundedThreads, Deadline, Saturated
from shibboleth.orcid_id import OrcidId
from sql.records import ChangeKind, ChangeReason

MAX_MESSAGE_LENGTH = 500
THREADS_OF_A_TRANSFER = 32
"""More than a worker and a web server use for one transfer at the same time."""


class Outcome(StrEnum):
    """The result of a delivery, in one vocabulary for all kinds of transfers."""

    STORED = "stored"
    ALREADY_THERE = "already-there"
    UNKNOWN_PERSON = "unknown-person"
    CONFLICT = "conflict"
    REFUSED = "refused"
    TEMPORARY = "temporary"
    MISCONFIGURED = "misconfigured"


class ValueForm(StrEnum):
    """How an iD is written for the receiver."""

    HTTPS = "https"
    """`https://orcid.org/0000-0002-1825-0097`"""
    HTTP = "http"
    """`http://orcid.org/0000-0002-1825-0097`, as before 2018."""
    BARE = "bare"
    """`0000-0002-1825-0097`"""

    def write(self, orcid_id: OrcidId) -> str:
        """Return an iD in this form."""
        forms = {"https": orcid_id.uri, "http": "http" + orcid_id.uri.removeprefix("https"), "bare": orcid_id.bare}
        return forms[self.value]


class Policy(StrEnum):
    """What happens to iDs that the receiver has beside the new and previous one."""

    KEEP_OTHERS = "own"
    """It is kept beside the new one."""
    SINGLE = "single"
    """It is kept and nothing is written: a conflict, which people resolve."""
    REPLACE = "replace"
    """It is removed, with all other values of the attribute."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of one try at a delivery."""

    outcome: Outcome
    message: str = ""
    """What the receiver said: plain text of at most MAX_MESSAGE_LENGTH characters, never markup."""
    retry_after: timedelta | None = None
    """The wait before the next try that the receiver asked for."""

    @property
    def delivered(self) -> bool:
        """Whether the receiver has the change."""
        return self.outcome in {Outcome.STORED, Outcome.ALREADY_THERE}

    @property
    def retryable(self) -> bool:
        """Whether another try can succeed.

        It can if the receiver, the connection or the settings were at fault.
        """
        return self.outcome in {Outcome.TEMPORARY, Outcome.MISCONFIGURED}


class DeliveryFailed(Exception):
    """Raised to end a try; `result` is its result."""

    def __init__(self, result: DeliveryResult) -> None:
        super().__init__(result.outcome)
        self.result = result


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """One change, as it is sent to a receiver."""

    id: str
    """The idempotency key: the same at each try."""
    kind: ChangeKind
    organisation: str
    """The organisation's id."""
    key: str
    """The attribute that identifies the organisation's people, for example `eppn`."""
    account: str
    """The person's value of that attribute."""
    orcid_id: OrcidId | None
    """The current iD; None after a removal."""
    previous: OrcidId | None
    at: datetime
    """When the change was made."""
    entity_id: str
    """The organisation's first entityID, by which receivers of the 2016 format know it."""
    number: int
    """The change's number: an organisation's changes are numbered in their order, which clocks may not show."""
    reason: ChangeReason | None = None
    """Why, where the kind does not say all."""
    previous_account: str | None = None
    """Of `moved`: the account that the link had before."""


class Transfer(Protocol):
    """A way to an organisation's identity management."""

    kind: ClassVar[str]

    @property
    def removal_probe(self) -> Transfer | None:
        """The transfer that tests this one if this one cannot remove an iD.

        None if it can remove an iD, and so tests itself.
        """

    @property
    def writes_moves(self) -> bool:
        """Whether the transfer has a message for a moved link.

        If not, it is sent a removal and a new link.
        """

    def deliver(self, message: ChangeMessage, *, now: datetime, timeout: float) -> DeliveryResult:
        """Send a change; sending it twice has the same effect as once.

        A failure of the receiver is a result, not an exception.

        Args:
            message: The change.
            now: The time of this try.
            timeout: Seconds after which it returns in any case.
        """


# --- Settings -----------------------------------------------------------------------------------------------------


class References(Protocol):
    """Resolves references in settings; the validation context of `TransferModel`."""

    def read_secret(self, reference: Any) -> Any:
        """Return the secret behind a reference, `file:PATH` or `env:NAME`.

        Raises:
            ValueError: If there is none.
        """

    def locate(self, path: Any) -> Any:
        """Return a file's absolute path.

        A relative path starts at the directory of the configuration.

        Raises:
            ValueError: If it is not a path.
        """

    def require_current_certificate(self, path: Path) -> None:
        """Check that a file has a certificate that has not expired.

        Raises:
            ValueError: If it has not.
        """


def _read_secret(value: Any, info: ValidationInfo) -> Any:
    return value if info.context is None else info.context.read_secret(value)


def _locate(value: Any, info: ValidationInfo) -> Any:
    return value if info.context is None else info.context.locate(value)


def _require_current(path: Path, info: ValidationInfo) -> Path:
    # In code the first delivery shows what is wrong with the file
    if info.context is not None:
        info.context.require_current_certificate(path)
    return path


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
"""A secret: in a file a reference, in code the secret itself."""
FilePath = Annotated[Path, BeforeValidator(_locate)]
"""A path: in a file relative to the service's configuration file."""
ClientCertificate = Annotated[FilePath, AfterValidator(_require_current)]
"""The path of a certificate, the first in its file, which must not have expired when the configuration is loaded."""
NO_SECRET = SecretStr("")


def transfer_setting(meaning: str, example: Any, *, default: Any = ..., **rules: Any) -> Any:
    """Describe a setting of a kind of transfer, a field of a `TransferModel`.

    The settings page and error messages show the description. Settings of the other sections are described by
    `webapp.config.base.setting`, which this package cannot import.
    """
    return Field(default, description=meaning, examples=[example], **rules)


class TransferSettings(BaseModel):
    """Base class of the settings of all kinds of transfers."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: ClassVar[str]


class TransferModel(TransferSettings):
    """Base class of the kinds whose settings are all that they need.

    It runs tries with a deadline.
    """

    ends_in_time: ClassVar[bool] = False
    """Whether `send` returns by the deadline by itself; otherwise it is run in a thread that is not waited for."""

    _threads: BoundedThreads = PrivateAttr(default_factory=lambda: BoundedThreads(THREADS_OF_A_TRANSFER))

    @property
    def removal_probe(self) -> TransferModel | None:
        """See `Transfer.removal_probe`."""
        return None

    @property
    def writes_moves(self) -> bool:
        """See `Transfer.writes_moves`."""
        return False

    @property
    def account_template(self) -> str:
        """How this transfer writes an account.

        The placeholders are `{account}`, `{user}` and `{scope}`.
        """
        return "{account}"

    def deliver(self, message: ChangeMessage, *, now: datetime, timeout: float) -> DeliveryResult:
        """Send a change; see `Transfer.deliver`.

        For an account that a receiver may confuse with another one nothing is sent: the other person would get the iD.
        """
        if not is_unambiguous(message.account, self.account_template):
            return DeliveryResult(Outcome.UNKNOWN_PERSON, "a receiver may take this account for another one")
        deadline = Deadline(timeout)
        if self.ends_in_time:
            return self.send(message, now, deadline)
        return self.run_try(lambda remaining: self.send(message, now, remaining), deadline)

    @abstractmethod
    def send(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Send a change in this kind's protocol, and return by the deadline."""

    def run_try(self, send: Callable[[Deadline], DeliveryResult], deadline: Deadline) -> DeliveryResult:
        """Run a try in a thread and return its result.

        At the deadline the result is `temporary`. The try may raise DeliveryFailed. It must not send anything after
        the deadline.
        """

        def run() -> DeliveryResult:
            try:
                return send(deadline)
            except DeliveryFailed as failed:
                return failed.result

        try:
            return self._threads.run(run, deadline)
        except TimeoutError:
            return DeliveryResult(Outcome.TEMPORARY, "no answer in time")
        except Saturated as error:
            return DeliveryResult(Outcome.TEMPORARY, f"{error.running} earlier tries still wait for its answer")


def plain_text(text: str) -> str:
    """Return a receiver's message as one line of visible characters.

    It has MAX_MESSAGE_LENGTH characters at most.
    """
    visible = "".join(" " if unicodedata.category(each).startswith(("C", "Z")) else each for each in text)
    words = displayed(" ".join(visible.split()))
    return words if len(words) <= MAX_MESSAGE_LENGTH else words[: MAX_MESSAGE_LENGTH - 1] + "…"
