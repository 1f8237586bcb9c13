"""The same journey without JavaScript, and on a narrow screen; `test_keyboard.py` has the one by keyboard alone."""

from __future__ import annotations

import pytest

from tests.support.browser.driver import browsing
from tests.support.browser.user import MAIJA, BrowserUser, orcid_uri

OVERHANGING = """
    const edge = document.querySelector("main").getBoundingClientRect().right;
    return [...document.querySelectorAll("main *")]
        .filter(each => each.getBoundingClientRect().right > edge - 19)
        .map(each => each.outerHTML.slice(0, 120));
"""
"""Elements in the margin of 19 pixels that each page keeps."""
NARROW = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": False}


@pytest.fixture
def user_without_script(demo):
    with browsing(script=False) as browser:
        yield BrowserUser(browser.driver, demo.base_url)


@pytest.fixture
def user_with_a_narrow_screen(user):
    user.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", NARROW)
    yield user
    user.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_javascript_is_not_needed(user_without_script, demo):
    user = user_without_script
    user.driver.get("data:text/html,<h1>off</h1><script>document.querySelector('h1').textContent='on'</script>")
    assert user.heading == "off"

    user.link("maija", MAIJA)

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]
    user.visit("/me").press("Remove the connection")
    user.press_button("Remove the connection").expect_heading("The connection has been removed")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_no_page_is_wider_than_a_narrow_screen(user_with_a_narrow_screen):
    user = user_with_a_narrow_screen
    pages = [
        ("landing", lambda: user.visit("/")),
        ("sign-in", lambda: user.visit("/me")),
        ("me-without-id", lambda: user.click_id("sign-in-maija").expect_heading("Your ORCID iD")),
        ("confirm", lambda: user.continue_to_orcid_as(MAIJA).authorize().expect_heading("Is this your ORCID iD?")),
        ("result", lambda: user.confirm().expect_heading("Your ORCID iD is connected")),
        ("me-with-id", lambda: user.visit("/me").expect_heading("Your ORCID iD")),
        ("problem", lambda: user.visit("/me/callback").expect_heading("ORCID sent no answer back")),
        ("session", lambda: user.visit("/Shibboleth.sso/Session")),
        ("service-provider", lambda: user.orcid_released_to_other_service("maija")),
    ]

    for name, open_page in pages:
        open_page()
        user.screenshot(f"narrow-{name}")
        assert user.driver.execute_script("return document.documentElement.scrollWidth") <= NARROW["width"], name
        assert user.driver.execute_script(OVERHANGING) == [], name
