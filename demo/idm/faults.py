"""In which ways a receiver can be told to fail; each row of FAULTS says one in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from demo.idm.wire import Answer, Request, json_answer

Instead = Callable[[Request], Answer]

BIG: Final = 10_000_000
RETRY_AFTER: Final = 120


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail: an answer instead of the receiver's own, or a trick with the connection."""

    words: str
    instead: Instead | None = None
    """The answer, nothing having been done."""
    trick: str = ""
    """What the server does to the connection: a row of `server.TRICKS`."""
    done: bool = False
    """Whether a trick is played after the change was made."""


def _status(status: int, *headers: tuple[str, str]) -> Instead:
    # Each member is where one of the formats looks for words
    words = f"made to answer {status}"
    body = {"status": words, "message": words, "detail": words}
    return lambda _request: json_answer(status, body, *headers)


def _page(status: int, *headers: tuple[str, str]) -> Instead:
    body = b"<!doctype html><title>Portal</title><h1>Please sign in</h1><script>alert(1)</script>"
    return lambda _request: Answer(status, body, (("Content-Type", "text/html; charset=utf-8"), *headers))


def _body(body: bytes, kind: str) -> Instead:
    return lambda _request: Answer(200, body, (("Content-Type", kind),))


def _big(_request: Request) -> Answer:
    return Answer(200, b"All work and no play. " * (BIG // 22), (("Content-Type", "text/plain"),))


def _echo(request: Request) -> Answer:
    """Repeat what was sent, as some receivers do in their errors, secrets and all."""
    said = " ".join(f"{name}: {value}" for name, value in request.headers.items())
    return json_answer(422, {"status": said, "message": said, "detail": said})


def _fault(code: str) -> Instead:
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault>'
        f"<faultcode>e:{code}</faultcode><faultstring>made to fail ({code})</faultstring>"
        "</e:Fault></e:Body></e:Envelope>"
    )
    return lambda _request: Answer(500, body.encode(), (("Content-Type", "text/xml; charset=utf-8"),))


_BOMB: Final = (
    '<!DOCTYPE b [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "&a;" * 10}">' for n in range(9))
    + "]><b>&a8;</b>"
)

FAULTS: Final[dict[str, Fault]] = {
    "hang": Fault("never answers", trick="hang"),
    "drip": Fault("sends its headers one byte at a time", trick="drip"),
    "slow": Fault("does it, and sends its answer one byte at a time", trick="slow", done=True),
    "reset": Fault("resets the connection", trick="reset"),
    "lost": Fault("does it, and resets the connection before it answers", trick="reset", done=True),
    "cut": Fault("does it, and closes the connection in the middle of its answer", trick="cut", done=True),
    "cut-headers": Fault("does nothing, and closes the connection after its status line", trick="cut-headers"),
    "html": Fault("answers 200 with a web page", _page(200)),
    "garbage": Fault("answers 200 with broken JSON", _body(b'{"status": \xff\xfe[', "application/json")),
    "deep": Fault("answers 200 with JSON of ten thousand levels", _body(b"[" * 10_000, "application/json")),
    "big": Fault("answers 200 with ten million bytes", _big),
    "301": Fault("sends on to another address", _page(301, ("Location", "https://elsewhere.example/?token=secret"))),
    "400": Fault("answers 400 and says why", _status(400)),
    "401": Fault("does not let us in", _status(401)),
    "403": Fault("lets us in, but not here", _status(403)),
    "404": Fault("answers 404 with the web server's own page", _page(404)),
    "422": Fault("refuses, and says why", _status(422)),
    "429": Fault(f"asks to wait for {RETRY_AFTER} seconds", _status(429, ("Retry-After", str(RETRY_AFTER)))),
    "500": Fault("answers 500 with a web page", _page(500)),
    "503": Fault("asks to wait until a date", _status(503, ("Retry-After", "Thu, 15 Jan 2026 12:05:00 GMT"))),
    "echo": Fault("refuses, and repeats what it was sent", _echo),
    "soap-server": Fault("SOAP: a fault of its own", _fault("Server")),
    "soap-client": Fault("SOAP: a fault that it finds with us", _fault("Client")),
    "bomb": Fault("SOAP: entities that unfold to gigabytes", _body(_BOMB.encode(), "text/xml")),
}
