"""Free loopback ports below the range from which the system takes ports for outgoing connections."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """Find a port that nobody listens on. Another process may still be faster: starting may have to be tried again."""
    while True:
        port = random.randint(20000, 29999)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
