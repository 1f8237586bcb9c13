"""Client of ORCID's member API: affiliations on a person's record.

The error code of an answer decides before its status, as the two do not always agree (ORCID API 3.0, error codes). No
message of a result repeats ORCID's text, which may contain the access token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import sleep
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from resolver_connector.orcid.http import OrcidResponse, OrcidUnavailable, send
from resolver_connector.orcid.strict_json import parse_object
from resolver_connector.transfers.base import DeliveryFailed, DeliveryResult, Outcome
from shibboleth.deadline import BoundedThreads, Deadline, Saturated
from shibboleth.retry_after import parse_retry_after

MEDIA_TYPE: Final = "application/vnd.orcid+json"
INTERVAL: Final = timedelta(milliseconds=50)
"""Between two requests of one client, in all processes together: 20 a second, where ORCID allows 24 (API limits)."""
LONGEST_WAIT: Final = timedelta(seconds=5)
"""For a free slot; then the delivery is tried later."""
MAX_THREADS: Final = 32
MAX_BODY: Final = 1024 * 1024
"""Bytes of an answer: a record may have hundreds of affiliations."""
INVALID_TOKEN: Final = "invalid_token"  # noqa: S105 - an error code of RFC 6750
DEPRECATED: Final = 9007
NOT_FOUND: Final = frozenset({9011, 9016})
DUPLICATE: Final = 9021
LOCKED: Final = 9018
DEACTIVATED: Final = 9044

_SERVICE_FAULT = "ORCID did not accept what this service sent"
_NO_PERMISSION = "the access token does not permit it; the person has to connect the iD again and allow it"
_OTHER_SOURCE = "another ORCID client wrote the item: the organisation's client id has changed"
_SETTINGS = "correct organisation, city, country and ror of the transfer"
ERRORS: Mapping[int, tuple[Outcome, str]] = MappingProxyType(
    {
        9001: (Outcome.REFUSED, _SERVICE_FAULT),
        9002: (Outcome.REFUSED, _NO_PERMISSION),
        9004: (Outcome.REFUSED, _NO_PERMISSION),
        9005: (Outcome.REFUSED, _NO_PERMISSION),
        9006: (Outcome.REFUSED, _SERVICE_FAULT),
        9007: (Outcome.REFUSED, "ORCID merged the record into another one; the person has to connect that iD"),
        9008: (Outcome.TEMPORARY, "an error at ORCID"),
        9010: (Outcome.REFUSED, _OTHER_SOURCE),
        9011: (Outcome.REFUSED, "the record is not at ORCID"),
        9012: (Outcome.REFUSED, _SERVICE_FAULT),
        9013: (Outcome.REFUSED, _OTHER_SOURCE),
        9014: (Outcome.REFUSED, _OTHER_SOURCE),
        9015: (Outcome.REFUSED, _NO_PERMISSION),
        9016: (Outcome.REFUSED, "the record is not at ORCID"),
        9017: (Outcome.REFUSED, "the access token is for another record"),
        9018: (Outcome.TEMPORARY, "ORCID locked the record"),  # a lock is often lifted
        9019: (Outcome.REFUSED, _SERVICE_FAULT),
        9020: (Outcome.REFUSED, _SERVICE_FAULT),
        9021: (Outcome.CONFLICT, "ORCID has an item with the same external id, which is not the service's"),
        9022: (Outcome.REFUSED, _SERVICE_FAULT),
        9023: (Outcome.REFUSED, _SERVICE_FAULT),
        9024: (Outcome.REFUSED, _SERVICE_FAULT),
        9030: (Outcome.REFUSED, _SERVICE_FAULT),
        9031: (Outcome.REFUSED, _SERVICE_FAULT),
        9034: (Outcome.REFUSED, _SERVICE_FAULT),
        9035: (Outcome.REFUSED, _SERVICE_FAULT),
        9036: (Outcome.REFUSED, "the record has not been claimed by its person"),
        9038: (Outcome.REFUSED, _NO_PERMISSION),
        9039: (Outcome.REFUSED, _OTHER_SOURCE),
        9044: (Outcome.REFUSED, "the person deactivated the record at ORCID"),
        9045: (Outcome.MISCONFIGURED, f"ORCID does not know the organisation by this ROR id; {_SETTINGS}"),
        9046: (Outcome.MISCONFIGURED, f"the organisation is missing; {_SETTINGS}"),
        9047: (Outcome.REFUSED, _SERVICE_FAULT),
        9049: (Outcome.REFUSED, _SERVICE_FAULT),
        9050: (Outcome.REFUSED, _SERVICE_FAULT),
        9051: (Outcome.MISCONFIGURED, f"ORCID does not know a value; {_SETTINGS}"),
        9052: (Outcome.REFUSED, _SERVICE_FAULT),
        9055: (Outcome.REFUSED, "the item begins after today, so it cannot end today"),
        9057: (Outcome.MISCONFIGURED, "ORCID locked or deactivated the organisation's client"),
        9060: (Outcome.MISCONFIGURED, f"the address is not complete; {_SETTINGS}"),
        9061: (Outcome.MISCONFIGURED, f"the address is not complete; {_SETTINGS}"),
        9062: (Outcome.MISCONFIGURED, f"the organisation is missing; {_SETTINGS}"),
    }
)
"""The outcome and message of each error code."""
_OAUTH_ERRORS: Mapping[str, tuple[Outcome, str]] = MappingProxyType(
    {
        INVALID_TOKEN: (Outcome.REFUSED, "ORCID no longer accepts the permission"),
        "insufficient_scope": (Outcome.REFUSED, _NO_PERMISSION),
        "invalid_client": (Outcome.MISCONFIGURED, "ORCID does not know the organisation's client"),
        "unauthorized_client": (Outcome.MISCONFIGURED, "ORCID does not know the organisation's client"),
        "forbidden": (Outcome.MISCONFIGURED, "ORCID wants another client: the member API needs member credentials"),
    }
)
"""The same of the errors of the OAuth 2.0 filter in front of the API (RFC 6750)."""
_CODE = re.compile(r"\d{4}", re.ASCII)
_PUT_CODE = re.compile(r"[1-9]\d{0,18}", re.ASCII)
_NAMED_PUT_CODE = re.compile(r"put-code\D{0,20}?([1-9]\d{0,18})\b", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer of the member API."""

    status: int
    content: Mapping[str, Any] | None
    """The JSON object of the body; None if the body is something else, such as a web page."""
    location: str = ""
    retry_after: timedelta | None = None

    @property
    def code(self) -> int:
        """The error code; 0 if there is none."""
        # ORCID has been seen to send numbers as text
        code = (self.content or {}).get("error-code")
        if isinstance(code, str) and _CODE.fullmatch(code):
            return int(code)
        return code if isinstance(code, int) and not isinstance(code, bool) else 0

    @property
    def error(self) -> str:
        """The OAuth error; empty if there is none."""
        error = (self.content or {}).get("error")
        return error if isinstance(error, str) else ""

    @property
    def ok(self) -> bool:
        """Whether ORCID did what was asked."""
        return self.status // 100 == 2 and not self.code and not self.error  # noqa: PLR2004 - RFC 9110 section 15.3

    @property
    def not_found(self) -> bool:
        """Whether ORCID says that the record or the item does not exist."""
        return self.code in NOT_FOUND

    @property
    def withdrawn(self) -> bool:
        """Whether the access token is not valid any more."""
        return self.error == INVALID_TOKEN

    @property
    def put_code(self) -> str:
        """The put-code of an added item, or of the one that it duplicates.

        Empty if ORCID does not say.
        """
        if self.ok:
            try:
                last = urlsplit(self.location).path.rpartition("/")[2]
            except ValueError:
                last = ""
            return last if _PUT_CODE.fullmatch(last) else ""
        texts = [(self.content or {}).get(name) for name in ("developer-message", "user-message")]
        found = _NAMED_PUT_CODE.search(" ".join(text for text in texts if isinstance(text, str)))
        return found[1] if found else ""

    def failure(self) -> DeliveryResult:
        """Return the result of an answer that is not a success."""
        known = ERRORS.get(self.code) or _OAUTH_ERRORS.get(self.error)
        if known is not None:
            outcome, message = known
            message = f"{message} ({self.code or self.error})"
        elif self.status // 100 == 3:  # noqa: PLR2004 - RFC 9110 section 15.4
            outcome, message = Outcome.MISCONFIGURED, f"status {self.status}, and redirects are not followed"
        elif self.content is None:
            outcome, message = Outcome.TEMPORARY, f"status {self.status} without JSON"
        elif self.status // 100 in {2, 5} or self.status in {408, 425, 429}:
            outcome, message = Outcome.TEMPORARY, f"status {self.status} with an unexpected body"
        else:
            outcome, message = Outcome.REFUSED, f"status {self.status} ({self.code or 'no error code'})"
        return DeliveryResult(outcome, message, self.retry_after if outcome is Outcome.TEMPORARY else None)


