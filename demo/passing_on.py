"""Passing a request on to a process behind the front, as a reverse proxy does."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Final

from demo.orcid.wire import Answer
from demo.pages import Environ, message

PASSED_ON: Final = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Host",
    "If-None-Match",
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "User-Agent",
)
"""What a client may say. A list of what passes leaves no spelling in which it could name an attribute or the proof."""

OF_ONE_CONNECTION: Final = {"connection", "keep-alive", "transfer-encoding", "server", "date"}
PATIENCE: Final = 60.0
MOST_BYTES: Final = 1_000_000


def passed_on(environ: Environ, address: str, told: Mapping[str, str]) -> Answer:
    """Give the answer of the process at `address` (host:port); `told` are the headers that the front itself adds.

    The target goes as it was sent, so that a key of a person keeps its `%2F` and `%40`.
    """
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request(
            environ["REQUEST_METHOD"],
            _target(environ),
            body=_body(environ),
            headers={**_said(environ), **told},
        )
        return _answer(connection.getresponse())
    except (UnicodeError, http.client.InvalidURL, ValueError):
        return message(400, "This address cannot be understood", "It holds characters that an address cannot have.")
    except (OSError, http.client.HTTPException):
        return message(502, "The service does not answer", "The process behind this page has ended, or is too slow.")
    finally:
        connection.close()


def _target(environ: Environ) -> str:
    target: str = environ["REQUEST_URI"]
    if not target.startswith("/"):
        raise ValueError("not a path")
    return target


def _said(environ: Environ) -> dict[str, str]:
    variables = {name: name.upper().replace("-", "_") for name in PASSED_ON}
    keys = {name: key if key == "CONTENT_TYPE" else f"HTTP_{key}" for name, key in variables.items()}
    return {name: environ[key] for name, key in keys.items() if environ.get(key)}


def _body(environ: Environ) -> bytes | None:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes | None = environ["wsgi.input"].read(min(length, MOST_BYTES)) if length else None
    return body


def _answer(response: http.client.HTTPResponse) -> Answer:
    headers = tuple((name, value) for name, value in response.getheaders() if name.lower() not in OF_ONE_CONNECTION)
    return Answer(response.status, response.read(), headers)
