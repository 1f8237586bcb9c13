"""Parses the connector's requests and builds its responses.

Every response is JSON, never HTML and never a redirect: an Identity Provider treats anything else as a failure of the
whole attribute resolution. `app.py` has the table from the exceptions defined here to responses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, unquote_to_bytes

from shibboleth.organisation import OrganisationMisconfigured

Environ = Mapping[str, Any]
Header = tuple[str, str]
Response = tuple[int, list[Header], Iterable[bytes]]
"""Status, headers and body."""

STATUS_LINES = {
    200: "200 OK",
    201: "201 Created",
    204: "204 No Content",
    304: "304 Not Modified",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    409: "409 Conflict",
    410: "410 Gone",
    412: "412 Precondition Failed",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    422: "422 Unprocessable Content",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}
COMMON_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
JSON = "application/json"
NDJSON = "application/x-ndjson"
MAX_BODY_BYTES = 4096
MAX_SPOOLED = 1024 * 1024
"""Bytes of a large body that are held in memory."""
CHUNK = 64 * 1024
"""Bytes of a body that are read at once."""
OWS = " \t"
"""Optional white space around a part of a header (RFC 9110 section 5.6.3)."""


class BadRequest(ValueError):
    """The request is invalid; the message has the reason."""


class RequestTooLarge(ValueError):
    """The request body is too large."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the body is larger than {max_bytes} bytes")


class Unauthorized(PermissionError):
    """The request has no credential, or one that is not valid."""


class CredentialsUnknown(LookupError):
    """The credential is unknown, and not all credentials could be read.

    Those of an organisation with invalid settings are missing.
    """

    code = OrganisationMisconfigured.code


class MissingRight(PermissionError):
    """The credential is valid, and has no right that the request requires."""

    def __init__(self, rights: Sequence[str]) -> None:
        super().__init__(f"the credential lacks the right {' or '.join(rights)}")
        self.right = rights[0]


class Conflict(Exception):
    """The request contradicts what is stored."""


class AttestationRefused(Conflict):
    """The organisation may not attest this iD for this account.

    `code` says why.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class TokenRefused(Conflict):
    """There is a token, but not for this request.

    The person did not permit the scope, or the token cannot be read; `code` says which.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class NoToken(LookupError):
    """There is no token of this person; `code` says why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PreconditionFailed(Exception):
    """The link is not the one that If-Match or If-None-Match requires."""

    def __init__(self, entity_tag: str | None) -> None:
        super().__init__("the link is not as If-Match or If-None-Match requires")
        self.entity_tag = entity_tag


class UnsupportedMediaType(ValueError):
    """The body has another media type; the message says which are possible."""


class NotFound(LookupError):
    """No route has this path."""


class MethodNotAllowed(LookupError):
    """The path exists, but not for this method."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"allowed methods: {self.allowed}")


class CursorExpired(LookupError):
    """The changes after this cursor are no longer available.

    The message has the reason.
    """


class TooManySnapshots(RuntimeError):
    """The process already sends as many snapshots as it may at the same time."""


