"""Output of generated files, to standard output or a directory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self

import click

from shibboleth.handout.render import RenderedFile, TemplateError
from shibboleth.handout.sp import FEDERATIONS, Federation
from shibboleth.orcid_id import Registry
from webapp.cli.errors import CommandError
from webapp.cli.output import printable
from webapp.config.loader import Config
from webapp.config.service import ServiceFile

SECRET_MODE, GROUP_MODE, PUBLIC_MODE = 0o600, 0o640, 0o644

P = ParamSpec("P")

output_option = click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files to this directory instead of printing them.",
)


def handle_template_errors(function: Callable[P, None]) -> Callable[P, None]:
    """Report a value that a template does not accept."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except TemplateError as error:
            raise CommandError(printable(f"the files cannot be generated: {error}")) from None

    return wrapper


def write_files(files: Iterable[RenderedFile], directory: Path | None) -> None:
    """Print files, or write them to a directory without replacing other content.

    Raises:
        CommandError: If a file cannot be written, or one exists with other content; then nothing was written.
    """
    rendered = list(files)
    if directory is None:
        click.echo("\n".join(f"{f'===== {each.path} ':=<100}\n\n{each.text}" for each in rendered), nl=False)
        return
    targets = {each: directory / each.path for each in rendered}
    try:
        different = [target for each, target in targets.items() if _differs(target, each.text)]
        if different:
            listed = ", ".join(map(str, different))
            raise CommandError(f"nothing was written, because these exist with other content: {listed}")
        for each, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = SECRET_MODE if each.secret else PUBLIC_MODE
            if not target.exists():
                # With its mode from the start: a secret is never readable by others
                target.touch(mode, exist_ok=False)
                target.write_text(each.text, "utf-8")
            target.chmod(mode)
            click.echo(f"{'secret' if each.secret else 'file':<8}{target}")
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None


def _differs(target: Path, text: str) -> bool:
    if target.is_symlink():
        return True
    return target.exists() and (not target.is_file() or target.read_bytes() != text.encode())


def sp_entity_id(config: Config | ServiceFile) -> str:
    """Return the entityID of the service's own Service Provider."""
    return config.service_provider.entity_id or f"{config.service.public_url}/shibboleth"


def federation_of(config: Config | ServiceFile) -> Federation:
    """Return the addresses of the federation's metadata and discovery service."""
    settings = config.service_provider
    default = "haka" if config.service.registry is Registry.PRODUCTION else "haka-test"
    known = FEDERATIONS[settings.federation or default]
    return Federation(settings.metadata_url or known.metadata, settings.discovery_url or known.discovery)


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

    def make_directory(self, path: Path, *, mode: int = 0o750, parents: bool = False) -> None:
        """Make a directory, unless it exists.

        Args:
            path: The directory.
            mode: Its permissions, less those of the umask.
            parents: Whether missing directories above it are made too.

        Raises:
            OSError: If it cannot be made.
        """
        if not path.exists():
            if parents:
                self.make_directory(path.parent, mode=mode, parents=True)
            path.mkdir(mode=mode)
            self.written.append(path)

    def write(self, path: Path, content: bytes, *, mode: int = SECRET_MODE, group: int | None = None) -> None:
        """Write a new file.

        Args:
            path: The file; its directory is made if it is missing.
            content: Its content.
            mode: Its permissions.
            group: The group that it gets, if the user may give it that; None leaves the user's own.

        Raises:
            CommandError: If it exists, or cannot be written.
        """
        try:
            self.make_directory(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE)
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
        self.write(path, content, mode=GROUP_MODE if for_service else SECRET_MODE, group=group if for_service else None)
