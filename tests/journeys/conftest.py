"""One demonstration and one browser for all journeys; each begins with nobody linked and no cookie."""

from __future__ import annotations

import pytest

from tests.support.browser.driver import browsing
from tests.support.browser.user import BrowserUser
from tests.support.processes.demo import running_demo


@pytest.fixture(scope="session")
def shared_demo(tmp_path_factory):
    with running_demo(tmp_path_factory.mktemp("demo")) as demo_process:
        yield demo_process


@pytest.fixture(scope="session")
def shared_browser():
    with browsing() as browser:
        yield browser


@pytest.fixture
def demo(shared_demo):
    """The demonstration, with nobody linked."""
    shared_demo.reset()
    return shared_demo


@pytest.fixture
def user(demo, shared_browser):
    """Somebody at a browser that knows nothing yet."""
    shared_browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return BrowserUser(shared_browser.driver, demo.base_url)
