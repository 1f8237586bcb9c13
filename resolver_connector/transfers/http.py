"""Base of the kinds of transfers that speak HTTP: credentials, TLS, time-outs, and what status codes mean.

No redirect is followed, because credentials would go along. Nothing is read from the environment, because a proxy or
a `.netrc` there would change the receiver. No request is repeated here, because the worker repeats deliveries.
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
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr, model_validator
from requests.adapters import HTTPAdapter

from resolver_connector.transfers.base import (
    NO_SECRET,
    ChangeMessage,
    DeliveryFailed,
    DeliveryResult,
    FilePath,
    Outcome,
    Secret,
    TransferModel,
    plain_text,
    setting,
)
from resolver_connector.transfers.deadline import Deadline

MAX_RESPONSE_BYTES = 64 * 1024
MAX_RETRY_AFTER = timedelta(days=1)
"""A longer `Retry-After` is taken for an error of the receiver."""

STATUS_OUTCOMES = {
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
"""Outcomes of single status codes; the others are in `_STATUS_CLASS_OUTCOMES`."""
_STATUS_CLASS_OUTCOMES = {
    1: Outcome.MISCONFIGURED,
    3: Outcome.MISCONFIGURED,
    4: Outcome.REFUSED,
    5: Outcome.TEMPORARY,
}

_CHUNK_BYTES = 256
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)

_ERROR_OUTCOMES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Outcome, str], ...] = (
    (ssl.SSLCertVerificationError, Outcome.MISCONFIGURED, "its certificate is not accepted"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError), Outcome.TEMPORARY, "the connection broke"),
    ((ssl.SSLError, requests.exceptions.SSLError), Outcome.MISCONFIGURED, "no TLS connection with it"),
    (socket.gaierror, Outcome.TEMPORARY, "its host name cannot be resolved"),
    ((requests.Timeout, TimeoutError), Outcome.TEMPORARY, "no answer in time"),
    (
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError),
        Outcome.TEMPORARY,
        "the connection broke",
    ),
    (Exception, Outcome.MISCONFIGURED, "the request cannot be sent"),
)
"""Outcomes of exceptions: the first row that fits the exception or one of its causes applies."""


@dataclass(frozen=True, slots=True)
class Response:
    """A receiver's response, with at most MAX_RESPONSE_BYTES of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether the status code is a success (RFC 9110 section 15.3)."""
        return self.status // 100 == 2  # noqa: PLR2004 - the class of the status code

    @property
    def media_type(self) -> str:
        """The media type, without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()

    @property
    def is_web_page(self) -> bool:
        """Whether it is a web page: of a portal, a proxy or a web server, not of an interface."""
        return self.media_type in {"text/html", "application/xhtml+xml"} or bool(_HTML.match(self.body))

    @property
    def text(self) -> str:
        """The body as text; what cannot be decoded is replaced."""
        return self.body.decode("utf-8", "replace")

    def json_object(self) -> dict[str, Any] | None:
        """Return the JSON object in the body; None if it is something else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def message(self, *members: str) -> str:
        """Return what the receiver says: the first of these members of its JSON object, or its plain text."""
        value = self.json_object()
        if value is not None:
            return next((value[name] for name in members if isinstance(value.get(name), str)), "")
        return self.text if self.media_type == "text/plain" else ""


