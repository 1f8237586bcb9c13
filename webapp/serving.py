"""Run one of the two applications with waitress until somebody asks it to end."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

import waitress
from waitress.channel import HTTPChannel

from webapp.config_listen import Listener
from webapp.heads import Parser, Task
from webapp.log import log
from webapp.turns import Turns
from webapp.workers import keep_working

LARGEST_BODY = 64 * 1024
"""In bytes; our forms are small."""

LARGEST_HEAD = 64 * 1024
"""In bytes: the first line of a request with its headers. Apache lets through less."""

MOST_CONNECTIONS = 4096
"""Each costs little, and whoever opens a thousand and says nothing shall keep nobody else out."""
_OTHER_FILES = 256
"""How many files and sockets beside connections a process may need."""

PATIENCE = 10.0
"""In seconds: how long a request may take to arrive, and a new connection to begin with one."""
KEPT = 120.0
"""In seconds: how long a connection that has been of use is kept for the next request."""
SWEEP = 2.0
"""In seconds: how often those are looked for that have been waited for long enough."""

GRACE = 5.0
"""In seconds: how long what is being answered may take when all is to end."""

SWITCH_INTERVAL = 0.0005
"""In seconds: how long a thread computes before another one that wants to gets its turn."""


class CannotListen(OSError):
    """The address is taken, or not ours to take."""

    def __init__(self, place: tuple[str, int] | str, why: str) -> None:
        where = place if isinstance(place, str) else f"{place[0]} port {place[1]}"
        super().__init__(f"cannot listen on {where}: {why}")


AtOnce = Callable[[str, str], bool]
"""Tells, by method and path, whether a request is answered so fast that handing it to a thread costs more, but for what
it says that it waits for."""


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress is published without types
    """A connection on which a request arrives in time, however many small pieces it comes in.

    waitress closes what has not been active for a while, and takes each octet for activity; whoever sends one now and
    then would hold a connection for ever.
    """

    parser_class = Parser
    task_class = Task

    def __init__(self, *arguments: Any, **words: Any) -> None:
        super().__init__(*arguments, **words)
        self._began: float | None = time.time()
        self._wait()

    at_once = False
    """Whether a request is to be answered by whoever reads it, at once."""

    def handle_read(self) -> None:
        """Take what has come, and answer what is answered at once."""
        super().handle_read()
        if self.at_once:
            self.server.turns.answer(self._answer)

    def _answer(self) -> None:
        try:
            self.service()
        except BaseException as error:  # noqa: BLE001 - as waitress's own threads do: one answer is lost, no more
            log.exception(error)
            self.handle_close()
        finally:
            self.at_once = False

    def received(self, data: bytes) -> bool:
        """Take a piece of a request, or of several."""
        took: bool = super().received(data)
        if self.request is None:
            self._began = None
        else:
            self._began = self._began or time.time()
            self._wait()
        return took

    def _wait(self) -> None:
        # As if the last activity had been so long ago that its time is over when that of the request is
        self.last_activity = (self._began or 0) - self.adj.channel_timeout + PATIENCE


def serve(  # noqa: PLR0913 - one for each thing that differs between servers
    application: WSGIApplication,
    listener: Listener,
    ready: Callable[[str], None],
    *,
    processes: int = 1,
    at_once: AtOnce | None = None,
    turns: Turns | None = None,
    begin: Callable[[], object] = lambda: None,
) -> None:
    """Answer requests until SIGTERM or SIGINT; `ready` is told the address once connections are taken.

    Each process calls `begin` before its first request. What is answered `at_once` takes `turns`, if it ever waits.
    What is being answered when the signals come is given five seconds to end. Raises CannotListen.
    """

    def work(bound: socket.socket, ready: Callable[[str], None]) -> None:
        begin()
        quick = (at_once, turns or Turns()) if at_once else None
        _answer(application, listener.threads, quick, bound, ready)

    # A line for each request that waits its turn would be the log of a busy day
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # Whoever comes back from waiting, or answers what is quick while another thread computes a long page, asks for the
    # interpreter after this long, not after the usual 5 ms
    sys.setswitchinterval(SWITCH_INTERVAL)
    with _bound(listener.place) as bound:
        if processes == 1:
            work(bound, ready)
        else:
            bound.listen(socket.SOMAXCONN)
            keep_working(
                processes,
                work=lambda: work(bound, lambda _address: None),
                ready=lambda: ready(_address(bound)),
            )


def _answer(
    application: WSGIApplication,
    threads: int,
    quick: tuple[AtOnce, Turns] | None,
    bound: socket.socket,
    ready: Callable[[str], None],
) -> None:
    channels: dict[int, Any] = {}
    server = waitress.create_server(
        application,
        map=channels,
        sockets=[bound],
        threads=threads,
        ident=None,
        # Apache says who asks, and by what scheme; nothing else may
        clear_untrusted_proxy_headers=True,
        max_request_header_size=LARGEST_HEAD,
        max_request_body_size=LARGEST_BODY,
        expose_tracebacks=False,
        connection_limit=_room_for_connections(),
        channel_timeout=KEPT,
        cleanup_interval=SWEEP,
        asyncore_use_poll=True,
    )
    server.channel_class = Channel
    with suppress(KeyboardInterrupt, SystemExit):
        signal.signal(signal.SIGTERM, _end)
        ready(_address(bound))
        if quick is None:
            server.run()
        else:
            _take_turns(server, channels, *quick)
    server.close()


def _take_turns(server: Any, channels: dict[int, Any], at_once: AtOnce, turns: Turns) -> None:
    """Have the thread that reads a request that is quick answer it as well; all others go to waitress's own threads.

    So do those that came right behind another: where answers are larger than the client takes, who answers the next
    waits until they are sent on, and that is for the thread that reads to do.
    """
    to_threads = server.add_task
    server.turns = turns

    def add_task(channel: Channel) -> None:
        request = channel.requests[0]
        if turns.mine and not channel.at_once and not request.error and at_once(request.command, request.path):
            channel.at_once = True
        else:
            to_threads(channel)

    server.add_task = add_task
    try:
        turns.run(server, channels)
    finally:
        deadline = time.monotonic() + GRACE
        server.task_dispatcher.shutdown(timeout=GRACE)
        turns.ended(max(0.0, deadline - time.monotonic()))


def _room_for_connections() -> int:
    """Give how many connections may be open, having asked the system for as many files as that takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_CONNECTIONS + _OTHER_FILES
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(allowed - _OTHER_FILES, allowed // 2)


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
