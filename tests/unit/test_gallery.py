"""No page is forgotten: each route, each problem and each template has a scene in the gallery."""

from pathlib import Path

import pytest

import webapp
from tests.gallery.all_states import NO_PAGES, PAGE_STATES
from tests.gallery.layouts import distinct_layouts
from tests.gallery.rendering import RenderedPage
from tests.support.service import WebResponse
from webapp.pages.problems import PROBLEMS
from webapp.routes import ROUTES

TEMPLATES = Path(webapp.__file__).parent / "templates"
KNOWN = {f"{route.method} {route.path}" for route in ROUTES}
SHOWN = {each.route for each in PAGE_STATES}


def test_each_route_has_a_scene_or_answers_with_no_page():
    assert KNOWN - SHOWN - NO_PAGES.keys() == set(), "add a scene to tests/gallery/all_states.py"


def test_what_answers_with_no_page_is_a_route_and_has_no_scene():
    assert NO_PAGES.keys() <= KNOWN
    assert not NO_PAGES.keys() & {each.route for each in PAGE_STATES if each.problem is None}


def test_a_scene_of_no_route_shows_that_there_is_none():
    assert {each.problem.__name__ for each in PAGE_STATES if each.route not in KNOWN} == {"NotFound", "NotAllowed"}


def test_each_problem_has_a_scene():
    assert set(PROBLEMS) - {each.problem for each in PAGE_STATES} == set(), "add a scene to tests/gallery/all_states.py"


def test_each_scene_has_a_name_of_its_own():
    assert len({each.name for each in PAGE_STATES}) == len(PAGE_STATES)


@pytest.mark.parametrize(
    ("text", "template", "chosen"),
    [
        ("<main><p>Other words<br>on two lines</p></main>", "a.html", False),
        ("<main><p class=alert>A</p></main>", "a.html", True),
        ("<p>A</p>", "a.html", True),
        ("<main><p>A</p></main>", "b.html", True),
    ],
)
def test_a_page_with_other_words_in_the_same_elements_is_no_other_layout(text, template, chosen):
    first = make_page("<main><p>Some words<br>on two lines of a page</p><p>And more</p></main>", "a.html")
    second = make_page(text, template)

    assert distinct_layouts([first, second]) == ([first, second] if chosen else [first])


def make_page(text, template):
    return RenderedPage("name", "en", WebResponse(200, [], text.encode()), ("GET", "/"), template)