class HttpTransfer(TransferModel):
    """Base class of the kinds that speak HTTP."""

    authenticators: ClassVar[tuple[str, ...]] = ("user and password", "token", "certificate")
    """The settings of which at least one is needed."""

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
    def _check_http(self) -> Self:
        _check_url(self.url)
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
        if not any(getattr(self, name) for names in self.authenticators for name in names.split(" and ")):
            *most, last = self.authenticators
            raise ValueError(f"nothing proves to the receiver that it is us: give {', '.join(most)}, or {last}")
        return self

    def send(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Send a change; the message of the result has no secrets and no control characters."""
        result = self.run_attempt(partial(self.exchange, message, now), deadline)
        return replace(result, message=plain_text(self._without_secrets(result.message)))

    @abstractmethod
    def exchange(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Send a change in this kind's format; the message of the result may hold any characters.

        Raises:
            DeliveryFailed: If there is no success.

        """

    def request(
        self, method: str, body: bytes | None, headers: Mapping[str, str], deadline: Deadline, url: str = ""
    ) -> Response:
        """Send a request to `url`, or to the setting, and return the response whatever its status code.

        Raises:
            DeliveryFailed: If there is no response.

        """
        # urllib3 logs addresses, and the address of a SCIM query contains the account
        logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
        headers = {
            "User-Agent": "orcid-connect",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **self._authorization(),
            **headers,
        }
        content = None if body is None else _RequestBody(body, deadline)
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
                    cert=(str(self.certificate), str(self.certificate_key)) if self.certificate else None,
                ) as response,
            ):
                return _read(response, deadline)
        except (requests.RequestException, OSError, ValueError) as error:
            raise DeliveryFailed(_error_result(error)) from None

    def _authorization(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        return {"Authorization": f"Basic {self._basic}"} if self.user else {}

    @property
    def _basic(self) -> str:
        # RFC 7617 section 2.1, in UTF-8; requests would write Latin-1
        return base64.b64encode(f"{self.user}:{self.password.get_secret_value()}".encode()).decode()

    def _without_secrets(self, text: str) -> str:
        # Some receivers repeat the request in their errors
        values = [each for _, value in self for each in (value if isinstance(value, tuple) else (value,))]
        secrets = [each.get_secret_value() for each in values if isinstance(each, SecretStr)]
        for secret in filter(None, [self._basic if self.user else "", *secrets]):
            text = text.replace(secret, "…")
        return text


class _RequestBody:
    """The body of a request. It is not sent after the deadline, because connecting may have taken that long."""

    def __init__(self, content: bytes, deadline: Deadline) -> None:
        self._content = content
        self._deadline = deadline

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        self._deadline.check()
        yield self._content


def failure(response: Response, message: str, now: datetime) -> DeliveryResult:
    """Return the result for a status code that is not a success, with the receiver's message if there is one."""
    status = response.status
    outcome = STATUS_OUTCOMES.get(status) or _STATUS_CLASS_OUTCOMES.get(status // 100, Outcome.MISCONFIGURED)
    message = message or f"status {status}"
    if status // 100 == 3:  # noqa: PLR2004 - RFC 9110 section 15.4
        message = f"it redirects ({status}) to {_redirect_target(response)}, and redirects are not followed"
    if outcome is Outcome.UNKNOWN_PERSON and response.is_web_page:
        # A page of the web server: there is no interface at this address that could know people
        return DeliveryResult(
            Outcome.MISCONFIGURED, f"a web page with status {status}; there is no interface at this address"
        )
    return DeliveryResult(outcome, message, _retry_after(response, now) if outcome is Outcome.TEMPORARY else None)


def unexpected_body(response: Response, expected: str) -> DeliveryResult:
    """Return the result for a success whose body shows that something other than the interface answered."""
    if not response.complete:
        return DeliveryResult(
            Outcome.MISCONFIGURED, f"status {response.status} with more than {MAX_RESPONSE_BYTES} bytes"
        )
    found = "a web page" if response.is_web_page else "something else"
    return DeliveryResult(Outcome.MISCONFIGURED, f"status {response.status} with {found} instead of {expected}")


def _check_url(url: str) -> None:
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


def _read(response: requests.Response, deadline: Deadline) -> Response:
    body = b""
    headers = response.headers
    for chunk in response.iter_content(_CHUNK_BYTES):
        deadline.check()
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            return Response(response.status_code, headers, body[:MAX_RESPONSE_BYTES], complete=False)
    framed = "Content-Length" in headers or "Transfer-Encoding" in headers
    if not (body or framed or response.status_code == requests.codes.no_content):
        # A connection that breaks within the headers looks to http.client like their end
        raise requests.ConnectionError
    return Response(response.status_code, headers, body)


def _error_result(error: Exception) -> DeliveryResult:
    causes = list(_causes(error))
    cause, outcome, message = next(
        (cause, outcome, message)
        for types, outcome, message in _ERROR_OUTCOMES
        for cause in causes
        if isinstance(cause, types)
    )
    detail = ""
    if isinstance(cause, ssl.SSLCertVerificationError):
        detail = cause.verify_message.rstrip(".")
    elif isinstance(cause, ssl.SSLError):
        detail = (cause.reason or "").replace("_", " ").lower()
    elif isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
        detail = cause.strerror.lower()
    return DeliveryResult(outcome, f"{message}: {detail}" if detail else message)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it; the libraries wrap errors in each other in three ways."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [each for each in inner if isinstance(each, BaseException)]


def _redirect_target(response: Response) -> str:
    """Return where a redirect leads, without what may be secret in it."""
    try:
        parts = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        return "an invalid address"
    if parts.netloc:
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return parts.path or "no address"


def _retry_after(response: Response, now: datetime) -> timedelta | None:
    """Return how long the receiver asks to wait: seconds or a date (RFC 9110 section 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip(" \t")
    if value.isascii() and value.isdecimal():
        return min(timedelta(seconds=int(value[:9])), MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(value)
        return min(max(until - now, timedelta()), MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return None
