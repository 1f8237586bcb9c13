"""The stacks of the system tests: one per front for the whole run, each started when the first test wants it."""

from __future__ import annotations

import pytest

from tests.support.browser.driver import browsing
from tests.support.system.client import HttpBrowser, RawClient
from tests.support.system.service import running_service
from tests.support.system.stack import FRONTS, install_probe, installed_python, running


@pytest.fixture(scope="session")
def venv():
    """A Python environment that the stacks' account can read."""
    with installed_python() as directory:
        yield directory


@pytest.fixture(scope="session", params=FRONTS)
def stack(request, venv):
    """Each front in turn, with the application behind it that tells what reached it."""
    with running(request.param, venv, install_probe) as started:
        yield started


@pytest.fixture
def http_browser(stack):
    """Somebody with a fresh browser."""
    with HttpBrowser(stack) as somebody:
        yield somebody


@pytest.fixture
def raw_client(stack):
    """A connection on which requests go out exactly as given."""
    return RawClient(stack)


@pytest.fixture(scope="session", params=FRONTS)
def service(request, venv):
    """Each front in turn, with the real service behind it."""
    with running_service(request.param, venv) as started:
        yield started


@pytest.fixture
def browser():
    """A person's browser without any past."""
    with browsing() as one:
        yield one
