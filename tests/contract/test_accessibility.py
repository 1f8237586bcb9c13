"""What every page promises, in each language: nothing for axe-core to find, and none too wide, nameless or foreign."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

import webapp
from tests.gallery.all_states import PAGE_STATES
from tests.gallery.inspection import FIRST_PAGE, PageInspector
from tests.gallery.layouts import distinct_layouts
from tests.gallery.rendering import matches_route
from tests.gallery.server import serve_gallery
from tests.support.browser.driver import browsing
from tests.support.catalogues import read
from tests.support.service import serve_app
from webapp.i18n.language import languages
from webapp.pages.problems import PROBLEMS

LANGUAGES = languages()
LONGEST_WORDS = "fi"
LANDMARKS = ("banner", "main", "contentinfo")
TEMPLATES = Path(webapp.__file__).parent / "templates"

SPOILT = b"""<!doctype html><html><head><title>x</title></head><body><h2>Early</h2><img src=x>
<p style="color: #999">Grey</p><main><a href=/z style="text-decoration: none">Not seen</a></main>
<a href=/x style="display: block; width: 9px; height: 9px; overflow: hidden">long</a>
<a href=/y style="display: block; width: 9px; height: 9px; overflow: hidden">long</a>
<pre>A line that cannot be broken anywhere at all, and is far wider than the window of a telephone</pre>
</body></html>"""


@pytest.fixture(scope="module")
def inspector():
    with browsing() as browser:
        yield PageInspector(browser)


@pytest.fixture(scope="module", params=LANGUAGES)
def gallery_language(request):
    return request.param


@pytest.fixture(scope="module")
def gallery(gallery_language):
    """All pages in one language, and where they can be looked at."""
    with serve_gallery(gallery_language) as (address, shown):
        yield address, {each.name: each for each in shown}


@pytest.fixture(scope="module")
def shown(gallery):
    return gallery[1]


@pytest.fixture(scope="module")
def seen(gallery, gallery_language, inspector):
    """What a browser found out about pages, at the width of a telephone.

    In the language of the longest words it measures every state, and axe-core looks at those of distinct layouts and
    their colours; in the others one state of each template is measured. Templates and style sheet are the same in all
    languages, and so is what axe-core looks at: what depends on the words are language, title, names and width.
    """
    address, shown = gallery
    if gallery_language != LONGEST_WORDS:
        states = {each.template: each for each in shown.values()}.values()
        return {each.name: inspector.inspect(address + each.address, axe=False) for each in states}
    distinct, kinds = distinct_layouts(shown.values()), set()
    others = [each for each in shown.values() if each not in distinct]
    found = {each.name: inspector.inspect(address + each.address, kinds=kinds) for each in distinct}
    return found | {each.name: inspector.inspect(address + each.address, axe=False) for each in others}


# The gallery shows what it says


def test_each_gallery_state_shows_the_page_of_its_route(shown):
    assert [each.name for each in PAGE_STATES if not matches_route(each.route, *shown[each.name].last)] == []


def test_no_gallery_state_without_a_problem_shows_an_error(shown):
    """But that a form comes back to be filled in, or came too late."""
    assert [
        each.name for each in PAGE_STATES if not each.problem and shown[each.name].reply.status not in {200, 409, 422}
    ] == []


@pytest.mark.parametrize("each", [each for each in PAGE_STATES if each.problem], ids=lambda each: each.name)
def test_each_problem_page_is_in_the_language_of_the_page(shown, each):
    page = shown[each.name]
    row, said = PROBLEMS[each.problem], re.sub(r"\s+", " ", page.reply.text.replace("&#39;", "'"))

    assert page.reply.status == row.status
    # What to do may stand on the page already: a page with a form on it asks to fill it in
    for sentence in (row.explanation, row.advice) if page.template == "problem.html" else (row.explanation,):
        for part in re.split(r"%\(\w+\)s", LANGUAGES[page.code].gettext(sentence)):
            assert part in said


def test_the_gallery_shows_every_page_template(shown):
    pages = {path for path in TEMPLATES.rglob("*.html") if "{% extends" in path.read_text()}

    assert {path.relative_to(TEMPLATES).as_posix() for path in pages} == {each.template for each in shown.values()}


def test_axe_and_the_layout_check_find_deliberate_faults(inspector):
    """What never finds anything proves nothing."""

    def spoilt(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [SPOILT]

    with serve_app(spoilt) as address:
        found = inspector.inspect(address, kinds=set())
    colours = [each.partition(": color-contrast: ")[:2] for each in found.colours]

    rules = {each.partition(":")[0] for each in found.axe}
    assert rules >= {"html-has-lang", "image-alt", "target-size", "region", "page-has-heading-one"}
    assert colours == [("light", ": color-contrast: "), ("dark", ": color-contrast: ")]
    assert any("pixels" in each for each in found.measured["plain"])
    assert len(found.measured["plain"]) == 3
    assert found.measured["scripts"]
    assert found.measured["colourless"]


# What each page promises


@pytest.mark.parametrize("gallery_language", [LONGEST_WORDS], indirect=True)
def test_axe_reports_no_violation(seen):
    assert {name: each.axe for name, each in seen.items() if each.axe} == {}


@pytest.mark.parametrize("gallery_language", [LONGEST_WORDS], indirect=True)
def test_axe_reports_no_low_contrast_in_either_colour_scheme(seen):
    assert {name: each.colours for name, each in seen.items() if each.colours} == {}


@pytest.mark.parametrize("spacing", ["plain", "roomy"])
def test_no_content_overflows_or_is_cut_off_at_320_pixels(seen, spacing):
    """Nor at 400 %, nor where a person has letters, words and lines further apart (WCAG 1.4.10, 1.4.12)."""
    assert {name: each.measured[spacing] for name, each in seen.items() if each.measured[spacing]} == {}


def test_no_information_is_given_by_colour_alone(seen):
    assert {name: each.measured["colourless"] for name, each in seen.items() if each.measured["colourless"]} == {}


def test_every_page_says_its_language_and_its_title(seen, shown):
    for name, each in seen.items():
        assert each.measured["language"] == shown[name].code == shown[name].reply.header("Content-Language"), name
        assert re.fullmatch(r"\S.* · ORCID connect", each.measured["title"]), name


def test_heading_levels_start_at_one_and_skip_none(seen):
    for name, each in seen.items():
        levels = each.measured["headings"]
        assert levels.count(1) == 1, name
        assert levels[0] == 1, name
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), name


def test_every_page_has_each_landmark_once(seen):
    for name, each in seen.items():
        assert [len(each.names_of(role)) for role in LANDMARKS] == [1, 1, 1], name
        called = each.names_of("navigation") + each.names_of("region")
        assert "" not in called, name
        assert len(set(called)) == len(called), name


def test_every_control_has_an_accessible_name(seen):
    for name, each in seen.items():
        assert [role for role, called in each.controls if not called] == [], name


def test_no_accessible_name_is_in_another_language(seen, gallery):
    code = next(iter(gallery[1].values())).code
    catalogue = read(Path(webapp.__file__).parent / "locale" / code / "messages.po")
    english = {
        each.id for each in catalogue if isinstance(each.id, str) and each.id and each.string not in {"", each.id}
    }

    for name, each in seen.items():
        assert not {called for _, called in each.tree} & english, name


def test_no_page_has_a_script_or_loads_from_other_hosts(seen, gallery):
    address, _ = gallery
    for name, each in seen.items():
        assert each.measured["scripts"] == [], name
        assert [one for one in each.measured["requests"] if not one.startswith(f"{address}/static/")] == [], name


def test_public_pages_set_no_cookie(shown):
    before = [each for each in shown.values() if 'class="wide who"' not in each.reply.text]

    assert {"landing", "help-page", "signed-out", "not-signed-in", "not-found"} <= {each.name for each in before}
    assert [each.name for each in before if each.reply.header("Set-Cookie")] == []


def test_the_landing_page_is_small(gallery, inspector):
    address, shown = gallery
    page = shown["landing"]

    assert len(page.reply.body) < inspector.page_weight(address + page.address) < FIRST_PAGE
