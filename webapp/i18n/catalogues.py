"""The available languages: one for each catalogue in `locale/`."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

SOURCE = "en"
"""The language of the sentences in the sources."""


def catalogues() -> dict[str, Traversable]:
    """Return the catalogue file of each language, that of the sources first."""
    folders = sorted((files("webapp") / "locale").iterdir(), key=lambda each: (each.name != SOURCE, each.name))
    found = {folder.name: folder / "messages.po" for folder in folders if folder.is_dir()}
    return {code: catalogue for code, catalogue in found.items() if catalogue.is_file()}
