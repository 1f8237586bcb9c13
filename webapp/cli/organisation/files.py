"""The files of organisations, and what follows a change of one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from webapp.cli.context import load_service_file
from webapp.cli.errors import CommandError
from webapp.cli.output import printable
from webapp.config.errors import Misconfigured
from webapp.config.loader import DEFAULT_PATH, ORGANISATION_ID, Config, load, organisations_directory
from webapp.config.service import FrontKind


def organisation_file(path: Path, name: str) -> Path:
    """Return the path of an organisation's file, which need not exist.

    Raises:
        CommandError: If the name cannot be an organisation's id.
        Misconfigured: If the service's file is invalid.
    """
    if not ORGANISATION_ID.fullmatch(name):
        raise CommandError(
            f"{printable(name)} cannot be the id of an organisation: 1 to 63 of a-z, 0-9 and -, as in example-org"
        )
    return organisations_directory(path, load_service_file(path).service.organisations) / f"{name}.toml"


def load_with(path: Path, name: str) -> Config:
    """Load the configuration, in which one organisation must be valid.

    Raises:
        Misconfigured: If the configuration, or the organisation, is invalid.
    """
    config = load(path, os.environ)
    if name in config.misconfigured:
        raise Misconfigured(config.misconfigured[name].problems)
    return config


def own_command(config: Config, *words: str) -> str:
    """Return the line that runs a command as the service's system account."""
    path = [] if str(config.path) == DEFAULT_PATH else ["--config", str(config.path)]
    return f"runuser -u {config.service_provider.system_user} -- " + shlex.join(["orcid-connect", *path, *words])


def reload_command(config: Config) -> str:
    """Return the line that lets the running services read the files.

    Services that do not run are not started by it.
    """
    if config.service.front is FrontKind.PROXY:
        return "systemctl try-reload-or-restart orcid-connect-web orcid-connect-connector orcid-connect-deliver"
    scripts = [str(config.path.parent / name) for name in ("connect.wsgi", "connector.wsgi")]
    return f"{shlex.join(['touch', '-c', *scripts])}; systemctl try-reload-or-restart orcid-connect-deliver"
