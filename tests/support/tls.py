"""Serve a WSGI application over TLS."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class _Handler(WSGIRequestHandler):
    def log_message(self, format, *args):  # noqa: A002 - the name in the standard library
        """Log nothing."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50
    context: ssl.SSLContext

    def server_bind(self):
        # Without the look-up of our own name that HTTPServer makes
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()
        self.base_environ["HTTPS"] = "on"

    def get_request(self):
        plain, address = super().get_request()
        # The handshake belongs to the thread of the connection: a browser opens some that it never uses
        return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        """Ignore errors: browsers may close connections at any time."""


def make_server(app: Callable, port: int, key: Mapping[str, str]) -> _Server:
    """Create a server on loopback with a key as `federation.make_key` returns it."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(key["certificate"], key["key"])
    server.set_app(app)
    return server


@contextmanager
def serve_tls(app: Callable, port: int, key: Mapping[str, str]) -> Iterator[None]:
    """Serve in threads of this process."""
    server = make_server(app, port, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
