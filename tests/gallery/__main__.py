"""Take screenshots and accessibility trees of pages: `python -m tests.gallery [NAME...]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.gallery.all_states import PAGE_STATES
from tests.gallery.inspection import PageInspector
from tests.gallery.screenshots import ScreenshotTaker
from tests.gallery.server import serve_gallery
from tests.support.browser.driver import browsing
from webapp.i18n.language import languages

FOLDER = Path(__file__).resolve().parents[2] / "build" / "screenshots"
WITHOUT_COLOURS = ("landing", "confirm-without-a-tick", "me-with-news-of-each-kind")


def main(wanted):
    """Take all screenshots, or the named ones, and print where they are."""
    page_states = [each for each in PAGE_STATES if each.name in wanted] or PAGE_STATES
    with browsing() as browser:
        for code in [each for each in languages() if each in wanted] or languages():
            screenshots = ScreenshotTaker(PageInspector(browser), FOLDER / code)
            shutil.rmtree(screenshots.folder, ignore_errors=True)
            with serve_gallery(code, page_states=page_states) as (address, shown):
                _pictures(screenshots, address, shown)
                _say(f"{code}: {screenshots.folder}/index-*.html, and sheet-*.png beside them")
                if "landing" in {each.name for each in shown}:
                    paint = screenshots.inspector.first_paint_ms(f"{address}/{code}/landing")
                    _say(f"{code}: something of the first page is to be seen after {paint:.0f} ms")


def _pictures(screenshots, address, shown):
    for each in shown:
        screenshots.take_each_view(address + each.address, each.name)
        screenshots.write_accessibility_tree(address + each.address, each.name)
        if each.template == "receipt.html":
            screenshots.take_printed(address + each.address, each.name)
        if each.name in WITHOUT_COLOURS:
            screenshots.take_forced_colours(address + each.address, each.name)
    screenshots.make_contact_sheets([each.name for each in shown])


def _say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
