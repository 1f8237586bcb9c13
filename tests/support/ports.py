"""Free loopback ports for servers of tests.

They are below the range from which the system takes ports for outgoing connections.
"""

from __future__ import annotations

import random
import socket

LOWEST_PORT, HIGHEST_PORT = 20_000, 30_000


def accepts_connections(port: int) -> bool:
    """Return whether a process listens on a loopback port."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port on which no process listens.

    Another process may take it before the caller does: starting a server may have to be repeated.
    """
    for _ in range(100):
        port = random.randrange(LOWEST_PORT, HIGHEST_PORT)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port on 127.0.0.1")
