"""The `Retry-After` header."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(days=1)
"""A longer `Retry-After` is taken for an error of the server."""


def parse_retry_after(header: str, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` header asks for (RFC 9110, 10.2.3).

    A longer wait than MAX_RETRY_AFTER is cut to it.

    Returns:
        None if it is absent or invalid.
    """
    value = header.strip(" \t")
    if value.isascii() and value.isdecimal():
        return min(timedelta(seconds=int(value[:9])), MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(value)
        return min(max(until - now, timedelta()), MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return None
