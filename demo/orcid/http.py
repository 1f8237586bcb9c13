"""HTTP requests and responses as plain values, and WSGI."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from .faults import Fault

FORM_TYPE: Final = "application/x-www-form-urlencoded"
JSON_TYPE: Final = "application/json;charset=UTF-8"
HTML_TYPE: Final = "text/html;charset=UTF-8"
URI_CHARACTERS: Final = "!#$%&'()*+,/:;=?@[]~"
MAX_BODY_BYTES: Final = 1_000_000
COOKIE: Final = "orcid_simulator"


@dataclass(frozen=True, slots=True)
class Request:
    """A request; of a repeated parameter the first value counts."""

    method: str
    path: str
    query_string: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    authorization: str = ""
    accept: str = ""
    session: str = ""
    peer: str = ""
    forwarded: bool = False
    fault: Fault | None = None

    @property
    def bearer(self) -> str | None:
        """The access token in the `Authorization` header or the query, or None."""
        kind, _, token = self.authorization.partition(" ")
        if kind.lower() == "bearer" and token:
            return token.strip()
        return self.query.get("access_token")

    @property
    def client_id(self) -> str:
        """The client id that the request names, not authenticated.

        It is used for faults and the call log only.
        """
        named = self.query.get("client_id") or (self.basic or ("", ""))[0] or self.form.get("client_id")
        return named or parse_params(self.form.get("request", "")).get("client_id", "")

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password of a Basic header.

        They are empty if the header is malformed; None if there is no header.
        """
        kind, _, coded = self.authorization.partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return name, secret


@dataclass(frozen=True, slots=True)
class Response:
    """A response; `cut` sends half of its body and closes the connection."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False

    def with_headers(self, *headers: tuple[str, str]) -> Response:
        """Return a copy with more headers."""
        return Response(self.status, self.body, (*self.headers, *headers), self.cut)


def parse_params(params: str) -> dict[str, str]:
    """Parse a query or form body.

    Empty values are kept. Of a repeated parameter the first value counts.
    """
    found: dict[str, str] = {}
    for key, value in parse_qsl(params, keep_blank_values=True):
        found.setdefault(key, value)
    return found


def parse_request(environ: Mapping[str, Any]) -> Request:
    """Parse a WSGI environment.

    `Host` is ignored: links are built from the configured base URL.
    """
    query_string = environ.get("QUERY_STRING", "")
    content_type = environ.get("CONTENT_TYPE", "")
    body = _body(environ)
    is_form = content_type.partition(";")[0].strip().lower() == FORM_TYPE
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ.get("PATH_INFO", "") or "/",
        query_string=query_string,
        query=parse_params(query_string) if query_string else {},
        form=parse_params(body.decode("utf-8", "replace")) if is_form else {},
        body=body,
        content_type=content_type,
        authorization=environ.get("HTTP_AUTHORIZATION", ""),
        accept=environ.get("HTTP_ACCEPT", ""),
        session=_cookie(environ.get("HTTP_COOKIE", "")),
        peer=environ.get("REMOTE_ADDR", ""),
        forwarded="HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ,
    )


def _body(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    size = int(length) if length.isdecimal() else 0
    return environ["wsgi.input"].read(min(size, MAX_BODY_BYTES)) if size else b""


def _cookie(header: str) -> str:
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def json_response(status: int, value: object, *headers: tuple[str, str]) -> Response:
    """Return a JSON response with keys in the given order."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return Response(status, body, (("Content-Type", JSON_TYPE), *headers))


def html_response(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return an HTML response."""
    return Response(status, text.encode(), (("Content-Type", HTML_TYPE), *headers))


def see_other(location: str) -> Response:
    """Return a 303 redirect, with characters percent-encoded that a URI excludes."""
    return Response(303, b"", (("Location", quote(location, safe=URI_CHARACTERS)), ("Cache-Control", "no-store")))
