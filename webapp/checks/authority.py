"""What `check` says about the federation's metadata, as the attribute authority reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from shibboleth.metadata import InvalidMetadata, Metadata, first_expired, read_metadata
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config

SOON = timedelta(days=1)
"""Whoever refreshes metadata does so long before it ends."""
_ABOUT = "metadata"
_REFRESH = (
    "see that shibd, or whoever writes this file, refreshes it; the authority lets in nobody with what has expired"
)


def metadata(config: Config, now: datetime) -> Iterator[CheckResult]:
    """Tell whether the metadata can be believed, as a whole and about each service that may ask."""
    if config.authority.metadata is None:
        return
    path = Path(config.authority.metadata)
    services = sorted({service for each in config.organisation_settings.values() for service in each.authority_clients})
    try:
        found = read_metadata(path, services)
    except InvalidMetadata as error:
        facts = {"path": str(path)}
        yield CheckResult(
            Level.WRONG, _ABOUT, f"{path} cannot be used: {error}", "name the federation's metadata", facts
        )
        return
    yield _whole(path, found, now)
    for service in services:
        yield from _of_service(path, found, service, now)


def _whole(path: Path, found: Metadata, now: datetime) -> CheckResult:
    facts = {"path": str(path), "valid_until": found.valid_until}
    if end := first_expired(found.valid_until, now):
        return CheckResult(Level.WRONG, _ABOUT, f"{path} was valid until {end}", _REFRESH, facts)
    if end := first_expired(found.valid_until, now + SOON):
        return CheckResult(Level.WARNING, _ABOUT, f"{path} is valid until {end} and no longer", _REFRESH, facts)
    until = f"valid until {found.valid_until[0]}" if found.valid_until else "it has no end"
    return CheckResult(Level.OK, _ABOUT, f"{path}, {until}", facts=facts)


def _of_service(path: Path, found: Metadata, service: str, now: datetime) -> Iterator[CheckResult]:
    facts = {"path": str(path), "service": service}
    if service not in found.entities:
        text = f"{path} does not know {service}, so this service is refused"
        yield CheckResult(Level.WARNING, _ABOUT, text, "compare its entityID under [authority] services", facts)
    elif end := first_expired(found.entities[service], now):
        text = f"what {path} says of {service} was valid until {end}, so this service is refused"
        yield CheckResult(Level.WARNING, _ABOUT, text, _REFRESH, facts)
