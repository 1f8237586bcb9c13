"""Runs a WSGI application on waitress until SIGTERM or SIGINT."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

import waitress

from resolver_connector.attested.bulk import MAX_BULK_BYTES
from shibboleth.process_state import ProcessState
from webapp.config.listen import AuthorityListener, ConnectorListener, Listener

MAX_BODY = 64 * 1024
"""Largest request body of the attribute authority, in bytes; the pages and the connector take larger lists."""
MAX_HEADER = 64 * 1024
"""Largest request line with headers, in bytes. Apache's limit is lower."""
CHANNEL_TIMEOUT = 120
"""Seconds after which an idle connection is closed."""
CLEANUP_INTERVAL = 10
"""Seconds between two searches for idle connections."""
MAX_CONNECTIONS = 4096
OTHER_FILES = 256
"""File descriptors that are left for other files than connections."""
DRAIN_INTERVAL = 0.25
"""Seconds between two looks at whether a process that ends is idle."""
MAX_IDLE_WAIT = 30
"""Seconds after `drain_seconds` for requests that are being answered."""
FIRST_KEPT_FD = 64
"""File descriptors of kept sockets are not below this, so that those that are passed on do not replace them."""
FIRST_FD = 3
"""The first file descriptor that systemd passes (SD_LISTEN_FDS_START)."""
_remembered: list[int] = []


class CannotListen(OSError):
    """The address cannot be used for listening."""

    def __init__(self, address: tuple[str, int] | str, reason: str) -> None:
        name = address if isinstance(address, str) else f"{address[0]} port {address[1]}"
        super().__init__(f"cannot listen on {name}: {reason}")


