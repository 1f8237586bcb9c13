"""A person in a browser, for journeys."""

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

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""The directory of the screenshots that journeys take; without it they take none."""


def orcid_uri(orcid):
    """Return the URI of an iD."""
    return f"https://sandbox.orcid.org/{orcid}"


class BrowserUser(Browser):
    """Steps of a person who uses the demonstration in a browser."""

    def __init__(self, driver, base_url):
        super().__init__(driver)
        self.base_url = base_url
        self._devtools("Emulation.setScrollbarsHidden", hidden=True)

    # Pages

    def expect_heading(self, heading, picture=""):
        """Wait for the page with this heading, and save a screenshot if named.

        A link that the worker is delivering meanwhile is waited for as a person does, by loading the page again.
        """

        def shown():
            if heading == "Your ORCID iD is connected" and self.heading.startswith("Your ORCID iD is on its way"):
                self.driver.refresh()
            return self.heading == heading

        self.wait_until(shown, f"a page headed {heading!r}")
        if picture:
            self.screenshot(picture)
        return self

    def expect_any_heading(self, *headings):
        """Wait for a page with one of these headings, and return the heading."""
        self.wait_until(lambda: self.heading in headings, f"a page headed {' or '.join(headings)}")
        return self.heading

    def screenshot(self, picture):
        """Save a screenshot of the whole page, if screenshots are wanted."""
        if not SCREENSHOTS:
            return self
        size = self._devtools("Page.getLayoutMetrics")["cssContentSize"]
        shot = self._devtools("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        (Path(SCREENSHOTS) / f"{picture}.png").write_bytes(base64.b64decode(shot["data"]))
        return self

    # Navigation

    def visit(self, path):
        """Open a path of the demonstration."""
        return self.open(self.base_url + path)

    def double_click(self, words):
        """Double-click the button with this text."""
        button = self.driver.find_element(By.XPATH, f"//button[normalize-space(.)={words!r}]")
        ActionChains(self.driver).double_click(button).perform()
        return self

    # At the organisation

    def sign_in(self, account):
        """Open the own page and sign in at the organisation."""
        return self.visit("/me").expect_heading("Sign in at your organisation").click_id(f"sign-in-{account}")

    def sign_out(self):
        """Sign out, and return to the start page."""
        self.press("Sign out").expect_heading("You have signed out of this service").press("Go to the start page")
        self.expect_heading("Connect your ORCID iD to your organisation")
        return self

    # At ORCID

    def continue_to_orcid_as(self, orcid):
        """Go from the own page to ORCID's consent page."""
        self.expect_heading("Your ORCID iD").press("Create or connect your ORCID iD")
        return self.sign_in_at_orcid(orcid)

    def choose_permissions(self, *permissions):
        """Tick what the organisation may do at ORCID, and go there."""
        self.expect_heading("Before you go to ORCID")
        for each in permissions:
            self.click_id(each)
        return self.press("Go to ORCID")

    def sign_in_at_orcid(self, orcid):
        """Sign in at ORCID, and wait for its consent page.

        Where permissions can be chosen, none is.
        """
        if self.expect_any_heading("Sign in", "Before you go to ORCID") != "Sign in":
            self.choose_permissions()
        return self.expect_heading("Sign in").click_id(f"sign-in-{orcid}").expect_heading("Authorize access")

    def authorize(self):
        """Consent at ORCID."""
        return self.click_id("authorize-button")

    def deny(self):
        """Refuse consent at ORCID."""
        return self.click_id("deny-button")

    def authorize_without_redirect(self):
        """Authorize, and return the address of the redirect without following it."""
        cookies = {each["name"]: each["value"] for each in self.driver.get_cookies()}
        form = {"request": self.driver.find_element(By.NAME, "request").get_attribute("value")}
        address = f"{self.base_url}/orcid/oauth/authorize"
        return requests.post(address, form, cookies=cookies, allow_redirects=False, timeout=60).headers["Location"]

    # At the service

    def tick_consent(self):
        return self.click_id("agree")

    def confirm(self, words="Connect this iD"):
        self.expect_any_heading("Is this your ORCID iD?", "Replace your ORCID iD?")
        return self.tick_consent().press(words)

    def link(self, account, orcid, heading="Your ORCID iD is connected"):
        """Sign in and link an iD, up to the result page with this heading."""
        self.sign_in(account).continue_to_orcid_as(orcid).authorize().confirm()
        return self.expect_heading(heading)

    # At another service

    def orcid_released_to_other_service(self, account):
        """Sign in at another service, and return the iD that it received."""
        self.visit("/service-provider").expect_heading("Another service").click_id("sign-in")
        self.expect_heading("Sign in at your organisation").click_id(f"sign-in-{account}")
        return self.expect_heading("Attributes this service received").received("eduPersonOrcid")

    def received(self, attribute):
        return self.driver.find_element(By.ID, f"received-{attribute}").text

    # By keyboard

    def tab_to(self, wanted):
        """Press Tab until the element with this text or id has the focus."""
        for _ in range(60):
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            here = self.driver.switch_to.active_element
            if wanted in (here.text, here.get_attribute("id")):
                return self
        raise AssertionError(f"Tab never reached {wanted!r} on {self.address}")

    def press_key(self, key):
        ActionChains(self.driver).send_keys(key).perform()
        return self

    def delete_cookie(self, cookie):
        """Delete a cookie, as browsers do when a session ends."""
        self.driver.delete_cookie(cookie)
        return self
