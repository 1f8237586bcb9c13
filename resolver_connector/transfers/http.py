"""What all kinds that speak HTTP share: credentials, TLS, time-outs, the size of an answer, and what a status means.

A `Receiver` is the other side. Its subclasses say what is sent and what an answer's body means. Redirects are not
followed, since credentials would go along; nothing is taken from the environment, since a `.netrc` or a proxy there
would change who is told; nothing is sent a second time, since the worker repeats whole deliveries.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import ssl
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr, model_validator
from requests.adapters import HTTPAdapter

from resolver_connector.transfers.base import (
    NO_SECRET,
    ChangeMessage,
    DeliveryResult,
    FilePath,
    Outcome,
    Secret,
    TransferModel,
    plain,
    setting,
)
from resolver_connector.transfers.deadline import Deadline

LARGEST_ANSWER = 64 * 1024
LONGEST_WAIT = timedelta(days=1)
"""No `Retry-After` is believed beyond this, lest one slip of theirs silence us for good."""

_PIECE = 256
"""Bytes of an answer that are read at once; the deadline is checked after each piece."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)

_STATUSES = {
    401: Outcome.MISCONFIGURED,
    403: Outcome.MISCONFIGURED,
    404: Outcome.UNKNOWN_PERSON,
    405: Outcome.MISCONFIGURED,
    407: Outcome.MISCONFIGURED,
    408: Outcome.TEMPORARY,
    409: Outcome.CONFLICT,
    415: Outcome.MISCONFIGURED,
    425: Outcome.TEMPORARY,
    429: Outcome.TEMPORARY,
}
"""What single statuses mean; for the others their class says it (`_CLASSES`)."""
_CLASSES = {1: Outcome.MISCONFIGURED, 3: Outcome.MISCONFIGURED, 4: Outcome.REFUSED, 5: Outcome.TEMPORARY}

_FAILURES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Outcome, str], ...] = (
    (ssl.SSLCertVerificationError, Outcome.MISCONFIGURED, "its certificate is not accepted"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError), Outcome.TEMPORARY, "the connection broke"),
    ((ssl.SSLError, requests.exceptions.SSLError), Outcome.MISCONFIGURED, "no TLS connection with it"),
    (socket.gaierror, Outcome.TEMPORARY, "the name of its host is not known"),
    ((requests.Timeout, TimeoutError), Outcome.TEMPORARY, "no answer in time"),
    (
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError),
        Outcome.TEMPORARY,
        "the connection broke",
    ),
    (Exception, Outcome.MISCONFIGURED, "it cannot be asked"),
)
"""What each failure of a request means; the first row counts that fits any of the failure's causes."""


