"""Reading of the pages in `docs/`.

Tests compare them with the program.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OPERATOR_PAGES = "\n".join(path.read_text("utf-8") for path in sorted(DOCS.glob("operator/*.md")))
"""The operator's pages, one after the other."""

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages():
    """Give the path of every page."""
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def prose(text):
    """Give a page without its blocks of code."""
    return _FENCE.sub("", text)


def blocks(text, kind=None):
    """Return the code blocks of a text, all or those of one language.

    The language stands after the three backticks.
    """
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
    """Return the anchors of a page's headings.

    They are made as GitHub makes them.
    """
    headings = re.findall(r"^#+ (.*)$", _hidden(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _hidden(text):
    # A comment of a shell begins as a heading does: blocks are blanked out, character by character
    return _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
