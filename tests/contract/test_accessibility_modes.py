"""Every layout without colours, at 400 % by keyboard, without motion; and the receipt on paper."""

import pytest

from tests.gallery.accessibility import inspect_modes, print_layout
from tests.gallery.all_states import PAGE_STATES
from tests.gallery.inspection import PageInspector
from tests.gallery.layouts import distinct_layouts
from tests.gallery.server import serve_gallery
from tests.support.browser.driver import browsing
from tests.support.service import serve_app
from webapp.i18n.language import languages

LANGUAGES = languages()
RECEIPTS = [each for each in PAGE_STATES if each.route == "GET /me/receipt"]

SPOILT = b"""<!doctype html><html><head><title>x</title><style>
button { border: 0; } :focus { outline: 0; } .cover { position: fixed; inset: 0; background: #fff; }
a { text-decoration: none; transition: color 1s; } </style></head><body>
<main><a href=/x>Not seen</a> <button>Flat</button> <p class="alert">Red alone</p> <input aria-invalid=true></main>
<div class=cover></div></body></html>"""


@pytest.fixture(scope="module")
def inspector():
    with browsing() as browser:
        yield PageInspector(browser)


@pytest.fixture(scope="module")
def reports(inspector):
    """The reports of the pages of distinct layouts by name, in the language of the longest words."""
    with serve_gallery("fi") as (address, shown):
        return {each.name: inspect_modes(inspector, address + each.address) for each in distinct_layouts(shown)}


@pytest.fixture(scope="module")
def receipts():
    """The addresses of receipts by their names, in each language."""
    with serve_gallery(*LANGUAGES, page_states=RECEIPTS) as (address, shown):
        yield {code: {each.name: address + each.address for each in shown if each.code == code} for code in LANGUAGES}


def test_the_checks_find_deliberate_faults(inspector):
    """What never finds anything proves nothing."""

    def spoilt(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [SPOILT]

    with serve_app(spoilt) as address:
        found = inspect_modes(inspector, address)
        measured, _ = print_layout(inspector, address)

    assert {each.partition(":")[0].partition(",")[0] for each in found.colour_only} == {
        "button",
        ".alert",
        "[aria-invalid=true]",
        "main a",
    }
    for lost in found.invisible_focus.values():
        assert len(lost) == 3
        assert all("has no outline, is covered" in each for each in lost)
    assert len(found.animated) == 1
    assert len(measured["pressed"]) == 2


def test_in_forced_colours_no_information_is_given_by_colour_alone(reports):
    assert {name: each.colour_only for name, each in reports.items() if each.colour_only} == {}


@pytest.mark.parametrize("colours", ["ours", "the person's own"])
def test_at_400_percent_zoom_the_focus_is_always_visible(reports, colours):
    lost = {name: each.invisible_focus[colours] for name, each in reports.items()}

    assert {name: which for name, which in lost.items() if which} == {}


def test_no_page_has_animations(reports):
    assert {name: each.animated for name, each in reports.items() if each.animated} == {}


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_printed_receipt_is_one_white_page_without_controls(inspector, receipts, code):
    say = LANGUAGES[code].gettext
    for name, address in receipts[code].items():
        measured, sheets = print_layout(inspector, address)

        assert (measured["pressed"], measured["coloured"], sheets) == ([], [], 1), name
        assert measured["wide"] <= 794, name
        for fact in ("Receipt of what you agreed to", "Your organisation", "What you agreed to"):
            assert say(fact) in measured["text"], name
        assert "https://sandbox.orcid.org/0009-0000-0001-1111" in measured["text"], name
        assert "https://connect.example/me/remove" in measured["text"], name
