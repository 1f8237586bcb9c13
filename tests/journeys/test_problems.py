"""Each problem of the table is reached as a person reaches it, is told as the table says, and leads on."""

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
"""What is told on the page of the form itself, which comes back to be filled in."""


@pytest.fixture(scope="module")
def other_proxy(shared_demo):
    """The service once more, reached past its web server, and by way of an odd one."""
    proof = (shared_demo.directory / "secrets" / "front-proof").read_text().strip()
    with running_server(shared_demo.directory / "orcid-connect.toml") as past:
        other_proxy = OtherProxy(past, proof)
        with serve_app(other_proxy) as other_proxy.address:
            yield other_proxy


@pytest.fixture
def context(demo, other_proxy):
    context = JourneyContext(demo, other_proxy)
    with context.until_the_end:
        yield context


def test_each_problem_has_a_way_to_it_or_a_reason_why_there_is_none():
    walked = {word for word, _ in PROBLEM_JOURNEYS}

    assert walked | UNREACHABLE.keys() == PROBLEMS_BY_CODE.keys()
    assert not walked & UNREACHABLE.keys()


@pytest.mark.parametrize(
    ("word", "walk"), PROBLEM_JOURNEYS, ids=[walk.__name__.replace("_", " ") for _, walk in PROBLEM_JOURNEYS]
)
def test_a_problem_page_says_what_happened_and_leads_on(user, context, word, walk):
    walk(user, context)

    problem = PROBLEMS_BY_CODE[word]
    told = _told(user, problem)
    for part in re.split(r"%\(\w+\)s", problem.explanation):
        assert part in told
    if word not in FORMS:
        assert CONTACT in user.text
        _has_a_number(user, context, word)
        context.until_the_end.close()
        _leads_on(user, problem)


def _told(user, problem):
    """Wait until the problem is told, and give the words."""

    def alerts():
        return [each.text for each in user.driver.find_elements(By.CSS_SELECTOR, "[role=alert]")]

    user.wait_until(lambda: alerts() and (problem.code in FORMS or user.heading == problem.title), problem.title)
    (told,) = alerts()
    return told


def _has_a_number(user, context, word):
    """The number is there to be told to somebody, who finds this very problem by it."""
    number = user.driver.find_element(By.TAG_NAME, "code").text
    assert re.fullmatch(r"[0-9a-f]{8}", number)
    if word not in NOT_RECORDED:
        with context.demo.database() as database:
            assert database.execute("select code from incidents where number = ?", [number]).fetchall() == [(word,)]


def _leads_on(user, problem):
    """What is offered as the way on is no way back to the same problem, for whom it can be offered at all."""
    user.driver.find_elements(By.CSS_SELECTOR, ".buttons .button, .buttons button")[0].click()
    user.wait_until(lambda: user.heading not in {"", problem.title}, "another page")
