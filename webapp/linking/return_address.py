"""Addresses of services to which people may go back after a visit here.

A service names its address when it sends a person to `/connect`. Only addresses below one of the operator's prefixes
are accepted, and the service never redirects to one: the person follows a link.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlencode

RESULT_PARAMETER = "orcid_connect"
"""The parameter of the return address that tells the service how the visit ended."""
MAX_LENGTH = 2000
"""Characters of a return address."""

_ADDRESS = re.compile(
    r"https://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>/[^?]*)?(?:\?(?P<query>.*))?",
    re.ASCII | re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"[^!-~]|[\"#<>\\^`{|}]|%(?![0-9A-Fa-f]{2})", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class ReturnNotAllowed(ValueError):
    """The return address is malformed, or below none of the operator's prefixes."""


class ReturnResult(StrEnum):
    """How a visit ended, as the service that sent the person is told."""

    LINKED = "linked"
    ALREADY_LINKED = "already-linked"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AllowedReturn:
    """A prefix of the addresses of one service."""

    prefix: str
    name: str = ""
    """What people are told that the service is called; its host where empty."""


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """An allowed address to which a person may go back."""

    url: str
    name: str

    @property
    def query(self) -> str:
        """The query that carries the address to another page of this service."""
        return "?" + urlencode({"return": self.url})

    def with_result(self, result: str) -> str:
        """Return the address with a result in its query, in place of an earlier one.

        The rest of the query stays as it is.
        """
        address, _, query = self.url.partition("?")
        kept = [each for each in query.split("&") if each and unquote(each.partition("=")[0]) != RESULT_PARAMETER]
        return f"{address}?{'&'.join([*kept, f'{RESULT_PARAMETER}={ReturnResult(result)}'])}"


def find_return(text: str, allowed: Iterable[AllowedReturn]) -> ReturnAddress:
    """Return an address that is below one of the operator's prefixes.

    Scheme, host and port must be equal; the path must be that of the prefix or begin with its segments.

    Raises:
        ReturnNotAllowed: If it is below none, or malformed.
    """
    host, port, path = parse_address(text)
    for each in sorted(allowed, key=lambda one: len(one.prefix), reverse=True):
        *origin, prefix = parse_address(each.prefix)
        if [host, port] == origin and f"{path}/".startswith(f"{prefix.rstrip('/')}/"):
            return ReturnAddress(text, each.name or host)
    raise ReturnNotAllowed


def parse_address(text: str) -> tuple[str, int, str]:
    """Return host, port and path of an https address.

    Every reader must understand the path alike, however often it decodes it: it has no dot segments and no encoded
    slashes, backslashes or control characters.

    Raises:
        ReturnNotAllowed: If it is not an absolute https address without user, fragment and ambiguous parts.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or _FORBIDDEN.search(text) or len(text) > MAX_LENGTH:
        raise ReturnNotAllowed
    path = found["path"] or "/"
    _require_unambiguous(path)
    if _CONTROL.search(unquote(found["query"] or "")):
        raise ReturnNotAllowed
    return found["host"].lower(), int(found["port"] or 443), path


def _require_unambiguous(path: str) -> None:
    slashes, decoded, previous = path.count("/"), path, ""
    while decoded != previous:
        # A part after `;` is a parameter of the segment for some servers
        segments = [each.partition(";")[0].strip() for each in decoded.split("/")]
        if decoded.count("/") != slashes or "\\" in decoded or _CONTROL.search(decoded) or {".", ".."} & {*segments}:
            raise ReturnNotAllowed
        try:
            previous, decoded = decoded, unicodedata.normalize("NFKC", unquote(decoded, errors="strict"))
        except UnicodeDecodeError:
            raise ReturnNotAllowed from None
