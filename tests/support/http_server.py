"""An HTTP/1.1 server whose answers a test writes, octet by octet if it likes."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(behave, context=None):
    """Serve HTTP/1.1 with kept connections, each request to `behave`.

    Gives the address and a log.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append((self.client_address, dict(self.headers)))
            behave(self)

        def log_message(self, *said):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def head(request, status=200, length=0, kind="application/json"):
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(length))
    request.end_headers()


def drips(request):
    """Send one octet after another for 20 s, each before a client's time-out."""
    head(request, length=100)
    for _ in range(100):
        request.wfile.write(b" ")
        time.sleep(0.2)


def hangs(_request):
    time.sleep(20)


def drips_headers(request):
    """One octet of a header after another, likewise."""
    request.send_response(200)
    request.flush_headers()
    request.wfile.write(b"X: ")
    for _ in range(100):
        request.wfile.write(b"x")
        time.sleep(0.2)
