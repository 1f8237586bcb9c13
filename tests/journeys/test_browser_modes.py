"""The same journey without JavaScript, and on a narrow screen; `test_keyboard.py` has the one by keyboard alone."""

from __future__ import annotations

import pytest

from tests.support.browser.driver import browsing
from tests.support.browser.user import MAIJA, Traveller, uri

OVERHANGING = """
    const edge = document.querySelector("main").getBoundingClientRect().right;
    return [...document.querySelectorAll("main *")]
        .filter(each => each.getBoundingClientRect().right > edge - 19)
        .map(each => each.outerHTML.slice(0, 120));
"""
"""What reaches into the margin: each page keeps at least 19 pixels of it."""
NARROW = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": False}


@pytest.fixture
def someone_without_script(demo):
    with browsing(script=False) as browser:
        yield Traveller(browser.driver, demo.base_url)


@pytest.fixture
def someone_with_a_narrow_screen(someone):
    someone.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", NARROW)
    yield someone
    someone.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_javascript_is_not_needed(someone_without_script, demo):
    someone = someone_without_script
    someone.driver.get("data:text/html,<h1>off</h1><script>document.querySelector('h1').textContent='on'</script>")
    assert someone.heading == "off"

    someone.links("maija", MAIJA)

    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]
    someone.goes("/me").presses("Remove the connection")
    someone.presses_button("Remove the connection").sees("The connection is removed")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []


def test_no_page_is_wider_than_a_narrow_screen(someone_with_a_narrow_screen):
    someone = someone_with_a_narrow_screen
    pages = [
        ("landing", lambda: someone.goes("/")),
        ("sign-in", lambda: someone.goes("/me")),
        ("me-without-id", lambda: someone.clicks("sign-in-maija").sees("Your ORCID iD")),
        ("confirm", lambda: someone.goes_to_orcid_as(MAIJA).allows().sees("Is this you?")),
        ("result", lambda: someone.confirms().sees("Your ORCID iD is connected")),
        ("me-with-id", lambda: someone.goes("/me").sees("Your ORCID iD")),
        ("problem", lambda: someone.goes("/me/callback").sees("ORCID did not finish")),
        ("session", lambda: someone.goes("/Shibboleth.sso/Session")),
        ("service-provider", lambda: someone.is_known_to_another_service_as("maija")),
    ]

    for name, open_page in pages:
        open_page()
        someone.takes(f"narrow-{name}")
        assert someone.driver.execute_script("return document.documentElement.scrollWidth") <= NARROW["width"], name
        assert someone.driver.execute_script(OVERHANGING) == [], name
