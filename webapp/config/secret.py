"""Secrets, to which the configuration refers by `env:NAME` or `file:/path`.

A resolved secret never appears in text. No error message contains what is written in place of a reference, because that
may be the secret itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from webapp.config.errors import InvalidSetting, closest_match
from webapp.config.validators import invisible_character

REFERENCE = 'a reference, "file:/path" or "env:NAME"'
FIX_REFERENCE = 'put the secret alone into a file that only the service may read, and write "file:" and its path here'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MAX_SECRET = 64 * 1024
_WHITE_SPACE = " \t\r\n"
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", re.ASCII)


class Secret:
    """A secret that does not appear in any text.

    repr, str, format, logs, tracebacks and dumps of a model that has it do not show it. It is a plain class, because a
    dump of a model contains the fields of dataclasses.
    """

    __slots__ = ("_value", "path", "source")

    def __init__(self, value: str, source: str, path: Path | None = None) -> None:
        self._value = value
        self.source = source
        """The reference, which may be shown."""
        self.path = path
        """The file that it was read from; None if it was not a file."""

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __str__(self) -> str:
        return f"(secret from {self.source})"

    __repr__ = __str__

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a secret cannot be serialised")


def is_reference(text: str) -> bool:
    """Return whether a text has the form of a reference, whatever it names."""
    return _REFERENCE.fullmatch(text) is not None and not invisible_character(text)


def resolve(reference: str, directory: Path, environ: Mapping[str, str]) -> Secret:
    """Read the secret that a reference names, `env:NAME` or `file:/path`.

    White space around the secret and the byte order mark of a file do not belong to it.

    Args:
        reference: The reference.
        directory: Where a relative path starts.
        environ: The environment variables.

    Raises:
        InvalidSetting: If it is no reference, or the secret is missing, empty, too long or has invisible characters.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env" and _VARIABLE.fullmatch(rest):
        return Secret(_check(_read_variable(rest, environ)), reference)
    if kind == "file" and rest and not invisible_character(rest):
        path = directory / rest
        return Secret(_check(_read_file(path, rest)), reference, path)
    raise InvalidSetting(f"must be {REFERENCE}, and never the secret itself", _fix_reference(reference))


def _fix_reference(reference: str) -> str:
    """Return how to correct a misspelled reference.

    If the text does not look like a reference, return where to put the secret.
    """
    kind, colon, _ = reference.partition(":")
    meant = closest_match(kind.strip(), ("file", "env")) if colon else None
    fix = FIX_REFERENCE
    if hidden := invisible_character(reference):
        fix = f"remove the invisible character {hidden}"
    elif reference.strip().startswith("$") or meant == "env":
        fix = 'write "env:" and the name of the variable alone, as in "env:ORCID_CLIENT_SECRET"'
    elif meant == "file":
        fix = 'write "file:" in lower case, without a space, and the path after it'
    return fix


def _read_variable(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        meant = closest_match(name, environ)
        fix = f"set it for this process; did you mean env:{meant}?" if meant else "set it for this process"
        raise InvalidSetting("refers to an environment variable that is not set", fix)
    return environ[name]


def _read_file(path: Path, written: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET + 1)
    except FileNotFoundError:
        raise InvalidSetting("refers to a file that does not exist", _fix_path(written)) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidSetting(
            f"refers to a file that cannot be read ({why})", "make it a file that the user running the service may read"
        ) from None
    if len(content) > _MAX_SECRET:
        raise InvalidSetting(f"refers to a file of more than {_MAX_SECRET} bytes", "put the secret alone into a file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidSetting("refers to a file that is not text in UTF-8", "save it as UTF-8") from None


def _fix_path(written: str) -> str:
    create = "create it, with the secret as its one line"
    if written.startswith("~"):
        return "write the path without ~, which is not expanded"
    if written != written.strip():
        return "remove the space before or after the path"
    if written.startswith("//"):
        return f"write file:/path with one slash, or {create}"
    relative = "" if written.startswith("/") else "; a relative path starts at the directory of the service's file"
    return create + relative


def _check(value: str) -> str:
    value = value.strip(_WHITE_SPACE)
    if not value:
        raise InvalidSetting("refers to a secret that is empty", "put the secret there")
    if len(value.splitlines()) > 1:
        raise InvalidSetting("refers to a secret of more than one line", "leave the secret alone there, on one line")
    if hidden := invisible_character(value):
        raise InvalidSetting(
            f"refers to a secret with an invisible character, {hidden}", "remove it, or copy the secret again"
        )
    return value
