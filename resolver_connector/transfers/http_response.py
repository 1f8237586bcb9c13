"""Reads responses of receivers liberally: by content, whatever their labels."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from resolver_connector.transfers.base import DeliveryResult, Outcome
from shibboleth.retry_after import parse_retry_after

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
_STATUS_CLASS_OUTCOMES = {3: Outcome.MISCONFIGURED, 4: Outcome.REFUSED, 5: Outcome.TEMPORARY}

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHARSETS = re.compile(r"utf-?(?:8|16(?:-?[bl]e)?)|latin-?1|(?:us-)?ascii|(?:windows-|cp)125\d|iso[-_]8859-\d{1,2}")
"""The charsets that a label may choose; Python has slow codecs, and some that are no charset, under other names."""
_WEB_PAGE = re.compile(
    r"(?:\s++|<\?.*?\?>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body|title|meta|script|style)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Response:
    """A receiver's response, with at most MAX_RESPONSE_BYTES of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: DeliveryResult | None = None
    """Why the body is not complete, as the result if it is needed; None if it is complete."""

    @property
    def ok(self) -> bool:
        """Whether the status code is a success (RFC 9110 section 15.3)."""
        return self.status // 100 == 2  # noqa: PLR2004 - the class of the status code

    @property
    def media_type(self) -> str:
        """The media type, without its parameters; empty if there is none."""
        return self._content_type.get_content_type() if "Content-Type" in self.headers else ""

    @property
    def charset(self) -> str | None:
        """The charset of the media type."""
        return self._content_type.get_content_charset()

    @property
    def _content_type(self) -> Message:
        header = Message()
        header["Content-Type"] = self.headers.get("Content-Type", "")
        return header

    @cached_property
    def text(self) -> str:
        """The body as text: by its byte order mark, its charset, or as UTF-8.

        Octets that none of them can decode become U+FFFD.
        """
        mark = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if self.body.startswith(mark)), None)
        charset = self.charset
        if mark is None and charset and not _CHARSETS.fullmatch(charset):
            return self.body.decode("utf-8", "replace")
        for encoding in filter(None, (mark, charset, "utf-8")):
            with suppress(LookupError, ValueError):
                return self.body.decode(encoding)
        return self.body.decode("cp1252", "replace")

    @property
    def is_web_page(self) -> bool:
        """Whether the content is a web page.

        A portal, a proxy or a web server sends web pages; an interface does not.
        """
        return _WEB_PAGE.match(self.text) is not None

    def json_object(self) -> dict[str, Any] | None:
        """Return the JSON object in the body, whatever its label.

        Returns:
            None if it is something else.
        """
        # JSON is UTF-8, -16 or -32 (RFC 8259 section 8.1), and some servers send it in the charset of the label
        for content in (self.body, self.text):
            with suppress(ValueError, RecursionError):
                value = json.loads(content)
                return value if isinstance(value, dict) else None
        return None

    def message(self, *members: str) -> str:
        """Return the receiver's message.

        It is the first of these members in the JSON object of the body, or the plain text of the body.
        """
        value = self.json_object()
        if value is not None:
            return next((value[name] for name in members if isinstance(value.get(name), str)), "")
        return self.text if self.media_type == "text/plain" else ""

    def root_part(self) -> Response:
        """Return the root of a multipart body (RFC 2387) as a response of its own.

        Any other response is returned as it is.
        """
        label = self.headers.get("Content-Type", "").encode("latin-1", "replace")
        try:
            message = message_from_bytes(b"Content-Type: " + label + b"\r\n\r\n" + self.body)
            parts = [part for part in message.walk() if not part.is_multipart()]
        except RecursionError:  # parts in parts in parts
            return self
        if not message.is_multipart() or not parts:
            return self
        start = message.get_param("start")
        root = next((part for part in parts if start and part["Content-ID"] == start), parts[0])
        content = root.get_payload(decode=True)
        headers = {"Content-Type": str(root.get("Content-Type", ""))}
        return replace(self, headers=headers, body=content if isinstance(content, bytes) else b"")


def failure_result(response: Response, message: str, now: datetime) -> DeliveryResult:
    """Return the result for a status code that is not a success.

    It contains the receiver's message if there is one.
    """
    status = response.status
    outcome = STATUS_OUTCOMES.get(status) or _STATUS_CLASS_OUTCOMES.get(status // 100, Outcome.MISCONFIGURED)
    message = message or f"status {status}"
    if status // 100 == 3:  # noqa: PLR2004 - RFC 9110 section 15.4
        message = f"it redirects ({status}) to {_redirect_target(response)}, and redirects are not followed"
    if outcome is Outcome.UNKNOWN_PERSON and response.is_web_page:
        # A page of the web server, not of an interface: the address is wrong, not the person
        return DeliveryResult(
            Outcome.MISCONFIGURED, f"a web page with status {status}; there is no interface at this address"
        )
    retry_after = parse_retry_after(response.headers.get("Retry-After", ""), now)
    return DeliveryResult(outcome, message, retry_after if outcome is Outcome.TEMPORARY else None)


def unexpected_body(response: Response, expected: str) -> DeliveryResult:
    """Return the result for a success with an unexpected body.

    The body is a web page, or is not what the protocol defines.
    """
    if response.is_web_page:
        return DeliveryResult(Outcome.MISCONFIGURED, f"status {response.status} with a web page instead of {expected}")
    return response.truncated or DeliveryResult(
        Outcome.MISCONFIGURED, f"status {response.status} with something else instead of {expected}"
    )


def _redirect_target(response: Response) -> str:
    """Return where a redirect leads, without parts that may be secret."""
    try:
        parts = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        return "an invalid address"
    if parts.netloc:
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return parts.path or "no address"
