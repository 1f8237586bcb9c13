"""ORCID's token endpoint and nothing else, answering at once: the simulator's own cost is not ours to measure.

Each code is the number of an iD, so that nothing is kept here. The answer is written beforehand, but for the iD, and a
connection's thread does nothing but receive and send. Run as `python -m tests.bench.orcid`.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading

from shibboleth.orcid_id import Registry
from tests.make import make_orcid_id

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CODE = re.compile(rb"(?:^|&)code=(\d+)(?:&|$)")
_ANSWER = {
    "access_token": "f5af9f51-07e6-4332-8f1a-c0c11c1e3728",
    "token_type": "bearer",
    "refresh_token": "f725f747-3a65-49f6-a231-3e8944ce464d",
    "expires_in": 631138518,
    "scope": "/authenticate",
    "name": "Maija Mäkelä",
    "orcid": "0000-0000-0000-0000",
}
_BODY = json.dumps(_ANSWER).encode()
_BEFORE, _AFTER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
).split(b"0000-0000-0000-0000")


def token_answer(number: int) -> bytes:
    """Write what ORCID answers about the iD of a number."""
    return _BEFORE + make_orcid_id(number, Registry.SANDBOX).bare.encode() + _AFTER


def converse(connection: socket.socket) -> None:
    """Answer each request of a connection once it is whole."""
    received = b""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while piece := connection.recv(65536):
            received += piece
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) >= int(_LENGTH.search(head + b"\r\n")[1]):
                received = b""
                connection.sendall(token_answer(int(_CODE.search(body)[1])))


def serve() -> None:
    """Answer until the process is ended, having said where."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        sys.stdout.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=[connection], daemon=True).start()


if __name__ == "__main__":
    serve()
