"""Read the pages of `docs/`, for the tests that compare them with the program."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages():
    """Give the path of every page."""
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def prose(text):
    """Give a page without its blocks of code."""
    return _FENCE.sub("", text)


def blocks(text, kind=None):
    """Give the blocks of code in a text, all or those of a kind (what stands after the three backticks)."""
    return [content for of, content in _FENCE.findall(text) if kind in {None, of.strip()}]


def kinds(text):
    """Give each block of code with its kind, in order."""
    return [(of.strip(), content) for of, content in _FENCE.findall(text)]


def under(text, heading):
    """Give what stands under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", _hidden(text), re.MULTILINE | re.DOTALL)
    assert found, f"the page has no heading: {heading}"
    return text[found.start(1) : found.end(1)]


def anchors(text):
    """Give the names by which a page's headings can be linked to, as they are made of them on the web."""
    headings = re.findall(r"^#+ (.*)$", _hidden(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _hidden(text):
    # A comment of a shell begins as a heading does: blocks are blanked out, character by character
    return _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
