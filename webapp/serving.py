"""Run one of the two applications with waitress until somebody asks it to end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from wsgiref.types import WSGIApplication

import waitress

from webapp.config import Listener

LARGEST_BODY = 64 * 1024
"""In bytes; our forms are small."""

MOST_CONNECTIONS = 1000
"""Apache keeps connections open; each costs little."""


SWITCH_INTERVAL = 0.0005
"""In seconds: how long a thread computes before another one that wants to gets its turn."""


class CannotListen(OSError):
    """The address is taken, or not ours to take."""

    def __init__(self, place: tuple[str, int] | str, why: str) -> None:
        where = place if isinstance(place, str) else f"{place[0]} port {place[1]}"
        super().__init__(f"cannot listen on {where}: {why}")


def serve(application: WSGIApplication, listener: Listener, ready: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; `ready` is told the address once connections are taken.

    What is being answered at that moment is given five seconds to end. Raises CannotListen.
    """
    # A line for each request that waits its turn would be the log of a busy day
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # Requests mostly wait: for the disk, a database, ORCID. Whoever comes back from that asks for the interpreter
    # after this long, not after the usual 5 ms
    sys.setswitchinterval(SWITCH_INTERVAL)
    with _bound(listener.place) as bound:
        server = waitress.create_server(
            application,
            sockets=[bound],
            threads=listener.threads,
            ident=None,
            # Apache says who asks, and by what scheme; nothing else may
            clear_untrusted_proxy_headers=True,
            max_request_body_size=LARGEST_BODY,
            expose_tracebacks=False,
            connection_limit=MOST_CONNECTIONS,
            asyncore_use_poll=True,
        )
        with suppress(KeyboardInterrupt, SystemExit):
            signal.signal(signal.SIGTERM, _end)
            ready(_address(bound))
            server.run()
        server.close()


@contextmanager
def _bound(place: tuple[str, int] | str) -> Iterator[socket.socket]:
    try:
        bound = _unix(place) if isinstance(place, str) else _tcp(*place)
    except OSError as error:
        raise CannotListen(place, error.strerror or "the address is not one") from None
    try:
        yield bound
    finally:
        bound.close()
        if isinstance(place, str):
            Path(place).unlink(missing_ok=True)


def _tcp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(address)
    return bound


def _unix(path: str) -> socket.socket:
    _clear(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Mode 0660 from its first moment: owner and group, which is Apache's, and nobody else
    before = os.umask(0o117)
    try:
        bound.bind(path)
    finally:
        os.umask(before)
    return bound


def _clear(path: str) -> None:
    """Remove the socket that a killed server left behind, but not one that is answered, and no other file."""
    if not Path(path).exists() or not stat.S_ISSOCK(Path(path).stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)


def _address(bound: socket.socket) -> str:
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
