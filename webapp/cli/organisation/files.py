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

    def write(self, path: Path, content: bytes, *, for_service: bool = True) -> None:
        """Write a new file, readable by its owner alone.

        Args:
            path: The file; a missing directory is created.
            content: Its content.
            for_service: Whether the group of its directory may read it, where that is not the user's own: then the
                operator has set it to the group of the service.

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
                group = path.parent.stat().st_gid
                if for_service and group != os.getegid():
                    os.fchown(descriptor, -1, group)
                    os.fchmod(descriptor, _GROUP)
                file.write(content)
        except FileExistsError:
            raise CommandError(f"{path} exists, and is not overwritten") from None
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
