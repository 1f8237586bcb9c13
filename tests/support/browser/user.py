"""A person at a browser, for journeys.

Each step waits for the page it leads to.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import requests
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser.driver import Browser

MAIJA = "0009-0000-0001-1111"
AKE = "0009-0000-0002-2224"
PIIA = "0009-0000-0006-6665"
HANAKO = "0009-0000-0011-1104"
OTHER_ID = "0009-0000-0003-3337"

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS") or Path(__file__).parents[3] / "build" / "screenshots")


def orcid_uri(orcid):
    """Return the URI of an iD."""
    return f"https://sandbox.orcid.org/{orcid}"


class BrowserUser(Browser):
    """Steps of a person at a browser.

    Each returns the user, so that steps can be chained.
    """

    def __init__(self, driver, base_url):
        super().__init__(driver)
        self.base_url = base_url
        self._devtools("Emulation.setScrollbarsHidden", hidden=True)

    # What is on the page

    def sees(self, heading, picture=""):
        """Wait for the page with this heading, and save a screenshot if named."""
        self.waits_for(heading)
        if picture:
            self.takes(picture)
        return self

    def sees_either(self, *headings):
        """Wait for a page with one of these headings, and return the heading."""
        self._until(lambda: self.heading in headings, f"a page headed {' or '.join(headings)}")
        return self.heading

    def takes(self, picture):
        """Save a screenshot of the whole page."""
        size = self._devtools("Page.getLayoutMetrics")["cssContentSize"]
        shot = self._devtools("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{picture}.png").write_bytes(base64.b64decode(shot["data"]))
        return self

    # Going about

    def goes(self, path):
        self.go(self.base_url + path)
        return self

    def presses(self, words):
        """Press the button, link or summary with this text."""
        self.press(words)
        return self

    def presses_button(self, words):
        """Press the button with this text, where a summary has the same text."""
        self._act(lambda: self._button(words).click(), words)
        return self

    def double_clicks(self, words):
        ActionChains(self.driver).double_click(self._button(words)).perform()
        return self

    def _button(self, words):
        return self.driver.find_element(By.XPATH, f"//button[normalize-space(.)={words!r}]")

    def clicks(self, name):
        """Click the element with an id."""
        self.press_id(name)
        return self

    # At the organisation

    def signs_in(self, account):
        """Open the own page and sign in at the organisation."""
        return self.goes("/me").sees("Sign in at your organisation").clicks(f"sign-in-{account}")

    def signs_out(self):
        self.presses("Sign out").sees("You have signed out of this service").presses("To the start page")
        self.sees("Connect your ORCID iD to your organisation")
        return self

    # At ORCID

    def goes_to_orcid_as(self, orcid):
        """Go from the own page to ORCID's consent page."""
        self.sees("Your ORCID iD").presses("Create or connect your ORCID iD")
        return self.is_at_orcid(orcid)

    def is_at_orcid(self, orcid):
        return self.sees("Sign in").clicks(f"sign-in-{orcid}").sees("Authorize access")

    def allows(self):
        return self.clicks("authorize-button")

    def denies(self):
        return self.clicks("deny-button")

    def copies_the_way_back(self):
        """Press Authorize, and return the redirect address without opening it."""
        cookies = {each["name"]: each["value"] for each in self.driver.get_cookies()}
        form = {"request": self.driver.find_element(By.NAME, "request").get_attribute("value")}
        address = f"{self.base_url}/orcid/oauth/authorize"
        return requests.post(address, form, cookies=cookies, allow_redirects=False, timeout=5).headers["Location"]

    # At the service again

    def ticks_the_box(self):
        return self.clicks("agree")

    def confirms(self, words="Connect this iD"):
        return self.sees("Is this you?").ticks_the_box().presses(words)

    def links(self, account, orcid, heading="Your ORCID iD is connected"):
        """Sign in and link an iD, up to the result page with this heading."""
        self.signs_in(account).goes_to_orcid_as(orcid).allows().confirms()
        return self.sees(heading)

    # At another service

    def is_known_to_another_service_as(self, account):
        """Sign in at the other service, and give the iD that it received."""
        self.goes("/service-provider").sees("Another service").clicks("sign-in")
        self.sees("Sign in at your organisation").clicks(f"sign-in-{account}")
        return self.sees("Attributes this service received").received("eduPersonOrcid")

    def received(self, attribute):
        return self.driver.find_element(By.ID, f"received-{attribute}").text

    # By keyboard

    def tabs_to(self, wanted):
        """Press Tab until the focus is on what says this, or has this id."""
        for _ in range(60):
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            here = self.driver.switch_to.active_element
            if wanted in (here.text, here.get_attribute("id")):
                return self
        raise AssertionError(f"the Tab key never came to {wanted!r} on {self.address}")

    def hits(self, key):
        ActionChains(self.driver).send_keys(key).perform()
        return self

    def forgets(self, cookie):
        """Lose a cookie, as browsers do when a session ends."""
        self.driver.delete_cookie(cookie)
        return self
