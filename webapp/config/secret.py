"""Secrets stand in the configuration by reference alone, and a resolved one never shows itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from webapp.config.errors import InvalidSetting

MEND = 'put the secret alone into a file that only the service may read, and write "file:" and its path here'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LARGEST = 64 * 1024


class Secret:
    """A secret that is shown nowhere: not by repr, str or format, not in a log, a traceback or a dump of its owner.

    A plain class, because whatever dumps models also dumps the fields of a dataclass.
    """

    __slots__ = ("_value", "path", "source")

    def __init__(self, value: str, source: str, path: Path | None = None) -> None:
        self._value = value
        self.source = source
        """The reference it was resolved from, which may be shown."""
        self.path = path
        """The file it was read from, where it was one."""

    def reveal(self) -> str:
        """Give the secret itself, to whoever sends or compares it."""
        return self._value

    def __str__(self) -> str:
        return f"(secret from {self.source})"

    __repr__ = __str__

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a secret is not written anywhere")


def resolve(reference: str, directory: Path, environ: Mapping[str, str]) -> Secret:
    """Read the secret behind `env:NAME` or `file:/path`; a relative path starts at `directory`.

    Raises InvalidSetting.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env" and _VARIABLE.fullmatch(rest):
        return Secret(_sound(_variable(rest, environ), f"the environment variable {rest}"), reference)
    if kind == "file" and rest:
        path = directory / rest
        return Secret(_sound(_content(path), f"the file {path}"), reference, path)
    raise InvalidSetting('must be a reference, "file:/path" or "env:NAME", and never the secret itself', MEND)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if value is None:
        raise InvalidSetting(
            f"refers to the environment variable {name}, which is not set", f"set {name} for this process"
        )
    return value


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode()
    except FileNotFoundError:
        raise InvalidSetting(
            f"refers to {path}, and there is no such file", "create it, with the secret as its one line"
        ) from None
    except UnicodeDecodeError:
        raise InvalidSetting(
            f"refers to {path}, which is not text in UTF-8", "write the secret into it as text"
        ) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidSetting(
            f"refers to {path}, which cannot be read ({why})",
            "make it a file that the user running the service may read",
        ) from None


def _sound(value: str, place: str) -> str:
    value = value.strip()
    if not value:
        raise InvalidSetting(f"refers to {place}, which is empty", "put the secret there")
    if any(unicodedata.category(each) == "Cc" for each in value):
        raise InvalidSetting(
            f"refers to {place}, which holds more than one line", "leave the secret alone there, on one line"
        )
    return value
