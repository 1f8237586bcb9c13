"""Checks of addresses, credentials, secret files, files of transfers."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config

_OTHERS = 0o007


def check_configuration(config: Config) -> Iterator[CheckResult]:
    """Show the addresses of the service, and check credentials and files."""
    yield from _addresses(config)
    yield from _misconfigured(config)
    yield from _credentials(config)
    yield from _secret_files(config)
    yield from _transfer_files(config)


def _addresses(config: Config) -> Iterator[CheckResult]:
    count = len(config.organisations)
    text = f"{config.path}, {count} organisation{'' if count == 1 else 's'}"
    yield CheckResult(Level.OK, "configuration", text, details={"path": str(config.path), "organisations": count})
    yield CheckResult(Level.INFO, "public URL", config.service.public_url, details={"url": config.service.public_url})
    text = f"{config.redirect_uri}  (register exactly this at ORCID)"
    yield CheckResult(Level.INFO, "redirect URI", text, details={"uri": config.redirect_uri})
    registry, url = config.service.registry, config.orcid.base_url
    details = {"registry": str(registry), "base_url": url}
    yield CheckResult(Level.INFO, "registry", f"{registry}, {url}", details=details)


def _misconfigured(config: Config) -> Iterator[CheckResult]:
    for organisation_id, one in config.misconfigured.items():
        for problem in one.problems:
            place = f"{problem.file}: {problem.key}" if problem.key else problem.file
            text = f"{organisation_id} is left out: {place}: {problem.text}"
            details = {"id": organisation_id, "file": problem.file, "key": problem.key, "problem": problem.text}
            yield CheckResult(Level.ERROR, "organisation", text, problem.fix, details)


def _credentials(config: Config) -> Iterator[CheckResult]:
    # An organisation with a transfer gets its iDs pushed, and needs no credential
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        if settings.keeps_links and not settings.credentials and not settings.idm_transfers:
            text = f"{organisation.id} has no credential and no transfer, so it cannot get its people's iDs"
            fix = f"add a [[credential]] to organisations/{organisation.id}.toml; docs/settings.md shows one"
            yield CheckResult(Level.WARNING, "credential", text, fix, {"organisation": organisation.id})


def _secret_files(config: Config) -> Iterator[CheckResult]:
    paths = [path for path in dict.fromkeys(secret.path for secret in config.secrets) if path is not None]
    exposed = [path for path in paths if path.stat().st_mode & _OTHERS]
    for path in exposed:
        fix = f"run: chmod o= {shlex.quote(str(path))}"
        text = f"{path} is accessible to every user of this machine"
        yield CheckResult(Level.WARNING, "secret", text, fix, {"path": str(path)})
    if not exposed:
        yield CheckResult(Level.OK, "secrets", f"{len(config.secrets)} found, none accessible to other users")


def _transfer_files(config: Config) -> Iterator[CheckResult]:
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        for name, transfer in settings.transfers.items():
            for path in [value for _, value in transfer if isinstance(value, Path)]:
                if not os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.R_OK):
                    text = f"{organisation.id}, {name}: {path} is missing, or not accessible to this user"
                    fix = "create it, accessible to the user that runs the service"
                    yield CheckResult(Level.ERROR, "transfer", text, fix, {"id": organisation.id, "path": str(path)})
