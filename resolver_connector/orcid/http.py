"""Sends requests to ORCID, with limits of time and size whatever ORCID does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType

import requests

from resolver_connector.metrics import ORCID_REQUESTS
from shibboleth.deadline import Deadline

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_MAX_BODY = 64 * 1024
"""Bytes of an answer's body."""


class OrcidUnavailable(ConnectionError):
    """ORCID sent no response, or not a valid one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class OrcidResponse:
    """A response of ORCID that was received completely."""

    status: int
    body: bytes
    location: str = ""
    """Of a redirect, which was not followed."""
    retry_after: str = ""


def send(  # noqa: PLR0913 - all that a request depends on
    method: str,
    url: str,
    deadline: Deadline,
    *,
    timeouts: tuple[float, float],
    proxy: str | None,
    form: Mapping[str, str] | None = None,
    content: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    max_body: int = _MAX_BODY,
) -> OrcidResponse:
    """Send one request to ORCID, and return the response; follow no redirect.

    Args:
        timeouts: Seconds to wait for a connection, and for each part of the response.
        form: The body, as a form.
        content: The body, where it is not a form.
        headers: Further headers, and those that replace `Accept`.
        max_body: The most bytes of the response's body.

    Raises:
        OrcidUnavailable: If there is no response, or it is too long.
        TimeoutError: If the deadline passes.
    """
    deadline.check()
    locations: list[str] = []
    begun, status = monotonic(), "none"

    def take_location(response: requests.Response, **_options: object) -> None:
        # Even where it follows no redirect, a Session reads the whole body of one, without our limits of time and size
        locations.append(response.headers.pop("Location", ""))

    try:
        # A session for each request: no connection, and no cookie, goes from one person to another
        with requests.Session() as session:
            # Nothing comes from the environment: no proxy, no .netrc, no other certificate authorities
            session.trust_env = False
            if proxy:
                session.proxies = {"http": proxy, "https": proxy}
            with session.request(
                method,
                url,
                data=form if content is None else content,
                headers={**_HEADERS, **headers},
                timeout=(min(timeouts[0], deadline.left), min(timeouts[1], deadline.left)),
                allow_redirects=False,
                stream=True,
                hooks={"response": take_location},
            ) as response:
                body, retry_after = _body(response, deadline, max_body), response.headers.get("Retry-After", "")
                status = str(response.status_code)
                return OrcidResponse(response.status_code, body, locations[0], retry_after)
    except requests.RequestException as error:
        raise OrcidUnavailable(_reason(error)) from None
    finally:
        ORCID_REQUESTS.labels(status).observe(monotonic() - begun)


def _body(response: requests.Response, deadline: Deadline, max_body: int) -> bytes:
    body = bytearray()
    try:
        # One octet at a time: a read of more would wait until all have arrived, however slowly
        for octet in response.iter_content(1):
            body += octet
            if len(body) > max_body:
                raise OrcidUnavailable("the answer is too long")
            deadline.check()
    except requests.ConnectionError:
        raise OrcidUnavailable("no answer in time") from None
    return bytes(body)


def _reason(error: requests.RequestException) -> str:
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    return f"cannot be reached ({type(error).__name__})"


_REASONS: dict[type[Exception], str] = {
    requests.Timeout: "no answer in time",
    requests.exceptions.ProxyError: "cannot be reached (the proxy)",
    requests.exceptions.SSLError: "cannot be reached (its certificate, or TLS)",
    requests.ConnectionError: "cannot be reached (no connection)",
    requests.exceptions.ChunkedEncodingError: "the answer breaks off",
}
"""What the log says of an error: the first kind that it is of."""