class NoReply(Exception):
    """Nothing came that could be read; `answer` says why, in our words."""

    def __init__(self, answer: DeliveryResult) -> None:
        super().__init__(answer.message)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, up to LARGEST_ANSWER bytes of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def ok(self) -> bool:
        """Whether its status says that it went well."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110 section 15.3

    @property
    def kind(self) -> str:
        """The media type, without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()

    @property
    def is_page(self) -> bool:
        """Whether it is a web page: of a portal, a proxy or a web server, and never of an interface."""
        return self.kind in {"text/html", "application/xhtml+xml"} or bool(_HTML.match(self.body))

    @property
    def text(self) -> str:
        """The body as text, whatever it holds."""
        return self.body.decode("utf-8", "replace")

    def object(self) -> dict[str, Any] | None:
        """Give the JSON object it holds, if it holds one."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def words(self, *members: str) -> str:
        """Give what it says in words: the first of these members of its JSON, or else its plain text."""
        said = self.object()
        if said is not None:
            return next((said[name] for name in members if isinstance(said.get(name), str)), "")
        return self.text if self.kind == "text/plain" else ""


class Receiver(TransferModel):
    """The other side, as the kinds that speak HTTP reach it."""

    url: str = setting("The address of the interface.", "https://idm.example.org/orcid")
    user: str = setting("The user of HTTP Basic, sent at once.", "orcid-connect", default="")
    password: Secret = setting("The password of that user.", "file:secrets/idm.password", default=NO_SECRET)
    token: Secret = setting("A bearer token.", "file:secrets/idm.token", default=NO_SECRET)
    ca_file: FilePath | None = setting(
        "The certificates (PEM) of whoever issued the receiver's, where it is none of the public ones.",
        "ca.pem",
        default=None,
    )
    certificate: FilePath | None = setting(
        "Our certificate (PEM) with its chain, for mutual TLS.", "client.pem", default=None
    )
    certificate_key: FilePath | None = setting(
        "The key of that certificate (PEM, without a password).", "client.key", default=None
    )

    @model_validator(mode="after")
    def _check_receiver(self) -> Self:
        _must_be_guarded(self.url)
        token = self.token.get_secret_value()
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password belong together: give both, or neither")
        if self.user and token:
            raise ValueError("there are two ways to sign in, user and token: choose one")
        if ":" in self.user or not self.user.isprintable():
            raise ValueError("user cannot be sent by HTTP Basic: it holds a colon or an unseen character")
        if token and not _VISIBLE.fullmatch(token):
            raise ValueError("token cannot be sent: it holds something else than letters, digits and signs of ASCII")
        if bool(self.certificate) != bool(self.certificate_key):
            raise ValueError("certificate and certificate_key belong together: give both, or neither")
        if not self._signs_in():
            raise ValueError(f"nothing proves to the receiver that it is us: give {self._proofs()}")
        return self

    def deliver(self, news: ChangeMessage, *, now: datetime, seconds: float) -> DeliveryResult:
        """Send one change and return within `seconds`; sending twice is the same as once."""
        return self._within(Deadline(seconds), partial(self._deliver, news, now))

    def _deliver(self, news: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        try:
            answer = self._tell(news, now, deadline)
        except NoReply as nothing:
            answer = nothing.answer
        return DeliveryResult(answer.outcome, plain(self._without_secrets(answer.message)), answer.retry_after)

    @abstractmethod
    def _tell(self, news: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Send it in this kind's own way. May raise NoReply; the answer's message may be anything."""

    def _signs_in(self) -> bool:
        return bool(self.user or self.token or self.certificate)

    def _proofs(self) -> str:
        return "user and password, token, or certificate"

    def _send(
        self,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: Deadline,
        url: str = "",
    ) -> Reply:
        """Send one request and read its answer, whatever its status. Raises NoReply."""
        # urllib3 logs addresses, and the address of a SCIM query names the person
        logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
        headers = {
            "User-Agent": "orcid-connect",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **self._credential(),
            **headers,
        }
        content = None if body is None else _Body(body, deadline)
        pair = (str(self.certificate), str(self.certificate_key)) if self.certificate else None
        try:
            request = requests.Request(method, url or self.url, headers=headers, data=content).prepare()
            # The adapter alone: a Session reads the body of a redirect to its end, even if it does not follow it
            with (
                closing(HTTPAdapter()) as adapter,
                adapter.send(
                    request,
                    stream=True,
                    timeout=(deadline.left, deadline.left),
                    verify=str(self.ca_file) if self.ca_file else True,
                    cert=pair,
                ) as response,
            ):
                return _read(response, deadline)
        except (requests.RequestException, OSError, ValueError) as error:
            raise NoReply(_failure(error)) from None

    def _credential(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        return {"Authorization": f"Basic {self._basic}"} if self.user else {}

    @property
    def _basic(self) -> str:
        # RFC 7617 section 2.1, in UTF-8; requests would write Latin-1
        return base64.b64encode(f"{self.user}:{self.password.get_secret_value()}".encode()).decode()

    def _without_secrets(self, text: str) -> str:
        """Take out of their words what was ours: some receivers repeat what they were sent."""
        values = [each for _, value in self for each in (value if isinstance(value, tuple) else (value,))]
        secrets = [each.get_secret_value() for each in values if isinstance(each, SecretStr)]
        for secret in filter(None, [self._basic if self.user else "", *secrets]):
            text = text.replace(secret, "…")
        return text


class _Body:
    """The body of a request. It is not sent once the deadline has passed, for connecting may have taken that long."""

    def __init__(self, content: bytes, deadline: Deadline) -> None:
        self._content = content
        self._deadline = deadline

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        self._deadline.check()
        yield self._content


def refusal(reply: Reply, words: str, now: datetime) -> DeliveryResult:
    """Give the answer of a status that is not success, with the receiver's words where it has any."""
    outcome = _STATUSES.get(reply.status) or _CLASSES.get(reply.status // 100, Outcome.MISCONFIGURED)
    words = words or f"status {reply.status}"
    if reply.status // 100 == 3:  # noqa: PLR2004 - RFC 9110 section 15.4
        words = f"it sends on ({reply.status}) to {_address(reply)}, and no redirect is followed"
    if outcome is Outcome.UNKNOWN_PERSON and reply.is_page:
        # The web server's own page: there is no interface at this address that could know anybody
        return DeliveryResult(
            Outcome.MISCONFIGURED, f"a web page with status {reply.status}; there is no interface there"
        )
    return DeliveryResult(outcome, words, _retry_after(reply, now) if outcome is Outcome.TEMPORARY else None)


def nonsense(reply: Reply, expected: str) -> DeliveryResult:
    """Give the answer of a success that cannot be believed, since whoever spoke was not the interface."""
    if not reply.whole:
        return DeliveryResult(Outcome.MISCONFIGURED, f"status {reply.status} with more than {LARGEST_ANSWER} bytes")
    found = "a web page" if reply.is_page else "something else"
    return DeliveryResult(Outcome.MISCONFIGURED, f"status {reply.status} with {found} instead of {expected}")


def _must_be_guarded(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url is not an address") from None
    if not host or not _VISIBLE.fullmatch(url) or "#" in url:
        raise ValueError("url is not an address: write https://, the host and the path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url holds a user or a password: write them as user and password")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError("url is not https: people's identifiers go over the network only under TLS")


def _read(response: requests.Response, deadline: Deadline) -> Reply:
    body = b""
    headers = response.headers
    for piece in response.iter_content(_PIECE):
        deadline.check()
        body += piece
        if len(body) > LARGEST_ANSWER:
            return Reply(response.status_code, headers, body[:LARGEST_ANSWER], whole=False)
    ends = response.status_code == requests.codes.no_content or _says_where_it_ends(headers)
    if not (body or ends):
        # A connection that breaks among the headers looks to http.client like an answer that has no more of them
        raise requests.ConnectionError
    return Reply(response.status_code, headers, body)


def _says_where_it_ends(headers: Mapping[str, str]) -> bool:
    return "Content-Length" in headers or "Transfer-Encoding" in headers


def _failure(error: Exception) -> DeliveryResult:
    causes = list(_causes(error))
    fitting = ((each, row) for row in _FAILURES for each in causes if isinstance(each, row[0]))
    cause, (_, outcome, words) = next(fitting)
    return DeliveryResult(outcome, f"{words}{_detail(cause)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what led to it; the libraries wrap errors in each other in three ways."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [each for each in inner if isinstance(each, BaseException)]


def _detail(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f": {cause.verify_message.rstrip('.')}"
    if isinstance(cause, ssl.SSLError):
        return f": {(cause.reason or '').replace('_', ' ').lower()}".removesuffix(": ")
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
        return f": {cause.strerror.lower()}"
    return ""


def _address(reply: Reply) -> str:
    """Give where it sends on to, without what may be secret in it."""
    try:
        parts = urlsplit(reply.headers.get("Location", ""))
    except ValueError:
        return "somewhere"
    return (
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path or "nowhere"
    )


def _retry_after(reply: Reply, now: datetime) -> timedelta | None:
    """Give how long they ask us to wait: seconds or a date (RFC 9110 section 10.2.3)."""
    said = reply.headers.get("Retry-After", "").strip(" \t")
    if said.isascii() and said.isdecimal():
        return min(timedelta(seconds=int(said[:9])), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(said)
        return min(max(until - now, timedelta()), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None
