"""Changes of the files of organisations: done as a whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from webapp.cli.errors import CommandError
from webapp.config.errors import Misconfigured
from webapp.config.loader import Config, load

_PRIVATE, _GROUP = 0o600, 0o640


def load_with(path: Path, name: str) -> Config:
    """Load the configuration, in which one organisation must be valid.

    Raises:
        Misconfigured: If the configuration, or the organisation, is invalid.
    """
    config = load(path, os.environ)
    if name in config.misconfigured:
        raise Misconfigured(config.misconfigured[name].problems)
    return config


@dataclass(slots=True)
class NewFiles:
    """Files that are removed again unless `keep` is called.

    A context manager. No existing file is overwritten.
    """

    written: list[Path] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin without any file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was written and is not kept."""
        for path in reversed(self.written):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()

    def keep(self) -> None:
        """Keep all files."""
        self.written.clear()

    def write(self, path: Path, content: bytes, *, mode: int = _PRIVATE, group: int | None = None) -> None:
        """Write a new file.

        Args:
            path: The file; a missing directory is created.
            content: Its content.
            mode: Its permissions.
            group: The group that it gets, if the user may give it that; None leaves the user's own.

        Raises:
            CommandError: If it exists, or cannot be written.
        """
        try:
            if not path.parent.exists():
                path.parent.mkdir(mode=0o750)
                self.written.append(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
            self.written.append(path)
            with os.fdopen(descriptor, "wb") as file:
                if group is not None:
                    with suppress(PermissionError):
                        os.fchown(descriptor, -1, group)
                os.fchmod(descriptor, mode)
                file.write(content)
        except FileExistsError:
            raise CommandError(f"{path} exists, and is not overwritten") from None
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None

    def write_secret(self, path: Path, content: bytes) -> None:
        """Write a new file for the user alone, or for the service too.

        The group of its directory may read it where that is not the user's own: an operator has then set it to the
        group of the service.

        Raises:
            CommandError: If it exists, or cannot be written.
        """
        group = path.parent.stat().st_gid if path.parent.exists() else os.getegid()
        for_service = group != os.getegid()
        self.write(path, content, mode=_GROUP if for_service else _PRIVATE, group=group if for_service else None)
