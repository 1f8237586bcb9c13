"""Checks of the files, and of whether the running processes have loaded them."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from shibboleth.organisation import State
from shibboleth.process_state import CONFIGURATION_HEADER, VERSION_HEADER
from shibboleth.version import VERSION
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.config.organisation import OrganisationSettings
from webapp.config.service import FrontKind
from webapp.config.transfers import installed_kind_problems

_OTHERS = 0o007
_TIMEOUT = 5.0
"""Seconds to wait for a connection, and for each part of a response."""


def check_configuration(config: Config) -> Iterator[CheckResult]:
    """Show the addresses of the service, and check credentials and files."""
    yield from _addresses(config)
    yield from _misconfigured(config)
    yield from _states(config)
    yield from _orcid_clients(config)
    yield from _credentials(config)
    yield from _secret_files(config)
    yield from _installed_kinds()
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


def _states(config: Config) -> Iterator[CheckResult]:
    for organisation_id in config.disabled:
        text = f"{organisation_id} is disabled: its people cannot sign in, and its iDs are not released"
        yield CheckResult(Level.INFO, "state", text, details={"id": organisation_id, "state": "disabled"})
    for settings in config.organisation_settings.values():
        yield from check_state(settings)


def check_state(settings: OrganisationSettings) -> Iterator[CheckResult]:
    """Report who may link, unless the organisation is open to all its people."""
    organisation_id, state, named = settings.organisation.id, settings.organisation.state, len(settings.test_accounts)
    details = {"id": organisation_id, "state": state, "accounts": named}
    if state is State.CLOSED:
        text = f"{organisation_id} is closed: people see and remove their links, and link none"
        yield CheckResult(Level.INFO, "state", text, details=details)
    elif state is State.HIDDEN and not named:
        text = f"{organisation_id} is hidden and names no test_accounts, so its people cannot link"
        fix = f"add test_accounts to organisations/{organisation_id}.toml; docs/piloting.md describes the states"
        yield CheckResult(Level.WARNING, "state", text, fix, details)
    elif state is not State.OPEN:
        pilot, entitlements = state is State.PILOT, len(settings.pilot.entitlements)
        details["accounts"] = named = named + len(settings.pilot.people) * pilot
        by_entitlement = f", and people with one of {entitlements} entitlements" if pilot and entitlements else ""
        text = f"{organisation_id} is in state {state}: accounts that may link: {named}{by_entitlement}"
        yield CheckResult(Level.INFO, "state", text, details=details)


def _orcid_clients(config: Config) -> Iterator[CheckResult]:
    for organisation_id, settings in config.organisation_settings.items():
        if settings.orcid is None:
            continue
        client_id, asks = settings.orcid.client_id, ", ".join(settings.orcid.permissions) or "the iD alone"
        details = {
            "organisation": organisation_id,
            "client_id": client_id,
            "permissions": [*settings.orcid.permissions],
        }
        text = f"{organisation_id} has its own, {client_id}, with the same redirect URI; it asks for {asks}"
        yield CheckResult(Level.INFO, "ORCID client", text, details=details)
        if settings.fetches_tokens and not settings.orcid.permissions:
            text = f"{organisation_id} has a credential with the right tokens, and its client asks for the iD alone"
            fix = f"add scopes to [orcid] in organisations/{organisation_id}.toml, or remove the right"
            yield CheckResult(Level.WARNING, "credential", text, fix, {"organisation": organisation_id})


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


def _installed_kinds() -> Iterator[CheckResult]:
    for name, problem in installed_kind_problems().items():
        details = {"kind": name}
        if problem:
            text, fix = f'the installed kind "{name}" {problem}', "update, repair or remove the package that has it"
            yield CheckResult(Level.WARNING, "transfer", text, fix, details)
        else:
            yield CheckResult(Level.OK, "transfer", f'the kind "{name}" is of an installed package', details=details)


def _transfer_files(config: Config) -> Iterator[CheckResult]:
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        for name, transfer in settings.transfers.items():
            for path in [value for _, value in transfer if isinstance(value, Path)]:
                if not os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.R_OK):
                    text = f"{organisation.id}, {name}: {path} is missing, or not accessible to this user"
                    fix = "create it, accessible to the user that runs the service"
                    yield CheckResult(Level.ERROR, "transfer", text, fix, {"id": organisation.id, "path": str(path)})


def check_running(config: Config) -> Iterator[CheckResult]:
    """Compare each server's health page with the files and with this version.

    With several processes behind one address, one of them answers.
    """
    if config.service.front is FrontKind.PROXY:
        yield _compare(config, "the pages", config.listen.address, "/healthz")
        yield _compare(config, "the connector", config.connector.address, "/healthz")
    else:
        yield _compare(config, "the pages", config.service.public_url, "/healthz")
        yield _compare(config, "the connector", config.service.public_url, "/v1/health")
    if config.worker.enabled:
        yield _compare(config, "the worker", config.worker.address, "/healthz")


def _compare(config: Config, name: str, address: tuple[str, int] | str, path: str) -> CheckResult:
    details = {"process": name, "configuration": config.digest, "version": VERSION}
    try:
        digest, version = _loaded(address, path)
    except (OSError, http.client.HTTPException) as error:
        text = f"{name}: no answer, {error or type(error).__name__}"
        return CheckResult(Level.ERROR, "running", text, "start it, and see its log", details)
    details |= {"loaded": digest, "loaded_version": version}
    if (digest, version) == (config.digest, VERSION):
        return CheckResult(Level.OK, "running", f"{name}: these files are loaded, {digest}", details=details)
    text = f"{name}: other files are loaded ({digest}) than these ({config.digest})"
    if digest == config.digest:
        text = f"{name}: version {version} runs, and {VERSION} is installed"
    return CheckResult(Level.ERROR, "running", text, "reload it; docs/operator/run.md describes how", details)


def _loaded(address: tuple[str, int] | str, path: str) -> tuple[str, str]:
    with closing(_connection(address)) as connection:
        prefix = urlsplit(address).path if isinstance(address, str) and address.startswith("http") else ""
        connection.request("GET", prefix + path)
        response = connection.getresponse()
        for header in (CONFIGURATION_HEADER, VERSION_HEADER):
            if header not in response.headers:
                raise http.client.HTTPException(f"the response {response.status} has no {header}")
        return response.headers[CONFIGURATION_HEADER], response.headers[VERSION_HEADER]


def _connection(address: tuple[str, int] | str) -> http.client.HTTPConnection:
    if not isinstance(address, str):
        return http.client.HTTPConnection(*address, timeout=_TIMEOUT)
    if address.startswith("https:"):
        return http.client.HTTPSConnection(urlsplit(address).netloc, timeout=_TIMEOUT)
    if address.startswith("http:"):
        return http.client.HTTPConnection(urlsplit(address).netloc, timeout=_TIMEOUT)
    connection = http.client.HTTPConnection("localhost", timeout=_TIMEOUT)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(_TIMEOUT)
    connection.sock.connect(address)
    return connection