class TooManyFailures(PermissionError):
    """The client's address has sent too many invalid credentials."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many invalid credentials from this address; try again later")
        self.retry_after = retry_after


def json_response(
    content: Mapping[str, Any] | Sequence[Any], status: int = 200, extra_headers: Sequence[Header] = ()
) -> Response:
    """Build a JSON response with its Content-Length."""
    body = json.dumps(content).encode()
    return status, [("Content-Type", JSON), *COMMON_HEADERS, ("Content-Length", str(len(body))), *extra_headers], [body]


def request_path(environ: Environ) -> str:
    """Return the path as WSGI's Latin-1 text, percent-decoded once.

    Several slashes at its start become one. REQUEST_URI is preferred: with Apache's `AllowEncodedSlashes NoDecode`,
    PATH_INFO holds an undecoded %2F beside decoded characters, so that the accounts `a/b` and `a%2Fb` cannot be told
    apart there.

    Raises:
        BadRequest: If the path is not percent-encoded, which Apache alone lets through.
    """
    uri: str = environ.get("REQUEST_URI", "").partition("?")[0]
    if not uri.isascii():
        raise BadRequest("the path is not percent-encoded")
    decoded: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if uri.lstrip("/").startswith("v1/"):
        decoded = unquote_to_bytes(uri).decode("latin-1")
    return "/" + decoded.lstrip("/")


def parse_query(environ: Environ) -> dict[str, list[str]]:
    """Parse the query string into lists of values by parameter.

    Raises:
        BadRequest: If it is not percent-encoded UTF-8, or has more than nine parameters.
    """
    query: str = environ.get("QUERY_STRING", "")
    if not query.isascii():
        raise BadRequest("the query string is not percent-encoded")
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=9)
    except ValueError:
        raise BadRequest("the query string is invalid") from None


def single_value(parameters: Mapping[str, list[str]], name: str) -> str | None:
    """Return the value of a query parameter; None where it is absent.

    Raises:
        BadRequest: If the parameter is given more than once.
    """
    values = parameters.get(name, [None])
    if len(values) > 1:
        raise BadRequest(f"the parameter {name} is given more than once")
    return values[0]


def read_json_object(environ: Environ, *, optional: bool = False) -> dict[str, Any]:
    """Read the request body as a JSON object.

    Args:
        optional: Whether there may be no body, which is read as an empty object.

    Raises:
        BadRequest: If the body is not a JSON object, or repeats a member.
        RequestTooLarge: If the body is larger than `MAX_BODY_BYTES`.
    """
    body = read_body(environ, MAX_BODY_BYTES)
    if optional and not body:
        return {}
    try:
        return parse_json_object(body)
    except InvalidObject as error:
        raise BadRequest(f"the body {error}") from None


class InvalidObject(ValueError):
    """A text is not a JSON object; the message says why."""


def parse_json_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        InvalidObject: If it is none, or repeats a member.
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique_members)
    except InvalidObject:
        raise
    except (ValueError, RecursionError):
        raise InvalidObject("is not JSON") from None
    if not isinstance(content, dict):
        raise InvalidObject("is not a JSON object")
    return content


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidObject("has a member more than once")
    return members


def read_body(environ: Environ, max_bytes: int) -> bytes:
    """Read the request body, in the same way under every server.

    A body with Transfer-Encoding is read to its end, which the server signals; waitress decodes it beforehand and sets
    Content-Length. A body with Content-Length must have that length. Without either there is no body (RFC 9112 6.3).

    Raises:
        BadRequest: If Content-Length is invalid, or the body ends early.
        RequestTooLarge: If the body is larger than `max_bytes`.
    """
    return b"".join(_chunks(environ, max_bytes))


def spool_body(environ: Environ, max_bytes: int) -> BinaryIO:
    """Read the request body into a temporary file.

    At most MAX_SPOOLED bytes are held in memory. Raises as `read_body`.
    """
    file = SpooledTemporaryFile(MAX_SPOOLED)  # noqa: SIM115 - the caller closes it
    try:
        file.writelines(_chunks(environ, max_bytes))
    except BaseException:
        file.close()
        raise
    return cast("BinaryIO", file)


def _chunks(environ: Environ, max_bytes: int) -> Iterator[bytes]:
    length = environ.get("CONTENT_LENGTH") or "0"
    if encoding := environ.get("HTTP_TRANSFER_ENCODING"):
        if encoding.strip(OWS).lower() != "chunked":
            raise BadRequest("the only supported Transfer-Encoding is chunked")
        read = 0
        for chunk in _read(environ, max_bytes + 1):
            read += len(chunk)
            yield chunk
        if read > max_bytes:
            raise RequestTooLarge(max_bytes)
        return
    if not (length.isascii() and length.isdecimal()):
        raise BadRequest("Content-Length is invalid")
    # Python refuses to convert thousands of digits
    length = length.lstrip("0") or "0"
    if len(length) > len(str(max_bytes)) or int(length) > max_bytes:
        raise RequestTooLarge(max_bytes)
    missing = int(length)
    for chunk in _read(environ, missing):
        missing -= len(chunk)
        yield chunk
    if missing:
        raise BadRequest("the body is shorter than Content-Length")


def _read(environ: Environ, size: int) -> Iterator[bytes]:
    missing = size
    try:
        while missing and (chunk := environ["wsgi.input"].read(min(missing, CHUNK))):
            missing -= len(chunk)
            yield chunk
    except OSError:
        # mod_wsgi: the client closed the connection or was too slow
        raise BadRequest("the body could not be read") from None
