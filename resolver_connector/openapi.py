"""Serves the OpenAPI 3.1 description of the connector.

Tests compare all responses of the connector with it.
"""

from __future__ import annotations

import json
from pathlib import Path

from resolver_connector.http import JSON, Response

DOCUMENT = Path(__file__).with_name("openapi.json")


def openapi_response() -> Response:
    """Build the response with the minified document, cacheable for an hour."""
    body = json.dumps(json.loads(DOCUMENT.read_bytes()), separators=(",", ":")).encode()
    headers = [
        ("Content-Type", JSON),
        ("Cache-Control", "public, max-age=3600"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Length", str(len(body))),
    ]
    return 200, headers, [body]
