"""`python -m tests.gallery`: pictures of every page in every language, with contact sheets; or of what is named."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.gallery.all_states import SCENES
from tests.gallery.inspection import Looker
from tests.gallery.screenshots import Photographer
from tests.gallery.server import exhibited
from tests.support.browser.driver import browsing
from webapp.i18n.language import languages

FOLDER = Path(__file__).resolve().parents[2] / "build" / "screenshots"
WITHOUT_COLOURS = ("landing", "confirm-without-a-tick", "me-with-news-of-each-kind")


def main(wanted):
    """Take them all, and say where they are."""
    scenes = [each for each in SCENES if each.name in wanted] or SCENES
    with browsing() as browser:
        for code in [each for each in languages() if each in wanted] or languages():
            photographer = Photographer(Looker(browser, axe=False), FOLDER / code)
            shutil.rmtree(photographer.folder, ignore_errors=True)
            with exhibited(code, scenes=scenes) as (address, shown):
                _pictures(photographer, address, shown)
                _say(f"{code}: {photographer.folder}/index-*.html, and sheet-*.png beside them")
                if "landing" in {each.name for each in shown}:
                    paint = photographer.looker.paints_within(f"{address}/{code}/landing")
                    _say(f"{code}: something of the first page is to be seen after {paint:.0f} ms")


def _pictures(photographer, address, shown):
    for each in shown:
        photographer.takes_each_view(address + each.address, each.name)
        if each.template == "receipt.html":
            photographer.takes_printed(address + each.address, each.name)
        if each.name in WITHOUT_COLOURS:
            photographer.takes_without_colours(address + each.address, each.name)
    photographer.makes_sheets([each.name for each in shown])


def _say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
