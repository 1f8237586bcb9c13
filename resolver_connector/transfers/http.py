"""Base of the kinds of transfers that use HTTP.

It implements authentication, TLS, time-outs, and the results of connection errors. No redirect is followed, because
credentials would be sent along. Nothing is read from the environment, because a proxy or a `.netrc` there would change
the receiver. No request is repeated here, because the worker repeats deliveries.
"""

from __future__ import annotations

import base64
import logging
import re
import socket
import ssl
import threading
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import ClassVar, Self
from urllib.parse import urlsplit

import httpcore  # httpx would import it during the first request, which takes a third of a second
import httpx
from pydantic import SecretStr, model_validator

from resolver_connector.transfers.base import (
    NO_SECRET,
    ChangeMessage,
    ClientCertificate,
    DeliveryFailed,
    DeliveryResult,
    FilePath,
    Outcome,
    Secret,
    TransferModel,
    plain_text,
    transfer_setting,
)
from resolver_connector.transfers.http_response import Response
from shibboleth.deadline import Deadline, Saturated, shut_down

MAX_RESPONSE_BYTES = 64 * 1024
BODY_TIMEOUT = 5.0
"""Seconds for the body of a response; some receivers neither say where it ends nor close the connection."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)

_ERROR_OUTCOMES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Outcome, str], ...] = (
    (ssl.SSLCertVerificationError, Outcome.MISCONFIGURED, "its certificate is not accepted"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError), Outcome.TEMPORARY, "the connection broke"),
    (ssl.SSLError, Outcome.MISCONFIGURED, "no TLS connection with it"),
    (socket.gaierror, Outcome.TEMPORARY, "its host name cannot be resolved"),
    ((httpx.TimeoutException, TimeoutError, Saturated), Outcome.TEMPORARY, "no answer in time"),
    ((OSError, httpx.NetworkError), Outcome.TEMPORARY, "the connection broke"),
    (httpx.RemoteProtocolError, Outcome.TEMPORARY, "no valid response"),
    (Exception, Outcome.MISCONFIGURED, "the request cannot be sent"),
)
"""Outcomes of exceptions: the first row that fits the exception or one of its causes applies."""


class HttpTransfer(TransferModel):
    """Base class of the kinds that speak HTTP."""

    ends_in_time = True
    authenticators: ClassVar[tuple[str, ...]] = ("user and password", "token", "certificate")
    """The settings of which at least one is needed."""

    url: str = transfer_setting("The address of the interface.", "https://idm.example.org/orcid")
    user: str = transfer_setting("The user of HTTP Basic, sent at once.", "orcid-connect", default="")
    password: Secret = transfer_setting("The password of that user.", "file:secrets/idm.password", default=NO_SECRET)
    token: Secret = transfer_setting("A bearer token.", "file:secrets/idm.token", default=NO_SECRET)
    ca_file: FilePath | None = transfer_setting(
        "The certificates (PEM) of the authority that issued the receiver's certificate, if it is not a public one.",
        "ca.pem",
        default=None,
    )
    certificate: ClientCertificate | None = transfer_setting(
        "The client certificate (PEM) with its chain, for mutual TLS.", "client.pem", default=None
    )
    certificate_key: FilePath | None = transfer_setting(
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
            raise ValueError(f"requests would not be authenticated: give {', '.join(most)}, or {last}")
        return self

    def send(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Send a change.

        Secrets and control characters are removed from the result's message.
        """
        result = self.run_try(partial(self.exchange, message, now), deadline)
        return replace(result, message=plain_text(self._without_secrets(result.message)))

    @abstractmethod
    def exchange(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Send a change in this kind's format.

        The message of the result is not yet cleaned of secrets and control characters.

        Raises:
            DeliveryFailed: If the change was not stored.
        """

    def request(
        self, method: str, body: bytes | None, headers: Mapping[str, str], deadline: Deadline, url: str = ""
    ) -> Response:
        """Send a request and return the response, whatever its status code.

        Interim responses are skipped. A body that breaks off is no error here: the status code is known by then.

        Args:
            method: The HTTP method.
            body: None for a request without a body.
            headers: Further headers.
            deadline: When the request is given up.
            url: The URL; empty means that of the setting.

        Raises:
            DeliveryFailed: If there is no response.
        """
        # It logs what is sent at level debug
        logging.getLogger(httpcore.__name__).setLevel(logging.CRITICAL + 1)
        request = httpx.Request(
            method,
            url or self.url,
            headers={
                "User-Agent": "orcid-connect",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
                **({} if body is None else {"Content-Length": str(len(body))}),
                **self._authorization(),
                **headers,
            },
            content=None if body is None else _content(body, deadline),
            extensions={"timeout": httpx.Timeout(deadline.left).as_dict()},
        )
        try:
            # The transport alone: a Client follows or parses redirects
            with (
                httpx.HTTPTransport(verify=self._tls_context(), trust_env=False) as transport,
                closing(transport.handle_request(request)) as response,
            ):
                return self._receive(response, deadline)
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise DeliveryFailed(_error_result(error)) from None

    def _receive(self, response: httpx.Response, deadline: Deadline) -> Response:
        body, truncated = bytearray(), None
        body_deadline = Deadline(min(BODY_TIMEOUT, deadline.left * 0.9))
        connection = response.extensions["network_stream"].get_extra_info("socket")
        # Read time-outs restart with each packet
        timer = threading.Timer(body_deadline.left, shut_down, [connection])
        timer.daemon = True
        timer.start()
        try:
            for chunk in response.iter_raw():
                body.extend(chunk)
                if len(body) > MAX_RESPONSE_BYTES:
                    break
        except (httpx.HTTPError, OSError) as error:
            truncated = _error_result(error)
        finally:
            timer.cancel()
            timer.join()
        if body_deadline.passed:
            truncated = _error_result(TimeoutError())
        content = bytes(body[:MAX_RESPONSE_BYTES])
        if len(body) > MAX_RESPONSE_BYTES:
            truncated = DeliveryResult(
                Outcome.MISCONFIGURED, f"status {response.status_code} with more than {MAX_RESPONSE_BYTES} bytes"
            )
        if response.headers.get("Content-Encoding", "").strip(" \t").lower() in {"gzip", "x-gzip", "deflate"}:
            with suppress(zlib.error):  # a wrong label
                content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, MAX_RESPONSE_BYTES)
        return Response(response.status_code, response.headers, content, truncated)

    def _tls_context(self) -> ssl.SSLContext:
        if urlsplit(self.url).scheme != "https":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used
        try:
            if self.ca_file:
                context = ssl.create_default_context(cafile=str(self.ca_file))
            else:
                context = httpx.create_ssl_context(trust_env=False)
            if self.certificate:
                # Without this password OpenSSL would prompt for that of an encrypted key on the terminal
                context.load_cert_chain(str(self.certificate), self.certificate_key, password="none")  # noqa: S106
        except OSError:
            raise DeliveryFailed(
                DeliveryResult(Outcome.MISCONFIGURED, "ca_file, certificate or certificate_key cannot be read")
            ) from None
        return context

    def _authorization(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        return {"Authorization": f"Basic {self._basic}"} if self.user else {}

    @property
    def _basic(self) -> str:
        # RFC 7617 section 2.1, in UTF-8
        return base64.b64encode(f"{self.user}:{self.password.get_secret_value()}".encode()).decode()

    def _without_secrets(self, text: str) -> str:
        # Some receivers repeat the request in their errors
        values = [each for _, value in self for each in (value if isinstance(value, tuple) else (value,))]
        secrets = [each.get_secret_value() for each in values if isinstance(each, SecretStr)]
        for secret in filter(None, [self._basic if self.user else "", *secrets]):
            text = text.replace(secret, "…")
        return text


def _content(body: bytes, deadline: Deadline) -> Iterator[bytes]:
    """Yield the body of a request, unless the deadline has passed.

    The deadline is checked here because connecting may have taken long.
    """
    deadline.check()
    yield body


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


def _error_result(error: BaseException) -> DeliveryResult:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    found, outcome, message = next(
        (cause, outcome, message)
        for types, outcome, message in _ERROR_OUTCOMES
        for cause in causes
        if isinstance(cause, types)
    )
    detail = ""
    if isinstance(found, ssl.SSLCertVerificationError):
        detail = found.verify_message.rstrip(".")
    elif isinstance(found, ssl.SSLError):
        detail = (found.reason or "").replace("_", " ").lower()
    elif isinstance(found, OSError) and found.strerror:
        detail = found.strerror.lower()
    elif isinstance(found, httpx.RemoteProtocolError):
        detail = str(found).rstrip(".").lower()
    return DeliveryResult(outcome, f"{message}: {detail}" if detail else message)
