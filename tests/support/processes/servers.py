"""Run `orcid-connect serve` and `connector` as processes."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from contextlib import closing, contextmanager

from tests.support.configuration import ALL_RIGHTS, TOKEN, write_configuration
from tests.support.database import make_sqlite


def configuration(tmp_path, **sections):
    """Write a configuration with a migrated store."""
    make_sqlite(tmp_path)
    return write_configuration(tmp_path, **{"organisations": {"yliopisto": ALL_RIGHTS}, **sections})


def start(path, command, *options):
    """Start a server without waiting for it."""
    words = [sys.executable, "-m", "webapp", "--config", str(path), command, *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(path, command, *options):
    """Yield a server that is ready, and the address it reported."""
    process = start(path, command, *options)
    try:
        said = process.stdout.readline()
        assert said.startswith("listening on "), process.stderr.read()
        yield process, said.removeprefix("listening on ").strip()
    finally:
        process.kill()
        process.communicate()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("orcid-connect")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def connection(address):
    """Return a connection to a reported address."""
    if address.startswith("unix:"):
        return UnixConnection(address.removeprefix("unix:"))
    return http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)


def ask(address, place="/v1/people/maija%40yliopisto.example", method="GET", body=None):
    """Send one request and return the response."""
    with closing(connection(address)) as wire:
        wire.request(method, place, body, {"Authorization": f"Bearer {TOKEN}"})
        answer = wire.getresponse()
        answer.text = answer.read().decode()
        return answer
