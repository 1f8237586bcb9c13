"""Client addresses, and the limit of failed credentials by address."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic

from resolver_connector.http import OWS, Environ

UNIX = "unix"
"""Stands for the other end of a unix socket among trusted proxies."""
MAX_FAILURES = 20
"""Failed credentials that an address may send at once."""
SECONDS_PER_FAILURE = 3.0
"""Seconds after which an address may send one more."""
MAX_ADDRESSES = 10_000
"""Addresses that are remembered, about 2 MB; the one that failed longest ago is dropped first."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies whose X-Forwarded-For is trusted."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, values: Iterable[str]) -> TrustedProxies:
        """Parse addresses, networks and `unix`.

        Raises:
            ValueError: If one is anything else.
        """
        values = tuple(values)
        return cls(tuple(ip_network(each) for each in values if each != UNIX), UNIX in values)

    def client_address(self, environ: Environ) -> str:
        """Return the client's address.

        It is the peer of the connection or, if the peer is a trusted proxy, the last address in X-Forwarded-For that is
        not one. Entries to the left of it were sent by the client and are ignored.
        """
        address: str = environ.get("REMOTE_ADDR") or UNIX
        forwarded: str = environ.get("HTTP_X_FORWARDED_FOR", "")
        for entry in reversed(forwarded.split(",") if forwarded else []):
            if not self._trusts(address):
                break
            candidate = entry.strip(OWS)
            try:
                ip_address(candidate)
            except ValueError:
                break
            address = candidate
        return address

    def _trusts(self, address: str) -> bool:
        parsed = _parse(address)
        if parsed is None:
            # Servers name the peer of a unix socket differently
            return self.unix
        return any(parsed in network for network in self.networks)


@dataclass(slots=True)
class FailureLimit:
    """Token bucket of failed credentials for each client address; thread-safe.

    Successful requests are never counted or refused: a whole university may come from one address.
    """

    clock: Callable[[], float] = monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    """Failures that have not expired, and when they were counted, by address."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        """Return the number of addresses that are remembered."""
        return len(self._buckets)

    def add(self, address: str) -> int:
        """Count a failure.

        Returns:
            0, or the seconds to wait if the address has failed too often.
        """
        key, now = _bucket_of(address), self.clock()
        with self._lock:
            failures, counted_at = self._buckets.pop(key, (0.0, now))
            failures = max(0.0, failures - (now - counted_at) / SECONDS_PER_FAILURE)
            exceeded = failures + 1 > MAX_FAILURES
            self._buckets[key] = (failures if exceeded else failures + 1, now)
            if len(self._buckets) > MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        return int(SECONDS_PER_FAILURE) if exceeded else 0


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    # A socket of both families names a client of IPv4 ::ffff:192.0.2.1
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def _bucket_of(address: str) -> str:
    parsed = _parse(address)
    if parsed is None:
        return address
    # A client has a whole /64 network of IPv6
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
