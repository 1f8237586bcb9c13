"""Which languages there are: one for each catalogue. Knows nothing of what is in them, so that anybody may ask."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

SOURCE = "en"
"""The language of the sentences in the sources."""


def catalogues() -> dict[str, Traversable]:
    """Give the file of each language's catalogue, the language of the sources first."""
    folders = sorted((files("webapp") / "locale").iterdir(), key=lambda each: (each.name != SOURCE, each.name))
    found = {folder.name: folder / "messages.po" for folder in folders if folder.is_dir()}
    return {code: catalogue for code, catalogue in found.items() if catalogue.is_file()}
