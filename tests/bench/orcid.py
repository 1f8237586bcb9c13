"""ORCID's token endpoint and nothing else, answering at once: the simulator's own cost is not ours to measure.

Each code is the number of an iD, so that nothing is kept here; run as `python -m tests.bench.orcid`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

from shibboleth.orcid_id import Registry
from tests.make import make_orcid_id

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CODE = re.compile(rb"(?:^|&)code=(\d+)(?:&|$)")


def token_answer(number: int) -> bytes:
    """Write what ORCID answers about the iD of a number."""
    answer = {
        "access_token": "f5af9f51-07e6-4332-8f1a-c0c11c1e3728",
        "token_type": "bearer",
        "refresh_token": "f725f747-3a65-49f6-a231-3e8944ce464d",
        "expires_in": 631138518,
        "scope": "/authenticate",
        "name": "Maija Mäkelä",
        "orcid": make_orcid_id(number, Registry.SANDBOX).bare,
    }
    body = json.dumps(answer).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class TokenEndpoint(asyncio.Protocol):
    """A connection to it."""

    def connection_made(self, transport):
        """Begin with nothing read."""
        self._transport = transport
        self._received = b""

    def data_received(self, data):
        """Answer each request once it is whole."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(_LENGTH.search(head + b"\r\n")[1])
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._transport.write(token_answer(int(_CODE.search(rest[:length])[1])))


async def serve() -> None:
    """Answer until the process is ended, having said where."""
    server = await asyncio.get_running_loop().create_server(TokenEndpoint, "127.0.0.1", 0, backlog=100)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"listening on http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
