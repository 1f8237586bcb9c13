"""A connection to one server of a directory, through ldap3.

Errors of ldap3 become `DeliveryFailed`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

import ldap3
from ldap3.core.exceptions import (
    LDAPCertificateError,
    LDAPCommunicationError,
    LDAPException,
    LDAPSSLConfigurationError,
    LDAPStartTLSError,
)

from resolver_connector.transfers.base import DeliveryFailed, DeliveryResult, Outcome, plain_text
from shibboleth.deadline import Deadline, shut_down

PORTS = {"ldap": 389, "ldaps": 636}

Changes = dict[str, list[tuple[str, list[bytes]]]]
"""The changes of a modify, as ldap3 takes them: operations and values, by attribute."""

_ERROR_OUTCOMES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Outcome, str], ...] = (
    (
        LDAPCertificateError,
        Outcome.MISCONFIGURED,
        "the certificate of the directory's server is not valid for '{host}'",
    ),
    (
        ssl.SSLCertVerificationError,
        Outcome.MISCONFIGURED,
        "the certificate of the directory's server is not accepted: {words}",
    ),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), Outcome.TEMPORARY, "no connection with the directory: {words}"),
    (ssl.SSLError, Outcome.MISCONFIGURED, "no TLS with the directory: {words}"),
    (
        (LDAPSSLConfigurationError, FileNotFoundError, PermissionError, IsADirectoryError),
        Outcome.MISCONFIGURED,
        "a certificate or key of the service cannot be read",
    ),
    (TimeoutError, Outcome.TEMPORARY, "no answer in time"),
    ((OSError, LDAPCommunicationError), Outcome.TEMPORARY, "no connection with the directory: {words}"),
    (
        Exception,  # ldap3 raises any exception for what is not LDAP
        Outcome.MISCONFIGURED,
        "the server does not speak LDAP, or the settings do not fit it",
    ),
)
"""Outcomes of exceptions: the first row that fits one of the host's addresses applies."""


class Undecodable(DeliveryFailed):
    """ldap3 could not decode a response, or the server does not speak LDAP."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation."""

    code: int
    message: str
    """The name of the code, and the server's diagnostic message (RFC 4511 section 4.1.9)."""


class Directory:
    """One server of a directory.

    Each operation raises `DeliveryFailed` if there is no result, or if the deadline has passed.

    Args:
        url: `ldap://` or `ldaps://`, with the host and, where it is not that of `PORTS`, the port.
        tls: Further arguments of `ldap3.Tls`.
        options: Further arguments of `ldap3.Connection`.
        deadline: When operations are interrupted.
    """

    def __init__(self, url: SplitResult, tls: dict[str, Any], options: dict[str, Any], deadline: Deadline) -> None:
        self._host = url.hostname or ""
        self._deadline = deadline
        try:
            server = ldap3.Server(
                self._host,
                port=url.port or PORTS[url.scheme],
                use_ssl=url.scheme == "ldaps",
                tls=ldap3.Tls(validate=ssl.CERT_REQUIRED, **tls),
                get_info=ldap3.NONE,  # with the schema, ldap3 would refuse an attribute by itself, by an exception
                connect_timeout=deadline.left,
            )
        except LDAPException as error:
            raise self._failure(error) from error
        self._connection = ldap3.Connection(
            server,
            **{"fast_decoder": False, **options},
            receive_timeout=max(round(deadline.left), 1),  # ldap3 takes whole seconds
            auto_referrals=False,
            auto_range=False,
            check_names=False,
        )
        # receive_timeout restarts with each packet, and ldap3 has no limit for the size of a message
        deadline.when_passed(self._abort)

    def open(self) -> None:
        """Connect.

        For an `ldaps://` URL, negotiate TLS and check that the certificate is valid for the host.
        """
        self._do(lambda: self._connection.open(read_server_info=False))

    def start_tls(self) -> Result:
        """Request TLS, negotiate it, and check the certificate.

        The certificate must be valid for the host.
        """
        connection = self._connection

        def start() -> None:
            try:
                connection.start_tls(read_server_info=False)
            except LDAPStartTLSError:
                if not connection.result or not connection.result["result"]:
                    raise

        self._do(start)
        result = self._result()
        if not connection.tls_started and not result.code:
            raise DeliveryFailed(DeliveryResult(Outcome.MISCONFIGURED, "no TLS with the directory"))
        return result

    def bind(self) -> Result:
        """Authenticate."""
        self._do(lambda: self._connection.bind(read_server_info=False))
        return self._result()

    def search(self, base: str, wanted: str, attributes: list[str]) -> tuple[Result, list[dict[str, Any]]]:
        """Return at most two entries that match the filter, without referrals."""
        never = ldap3.DEREF_NEVER
        search = self._connection.search
        self._do(lambda: search(base, wanted, dereference_aliases=never, attributes=attributes, size_limit=2))
        return self._result(), [each for each in self._connection.response or () if each["type"] == "searchResEntry"]

    def modify(self, dn: str, changes: Changes) -> Result:
        """Change one entry, completely or not at all."""
        self._do(lambda: self._connection.modify(dn, changes))
        return self._result()

    def close(self) -> None:
        """Close the connection, if there is one."""
        with suppress(OSError, LDAPException):
            self._connection.unbind()
        if self._connection.socket:
            # ldap3 leaves a socket open that it could not connect
            self._connection.socket.close()

    def _do(self, act: Callable[[], object]) -> None:
        try:
            self._deadline.check()
            act()
        except Exception as error:
            raise self._failure(error) from error

    def _result(self) -> Result:
        result = self._connection.result
        code = result["result"]
        parts = (result["description"] or f"result code {code}", result["message"])
        return Result(code, ": ".join(each for each in parts if each))

    def _failure(self, error: Exception) -> DeliveryFailed:
        # An exception of ldap3 has two types, its own and that of its cause; for several addresses it holds a list
        addresses = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], list) else []
        causes = [each for each, _ in addresses] or [error]
        fitting = ((each, row) for row in _ERROR_OUTCOMES for each in causes if isinstance(each, row[0]))
        cause, (types, outcome, text) = next(fitting)
        # Without OpenSSL's error code and source position
        words = re.sub(r"^.*\[[\w: ]+\] | \(_ssl\.c:\d+\)$", "", str(cause))
        result = DeliveryResult(outcome, plain_text(text.format(host=self._host, words=words)))
        return Undecodable(result) if types is Exception else DeliveryFailed(result)

    def _abort(self) -> None:
        """Interrupt the current operation; called from another thread."""
        connected = self._connection.socket
        if connected is not None:
            shut_down(connected)
