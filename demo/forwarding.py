"""Forward requests to a process behind the proxy."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Final

from demo.orcid.http import Response
from demo.pages import Environ, message

FORWARDED_HEADERS: Final = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Host",
    "If-Match",
    "If-None-Match",
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "User-Agent",
)
"""Headers of a client that are forwarded. With an allow list no spelling of an attribute or of the proof passes."""

HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "server", "date"}
TIMEOUT: Final = 60.0
MAX_BODY_BYTES: Final = 16 * 1024 * 1024


def forward(environ: Environ, address: str, extra_headers: Mapping[str, str]) -> Response:
    """Forward a request to a process and return its response.

    The request target is sent unchanged, so that `%2F` and `%40` in an account survive.

    Args:
        address: `host:port` of the process.
        extra_headers: Headers that the proxy itself adds.

    Returns:
        The process's response; a 400 page for an invalid target; a 502 page if the process does not answer.
    """
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    try:
        connection.request(
            environ["REQUEST_METHOD"],
            _target(environ),
            body=_body(environ),
            headers={**_client_headers(environ), **extra_headers},
        )
        return _convert(connection.getresponse())
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


def _client_headers(environ: Environ) -> dict[str, str]:
    variables = {name: name.upper().replace("-", "_") for name in FORWARDED_HEADERS}
    keys = {name: key if key == "CONTENT_TYPE" else f"HTTP_{key}" for name, key in variables.items()}
    return {name: environ[key] for name, key in keys.items() if environ.get(key)}


def _body(environ: Environ) -> bytes | None:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes | None = environ["wsgi.input"].read(min(length, MAX_BODY_BYTES)) if length else None
    return body


def _convert(response: http.client.HTTPResponse) -> Response:
    headers = tuple((name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP)
    return Response(response.status, response.read(), headers)
