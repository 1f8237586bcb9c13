"""Screenshots of pages, and contact sheets of many of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tests.gallery.inspection import PageInspector

WIDTHS = (320, 768, 1280)
LIGHT = {"prefers_color_scheme": "light"}
VIEWS = {
    **{str(width): (width, LIGHT) for width in WIDTHS},
    "1280-dark": (1280, {"prefers_color_scheme": "dark"}),
}
"""How each page is looked at: the width of the window, and what the person prefers."""
STYLE = """
body { font: 13px sans-serif; margin: 10px; background: #ccc; display: flex; flex-wrap: wrap; gap: 10px; }
figure { margin: 0; } figcaption { height: 18px; } a { display: block; overflow: hidden; } img { width: 100%; }
"""
SHEET = 1550
"""How wide and how high a contact sheet is, in pixels."""
GRIDS = {"320": (5, 1), "768": (3, 2), "1280": (2, 2), "1280-dark": (3, 3)}
"""How many pictures of a view stand on one sheet, side by side and one below the other."""


NAMED_BY_ROLE = {"banner", "main", "contentinfo", "form", "list", "listitem", "row", "table"}
"""Roles that a screen reader announces without a name."""


@dataclass
class ScreenshotTaker:
    """Takes pictures of pages, whole, into a folder."""

    inspector: PageInspector
    folder: Path

    def take_each_view(self, address, name):
        """Take a page in each view."""
        self.inspector.driver.get(address)
        for view, (width, features) in VIEWS.items():
            self.inspector.set_viewport(width=width, height=800)
            self.inspector.set_media_features(**features)
            self.take(f"{name}-{view}")

    def write_accessibility_tree(self, address, name):
        """Write what a screen reader is told: role and name of each thing on a page, line by line."""
        self.inspector.driver.get(address)
        tree = [each for each in self.inspector.accessibility_tree() if each[1] or each[0] in NAMED_BY_ROLE]
        (self.folder / f"{name}-tree.txt").write_text("".join(f"{role}: {called}\n" for role, called in tree))

    def take_printed(self, address, name):
        """Take a page as it is printed, on A4."""
        self.inspector.driver.get(address)
        self.inspector.set_viewport(width=794, height=1123)
        self.inspector.cdp("Emulation.setEmulatedMedia", {"media": "print"})
        self.take(f"{name}-print")
        self.inspector.cdp("Emulation.setEmulatedMedia", {"media": ""})

    def take_forced_colours(self, address, name):
        """Take a page as who has few colours sees it (Windows' contrast themes)."""
        self.inspector.driver.get(address)
        self.inspector.set_viewport(width=768, height=800)
        self.inspector.set_media_features(forced_colors="active")
        self.take(f"{name}-forced-colours")
        self.inspector.set_media_features()

    def take(self, name):
        """Take what is in the window and below it."""
        size = self.inspector.cdp("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {**size, "scale": 1}
        shot = self.inspector.cdp("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path = self.folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def make_contact_sheets(self, names):
        """Put the pictures onto contact sheets: the beginning of each page, those of one view together."""
        self.inspector.set_viewport(width=SHEET + 20, height=800)
        self.inspector.set_media_features()
        for view, (across, down) in GRIDS.items():
            (self.folder / f"index-{view}.html").write_text(_sheet(names, view))
            for number, first in enumerate(range(0, len(names), across * down), 1):
                page = self.folder / "sheet.html"
                page.write_text(_sheet(names[first : first + across * down], view))
                self.inspector.driver.get(page.as_uri())
                self.take(f"sheet-{view}-{number:02}")
                page.unlink()


def _sheet(names, view):
    across, down = GRIDS[view]
    size = f"width: {SHEET // across - 10}px; height: {SHEET // down - 30}px"
    figures = "".join(
        f"<figure><figcaption>{escape(name)}, {view}</figcaption>"
        f"<a href='{name}-{view}.png' style='{size}'><img src='{name}-{view}.png' alt=''></a></figure>"
        for name in names
    )
    return f"<!doctype html><meta charset=utf-8><title>{view}</title><style>{STYLE}</style>{figures}"
