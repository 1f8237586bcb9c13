"""Client of ORCID's public API, which shows the state of an iD's record.

It needs no token. The error code of a response decides, not its status (ORCID API 3.0, error codes). A response that is
not among those that ORCID gives for a record in a known state shows nothing about the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from resolver_connector.orcid.http import OrcidResponse, OrcidUnavailable, send
from resolver_connector.orcid.strict_json import parse_object
from shibboleth.deadline import BoundedThreads, Deadline, Saturated
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from shibboleth.retry_after import parse_retry_after
from sql.records import RecordState

SECTION: Final = "address"
"""The section of a record that is read: a small one, of which nothing but its path is looked at."""
_MAX_THREADS = 4
_OK = 200
_DEPRECATED = 9007
STATES: Mapping[int, RecordState] = MappingProxyType(
    {
        _DEPRECATED: RecordState.DEPRECATED,
        9016: RecordState.NOT_FOUND,
        9018: RecordState.LOCKED,
        9044: RecordState.DEACTIVATED,
    }
)
"""The state of a record by the error code of ORCID's answer."""
STATUSES: Mapping[RecordState, frozenset[int]] = MappingProxyType(
    {
        RecordState.DEPRECATED: frozenset({301, 409}),
        RecordState.NOT_FOUND: frozenset({404}),
        RecordState.LOCKED: frozenset({409}),
        RecordState.DEACTIVATED: frozenset({409}),
    }
)
"""The HTTP statuses with which ORCID gives the error code of a state."""
_ORCID_ID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]", re.ASCII)
_CODE = re.compile(r"\d{4}", re.ASCII)


class LookupFailed(Exception):
    """There was no response, or it shows nothing about the record."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        """How long ORCID asks to be left alone; None where it does not say."""


class LookupPaused(LookupFailed):
    """No request was sent, because ORCID has got enough of them for now."""


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """What ORCID answered about a record."""

    state: RecordState
    primary: OrcidId | None = None
    """The iD into which ORCID merged a deprecated one."""


@dataclass(frozen=True, slots=True)
class PublicApi:
    """ORCID's public API of one registry."""

    base_url: str
    """With the version, as `https://pub.orcid.org/v3.0`."""
    registry: Registry
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    proxy: str | None = None
    _threads: BoundedThreads = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Create the limit of threads that ORCID keeps beyond the deadline."""
        object.__setattr__(self, "_threads", BoundedThreads(_MAX_THREADS))

    def check_status(self, now: datetime) -> None:
        """Ask ORCID whether its API works (`apiStatus`).

        Raises:
            LookupFailed: If ORCID does not say that it works.
        """
        response = self._get("apiStatus", now)
        try:
            works = response.status == _OK and parse_object(response.body).get("overallOk") is True
        except ValueError:
            works = False
        if not works:
            raise LookupFailed("ORCID says that its API does not work")

    def look_up(self, orcid_id: OrcidId, now: datetime) -> RecordAnswer:
        """Return the state of an iD's record.

        Returns within the sum of `connect_timeout` and `read_timeout`.

        Raises:
            LookupFailed: If the answer shows nothing about the record, or there is none.
        """
        response = self._get(f"{orcid_id.bare}/{SECTION}", now)
        try:
            answer = parse_object(response.body)
        except ValueError:
            raise LookupFailed(f"status {response.status} without JSON") from None
        if response.status == _OK:
            if answer.get("path") != f"/{orcid_id.bare}/{SECTION}":
                raise LookupFailed("the answer is about another record")
            return RecordAnswer(RecordState.OK)
        state = STATES.get(_error_code(answer))
        if state is None or response.status not in STATUSES[state]:
            raise LookupFailed(f"status {response.status} with error code {_error_code(answer)}")
        text = answer.get("developer-message")
        named = dict.fromkeys(_ORCID_ID.findall(text)) if isinstance(text, str) else {}
        if named and orcid_id.bare not in named:
            raise LookupFailed("the answer is about another record")
        named.pop(orcid_id.bare, None)
        if state is RecordState.DEPRECATED:
            return RecordAnswer(state, self._primary(orcid_id, [*named], response.location))
        return RecordAnswer(state)

    def _primary(self, orcid_id: OrcidId, named: list[str], location: str) -> OrcidId:
        # Both the message and `Location` name the primary iD; one of them may be missing, but they must not differ
        try:
            parts = urlsplit(location).path.split("/")[-2:] if location else []
        except ValueError:
            raise LookupFailed("the answer redirects to an address that cannot be read") from None
        if parts and (len(parts) != len(("iD", "section")) or parts[1] != SECTION):
            raise LookupFailed("the answer redirects to another section")
        found = dict.fromkeys([*named, *parts[:1]])
        if len(found) != 1 or orcid_id.bare in found:
            raise LookupFailed("the answer names no primary iD, or several")
        try:
            return OrcidId(next(iter(found)), self.registry)
        except InvalidOrcidId:
            raise LookupFailed("the primary iD is no ORCID iD") from None

    def _get(self, path: str, now: datetime) -> OrcidResponse:
        timeouts, deadline = (
            (self.connect_timeout, self.read_timeout),
            Deadline(self.connect_timeout + self.read_timeout),
        )
        call: Callable[[], OrcidResponse] = partial(
            send, "GET", f"{self.base_url}/{path}", deadline, timeouts=timeouts, proxy=self.proxy
        )
        try:
            response = self._threads.run(call, deadline)
        except OrcidUnavailable as error:
            raise LookupFailed(error.reason) from None
        except TimeoutError:
            raise LookupFailed("no answer in time") from None
        except Saturated as error:
            raise LookupFailed(f"{error.running} earlier calls still wait for its answer") from None
        if response.status in {429, 503}:
            raise LookupFailed(f"status {response.status}", parse_retry_after(response.retry_after, now))
        return response


def _error_code(answer: Mapping[str, Any]) -> int:
    # ORCID has been seen to send numbers as text; 0 is no code
    code = answer.get("error-code")
    if isinstance(code, str) and _CODE.fullmatch(code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else 0
