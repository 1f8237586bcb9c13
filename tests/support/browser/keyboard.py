"""A person who uses the keyboard alone and reads the pages in one language."""

from __future__ import annotations

import json
import time

from selenium.webdriver.common.keys import Keys

from tests.support.browser.driver import TIMEOUT
from tests.support.browser.user import BrowserUser

FOCUS = """
    const here = document.activeElement, style = getComputedStyle(here), place = here.getBoundingClientRect();
    const top = document.elementFromPoint(place.left + Math.min(place.width, 40) / 2, place.top + place.height / 2);
    return {
        id: here.id, text: (here.innerText ?? "").trim(), body: here === document.body,
        ours: document.querySelector("a.skip") !== null,
        outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        uncovered: here.contains(top) || (top !== null && top.contains(here)),
        seen: place.top >= 0 && place.bottom <= innerHeight && place.left >= 0 && place.right <= innerWidth,
        top: place.top + scrollY, bottom: place.bottom + scrollY,
    };
"""


class KeyboardUser(BrowserUser):
    """A user who has Tab, Shift, Enter and the space bar only.

    Checks that the focus is visible.
    """

    def __init__(self, driver, base_url, language):
        super().__init__(driver, base_url)
        self.language = language

    def expect_sentence(self, sentence, picture=""):
        """Wait for the page with this heading in the user's language."""
        return self.expect_heading(self.language.gettext(sentence), picture)

    def follow(self, sentence):
        """Tab to the element with this text in the user's language, and press Enter."""
        return self.tab_to(self.language.gettext(sentence)).press_key(Keys.ENTER)

    def choose(self, name):
        """Tab to the element with an id, and press Enter."""
        return self.tab_to(name).press_key(Keys.ENTER)

    def use_skip_link(self):
        """Use the skip link."""
        self.press_key(Keys.TAB)
        assert self.focus()["text"] == self.language.gettext("Skip to the content")
        self._check_focus_visible(self.focus())
        self.press_key(Keys.ENTER)
        self.wait_until(lambda: self.focus()["id"] == "main", "the focus on the content")
        return self

    def tab_to(self, wanted):
        """Press Tab until the element with this text or id has the focus.

        Each focus must be visible, and must not move backwards.
        """
        before = None
        for _ in range(60):
            self.press_key(Keys.TAB)
            here = self.focus()
            if here["ours"] and not here["body"]:
                self._check_focus_visible(here)
                assert before is None or here["bottom"] > before["top"], f"the focus went back up, to {here['text']!r}"
                before = here
            if wanted in (here["text"], here["id"]):
                return self
        raise AssertionError(f"Tab never reached {wanted!r} on {self.address}")

    def expect_focus(self, name):
        """Wait until the element with an id has the focus.

        A validation error moves the focus, for example.
        """
        self.wait_until(lambda: self.focus()["id"] == name, f"the focus on {name}")
        return self

    def focus(self):
        """Return facts about the focused element."""
        return self.driver.execute_script(FOCUS)

    def _check_focus_visible(self, here):
        assert here["outlined"], f"nothing shows the focus on {here['text'] or here['id']!r} at {self.address}"
        assert here["seen"], f"the focus is out of sight, on {here['text'] or here['id']!r} at {self.address}"
        assert here["uncovered"], f"something covers the focus, {here['text'] or here['id']!r} at {self.address}"

    def save_downloads_to(self, folder):
        """Save downloads into a folder."""
        self._devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        return self


def wait_for_download(folder):
    """Wait for a JSON download to be complete, and return its content."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        for path in folder.glob("*.json"):
            return json.loads(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"no file appeared in {folder}")
