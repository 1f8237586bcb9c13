"""Choose the pages whose elements no other page shows in the same way."""

from __future__ import annotations

from html.parser import HTMLParser

STYLED_BY = ("class", "type", "role", "aria-current", "aria-invalid", "disabled", "open")
"""Attributes that the style sheet looks at."""
VOID = {"br", "hr", "img", "input", "link", "meta"}


def distinct_layouts(pages):
    """Return rendered pages that have together each template, and each element within each kind of parent.

    What a page looks like depends on its templates and the style sheet: a further page with other words in the same
    elements shows nothing new.
    """
    seen, chosen = set(), []
    for page in sorted(pages, key=lambda page: len(page.reply.text), reverse=True):
        found = _elements(page.reply.text) | {page.template}
        if not found <= seen:
            seen |= found
            chosen.append(page)
    return chosen


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.parents, self.found = [""], set()

    def handle_starttag(self, tag, attributes):
        element = tag, *((name, value) for name, value in sorted(attributes) if name in STYLED_BY)
        self.found.add((self.parents[-1], element))
        if tag not in VOID:
            self.parents.append(element)

    def handle_endtag(self, tag):
        if tag not in VOID:
            self.parents.pop()


def _elements(text):
    parser = _Elements()
    parser.feed(text)
    return parser.found
