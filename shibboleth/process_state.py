"""What balancers and `check` are told about a process by its health pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from shibboleth.version import VERSION

CONFIGURATION_HEADER = "Configuration-Digest"
"""The header of health pages with the digest of the loaded configuration."""
VERSION_HEADER = "Service-Version"
"""The header of health pages with the version that runs."""


@dataclass(slots=True)
class ProcessState:
    """Whether a process ends, and with which configuration it runs."""

    configuration: str = ""
    """The digest of the configuration that the process has loaded; empty if it is not known."""
    ending: bool = False
    """Whether the process was told to end, so that it must not get new requests."""
    requests: int = 0
    """How many requests are being answered."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of health pages."""
        digest = [(CONFIGURATION_HEADER, self.configuration)] if self.configuration else []
        return [(VERSION_HEADER, VERSION), *digest]

    def counting(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Return a WSGI application that counts its requests.

        A request counts until its response has been sent.
        """

        def counted(environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
            self.add_requests(1)
            try:
                body = application(environ, start_response)
            except BaseException:
                self.add_requests(-1)
                raise
            return _Counted(body, self)

        return counted

    def add_requests(self, number: int) -> None:
        """Add to the number of requests that are being answered."""
        with self._lock:
            self.requests += number


class _Counted:
    # The body of a response; the server calls `close` (PEP 3333)
    def __init__(self, body: Iterable[bytes], state: ProcessState) -> None:
        self._body, self._state = body, state

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._state.add_requests(-1)
