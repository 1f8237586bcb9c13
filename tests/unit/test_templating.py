"""What the templates do to a value on its way to a page."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import webapp
from webapp.i18n.language import languages
from webapp.rendering.templating import breaking, environment


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


def written(text, **facts):
    """Give what a template of this text writes, where all templates know a `house`."""
    made = environment(languages()["fi"], {"service_info": Known(), "sign_out": "/out?a&b"})
    return made.from_string(text).render(facts)


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("{{ service_info.name }}", "A &amp; B"),
        ('<a href="{{ sign_out }}">', '<a href="/out?a&amp;b">'),
        ("{{ service_info.address('style.css') }}", "/static/style.css?&lt;"),
        ("{{ service_info.address(name) }}", "/static/x?&lt;"),
        ("{{ (service_info.name ~ name) | upper }}", "A &amp; BX"),
        ("{{ language.code }}: {{ _('Help') }}", "fi: Ohjeet"),
        (
            (
                "{% if service_info.sandbox %}{{ service_info.address(service_info.nothing) }}"
                "{% elif service_info.name %}{{ name }}{% endif %}"
            ),
            "x",
        ),
        (
            "{{ service_info.address(service_info.nothing) if service_info.sandbox else service_info.name }}",
            "A &amp; B",
        ),
        (
            "{{ service_info.sandbox }}, {{ other.name }}, {{ service_info.address | string | length > 9 }}",
            "False, &lt;b&gt;, True",
        ),
    ],
)
def test_what_all_pages_know_is_text_as_anything_else(text, page):
    assert written(text, name="x", other=Known(name="<b>")) == page


def test_a_sentence_is_ours_and_what_stands_in_it_is_text():
    sentence = "{{ _('connected %(when)s', when=name) }}"

    assert written(sentence, name="<b>") == "yhdistetty &lt;b&gt;"
    assert written("{% macro of(name) %}" + sentence + "{% endmacro %}{{ of(name) }}", name="%s") == "yhdistetty %s"


@pytest.mark.parametrize("text", ["{{ nothing }}", "{{ service_info.nothing }}", "{{ _('Help %(me)s') }}"])
def test_a_value_that_is_missing_is_a_mistake(text):
    with pytest.raises((UndefinedError, KeyError)):
        written(text)


def test_every_class_of_the_style_sheet_is_one_of_a_template():
    package = Path(webapp.__file__).parent
    sheet = re.sub(r'"[^"]*"|url\([^)]*\)|/\*.*?\*/', "", (package / "static/style.css").read_text(), flags=re.DOTALL)
    texts = "".join(path.read_text() for path in (package / "templates").rglob("*.html"))
    used = set(re.findall(r"[\w-]+", " ".join(re.findall(r'class="([^"]*)"', texts))))

    assert set(re.findall(r"\.([a-z][\w-]*)", sheet)) <= used
