"""Ways in which a receiver can be told to fail; `FAULTS` describes each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from demo.idm.http import Request, Response, json_response

ResponseFactory = Callable[[Request], Response]

BIG: Final = 10_000_000
RETRY_AFTER: Final = 120


@dataclass(frozen=True, slots=True)
class Fault:
    """A response instead of the receiver's own, or a connection fault."""

    description: str
    response: ResponseFactory | None = None
    """Makes the response; the change is not made."""
    connection_fault: str = ""
    """What the server does to the connection: a key of `server.CONNECTION_FAULTS`."""
    applied: bool = False
    """Whether the change is made before the connection fault."""


def _status(status: int, *headers: tuple[str, str]) -> ResponseFactory:
    # Each format reads its message from another member
    description = f"simulated status {status}"
    body = {"status": description, "message": description, "detail": description}
    return lambda _request: json_response(status, body, *headers)


def _page(status: int, *headers: tuple[str, str]) -> ResponseFactory:
    body = b"<!doctype html><title>Portal</title><h1>Please sign in</h1><script>alert(1)</script>"
    return lambda _request: Response(status, body, (("Content-Type", "text/html; charset=utf-8"), *headers))


def _body(body: bytes, kind: str) -> ResponseFactory:
    return lambda _request: Response(200, body, (("Content-Type", kind),))


def _big(_request: Request) -> Response:
    return Response(200, b"All work and no play. " * (BIG // 22), (("Content-Type", "text/plain"),))


def _echo(request: Request) -> Response:
    said = " ".join(f"{name}: {value}" for name, value in request.headers.items())
    return json_response(422, {"status": said, "message": said, "detail": said})


def _fault(code: str) -> ResponseFactory:
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault>'
        f"<faultcode>e:{code}</faultcode><faultstring>simulated fault ({code})</faultstring>"
        "</e:Fault></e:Body></e:Envelope>"
    )
    return lambda _request: Response(500, body.encode(), (("Content-Type", "text/xml; charset=utf-8"),))


_BOMB: Final = (
    '<!DOCTYPE b [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "&a;" * 10}">' for n in range(9))
    + "]><b>&a8;</b>"
)

FAULTS: Final[dict[str, Fault]] = {
    "hang": Fault("sends no response", connection_fault="hang"),
    "drip": Fault("sends its headers one byte at a time", connection_fault="drip"),
    "slow": Fault(
        "applies the change, and sends its response one byte at a time", connection_fault="slow", applied=True
    ),
    "reset": Fault("resets the connection", connection_fault="reset"),
    "lost": Fault(
        "applies the change, and resets the connection before it responds", connection_fault="reset", applied=True
    ),
    "cut": Fault(
        "applies the change, and closes the connection in the middle of its response",
        connection_fault="cut",
        applied=True,
    ),
    "cut-headers": Fault(
        "changes nothing, and closes the connection after the status line", connection_fault="cut-headers"
    ),
    "html": Fault("answers 200 with a web page", _page(200)),
    "garbage": Fault("answers 200 with broken JSON", _body(b'{"status": \xff\xfe[', "application/json")),
    "deep": Fault("answers 200 with JSON of ten thousand levels", _body(b"[" * 10_000, "application/json")),
    "big": Fault("answers 200 with ten million bytes", _big),
    "301": Fault("redirects to another address", _page(301, ("Location", "https://elsewhere.example/?token=secret"))),
    "400": Fault("answers 400 with a message", _status(400)),
    "401": Fault("answers 401", _status(401)),
    "403": Fault("answers 403", _status(403)),
    "404": Fault("answers 404 with the web server's own page", _page(404)),
    "422": Fault("answers 422 with a message", _status(422)),
    "429": Fault(f"answers 429 with Retry-After: {RETRY_AFTER}", _status(429, ("Retry-After", str(RETRY_AFTER)))),
    "500": Fault("answers 500 with a web page", _page(500)),
    "503": Fault(
        "answers 503 with a date in Retry-After", _status(503, ("Retry-After", "Thu, 15 Jan 2026 12:05:00 GMT"))
    ),
    "echo": Fault("answers 422 and repeats the request", _echo),
    "soap-server": Fault("SOAP: a Server fault", _fault("Server")),
    "soap-client": Fault("SOAP: a Client fault", _fault("Client")),
    "bomb": Fault("SOAP: entities that expand to gigabytes", _body(_BOMB.encode(), "text/xml")),
}
