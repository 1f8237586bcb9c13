"""Strict JSON: refuses what parsers read differently (RFC 7493)."""

from __future__ import annotations

import json
import math
from typing import Any


class StrictDecoder(json.JSONDecoder):
    """Raises ValueError for duplicate members, NaN and infinity."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ValueError: If the body is no JSON object, is nested too deeply, or holds what `StrictDecoder` refuses.
    """
    try:
        found = json.loads(body, cls=StrictDecoder)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - the content is wrong, not the type of an argument
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member came twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
