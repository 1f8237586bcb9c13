"""Heads of requests and of answers, read and written at once where they are plain.

waitress reads and writes a head line by line, each in several steps, which took longer than many an answer. Nearly all
heads that come are plain: HTTP/1.1, an absolute path, visible ASCII, no header twice, nothing that changes how the body
is read. Those are read here, by two patterns; all others, and all that is wrong in any way, are left to waitress. So
are answers that do not say how long they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser
from waitress.receiver import FixedStreamReceiver
from waitress.task import WSGITask
from waitress.utilities import build_http_date

_FIRST = re.compile(r"([A-Z]+) (/(?!/)[!\"$-~]*) HTTP/1\.1\r\n", re.ASCII)
"""Method and target; the target has no fragment, and is not taken for an address of another host."""
_FIELD = re.compile(r"(?<=\n)([A-Za-z0-9-]+): ((?:[!-~](?:[ -~]*[!-~])?)?)\r\n", re.ASCII)
"""Only where a line begins: tried at each octet of a long line, it would take the square of its length."""
_AROUND = len(": \r\n")
_LINE_END = "\r\n"
_LEFT_TO_WAITRESS = frozenset({"TRANSFER_ENCODING", "EXPECT"})
_LONGEST_LENGTH = 9
"""In digits."""
_WAITRESS_MINDS = frozenset({"date", "server", "connection"})
"""Headers of an answer that change which others waitress adds."""


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress is published without types
    """Reads a request as waitress does."""

    def parse_header(self, header_plus: bytes) -> None:
        """Read a head with the empty line after it. Raises what waitress does."""
        if not self._is_plain(header_plus):
            super().parse_header(header_plus)

    def _is_plain(self, head: bytes) -> bool:
        """Read a head if it is plain; otherwise leave everything as it was."""
        if not head.isascii():
            return False
        text = head.decode("ascii")
        first = _FIRST.match(text)
        if first is None:
            return False
        headers = _headers(text, first.end())
        if headers is None:
            return False
        length = headers.get("CONTENT_LENGTH", "0")
        if not length.isdigit() or len(length) > _LONGEST_LENGTH:
            return False
        self._take(first, headers, int(length))
        return True

    def _take(self, first: re.Match[str], headers: dict[str, str], length: int) -> None:
        self.command, self.request_uri = first.groups()
        self.first_line = first[0].rstrip().encode("ascii")
        self.version = "1.1"
        self.headers: Any = headers
        self.proxy_scheme = self.proxy_netloc = self.fragment = ""
        path, _, query = self.request_uri.partition("?")
        self.query = query
        self.path = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
        self.url_scheme = self.adj.url_scheme
        self.expect_continue = False
        self.connection_close = headers.get("CONNECTION", "").lower() == "close"
        self.content_length = length
        if length:
            self.body_rcv = FixedStreamReceiver(length, OverflowableBuffer(self.adj.inbuf_overflow))


def _headers(text: str, start: int) -> dict[str, str] | None:
    """Read the headers that a head consists of from here on, if they are plain."""
    fields = _FIELD.findall(text, start)
    headers = {name.upper().replace("-", "_"): value for name, value in fields}
    read = sum(len(name) + len(value) + _AROUND for name, value in fields)
    # All of it is headers, with nothing between them and an empty line after them, and each came once
    whole = start + read + len(_LINE_END) == len(text) and text.endswith(2 * _LINE_END)
    if not whole or len(headers) < len(fields) or _LEFT_TO_WAITRESS & headers.keys():
        return None
    return headers


class Task(WSGITask):  # type: ignore[misc]  # waitress is published without types
    """Answers a request as waitress does."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        """Send a piece of the answer; where it is the whole of a plain one, with its head and at once."""
        is_whole = self.complete and not self.wrote_header and len(data) == self.content_length and self.has_body
        head = self._plain_head() if is_whole else None
        if head is None:
            super().write(data)
        else:
            whole_answer = head + data
            self.wrote_header = True
            self.content_bytes_written = len(data)
            self.channel.write_soon(whole_answer)

    def _plain_head(self) -> bytes | None:
        names = {name.lower() for name, _ in self.response_headers}
        if self.version != "1.1" or "content-length" not in names or names & _WAITRESS_MINDS:
            return None
        if self.request.headers.get("CONNECTION", "").lower() == "close":
            self.set_close_on_finish()
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.response_headers)
        return f"HTTP/1.1 {self.status}\r\n{fields}Date: {_date(int(self.start_time))}\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    date: str = build_http_date(second)
    return date