@dataclass(frozen=True, slots=True)
class MemberApi:
    """ORCID's member API, for the records of people who gave a client permission."""

    base_url: str
    """With the version, as `https://api.orcid.org/v3.0`."""
    reserve: Callable[[str], float | None]
    """Reserves the next request of a client, by its id; returns the seconds until then, or None if too many wait."""
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    proxy: str | None = None
    _threads: BoundedThreads = field(
        init=False, repr=False, compare=False, default_factory=lambda: BoundedThreads(MAX_THREADS)
    )

    def request(  # noqa: PLR0913, PLR0917 - a request of HTTP, and by when
        self,
        method: str,
        path: str,
        client_id: str,
        token: str,
        now: datetime,
        deadline: Deadline,
        body: Mapping[str, Any] | None = None,
    ) -> ApiAnswer:
        """Send one request, and return ORCID's answer; follow no redirect.

        Args:
            path: Below the base URL, as `0000-0002-1825-0097/employment`.
            token: The access token; empty sends none.

        Raises:
            DeliveryFailed: If there is no answer by the deadline. ORCID may have done what was asked.
        """
        delay = self.reserve(client_id)
        if delay is None or delay >= deadline.left:
            reason = "too many requests wait for ORCID's rate limit"
            raise DeliveryFailed(DeliveryResult(Outcome.TEMPORARY, reason, LONGEST_WAIT))
        headers = {"Accept": MEDIA_TYPE} | ({"Authorization": f"Bearer {token}"} if token else {})
        headers |= {} if body is None else {"Content-Type": MEDIA_TYPE}
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()

        def call() -> OrcidResponse:
            sleep(max(delay, 0.0))
            return send(
                method,
                f"{self.base_url}/{path}",
                deadline,
                timeouts=(self.connect_timeout, self.read_timeout),
                proxy=self.proxy,
                headers=headers,
                content=content,
                max_body=MAX_BODY,
            )

        try:
            response = self._threads.run(call, deadline)
        except OrcidUnavailable as error:
            raise DeliveryFailed(DeliveryResult(Outcome.TEMPORARY, error.reason)) from None
        except TimeoutError:
            raise DeliveryFailed(DeliveryResult(Outcome.TEMPORARY, "no answer in time")) from None
        except Saturated as error:
            reason = f"{error.running} earlier requests still wait for ORCID"
            raise DeliveryFailed(DeliveryResult(Outcome.TEMPORARY, reason)) from None
        retry_after = parse_retry_after(response.retry_after, now)
        try:
            found = parse_object(response.body)
        except ValueError:
            return ApiAnswer(response.status, None, response.location, retry_after)
        return ApiAnswer(response.status, found, response.location, retry_after)

    def check(self, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Ask ORCID whether its API works (`apiStatus`); no record is read."""
        try:
            answer = self.request("GET", "apiStatus", "", "", now, deadline)
        except DeliveryFailed as failed:
            return failed.result
        if answer.ok and answer.content is not None and answer.content.get("overallOk") is not True:
            return DeliveryResult(Outcome.TEMPORARY, "ORCID says that its API does not work")
        if not answer.ok or answer.content is None:
            return answer.failure()
        return DeliveryResult(Outcome.ALREADY_THERE, "the member API works; no record was written")
