"""Checks of the federation's metadata, which the attribute authority reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from shibboleth.metadata import InvalidMetadata, Metadata, first_expired, read_metadata
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config

_EXPIRES_SOON = timedelta(days=1)
"""Metadata is usually refreshed long before it expires."""
_SUBJECT = "metadata"
_REFRESH = "check that shibd, or the program that writes this file, refreshes it; expired entries are rejected"


def check_metadata(config: Config, now: datetime) -> Iterator[CheckResult]:
    """Check the validity of the metadata of the federation.

    The entry of each service that may query the authority is checked too.
    """
    if config.authority.metadata is None:
        return
    path = Path(config.authority.metadata)
    services = sorted({service for each in config.organisation_settings.values() for service in each.authority_clients})
    try:
        found = read_metadata(path, services)
    except InvalidMetadata as error:
        details = {"path": str(path)}
        yield CheckResult(
            Level.ERROR, _SUBJECT, f"{path} cannot be used: {error}", "set it to the federation's metadata", details
        )
        return
    yield _file(path, found, now)
    for service in services:
        yield from _service(path, found, service, now)


def _file(path: Path, found: Metadata, now: datetime) -> CheckResult:
    details = {"path": str(path), "valid_until": found.valid_until}
    if end := first_expired(found.valid_until, now):
        return CheckResult(Level.ERROR, _SUBJECT, f"{path} expired at {end}", _REFRESH, details)
    if end := first_expired(found.valid_until, now + _EXPIRES_SOON):
        return CheckResult(Level.WARNING, _SUBJECT, f"{path} expires at {end}", _REFRESH, details)
    until = f"valid until {found.valid_until[0]}" if found.valid_until else "does not expire"
    return CheckResult(Level.OK, _SUBJECT, f"{path}, {until}", details=details)


def _service(path: Path, found: Metadata, service: str, now: datetime) -> Iterator[CheckResult]:
    details = {"path": str(path), "service": service}
    if service not in found.entities:
        text = f"{path} has no entry for {service}, so its queries are rejected"
        yield CheckResult(Level.WARNING, _SUBJECT, text, "check its entityID in [authority] services", details)
    elif end := first_expired(found.entities[service], now):
        text = f"the entry for {service} in {path} expired at {end}, so its queries are rejected"
        yield CheckResult(Level.WARNING, _SUBJECT, text, _REFRESH, details)
