"""An HTTP server that sends the octets it is given, whatever they are."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager


@contextmanager
def raw_server(*responses, stays_open=False):
    """Answer the requests with these octets in turn, one connection each.

    Give the address and the requests.

    Args:
        responses: The octets; the last ones are sent to all further requests.
        stays_open: Whether to leave each connection open after its response.
    """
    ended, requests = threading.Event(), []

    def serve():
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            with connection:
                connection.settimeout(10)
                requests.append(_read_request(connection))
                connection.sendall(responses[min(len(requests), len(responses)) - 1])
                if stays_open:
                    ended.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        finally:
            ended.set()
            thread.join(20)


def _read_request(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(lines.get(b"content-length", 0)):
        body += connection.recv(65536)
    return head, body
