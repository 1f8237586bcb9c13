"""Kept connections to one HTTP server, for small requests that go out whole and are answered once.

urllib3 makes the connections and looks at certificates, and Python's own `http.client` reads the answers. What is left
out is what urllib3 does around that for any request to any server, which took longer than all the rest of a callback.
Nothing comes in from the environment: no proxy, no `.netrc`; no redirect is followed and nothing is sent twice.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as TookTooLong

from sql.engine import Waiting

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LARGEST_ANSWER = 64 * 1024


class NoAnswer(ConnectionError):
    """There is no answer, or none that can be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds."""

    connect: float
    read: float
    """For each next piece of an answer; the whole of it, head and body, is given connecting and reading together."""


class Lines:
    """Connections to one server, each for one request at a time."""

    def __init__(self, base_url: str, patience: Patience, waiting: Waiting = nullcontext) -> None:
        there = urlsplit(base_url)
        self._host, self._port = there.hostname or "", there.port
        self._context = ssl.create_default_context(cafile=certifi.where()) if there.scheme == "https" else None
        self._path = there.path.rstrip("/")
        self._named = there.netloc.rpartition("@")[2]
        self._patience = patience
        self._waiting = waiting
        self._idle: deque[HTTPConnection] = deque()
        weakref.finalize(self, _hang_up, self._idle)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and give the answer's status and body. Raises NoAnswer."""
        deadline = time.monotonic() + self._patience.connect + self._patience.read
        head = {"Host": self._named, "Accept-Encoding": "identity", **headers, "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        request = f"{method} {self._path}{path} HTTP/1.1\r\n{lines}\r\n".encode("ascii") + body
        try:
            with self._waiting():
                return self._exchanged(method, request, deadline)
        except NewConnectionError:
            raise NoAnswer("cannot be reached (no connection)") from None
        except (TookTooLong, TimeoutError):
            raise NoAnswer("no answer in time") from None
        except (HTTPError, HTTPException, OSError) as error:
            raise error if isinstance(error, NoAnswer) else NoAnswer(_unreached(error)) from None

    def _exchanged(self, method: str, request: bytes, deadline: float) -> tuple[int, bytes]:
        line = self._line()
        try:
            if line.sock is None:
                line.connect()
            self._sent(line.sock, request)
            reading = _Reading(line.sock, deadline)
            with HTTPResponse(reading, method=method) as answer:  # type: ignore[arg-type]  # of a socket it takes `makefile` alone
                answer.begin()
                body = _body(answer)
        except BaseException:
            line.close()
            raise
        if answer.will_close:
            line.close()
        else:
            self._idle.append(line)
        return answer.status, body

    def _sent(self, wire: socket.socket, request: bytes) -> None:
        # New, or kept from an answer that came late: telling it again what it knows would cost a call of the kernel
        if wire.gettimeout() != self._patience.read:
            wire.settimeout(self._patience.read)
        wire.sendall(request)

    def _line(self) -> HTTPConnection:
        """Give a connection that is idle and still there, or one to be made."""
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:  # pragma: no cover - another thread took the last one just now
                break
            if line.is_connected:
                return line
            line.close()
        if self._context is None:
            return HTTPConnection(self._host, self._port, timeout=self._patience.connect)
        return HTTPSConnection(self._host, self._port, timeout=self._patience.connect, ssl_context=self._context)


def _hang_up(lines: deque[HTTPConnection]) -> None:
    while lines:
        lines.pop().close()


class _Reading(io.RawIOBase):
    """Reads an answer until a deadline, however small the pieces are in which it comes.

    A socket's own time-out counts from each piece anew, so that a head of a hundred lines could take as many times as
    long. It is made shorter only near the end, which few answers ever see.
    """

    def __init__(self, wire: socket.socket, deadline: float) -> None:
        super().__init__()
        self._wire = wire
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Give what `http.client` reads from, in place of a socket's."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._deadline - time.monotonic()
        if left >= (self._wire.gettimeout() or 0):
            return self._wire.recv_into(buffer)
        try:
            if left > 0:
                self._wire.settimeout(left)
                return self._wire.recv_into(buffer)
        except TimeoutError:
            pass
        raise NoAnswer("the answer takes too long to come")


def _body(answer: HTTPResponse) -> bytes:
    body = b""
    while piece := answer.read1(8192):
        body += piece
        if len(body) > _LARGEST_ANSWER:
            raise NoAnswer("the answer is too long")
    if answer.length:
        raise NoAnswer("cannot be reached (IncompleteRead)")
    return body


def _unreached(error: Exception) -> str:
    return f"cannot be reached ({type(error).__name__})"