def serve(
    application: WSGIApplication,
    listener: Listener,
    ready: Callable[[str], None],
    process: ProcessState | None = None,
    may_reload: Callable[[], bool] = lambda: False,
) -> None:
    """Serve requests until SIGTERM or SIGINT; on SIGHUP start again.

    After SIGTERM the process is not ready, takes requests for `drain_seconds`, and ends when none is being answered,
    thirty seconds later at the latest. Without `drain_seconds` it ends at once. Requests in progress then have five
    seconds to end. After SIGHUP the program is executed again in the same process with the same listening sockets.

    Args:
        application: The WSGI application.
        listener: The address, which is ignored if systemd passes sockets, and the number of threads.
        ready: Called with the address once connections are accepted.
        process: Told when the process ends.
        may_reload: Called on SIGHUP; if it returns False nothing happens.

    Raises:
        CannotListen: If the address cannot be used.
    """
    process, reload = process or ProcessState(), False

    def hang_up(_signal: int, _frame: object) -> None:
        nonlocal reload
        if not process.ending and may_reload():
            ignore_hang_up()
            reload = True
            sys.exit(0)

    # waitress warns of each request that waits for a thread
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        options = _listen_options(listener.address)
        inherited = keep_sockets(options.get("sockets", []))
        server = _create_server(process.counting(application), listener, options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "not a valid address"
        raise CannotListen(listener.address, reason) from None
    try:
        with suppress(KeyboardInterrupt, SystemExit):
            signal.signal(signal.SIGTERM, lambda _signal, _frame: _drain(process, listener.drain_seconds))
            on_hang_up(hang_up)
            ready(" and ".join(_addresses(options)))
            server.run()
        server.close()
    finally:
        if "unix_socket" in options:
            Path(options["unix_socket"]).unlink(missing_ok=True)
    # SIGTERM may come while the server is being closed
    signal.setitimer(signal.ITIMER_REAL, 0)
    if reload and not process.ending:
        execute_again(inherited)


@contextmanager
def serve_beside(application: WSGIApplication, listener: Listener) -> Iterator[None]:
    """Serve requests in a thread of its own, until the end of the block.

    Raises:
        CannotListen: If the address cannot be used.
    """
    try:
        options = _listen_options(listener.address)
        server = _create_server(application, listener, options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "not a valid address"
        raise CannotListen(listener.address, reason) from None
    threading.Thread(target=server.run, name="health", daemon=True).start()
    try:
        yield
    finally:
        # The thread ends with the process: it may be answering
        if "unix_socket" in options:
            Path(options["unix_socket"]).unlink(missing_ok=True)


def _drain(process: ProcessState, seconds: float) -> None:
    # A second signal ends the process at once
    again, process.ending = process.ending, True
    if again or not seconds:
        _end()
    begun = monotonic()

    def end_when_idle(_signal: int, _frame: object) -> None:
        waited = monotonic() - begun
        if waited >= seconds and (not process.requests or waited >= seconds + MAX_IDLE_WAIT):
            _end()

    signal.signal(signal.SIGALRM, end_when_idle)
    signal.setitimer(signal.ITIMER_REAL, DRAIN_INTERVAL, DRAIN_INTERVAL)


def _end() -> None:
    # Without the timer, whose signal would end the process after Python has removed its handler
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.exit(0)


def keep_sockets(sockets: Sequence[socket.socket]) -> list[int]:
    """Return duplicates of listening sockets.

    They stay open when the server closes its own.
    """
    return [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST_KEPT_FD) for each in sockets]


def remember_hang_up() -> None:
    """Remember each SIGHUP until `on_hang_up` is called.

    Called before the configuration is read.
    """
    signal.signal(signal.SIGHUP, lambda number, _frame: _remembered.append(number))


def on_hang_up(handler: Callable[[int, FrameType | None], None]) -> None:
    """Call a function on SIGHUP, and now if one is remembered."""
    signal.signal(signal.SIGHUP, handler)
    if _remembered:
        _remembered.clear()
        signal.raise_signal(signal.SIGHUP)


def ignore_hang_up() -> None:
    """Ignore SIGHUP until the program is executed again and reads its files."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def execute_again(sockets: Sequence[int] = ()) -> None:
    """Execute this program again in this process, with listening sockets.

    The sockets are passed as systemd passes them (sd_listen_fds(3)).
    """
    for number, each in enumerate(sockets, FIRST_FD):
        os.dup2(each, number)
    if sockets:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same program


def _create_server(application: WSGIApplication, listener: Listener, options: dict[str, Any]) -> Any:
    return waitress.create_server(
        application,
        **options,
        threads=listener.threads,
        ident=None,
        # The connector itself decides whose X-Forwarded-For it trusts; the web application trusts no such header
        clear_untrusted_proxy_headers=not isinstance(listener, ConnectorListener),
        max_request_header_size=MAX_HEADER,
        max_request_body_size=MAX_BODY if isinstance(listener, AuthorityListener) else MAX_BULK_BYTES,
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


def _listen_options(address: tuple[str, int] | str) -> dict[str, Any]:
    # A TCP socket is opened here, so that the port is known if it was 0
    inherited = _inherited_sockets()
    if inherited:
        return {"sockets": inherited}
    if not isinstance(address, str):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        return {"sockets": [socket.create_server(address, family=family)]}
    # waitress removes an existing socket, even one on which another server listens
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(address) == 0:
            raise OSError(errno.EADDRINUSE, "")
    return {"unix_socket": address, "unix_socket_perms": "660"}


def _inherited_sockets() -> list[socket.socket]:
    # Listening sockets that systemd passes to this process (sd_listen_fds(3))
    process, number = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    if process != str(os.getpid()):
        return []
    return [socket.socket(fileno=each) for each in range(FIRST_FD, FIRST_FD + int(number))]


def _addresses(options: dict[str, Any]) -> list[str]:
    if "unix_socket" in options:
        return [f"unix:{options['unix_socket']}"]
    return [_address(each.getsockname()) for each in options["sockets"]]


def _address(name: tuple[Any, ...] | str) -> str:
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
