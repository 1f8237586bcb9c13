"""Send requests byte by byte over a socket, as unusual or hostile clients do."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager, suppress

from tests.support.configuration import TOKEN

SLOW = 1000


ASKING = f"Host: connect.example\r\nAuthorization: Bearer {TOKEN}\r\n"


def connected(port):
    # Long, because the tests' machine may be busy; without a response it would wait for ever
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def received(wire):
    """Everything until the other side ends.

    Or resets, where it did not want to hear all that was sent.
    """
    pieces = []
    with suppress(ConnectionResetError):
        while piece := wire.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def sent(port, target, method="GET", headers=ASKING, after=""):
    """Send one request with its target unchanged.

    Returns status, headers and body.
    """
    request = f"{method} {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n{after}"
    with connected(port) as wire:
        wire.sendall(request.encode("latin-1"))
        head, _, body = received(wire).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body


@contextmanager
def many_slow_clients(port, number=SLOW):
    """Open connections that each have begun a request and do not end it."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(port)) for _ in range(number)]
        for each in slow:
            each.sendall(b"GET /v1/people/x HTTP/1.1\r\nHost: conn")
        yield slow
