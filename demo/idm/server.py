"""HTTP server on loopback that can also break connections."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from demo.idm.app import Idm
from demo.idm.http import Request, Response, reason

MAX_BODY_BYTES: Final = 1_000_000
_TIMEOUT: Final = 60.0
_PAUSE: Final = 0.05


class Server(ThreadingHTTPServer):
    """Serves one identity management; over TLS if it has a context."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def __init__(self, idm: Idm, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.idm = idm
        self.context = context
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """Base URL."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up of HTTPServer."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the TLS handshake happens in a thread of its own."""
        plain, address = self.socket.accept()
        if self.context is None:
            return plain, address
        return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: clients may close connections at any time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT
    server: Server

    def log_message(self, *_: Any) -> None:
        """Log nothing: requests are shown on the page."""

    def _handle_request(self) -> None:
        length = self.headers.get("Content-Length", "0")
        expected = min(int(length), MAX_BODY_BYTES) if length.isdecimal() else 0
        body = self.rfile.read(expected)
        if len(body) < expected:  # RFC 9112 section 8: an incomplete request is none
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        response, connection_fault = self.server.idm.handle(Request(self.command, path, query, headers, body))
        self.close_connection = True
        with suppress(OSError):
            CONNECTION_FAULTS[connection_fault](self, response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle_request  # noqa: N815 - the standard library's names

    def send(self, response: Response) -> None:
        """Send a response without a fault."""
        self.wfile.write(_encode_head(response) + response.body)

    def hang(self, _answer: Response) -> None:
        """Send nothing until the fault is cleared."""
        self.server.idm.wait(_TIMEOUT)

    def reset(self, _answer: Response) -> None:
        """Close the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Not the method of TLS sockets, which would say goodbye first
        socket.socket.close(self.connection)

    def cut(self, response: Response) -> None:
        """Close the connection in the middle of the body."""
        whole = _encode_head(response) + response.body
        self.wfile.write(whole[: len(whole) - len(response.body) // 2 - 1])

    def cut_headers(self, response: Response) -> None:
        """Close the connection after the status line."""
        self.wfile.write(_encode_head(response).partition(b"\n")[0] + b"\n")

    def slow(self, response: Response) -> None:
        """Send the body one byte at a time."""
        self.wfile.write(_encode_head(response))
        self._drip(response.body)

    def drip(self, response: Response) -> None:
        """Send the headers one byte at a time.

        Each byte restarts the client's read time-out.
        """
        self._drip(_encode_head(response)[:-2] + b"X-And-So-On: " + b"z" * 60_000)

    def _drip(self, octets: bytes) -> None:
        for each in octets:
            self.wfile.write(bytes([each]))
            self.wfile.flush()
            if self.server.idm.wait(_PAUSE):
                return


CONNECTION_FAULTS: Final = {
    "": _Handler.send,
    "hang": _Handler.hang,
    "reset": _Handler.reset,
    "cut": _Handler.cut,
    "cut-headers": _Handler.cut_headers,
    "slow": _Handler.slow,
    "drip": _Handler.drip,
}


def _encode_head(response: Response) -> bytes:
    headers = [*response.headers, ("Content-Length", str(len(response.body))), ("Connection", "close")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {response.status} {reason(response.status)}\r\n{lines}\r\n".encode("latin-1")


@contextmanager
def serve(idm: Idm, port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve in threads of this process, and yield the server."""
    server = Server(idm, port, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        idm.clear_fault()
        server.shutdown()
        server.server_close()
        thread.join(5)
