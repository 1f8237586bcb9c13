"""What the commands of `orcid-connect handout` share: how files are shown, or written where nothing else is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec

import click

from shibboleth.handout.render import RenderedFile, TemplateError
from webapp.cli.common import CommandError, safe
from webapp.config.loader import Config

SECRET, OPEN = 0o600, 0o644

P = ParamSpec("P")

output_option = click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files into this directory, instead of showing them.",
)


def filled(function: Callable[P, None]) -> Callable[P, None]:
    """Say what cannot be filled in."""

    @functools.wraps(function)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except TemplateError as error:
            raise CommandError(safe(f"it cannot be filled in: {error}")) from None

    return spoken


def hand_out(files: Iterable[RenderedFile], directory: Path | None) -> None:
    """Show files, or write them where nothing else is in their place."""
    handed = list(files)
    if directory is None:
        click.echo("\n".join(f"{f'===== {each.path} ':=<100}\n\n{each.text}" for each in handed), nl=False)
        return
    places = {each: directory / each.path for each in handed}
    try:
        taken = [place for each, place in places.items() if _is_another(place, each.text)]
        if taken:
            listed = ", ".join(map(str, taken))
            raise CommandError(f"something else is there already, and nothing was written: {listed}")
        for each, place in places.items():
            _write(place, each)
            click.echo(f"{'secret' if each.secret else 'file':<8}{place}")
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None


def _is_another(place: Path, text: str) -> bool:
    if place.is_symlink():
        return True
    return place.exists() and (not place.is_file() or place.read_bytes() != text.encode())


def _write(place: Path, handed: RenderedFile) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    mode = SECRET if handed.secret else OPEN
    if not place.exists():
        place.touch(mode, exist_ok=False)
        place.write_text(handed.text, "utf-8")
    place.chmod(mode)


def sp_entity_id(config: Config) -> str:
    """Give the usual entityID of our own Service Provider."""
    return f"{config.service.public_url}/shibboleth"
