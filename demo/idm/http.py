"""Requests to a receiver as plain values.

The responses are those of the ORCID simulator.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any, Final
from urllib.parse import parse_qs

from demo.orcid.http import Response

__all__ = ["Request", "Response", "json_response"]

JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """A request."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The parameters; of repeated ones the first."""
        return {name: values[0] for name, values in parse_qs(self.query_string, keep_blank_values=True).items()}

    @property
    def basic(self) -> tuple[str, str]:
        """User and password of a Basic header; empty without one."""
        scheme, _, coded = self.headers.get("authorization", "").partition(" ")
        try:
            name, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return (name, password) if scheme.lower() == "basic" else ("", "")

    @property
    def bearer(self) -> str:
        """The bearer token; empty without one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def object(self) -> dict[str, Any]:
        """Return the body's JSON object; empty for other JSON.

        Raises:
            ValueError: If the body is not JSON.
        """
        found = json.loads(self.body)
        return found if isinstance(found, dict) else {}


def json_response(status: int, value: object, *headers: tuple[str, str], kind: str = JSON_TYPE) -> Response:
    """Return a JSON response."""
    return Response(status, json.dumps(value, ensure_ascii=False).encode(), (("Content-Type", kind), *headers))


def reason(status: int) -> str:
    """Return the reason phrase of a status."""
    return responses.get(status, "Unknown")
