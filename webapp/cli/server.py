"""Run a WSGI application with waitress until the process is told to end."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

import waitress

from webapp.config.listen import Listener

MAX_BODY = 64 * 1024
"""Bytes; the forms of the service are small."""
MAX_HEADER = 64 * 1024
"""Bytes: the request line and the headers. Apache lets through less."""
CHANNEL_TIMEOUT = 120
"""Seconds after which a connection without activity is closed."""
CLEANUP_INTERVAL = 10
"""Seconds between two searches for such connections."""
MAX_CONNECTIONS = 4096
OTHER_FILES = 256
"""How many files and sockets beside connections a process may need."""
FIRST_FD = 3
"""The first file descriptor that systemd passes (SD_LISTEN_FDS_START)."""


class CannotListen(OSError):
    """The address is in use, or this account may not use it."""

    def __init__(self, place: tuple[str, int] | str, why: str) -> None:
        where = place if isinstance(place, str) else f"{place[0]} port {place[1]}"
        super().__init__(f"cannot listen on {where}: {why}")


def serve(application: WSGIApplication, listener: Listener, ready: Callable[[str], None]) -> None:
    """Serve requests until SIGTERM or SIGINT.

    Requests that a thread is answering then get five seconds to end.

    Args:
        application: What is served.
        listener: Where to listen, unless systemd passes sockets; and the number of threads.
        ready: Called with the address once connections are accepted.

    Raises:
        CannotListen: If the address cannot be used.
    """
    # waitress warns of each request that waits for a thread
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    place = listener.place
    try:
        where = _listen(place)
        server = _create_server(application, listener.threads, where)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "the address is not one"
        raise CannotListen(place, reason) from None
    try:
        with suppress(KeyboardInterrupt, SystemExit):
            signal.signal(signal.SIGTERM, _end)
            ready(" and ".join(_addresses(where)))
            server.run()
        server.close()
    finally:
        if "unix_socket" in where:
            Path(where["unix_socket"]).unlink(missing_ok=True)


def _create_server(application: WSGIApplication, threads: int, where: dict[str, Any]) -> Any:
    return waitress.create_server(
        application,
        **where,
        threads=threads,
        ident=None,
        # Apache alone says who asks, and by which scheme
        clear_untrusted_proxy_headers=True,
        max_request_header_size=MAX_HEADER,
        max_request_body_size=MAX_BODY,
        expose_tracebacks=False,
        connection_limit=_connection_limit(),
        channel_timeout=CHANNEL_TIMEOUT,
        cleanup_interval=CLEANUP_INTERVAL,
        # select() takes no file descriptor above 1023
        asyncore_use_poll=True,
    )


def _connection_limit() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(files - OTHER_FILES, files // 2))


def _listen(place: tuple[str, int] | str) -> dict[str, Any]:
    """Return waitress' options for the address; a TCP socket is opened here, so that its port is known."""
    inherited = _inherited_sockets()
    if inherited:
        return {"sockets": inherited}
    if not isinstance(place, str):
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        return {"sockets": [socket.create_server(place, family=family)]}
    _must_be_free(place)
    return {"unix_socket": place, "unix_socket_perms": "660"}


def _inherited_sockets() -> list[socket.socket]:
    """Return the listening sockets that systemd passes to this process (sd_listen_fds(3))."""
    process, number = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    if process != str(os.getpid()):
        return []
    return [socket.socket(fileno=each) for each in range(FIRST_FD, FIRST_FD + int(number))]


def _must_be_free(path: str) -> None:
    # waitress removes a socket that it finds there, even one that another server still answers
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == 0:
            raise OSError(errno.EADDRINUSE, "")


def _addresses(where: dict[str, Any]) -> list[str]:
    if "unix_socket" in where:
        return [f"unix:{where['unix_socket']}"]
    return [_address(each.getsockname()) for each in where["sockets"]]


def _address(name: tuple[Any, ...] | str) -> str:
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
