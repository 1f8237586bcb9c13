"""Start servers that kill themselves, and forward requests to them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[3]


class ServerKilled(Exception):
    """The server has been killed."""


class KilledServer:
    """A parent process that forks servers, one at a time.

    A WSGI application that forwards to the current one.
    """

    def __init__(self, *urls):
        command = [sys.executable, "-m", *self.command(*urls)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self.pid = None

    def command(self, *urls):
        """Return the module of the parent process and its arguments."""
        return ["tests.support.processes.killed_server", *urls]

    def start(self, last):
        """Start a server that kills itself at its n-th step; 0 for never."""
        self.process.stdin.write(f"{last}\n")
        self.process.stdin.flush()
        self.port, self.pid = map(int, self.process.stdout.readline().split())

    def kill(self):
        """Kill the server if it runs, and wait for its end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        assert self.process.stdout.readline() == "dead\n"

    def close(self):
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def __call__(self, environ, start_response):
        """Forward a request to the server (PEP 3333)."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        headers = {"X-Eppn": environ["eppn"], "X-Idp": environ["Shib-Identity-Provider"]}
        if "HTTP_COOKIE" in environ:
            headers["Cookie"] = environ["HTTP_COOKIE"]
        try:
            line.request(environ["REQUEST_METHOD"], path, body, headers)
            answer = line.getresponse()
            content = answer.read()
        except OSError as error:
            raise ServerKilled from error
        finally:
            line.close()
        unwanted = {"connection", "date", "server", "via"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in unwanted]
        start_response(f"{answer.status} {answer.reason}", kept)
        return [content]
