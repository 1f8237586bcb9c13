"""Where the configuration's files are, and what stands in them before anything is checked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from shibboleth.orcid_id import Registry
from webapp.config.errors import InvalidSetting, SettingProblem

DEFAULT_PATH = "/etc/orcid-connect/orcid-connect.toml"
PATH_VARIABLE = "ORCID_CONNECT_CONFIG"


def organisation_paths(directory: Path) -> list[Path]:
    """Give the organisations' files of a directory."""
    if not directory.is_dir():
        return []
    return sorted(
        path for path in directory.iterdir() if path.suffix.lower() == ".toml" and not path.name.startswith(".")
    )


def content_of(path: Path, problems: list[SettingProblem]) -> dict[str, Any] | None:
    """Give what stands in a file; none where it cannot be read, which is one problem more."""
    try:
        return _parsed(path)
    except InvalidSetting as wrong:
        problems.append(SettingProblem(str(path), "", wrong.text, wrong.mend))
        return None


def _parsed(path: Path) -> dict[str, Any]:
    data = b""
    try:
        data = path.read_bytes()
        return tomllib.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise InvalidSetting(
            "there is no such file", f"write it, or say where it is: --config, or {PATH_VARIABLE}"
        ) from None
    except OSError as error:
        raise InvalidSetting(f"cannot be read: {error.strerror}", "make it a file that this user may read") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSetting(f"is not text in UTF-8 (line {line})", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        mend = 'mend it there: text stands in quotes, as in name = "value", a section in brackets, as in [service]'
        raise InvalidSetting(f"is not TOML: {error}", mend) from None


def registry_in(content: dict[str, Any] | None) -> Registry | None:
    """Give the registry that the service's file says, if it says one."""
    try:
        return Registry(_said(content, "registry"))
    except ValueError:
        return None


def directory_in(content: dict[str, Any] | None) -> str:
    """Give the directory of the organisations' files, as the service's file says it."""
    said = _said(content, "organisations")
    return said if isinstance(said, str) and said else "organisations"


def _said(content: dict[str, Any] | None, name: str) -> Any:
    service = (content or {}).get("service")
    return service.get(name) if isinstance(service, dict) else None
