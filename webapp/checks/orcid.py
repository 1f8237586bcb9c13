"""Checks that ORCID can be reached."""

from __future__ import annotations

from datetime import datetime

from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.linking.orcid_client import OrcidUnavailable
from webapp.linking.public_api import LookupFailed
from webapp.wiring.pages import orcid_client
from webapp.wiring.status_round import make_public_api


def check_orcid(config: Config) -> CheckResult:
    """Send a request to ORCID, and check that ORCID answers it."""
    url = config.orcid.base_url
    try:
        orcid_client(config).check_discovery()
    except OrcidUnavailable as error:
        fix = "check that this machine can reach it (firewall, DNS), and https://status.orcid.org"
        text = f"{url} does not answer as expected: {error.reason}"
        return CheckResult(Level.ERROR, "ORCID", text, fix, {"url": url})
    return CheckResult(Level.OK, "ORCID", f"{url} answers", details={"url": url})


def check_public_api(config: Config, now: datetime) -> CheckResult:
    """Check that ORCID's public API, at which iDs are looked up, works."""
    url = config.orcid.public_api_url
    try:
        make_public_api(config).check_status(now)
    except LookupFailed as error:
        fix = "check that this machine can reach it (firewall, DNS), and https://status.orcid.org"
        text = f"{url} does not answer as expected: {error.reason}; the iDs' records cannot be looked up"
        return CheckResult(Level.WARNING, "ORCID", text, fix, {"url": url})
    return CheckResult(Level.OK, "ORCID", f"{url} answers", details={"url": url})
