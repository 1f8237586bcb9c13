"""Kept connections to one HTTP server, for small requests that go out whole and are answered once.

urllib3 makes the connections and looks at certificates, and llhttp, the parser of Node.js, reads the answers
(`httptools`). What is left out is what urllib3 does around that for any request to any server, which took longer than
all the rest of a callback. Nothing comes in from the environment: no proxy, no `.netrc`; no redirect is followed and
nothing is sent twice.
"""

from __future__ import annotations

import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import certifi
import httptools
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as TookTooLong

from sql.waits import IN_PLACE, READABLE, WRITABLE, Waits

_LARGEST_ANSWER = 64 * 1024
"""In bytes, its head included."""
_PIECE = 16 * 1024
_INTERIM = 200
"""Below this status an answer is followed by another one (RFC 9110 section 15.2)."""
_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that tell where a body ends."""


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
    """Connections to one server, each for one request at a time; the server is waited for by `waits`."""

    def __init__(self, base_url: str, patience: Patience, waits: Waits = IN_PLACE) -> None:
        there = urlsplit(base_url)
        self._host, self._port = there.hostname or "", there.port
        self._context = ssl.create_default_context(cafile=certifi.where()) if there.scheme == "https" else None
        self._path = there.path.rstrip("/")
        self._named = there.netloc.rpartition("@")[2]
        self._patience = patience
        self._waits = waits
        self._idle: deque[HTTPConnection] = deque()
        weakref.finalize(self, _hang_up, self._idle)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and give the answer's status and body. Raises NoAnswer."""
        head = {"Host": self._named, "Accept-Encoding": "identity", **headers, "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        request = f"{method} {self._path}{path} HTTP/1.1\r\n{lines}\r\n".encode("ascii") + body
        try:
            return self._exchanged(request)
        except NewConnectionError:
            raise NoAnswer("cannot be reached (no connection)") from None
        except (TookTooLong, TimeoutError):
            raise NoAnswer("no answer in time") from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise NoAnswer("the answer is not HTTP") from None
        except (HTTPError, OSError) as error:
            raise error if isinstance(error, NoAnswer) else NoAnswer(_unreached(error)) from None

    def _exchanged(self, request: bytes) -> tuple[int, bytes]:
        deadline = time.monotonic() + self._patience.connect + self._patience.read
        line = self._line()
        try:
            if line.sock is None:
                self._waits.afar(lambda: _connected(line))
            wire = _Wire(line, self._waits, self._patience.read, deadline)
            wire.send(request)
            answer = _Answer()
            while not answer.complete:
                answer.take(wire.receive())
        except BaseException:
            line.close()
            raise
        if answer.keeps:
            self._idle.append(line)
        else:
            line.close()
        return answer.status, answer.body

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


def _connected(line: HTTPConnection) -> None:
    line.connect()
    # From here on it is we who wait, so that it can be known
    line.sock.setblocking(False)


def _hang_up(lines: deque[HTTPConnection]) -> None:
    while lines:
        lines.pop().close()


class _Wire:
    """A connection that does not wait by itself, for one request and its answer."""

    __slots__ = ("_deadline", "_patience", "_socket", "_waits")

    def __init__(self, line: HTTPConnection, waits: Waits, patience: float, deadline: float) -> None:
        self._socket = line.sock
        self._waits = waits
        self._patience = patience
        self._deadline = deadline

    def send(self, request: bytes) -> None:
        """Send it whole."""
        left = memoryview(request)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(WRITABLE)
            except ssl.SSLWantReadError:
                self._wait(READABLE)

    def receive(self) -> bytes:
        """Give the next piece of the answer; nothing where the other side has hung up."""
        while True:
            try:
                return self._socket.recv(_PIECE)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(READABLE)
            except ssl.SSLWantWriteError:
                self._wait(WRITABLE)

    def _wait(self, events: int) -> None:
        # A patience for each piece alone would let a head of a hundred lines take as many times as long
        left = self._deadline - time.monotonic()
        if self._waits.until(self._socket.fileno(), events, max(0.0, min(self._patience, left))):
            return
        if left <= self._patience:
            raise NoAnswer("the answer takes too long to come")
        raise TimeoutError


class _Answer:
    """What has come of an answer; the parser calls the methods that begin with `on_`."""

    def __init__(self) -> None:
        self.status = 0
        self.complete = False
        self.keeps = False
        """Whether another request may follow on its connection."""
        self._begun = False
        self._ends = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._parser = httptools.HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """Its body."""
        return b"".join(self._pieces)

    def take(self, piece: bytes) -> None:
        """Read a piece; an empty one is the end."""
        if not piece:
            # Without a length of its own a body lasts until the other side hangs up (RFC 9112 section 6.3 item 8)
            if not self._begun or self._ends:
                raise NoAnswer("cannot be reached (it hung up)")
            self.complete = True
            return
        self._size += len(piece)
        if self._size > _LARGEST_ANSWER:
            raise NoAnswer("the answer is too long")
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError:
            if not self.complete:
                raise
            self.keeps = False

    def on_message_begin(self) -> None:
        # What comes behind an answer is the answer to nothing, and must not be taken for that to the next request
        self.keeps = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        self._ends = self._ends or name.lower() in _LENGTHS

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self._parser.get_status_code()
            self._begun = self.status >= _INTERIM

    def on_body(self, piece: bytes) -> None:
        if not self.complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        # The parser knows it now, and has forgotten it afterwards
        self.keeps = self._begun and not self.complete and self._parser.should_keep_alive()
        self.complete = self._begun


def _unreached(error: Exception) -> str:
    return f"cannot be reached ({type(error).__name__})"
