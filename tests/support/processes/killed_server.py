"""A process that forks servers which kill themselves.

Each does so at a chosen step.

    python -m tests.support.processes.killed_server STORE_URL ORCID_URL

It reads a number for each server from standard input, and writes the server's port and process id, and `dead` at the
server's end. At its n-th step in the store the server kills itself (SIGKILL); 0 means never. Imports happen once, in
the parent.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from datetime import UTC, datetime

import waitress

from sql.store import Store, open_store
from tests.support.service import compile_templates, make_orcid_client, make_web_app
from tests.support.store_faults import FailingEngine
from webapp.app import make_app


class KillingEngine(FailingEngine):
    """An engine whose process kills itself at a chosen step.

    Steps are those of transactions, and single statements.
    """

    def __init__(self, engine, last):
        super().__init__(engine, last, lambda: os.kill(os.getpid(), signal.SIGKILL))

    def __getattr__(self, name):
        call = super().__getattr__(name)

        def stepping(*arguments, **values):
            self.step()
            answer = call(*arguments, **values)
            self.step()
            return answer

        return stepping


def serve(listener, store_url, orcid_url, last):
    """Run a server."""
    store = Store(KillingEngine(open_store(store_url).engine, last))
    app = make_app(make_web_app(store, make_orcid_client(orcid_url), lambda: datetime.now(UTC)))

    def with_attributes(environ, start_response):
        attributes = {"eppn": environ.get("HTTP_X_EPPN", ""), "Shib-Identity-Provider": environ.get("HTTP_X_IDP", "")}
        return app(environ | attributes, start_response)

    waitress.serve(with_attributes, sockets=[listener], threads=2, _quiet=True)


def _write_line(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(store_url, orcid_url):
    """Fork a server for each line of input."""
    # What the processes need is imported and compiled once, before the forks
    open_store(store_url)
    compile_templates()
    for line in sys.stdin:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            child = os.fork()
            if child == 0:
                serve(listener, store_url, orcid_url, int(line))
            _write_line(f"{listener.getsockname()[1]} {child}")
        os.waitpid(child, 0)
        _write_line("dead")


if __name__ == "__main__":
    main(*sys.argv[1:])
