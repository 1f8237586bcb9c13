"""Output of generated files, to standard output or a directory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec

import click

from shibboleth.handout.render import RenderedFile, TemplateError
from webapp.cli.errors import CommandError
from webapp.cli.output import printable
from webapp.config.loader import Config
from webapp.config.service import ServiceFile

SECRET_MODE, PUBLIC_MODE = 0o600, 0o644

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
