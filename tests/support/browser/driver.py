"""Headless Chromium and its driver from Debian.

Every `*.test` name resolves to this machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PICTURES = Path(__file__).resolve().parents[3] / "build" / "pictures"
TIMEOUT = 60
"""Seconds to wait for a page or an element."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root, as in a container, may not have one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    "--window-size=1000,1000",
    # No request leaves this machine, not even a DNS query
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

BUTTON_OR_LINK = """
    return [...document.querySelectorAll("button, a, summary, input[type=submit]")].find(
        each => each.checkVisibility() && (each.innerText.trim() || each.value) === arguments[0]) ?? null;
"""

WITHOUT_SCRIPT = {"profile.managed_default_content_settings.javascript": 2}


class Browser:
    """A person in a browser.

    Actions wait for their element, and return the browser, so that they can be chained.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    @property
    def address(self) -> str:
        return self.driver.current_url

    @property
    def heading(self) -> str:
        """The page's first heading; empty if there is none."""
        found = self.driver.find_elements(By.TAG_NAME, "h1")
        return found[0].text if found else ""

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def open(self, address: str) -> Self:
        """Open an address."""
        self.driver.get(address)
        return self

    def press(self, words: str) -> Self:
        """Press the button, or follow the link, with this text."""
        self._act(lambda: self._button_or_link(words).click(), words)
        return self

    def press_button(self, words: str) -> Self:
        """Press the button with this text, where another element has the same text."""
        path = f"//button[normalize-space(.)={words!r}]"
        self._act(lambda: self.driver.find_element(By.XPATH, path).click(), words)
        return self

    def text_of(self, name: str) -> str:
        """Return the text of the element with an id."""
        return self.driver.find_element(By.ID, name).text

    def click_id(self, name: str) -> Self:
        """Press the element with an id."""
        self._act(lambda: self.driver.find_element(By.ID, name).click(), name)
        return self

    def tick(self, name: str) -> Self:
        """Tick the checkbox with an id."""
        self.click_id(name)
        return self

    def wait_for_heading(self, heading: str) -> Self:
        """Wait for a page with this heading."""
        self.wait_until(lambda: self.heading == heading, f"a page headed {heading!r}")
        return self

    def wait_for_address(self, start: str) -> Self:
        """Wait until the address starts like this."""
        self.wait_until(lambda: self.address.startswith(start), f"an address that begins with {start}")
        return self

    def delete_cookies(self, start: str, address: str) -> None:
        """Delete an address's cookies by the start of their names.

        This is what the end of a session does.
        """
        found = self._devtools("Network.getCookies", urls=[address])["cookies"]
        gone = [each["name"] for each in found if each["name"].startswith(start)]
        assert gone, f"no cookie of {address} begins with {start}"
        for name in gone:
            self._devtools("Network.deleteCookies", name=name, url=address)

    def save_screenshot(self, name: str) -> Path:
        """Save a screenshot below build/pictures."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        to = PICTURES / f"{name}.png"
        self.driver.save_screenshot(str(to))
        return to

    def _button_or_link(self, words: str) -> Any:
        found = self.driver.execute_script(BUTTON_OR_LINK, words)
        if found is None:
            raise NoSuchElementException(words)
        return found

    def _act(self, action: Callable[[], None], what: str) -> None:
        # Another page may replace the one in which the element was found
        def acted() -> bool:
            try:
                action()
            except (NoSuchElementException, StaleElementReferenceException):
                return False
            return True

        self.wait_until(acted, what)

    def wait_until(self, condition: Callable[[], bool], what: str) -> Self:
        """Wait until a condition holds; `what` describes it in the error message."""

        def holds(_driver: object) -> bool:
            try:
                return condition()
            except WebDriverException:
                # The page is being replaced; look at the next one
                return False

        try:
            WebDriverWait(self.driver, TIMEOUT, poll_frequency=0.05).until(holds)
        except WebDriverException as error:
            raise AssertionError(f"timed out waiting for {what}\nat {self.address}\n{self.text[:2000]}") from error
        return self

    def _devtools(self, command: str, **words: Any) -> dict[str, Any]:
        return self.driver.execute_cdp_cmd(command, words)


@contextmanager
def browsing(*, script: bool = True) -> Iterator[Browser]:
    """Yield a browser with a fresh profile that accepts the tests' certificates.

    `script`: with JavaScript.
    """
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        driver = webdriver.Chrome(_options(profile, script=script), webdriver.ChromeService("/usr/bin/chromedriver"))
        try:
            driver.set_page_load_timeout(TIMEOUT)
            yield Browser(driver)
        finally:
            driver.quit()


def _options(profile: str, *, script: bool) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.accept_insecure_certs = True
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    preferences = {"intl.accept_languages": "en"} | ({} if script else WITHOUT_SCRIPT)
    options.add_experimental_option("prefs", preferences)
    return options
