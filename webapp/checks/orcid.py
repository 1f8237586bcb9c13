"""Checks that ORCID can be reached."""

from __future__ import annotations

from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.linking.orcid_client import OrcidUnavailable
from webapp.wiring.pages import orcid_client


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
