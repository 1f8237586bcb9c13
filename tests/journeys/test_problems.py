"""Each problem of the table is reached in a browser, explained as the table says, and offers a next step."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver.common.by import By

from demo.configuration import CONTACT
from tests.support.browser.problems import PROBLEM_JOURNEYS, UNREACHABLE, JourneyContext, OtherProxy
from tests.support.processes.demo import running_server
from tests.support.service import serve_app
from webapp.operator.incidents import NOT_RECORDED
from webapp.pages.problems import PROBLEMS_BY_CODE

FORMS = {"not-agreed", "erasure-not-confirmed", "bad-address"}
"""Problems that are shown on the page of the form itself."""


@pytest.fixture(scope="module")
def other_proxy(shared_demo):
    """A second proxy, in front of a second process of the service."""
    proof = (shared_demo.directory / "secrets" / "front-proof").read_text().strip()
    with running_server(shared_demo.directory / "orcid-connect.toml") as service_address:
        other_proxy = OtherProxy(service_address, proof)
        with serve_app(other_proxy) as other_proxy.address:
            yield other_proxy


@pytest.fixture
def context(demo, other_proxy):
    context = JourneyContext(demo, other_proxy)
    with context.cleanup:
        yield context


def test_each_problem_has_a_journey_or_the_reason_for_none():
    codes = {code for code, _ in PROBLEM_JOURNEYS}

    assert codes | UNREACHABLE.keys() == PROBLEMS_BY_CODE.keys()
    assert not codes & UNREACHABLE.keys()


@pytest.mark.parametrize(("code", "journey"), PROBLEM_JOURNEYS, ids=[each.__name__ for _, each in PROBLEM_JOURNEYS])
def test_a_problem_page_explains_and_offers_the_next_step(user, context, code, journey):
    journey(user, context)

    problem = PROBLEMS_BY_CODE[code]
    alert = _alert(user, problem)
    for part in re.split(r"%\(\w+\)s", problem.explanation):
        assert part in alert
    if code not in FORMS:
        assert CONTACT in user.text
        _check_incident_number(user, context, code)
        context.cleanup.close()
        _check_next_step(user, problem)


def _alert(user, problem):
    # The text of the problem, once it is displayed

    def alerts():
        return [each.text for each in user.driver.find_elements(By.CSS_SELECTOR, ".alert")]

    user.wait_until(lambda: alerts() and (problem.code in FORMS or user.heading == problem.title), problem.title)
    (alert,) = alerts()
    return alert


def _check_incident_number(user, context, code):
    number = user.driver.find_element(By.TAG_NAME, "code").text
    assert re.fullmatch(r"[0-9a-f]{8}", number)
    if code not in NOT_RECORDED:
        with context.demo.database() as database:
            assert database.execute("select code from incidents where number = ?", [number]).fetchall() == [(code,)]


def _check_next_step(user, problem):
    # The first button leads to another page than that of the same problem
    user.driver.find_elements(By.CSS_SELECTOR, ".buttons .button, .buttons button")[0].click()
    user.wait_until(lambda: user.heading not in {"", problem.title}, "another page")
