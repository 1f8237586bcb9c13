"""A WSGI application that returns its environ as JSON.

For tests of what a client can forge.
"""

from __future__ import annotations

import json


def application(environ, start_response):
    """Return the environ and the body of any request."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    answer = json.dumps({"environ": seen, "body": body.decode("latin-1")}).encode()
    start_response(
        "200 OK",
        [("Content-Type", "application/json"), ("Content-Length", str(len(answer))), ("Cache-Control", "no-store")],
    )
    return [answer]
