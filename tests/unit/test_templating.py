"""What the templates do to a value on its way to a page."""

from dataclasses import dataclass, replace

import pytest
from jinja2 import TemplateAssertionError

from webapp.language import languages
from webapp.templating import Environment, breaking


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("https://idp.example/idp/shibboleth", "https://idp.example/<wbr>idp/<wbr>shibboleth"),
        ("https://idp.example/", "https://idp.example/"),
        ("maija@yliopisto.example", "maija@yliopisto.example"),
        ("<b>no</b> such entry", "&lt;b&gt;no&lt;/b&gt; such entry"),
        ("https://x/<b>/y", "https://x/<wbr>&lt;b&gt;/<wbr>y"),
    ],
)
def test_a_long_address_goes_on_in_the_next_line_after_a_slash_and_stays_text(address, written):
    assert breaking(address) == written


@dataclass(frozen=True)
class Known:
    name: str = "A & B"
    sandbox: bool = False

    @staticmethod
    def address(name):
        return f"/static/{name}?<"


def written(text, known=None, **facts):
    """Give what a template of this text writes, where all templates know a `house`."""
    environment = Environment(languages()["fi"], {"house": known or Known(), "sign_out": "/out?a&b"})
    return environment.from_string(text).render(facts)


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("{{ house.name }}", "A &amp; B"),
        ('<a href="{{ sign_out }}">', '<a href="/out?a&amp;b">'),
        ("{{ house.address('style.css') }}", "/static/style.css?&lt;"),
        ("{{ house.address(name) }}", "/static/x?&lt;"),
        ("{{ (house.name ~ name) | upper }}", "A &amp; BX"),
        ("{{ language.code }}: {{ _('Help') }}", "fi: Ohjeet"),
        ("{% if house.sandbox %}{{ house.address(missing.name) }}{% else %}{{ house.name }}{% endif %}", "A &amp; B"),
        ("{% if name %}{% if not house.sandbox %}yes{% endif %}{% endif %}", "yes"),
    ],
)
def test_what_all_pages_know_is_text_as_anything_else(text, page):
    assert written(text, name="x") == page


def test_of_what_is_known_at_start_only_what_is_shown_is_left():
    text = "{% if house.sandbox %}{{ name }}, {{ house.name }}{% endif %}."

    assert written(text, replace(Known(), sandbox=True), name="<b>") == "&lt;b&gt;, A &amp; B."
    assert written(text) == "."


@pytest.mark.parametrize(
    "text",
    [
        "{% set house = 'another' %}",
        "{% for house in names %}{{ house }}{% endfor %}",
        "{% macro of(house) %}{{ house }}{% endmacro %}",
    ],
)
def test_no_template_has_another_meaning_for_what_all_know(text):
    with pytest.raises(TemplateAssertionError, match="all templates know house as something else"):
        written(text, names=["x"])
