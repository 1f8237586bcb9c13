"""Each problem of the table is reached as a person reaches it, is told as the table says, and leads on."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver.common.by import By

from demo.configuration import CONTACT
from tests.support.browser.problems import NOBODY, WALKS, Around, OddFront
from tests.support.processes.demo import serving
from tests.support.service import served
from webapp.operator.incidents import NOT_RECORDED
from webapp.pages.problems import PROBLEMS_BY_CODE

FORMS = {"not-agreed", "not-sure", "bad-address"}
"""What is told on the page of the form itself, which comes back to be filled in."""


@pytest.fixture(scope="module")
def front(shared_demo):
    """The service once more, reached past its web server, and by way of an odd one."""
    proof = (shared_demo.directory / "secrets" / "front-proof").read_text().strip()
    with serving(shared_demo.directory / "orcid-connect.toml") as past:
        front = OddFront(past, proof)
        with served(front) as front.address:
            yield front


@pytest.fixture
def around(demo, front):
    around = Around(demo, front)
    with around.until_the_end:
        yield around


def test_each_problem_has_a_way_to_it_or_a_reason_why_there_is_none():
    walked = {word for word, _ in WALKS}

    assert walked | NOBODY.keys() == PROBLEMS_BY_CODE.keys()
    assert not walked & NOBODY.keys()


@pytest.mark.parametrize(("word", "walk"), WALKS, ids=[walk.__name__.replace("_", " ") for _, walk in WALKS])
def test_a_person_reads_what_happened_and_goes_on(someone, around, word, walk):
    walk(someone, around)

    problem = PROBLEMS_BY_CODE[word]
    told = _told(someone, problem)
    for part in re.split(r"%\(\w+\)s", problem.explanation):
        assert part in told
    if word not in FORMS:
        assert CONTACT in someone.text
        _has_a_number(someone, around, word)
        around.until_the_end.close()
        _leads_on(someone, problem)


def _told(someone, problem):
    """Wait until the problem is told, and give the words."""

    def alerts():
        return [each.text for each in someone.driver.find_elements(By.CSS_SELECTOR, "[role=alert]")]

    someone._until(lambda: alerts() and (problem.code in FORMS or someone.heading == problem.title), problem.title)
    (told,) = alerts()
    return told


def _has_a_number(someone, around, word):
    """The number is there to be told to somebody, who finds this very problem by it."""
    number = someone.driver.find_element(By.TAG_NAME, "code").text
    assert re.fullmatch(r"[0-9a-f]{8}", number)
    if word not in NOT_RECORDED:
        with around.demo.database() as database:
            assert database.execute("select code from incidents where number = ?", [number]).fetchall() == [(word,)]


def _leads_on(someone, problem):
    """What is offered as the way on is no way back to the same problem, for whom it can be offered at all."""
    someone.driver.find_elements(By.CSS_SELECTOR, ".buttons .button, .buttons button")[0].click()
    someone._until(lambda: someone.heading not in {"", problem.title}, "another page")
