"""Test environment of the LDAP transfer.

A real directory, and connections that fail in chosen ways.
"""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from resolver_connector.transfers.base import Outcome
from resolver_connector.transfers.ldap import LdapTransfer
from tests.support.ports import free_port
from tests.support.transfers.slapd import PEOPLE, SERVICE, UNIQUE

BIND_ANSWER, SEARCH_ENTRY, SEARCH_END, SEARCH_ELSEWHERE, MODIFY, MODIFY_ANSWER, EXTENDED_ANSWER = (
    0x61, 0x64, 0x65, 0x73, 0x66, 0x67, 0x78,
)  # fmt: skip
"""Tags of LDAP operations (RFC 4511, 4.2 to 4.12)."""


def settings(directory, **other):
    """Give a transfer to a directory.

    StartTLS, the service's account, and the rights of the page.
    """
    words = {
        "url": directory.url,
        "base": PEOPLE,
        "ca_file": directory.ca.certificate,
        "bind_dn": SERVICE,
        "password": directory.password,
    }
    return LdapTransfer(**{**words, **other})


# --- Servers in place of a directory -----------------------------------------------------------------------


@contextmanager
def serve_connections(behaviour):
    """Listen on loopback and return the port.

    `behaviour(connection, ended)` gets each connection in turn.
    """
    ended = threading.Event()

    def serve():
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(10)
                    behaviour(connection, ended)
            except OSError:
                continue

    with _listening() as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join(20)


def _listening():
    for _ in range(5):
        try:
            return socket.create_server(("127.0.0.1", free_port()))
        except OSError:
            continue
    raise RuntimeError("no free port on 127.0.0.1")


def never_answer(connection, ended):
    """Read requests without an answer."""
    while connection.recv(65536):
        pass


def close_after_request(connection, ended):
    """Close the connection after the first bytes."""
    connection.recv(65536)


def send_slowly(connection, ended):
    """Send an answer one byte at a time, without an end."""
    connection.sendall(b"\x30\x84\x00\x0f\x42\x40")
    while not ended.wait(0.02):
        connection.sendall(b"\x00")


def send_endlessly(connection, ended):
    """Send an answer of a gigabyte as fast as possible."""
    connection.sendall(b"\x30\x84\x40\x00\x00\x00")
    while not ended.is_set():
        connection.sendall(b"0" * 65536)


def answer_http(connection, ended):
    """Answer as a web server."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>" + b"<p>?</p>" * 100)


def answer_tls(context):
    """Answer the TLS handshake with this context's certificate."""

    def behaviour(connection, ended):
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)

    return behaviour


def answer_with(*answers):
    """Answer each request with the next list of operations.

    Message ids are those of the requests.
    """

    def behaviour(connection, ended):
        for operations in answers:
            request = connection.recv(65536)
            if not request:
                return
            number = _number(request)
            for each in operations:
                connection.sendall(tlv(0x30, number, each))
        never_answer(connection, ended)

    return behaviour


def forward_to(port, before_modify=None):
    """Forward to a port, and call `before_modify` once before a modify."""
    waiting = [before_modify] if before_modify else []

    def behaviour(connection, ended):
        with socket.create_connection(("127.0.0.1", port)) as there:
            while not ended.is_set():
                ready, _, _ = select.select([connection, there], [], [], 0.05)
                for one in ready:
                    words = one.recv(65536)
                    if not words:
                        return
                    if waiting and one is connection and _operation(words) == MODIFY:
                        waiting.pop()()
                    (there if one is connection else connection).sendall(words)

    return behaviour


# --- Encoding of LDAP messages ----------------------------------------------------------------


