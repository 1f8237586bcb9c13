"""Parsing of the Cookie header (RFC 6265)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OWS = " \t"
"""The white space around a part of a header (RFC 9110 section 5.6.3); Unicode has more, and HTTP does not know it."""
Cookies = Mapping[str, Sequence[str]]


class RepeatedCookie(ValueError):
    """The browser cookie came twice; another host may have set one of them."""


def parse_cookies(environ: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return all values of each cookie of a request (RFC 6265, section 4.2.1)."""
    found: dict[str, list[str]] = {}
    # Not http.cookies, which returns nothing if one cookie is malformed. Only ASCII white space is removed from a name:
    # browsers do not apply the `__Host-` rules to a name that begins with U+00A0, so any other host could set it
    for part in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = part.strip(OWS).partition("=")
        found.setdefault(name, []).append(value)
    return found


def single_value(cookies: Cookies, name: str) -> str:
    """Return the value of a cookie that came exactly once; empty otherwise."""
    values = cookies.get(name, ())
    return values[0] if len(values) == 1 else ""
