"""Requests and answers of the connector, read and written without more of HTTP than it needs.

Every answer is JSON, never HTML and never a redirect, because an Identity Provider takes anything else for a failure
of the whole resolution. What may be wrong with a request is an error here; `app.py` has the one table of answers to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote_to_bytes

Environ = Mapping[str, Any]
Header = tuple[str, str]
Reply = tuple[int, list[Header], Iterable[bytes]]
"""Status, headers and body."""

STATUS = {
    200: "200 OK",
    204: "204 No Content",
    304: "304 Not Modified",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    410: "410 Gone",
    413: "413 Content Too Large",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}
GUARDS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
JSON = "application/json"
LARGEST_BODY = 4096
OWS = " \t"
"""The white space around a part of a header (RFC 9110 section 5.6.3)."""


class Report(Protocol):
    """Where a line about what went wrong goes."""

    def __call__(self, word: str, /, **facts: object) -> None:
        """Tell of something that may well happen."""

    def exception(self, error: BaseException) -> None:
        """Tell of a bug."""


class BadRequest(ValueError):
    """The request cannot be understood; its text says why."""


class RequestTooLarge(ValueError):
    """More was sent than any request of ours holds."""


class Unauthorized(PermissionError):
    """No credential, or one that is nobody's."""


class NotFound(LookupError):
    """The address leads nowhere."""


class MethodNotAllowed(LookupError):
    """The address is there, but not for this method."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"only {self.allowed} is answered here")


class CursorExpired(LookupError):
    """The place in the feed from which to go on is no longer there; its text says why."""


class TooManyRequests(RuntimeError):
    """As many snapshots are being sent as this process sends at once."""


def reply(answer: Mapping[str, Any] | Sequence[Any], status: int = 200, extra: Sequence[Header] = ()) -> Reply:
    """Answer with JSON and its length."""
    body = json.dumps(answer).encode()
    return status, [("Content-Type", JSON), *GUARDS, ("Content-Length", str(len(body))), *extra], [body]


def path_of(environ: Environ) -> str:
    """Give the path in WSGI's Latin-1, decoded once, and %2F like any other character.

    PATH_INFO cannot be trusted with that: behind Apache it holds %2F undecoded (`AllowEncodedSlashes NoDecode`) beside
    decoded characters, so that the accounts `a/b` and `a%2Fb` look the same there.
    """
    sent: str = environ.get("REQUEST_URI", "")
    if sent.startswith("/v1/"):
        return unquote_to_bytes(sent.partition("?")[0].encode("latin-1")).decode("latin-1")
    return str(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))


def fields_of(environ: Environ) -> dict[str, list[str]]:
    """Give the fields of the query, each with all its values. Raises BadRequest."""
    try:
        return parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict", max_num_fields=9)
    except ValueError:
        raise BadRequest("the query cannot be read") from None


def only(fields: Mapping[str, list[str]], name: str) -> str | None:
    """Give the one value of a field; none where it is not there. Raises BadRequest."""
    values = fields.get(name, [None])
    if len(values) > 1:
        raise BadRequest(f"one {name} at a time")
    return values[0]


def object_of(environ: Environ) -> dict[str, Any]:
    """Give the JSON object that was sent. Raises BadRequest and TooLarge."""
    body = _body_of(environ)
    try:
        found = json.loads(body, object_pairs_hook=_members)
    except BadRequest:
        raise
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(found, dict):
        raise BadRequest("the body is not a JSON object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise BadRequest("a member comes twice in the body")
    return members


def _body_of(environ: Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdecimal()):
        raise BadRequest("the length of the body cannot be read")
    if len(length) > len(str(LARGEST_BODY)) or int(length) > LARGEST_BODY:
        raise RequestTooLarge
    body: bytes = environ["wsgi.input"].read(int(length))
    return body
