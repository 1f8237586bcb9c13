"""`python -m tests.bench.profile`: where the time of the service's own code goes, without a server around it.

    python -m tests.bench.profile [links|me] [SQLite|PostgreSQL] [cumulative|tottime]

The application is called in this process; ORCID's stand-in and the database are outside as ever.
"""

from __future__ import annotations

import cProfile
import io
import itertools
import os
import pstats
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from sql.store import open_store
from tests.bench.client import Answer
from tests.bench.people import Visitor, link, look
from tests.bench.sites import SQLITE, ground
from webapp.config import load
from webapp.wsgi import make_web

TIMES = 500
LINES = 45


def asking(app, spent=None):
    """Give how to ask the application in this process; `spent` collects seconds by the first words of an address."""

    def ask(request: bytes) -> Answer:
        environ, told = _environ(request), {}
        begun = process_time(), perf_counter()
        body = b"".join(
            app(environ, lambda status, headers, _error=None: told.update(status=status, headers=dict(headers)))
        )
        if spent is not None:
            name = environ["REQUEST_METHOD"] + " " + "/".join(environ["PATH_INFO"].split("/")[:3])
            spent.setdefault(name, []).append((process_time() - begun[0], perf_counter() - begun[1]))
        return Answer(int(told["status"][:3]), told["headers"].get("Location", ""), body)

    return ask


def _environ(request: bytes) -> dict:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = dict(line.split(": ", 1) for line in lines)
    own = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    own["CONTENT_TYPE"] = own.pop("HTTP_CONTENT_TYPE", "")
    own["CONTENT_LENGTH"] = own.pop("HTTP_CONTENT_LENGTH", "")
    return {
        **own,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def main(what: str = "links", engine: str = SQLITE, order: str = "cumulative") -> None:
    """Profile, and print."""
    with TemporaryDirectory(prefix="orcid-connect-profile-") as directory, ground(Path(directory)) as here:
        site = here.site(engine)
        store = open_store(site.url)
        app = make_web(load(site.configuration, os.environ), store)
        visitors = map(Visitor.of, itertools.count())
        known = [next(visitors) for _ in range(TIMES)]
        act = {"links": lambda ask: link(ask, next(visitors)), "me": lambda ask: look(ask, known[0])}[what]
        for visitor in known:
            link(asking(app), visitor)
        _print_times(app, act)
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(TIMES):
            act(asking(app))
        profile.disable()
        store.disconnect()
    pstats.Stats(profile).sort_stats(order).print_stats(LINES)


def _print_times(app, act) -> None:
    spent: dict[str, list[tuple[float, float]]] = {}
    for _ in range(TIMES):
        act(asking(app, spent))
    for name, times in spent.items():
        processor, clock = (sorted(side)[len(times) // 2] * 1000 for side in zip(*times, strict=True))
        sys.stdout.write(f"{name:<20} median {processor:.2f} ms of this processor, {clock:.2f} ms by the clock\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
