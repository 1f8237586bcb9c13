"""What the connector is measured against: a WSGI function that gives the same bytes to whoever asks, whatever they ask.

`python -m tests.bench.bare CONFIGURATION` serves it by waitress with the same settings, and hands each request to a
thread, as waitress does; with a second word, whoever reads a request answers it, as for the connector. granian makes it
by `bare`.
"""

from __future__ import annotations

import os
import sys

from webapp.cli_connector import looks_up_one
from webapp.config import load
from webapp.serving import serve

BODY = b'{"eduPersonOrcid": ["https://sandbox.orcid.org/0000-0000-0000-0000"]}'
HEADERS = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Length", str(len(BODY))),
]


def application(_environ, start_response):
    """Answer."""
    start_response("200 OK", HEADERS)
    return [BODY]


def bare():
    """Give the application."""
    return application


def main(path: str, at_once: str = "") -> None:
    """Answer until the process is ended, having said where."""
    listener = load(path, os.environ).connector
    serve(application, listener, tell, at_once=looks_up_one if at_once else None)


def tell(address: str) -> None:
    """Say it to whoever started this."""
    print(f"listening on {address}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
