"""One demonstration and one browser for all journeys; each begins with nobody linked and no cookie."""

from __future__ import annotations

import pytest

from tests.support.browser.driver import browsing
from tests.support.browser.user import Traveller
from tests.support.processes.demo import running


@pytest.fixture(scope="session")
def shared_demo(tmp_path_factory):
    with running(tmp_path_factory.mktemp("demo")) as demonstration:
        yield demonstration


@pytest.fixture(scope="session")
def shared_browser():
    with browsing() as browser:
        yield browser


@pytest.fixture
def demo(shared_demo):
    """The demonstration, with nobody linked."""
    shared_demo.begin_anew()
    return shared_demo


@pytest.fixture
def someone(demo, shared_browser):
    """Somebody at a browser that knows nothing yet."""
    shared_browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return Traveller(shared_browser.driver, demo.base_url)
