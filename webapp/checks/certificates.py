"""Checks of the certificates with which the service authenticates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from webapp.certificates import EXPIRES_SOON, used_certificates
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config


def check_certificates(config: Config, now: datetime) -> Iterator[CheckResult]:
    """Report when each certificate expires."""
    for each in used_certificates(config):
        name = f"{each.organisation}, {each.used_for}" if each.organisation else each.used_for
        fix = "put a new certificate there, and its key where the configuration says; no restart is needed"
        details = {"id": each.organisation, "used_for": each.used_for, "path": str(each.path)}
        if (expires := each.expires_at) is None:
            text, level = f"{name}, {each.path} cannot be read as a certificate in PEM", Level.ERROR
        else:
            details["expires"] = expires.isoformat()
            text = f"{name}, {each.path} {'expired' if expires <= now else 'expires'} on {expires:%Y-%m-%d}"
            level = Level.ERROR if expires <= now else Level.WARNING if expires < now + EXPIRES_SOON else Level.OK
        yield CheckResult(level, "certificate", text, "" if level is Level.OK else fix, details)
