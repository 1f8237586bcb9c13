"""A small fast HTTP/1.1 client over kept connections, and crowds of it."""

from __future__ import annotations

import itertools
import re
import socket
import statistics
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from tests.bench.processes import Running

CROWD = 8
"""How many clients ask at once."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_LOCATION = re.compile(rb"\r\nlocation: ([^\r]+)\r\n", re.IGNORECASE)


class Unexpected(RuntimeError):
    """A server under measurement answered something else than it should."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    location: str
    body: bytes


class Connection:
    """A kept connection to a server on 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        """Send one whole request and read its answer."""
        self._socket.sendall(request)
        head, body = self._head()
        length = int(_LENGTH.search(head)[1])
        while len(body) < length:
            body += self._more()
        location = _LOCATION.search(head)
        return Answer(int(head[9:12]), location[1].decode() if location else "", body)

    def _head(self) -> tuple[bytes, bytes]:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        return received[: end + 2], received[end + 4 :]

    def _more(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise Unexpected("the server closed the connection")
        return piece


@dataclass(frozen=True, slots=True)
class Round:
    """What a crowd got done."""

    done: int
    seconds: float
    times: list[float]
    """How long each took, in seconds."""
    worked: float
    """How long processors worked in the server for it, in seconds: what other load on the machine changes least."""

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.done / self.seconds

    @property
    def work(self) -> float:
        """How long processors worked in the server for each, in seconds."""
        return self.worked / self.done

    @property
    def p50(self) -> float:
        """How long the median one took, in seconds."""
        return statistics.median(self.times)


Act = Callable[[Callable[[bytes], Answer]], object]
"""What a client of a crowd does again and again, given how to ask."""


def for_seconds(server: Running, act: Act, seconds: float) -> Round:
    """Let a crowd act for so long."""
    return _crowd(server, act, lambda begun: perf_counter() - begun < seconds)


def so_often(server: Running, act: Act, times: int) -> Round:
    """Let a crowd act so often."""
    taken = itertools.count()
    return _crowd(server, act, lambda _begun: next(taken) < times)


def _crowd(server: Running, act: Act, more: Callable[[float], bool]) -> Round:
    together = threading.Barrier(CROWD)

    def client(connection: Connection) -> list[float]:
        times = []
        together.wait()
        begun = last = perf_counter()
        while more(begun):
            act(connection.ask)
            now = perf_counter()
            times.append(now - last)
            last = now
        return times

    with ExitStack() as stack, ThreadPoolExecutor(CROWD) as clients:
        connections = [stack.enter_context(Connection(server.port)) for _ in range(CROWD)]
        begun, worked = perf_counter(), server.worked()
        times = [each for one in clients.map(client, connections) for each in one]
        return Round(len(times), perf_counter() - begun, times, server.worked() - worked)
