"""Certificates with which the service authenticates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from webapp.config.base import certificate_expiry
from webapp.config.loader import Config
from webapp.log import log

EXPIRES_SOON = timedelta(days=30)
"""How long before its end a certificate is reported."""


@dataclass(frozen=True, slots=True)
class UsedCertificate:
    """A file with a certificate of the service's own."""

    organisation: str
    """The id of the organisation in whose file it is named; empty if it is the service's own file."""
    used_for: str
    """`transfer NAME`, `store` or `authority`."""
    path: Path

    @property
    def expires_at(self) -> datetime | None:
        """When it expires, as its file says now; None if that cannot be read."""
        try:
            return certificate_expiry(self.path)
        except (OSError, ValueError):
            return None


def used_certificates(config: Config) -> tuple[UsedCertificate, ...]:
    """Return the certificates that the configuration names."""
    return tuple(_used_certificates(config))


def log_expiring(certificates: Iterable[UsedCertificate], now: datetime) -> None:
    """Log each certificate that expires soon, has expired, or cannot be read."""
    for each in certificates:
        expires = each.expires_at
        if expires is None or expires < now + EXPIRES_SOON:
            owner = {"organisation": each.organisation} if each.organisation else {}
            expiry = f"{expires:%Y-%m-%d}" if expires else "unknown"
            log.warning("certificate-expires", **owner, used_for=each.used_for, file=str(each.path), expires=expiry)


def _used_certificates(config: Config) -> Iterator[UsedCertificate]:
    for stated in parse_qs(urlsplit(config.store.url).query).get("sslcert", []):
        yield UsedCertificate("", "store", Path(stated))
    if config.authority.certificate is not None:
        yield UsedCertificate("", "authority", Path(config.authority.certificate))
    for organisation_id, transfers in config.transfers.items():
        for name, transfer in transfers.items():
            # Kinds that authenticate otherwise have no such setting
            path = getattr(transfer, "certificate", None)
            if path is not None:
                yield UsedCertificate(organisation_id, f"transfer {name}", path)