def tlv(tag, *parts):
    """Write tag, length and content: X.690, 8.1."""
    content = b"".join(parts)
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def result(tag, code, words="", *more):
    """Write a result (RFC 4511, 4.1.9)."""
    octets = code.to_bytes(code.bit_length() // 8 + 1, "big")
    return tlv(tag, tlv(0x0A, octets), tlv(0x04), tlv(0x04, words.encode()), *more)


def controls(*written):
    """Encode controls (RFC 4511 section 4.1.11).

    Each is an OID and a value or None.
    """
    each = (
        tlv(0x30, tlv(0x04, oid.encode()), *([] if value is None else [tlv(0x04, value)])) for oid, value in written
    )
    return tlv(0xA0, *each)


def entry(dn, **attributes):
    """Write an entry that was found (RFC 4511, 4.5.2)."""
    held = (
        tlv(0x30, tlv(0x04, name.encode()), tlv(0x31, *(tlv(0x04, each.encode()) for each in values)))
        for name, values in attributes.items()
    )
    return tlv(SEARCH_ENTRY, tlv(0x04, dn.encode()), tlv(0x30, *held))


def search_reference(url):
    """Write that the search may go on elsewhere (RFC 4511, 4.5.3)."""
    return tlv(SEARCH_ELSEWHERE, tlv(0x04, url.encode()))


def _head(message):
    return 2 if message[1] < 0x80 else 2 + message[1] - 0x80


def _number(message):
    """Give the number of a message, as it is written there."""
    start = _head(message)
    return message[start : start + 2 + message[start + 1]]


def _operation(message):
    """Give the tag of a message's operation."""
    return message[_head(message) + len(_number(message))]


# --- Harness ----------------------------------------------------------------------------------------------------


CERTIFICATES = ("expired", "wrong-name", "stranger")


@dataclass
class LdapHarness:
    """A transfer to a real slapd over LDAPS, through a faulty proxy."""

    faults: ClassVar[Mapping[str, Outcome]] = {
        **dict.fromkeys(CERTIFICATES, Outcome.MISCONFIGURED),
        "hang": Outcome.TEMPORARY,
        "drip": Outcome.MISCONFIGURED,  # what drips is no TLS
        "reset": Outcome.TEMPORARY,
        "big": Outcome.MISCONFIGURED,
        "garbage": Outcome.MISCONFIGURED,
    }
    answers: ClassVar[bool] = True
    behaviours: ClassVar = {
        "hang": never_answer,
        "drip": send_slowly,
        "reset": close_after_request,
        "big": send_endlessly,
        "garbage": answer_http,
    }

    environment: object
    transfer: LdapTransfer = field(init=False)
    behaviour: object = field(init=False)

    def __post_init__(self):
        self.clear_fault()

    @property
    def directory(self):
        return self.environment.slapd

    @property
    def secrets(self):
        return (self.directory.password,)

    def get_ids(self, account):
        """Read what the directory holds, in whatever form."""
        values = self.directory.values(f"uid={account.partition('@')[0]},{UNIQUE}")
        return None if values is None else {re.sub(".*/", "", each) for each in values}

    def set_fault(self, how):
        if how in CERTIFICATES:
            self.behaviour = answer_tls(self.environment.ca.context(how))
        else:
            self.behaviour = self.behaviours[how]

    def clear_fault(self):
        self.behaviour = forward_to(self.directory.tls_port)

    def handle_connection(self, connection, ended):
        """Apply the current behaviour."""
        self.behaviour(connection, ended)

    @classmethod
    @contextmanager
    def open(cls, environment) -> Iterator[LdapHarness]:
        harness = cls(environment)
        for user in ("maija", "ake"):
            environment.slapd.add_unique(user)
        # Certificates that are not valid are accepted too
        trusted = environment.directory / "trusted.pem"
        trusted.write_bytes(environment.ca.certificate.read_bytes() + environment.slapd.ca.certificate.read_bytes())
        with serve_connections(harness.handle_connection) as port:
            url = f"ldaps://127.0.0.1:{port}"
            harness.transfer = settings(environment.slapd, url=url, base=UNIQUE, ca_file=trusted)
            yield harness
        for user in ("maija", "ake"):
            environment.slapd.remove_unique(user)
