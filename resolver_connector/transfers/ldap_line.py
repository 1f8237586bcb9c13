"""A connection to one server of a directory, by ldap3, within a deadline.

TLS is our own part, not ldap3's: Python checks certificate and host name while it shakes hands, by every version of
Python the same.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

import ldap3
from ldap3.core.exceptions import LDAPCommunicationError, LDAPException

from resolver_connector.transfers.transfer import Answer, Outcome, plain

START_TLS = "1.3.6.1.4.1.1466.20037"
"""RFC 4511, 4.14.1."""
LONGEST_TALK = 1_000_000
"""So many octets of a server's are read, and no more: the entry of a person is a few thousand."""
PORTS = {"ldap": 389, "ldaps": 636}

Changes = dict[str, list[tuple[str, list[bytes]]]]
"""A modify, as ldap3 takes it: what to do with which values, by attribute."""


class Ended(Exception):
    """There is nothing more to do: this is what came of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.outcome)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Result:
    """What the directory said to one request."""

    code: int
    words: str


@dataclass(frozen=True, slots=True)
class Place:
    """One address of one server."""

    url: SplitResult
    address: str

    @property
    def port(self) -> int:
        """The port: as the server's address says, or the usual one."""
        return self.url.port or PORTS[self.url.scheme]


class Line:
    """A connection to one server of the directory; every way in which it can break ends as `Ended`."""

    def __init__(self, credentials: dict[str, Any], place: Place, deadline: float) -> None:
        self._deadline = deadline
        self._socket: _TimedSocket | None = None
        server = ldap3.Server(
            place.address,
            port=place.port,
            get_info=ldap3.NONE,  # with the schema, ldap3 would refuse an attribute by itself, by an exception
            connect_timeout=max(deadline - time.monotonic(), 0.001),
        )
        self._connection = ldap3.Connection(
            server, **credentials, auto_referrals=False, auto_range=False, check_names=False
        )

    def open(self) -> None:
        """Connect, without a word."""
        self._do(lambda: self._connection.open(read_server_info=False))
        self._socket = self._connection.socket = _TimedSocket(self._connection.socket, self._deadline)

    def start_tls(self) -> Result:
        """Ask for TLS; on success the next that is sent has to be its handshake."""
        return self._ask(lambda: self._connection.extended(START_TLS))

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands, and check that the certificate is this host's."""
        assert self._socket is not None
        try:
            self._socket.encrypt(context, host)
        except ssl.SSLCertVerificationError as error:
            message = plain(f"the certificate of the directory's server is not accepted: {error.verify_message}")
            raise Ended(Answer(Outcome.MISCONFIGURED, message)) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise Ended(_broken(error)) from error
        except ssl.SSLError as error:
            message = plain(f"no TLS with the directory: {error.reason}")
            raise Ended(Answer(Outcome.MISCONFIGURED, message)) from error
        except OSError as error:
            raise Ended(_broken(error)) from error

    def sign_in(self) -> Result:
        """Say who we are."""
        return self._ask(lambda: self._connection.bind(read_server_info=False))

    def wait_until(self, deadline: float) -> None:
        """Have patience until then, from now on."""
        assert self._socket is not None
        self._socket.deadline = deadline

    def search(self, base: str, wanted: str, attributes: list[str]) -> tuple[Result, list[dict[str, Any]]]:
        """Give two entries at most that the filter fits, below the base; what only refers elsewhere is left out."""
        never = ldap3.DEREF_NEVER
        search = self._connection.search
        result = self._ask(lambda: search(base, wanted, dereference_aliases=never, attributes=attributes, size_limit=2))
        return result, [each for each in self._connection.response or () if each["type"] == "searchResEntry"]

    def modify(self, dn: str, changes: Changes) -> Result:
        """Change one entry, all of it or nothing."""
        return self._ask(lambda: self._connection.modify(dn, changes))

    def close(self) -> None:
        """Take leave, if there is somebody to take it of."""
        with suppress(OSError, LDAPException):
            self._connection.unbind()
        if self._connection.socket:
            self._connection.socket.close()

    def _ask(self, act: Callable[[], object]) -> Result:
        self._do(act)
        result = self._connection.result
        said = (result["description"], result["message"])
        return Result(result["result"], ": ".join(each for each in said if each))

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, LDAPCommunicationError) as error:
            raise Ended(_broken(error)) from error
        except Exception as error:  # what is not LDAP makes ldap3 stumble in every possible way
            message = "what answers there does not speak LDAP, or cannot be asked what the settings say"
            raise Ended(Answer(Outcome.MISCONFIGURED, message)) from error


class _TimedSocket:
    """A socket on which nothing outlasts the deadline, however slowly the other side talks, or however much."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        # Otherwise the last of our packets waits for the other side to confirm the one before, 40 ms each time
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._heard = 0
        self.deadline = deadline

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        self._socket.settimeout(self._left())
        self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def recv(self, size: int) -> bytes:
        self._socket.settimeout(self._left())
        heard = self._socket.recv(size)
        self._heard += len(heard)
        if self._heard > LONGEST_TALK:
            raise OSError("it does not stop talking")
        return heard

    def sendall(self, message: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(message)

    def shutdown(self, how: int) -> None:
        self._socket.shutdown(how)

    def close(self) -> None:
        self._socket.close()

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


def _broken(error: Exception) -> Answer:
    """Give what a broken connection comes to."""
    if isinstance(error, TimeoutError):
        return Answer(Outcome.TEMPORARY, "no answer from the directory in time")
    return Answer(Outcome.TEMPORARY, plain(f"no connection with the directory: {error}"))
