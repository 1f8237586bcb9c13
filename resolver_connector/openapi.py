"""What the connector answers, as OpenAPI 3.1 says it: one description, to which the tests hold every answer."""

from __future__ import annotations

import json
from pathlib import Path

from resolver_connector.http import Reply

DOCUMENT = Path(__file__).with_name("openapi.json")
_HOUR = "public, max-age=3600"


def openapi() -> Reply:
    """Make the answer, once: the document without the spaces that are for whoever edits it."""
    body = json.dumps(json.loads(DOCUMENT.read_bytes()), separators=(",", ":")).encode()
    return (
        200,
        [
            ("Content-Type", "application/json"),
            ("Cache-Control", _HOUR),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(body))),
        ],
        [body],
    )
