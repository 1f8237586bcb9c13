import re
from importlib.resources import files

import pytest

from shibboleth.handout.render import (
    UNQUOTED,
    TemplateError,
    apply_conditions,
    conditions_in,
    placeholders,
    substitute,
    syntax_of,
)


def test_each_name_gives_way_to_its_value():
    template = "ServerName @HOSTNAME@:@PORT@ # @HOSTNAME@"

    filled = substitute(template, {"HOSTNAME": "connect.example.org", "PORT": "443"})

    assert filled == "ServerName connect.example.org:443 # connect.example.org"


def test_an_address_in_xml_is_escaped():
    filled = substitute('<a b="@URL@"/>', {"URL": 'https://ds.example.org/?a=1&b="<2>"'})

    assert filled == '<a b="https://ds.example.org/?a=1&amp;b=&quot;&lt;2&gt;&quot;"/>'


def test_a_mail_address_is_no_placeholder():
    assert placeholders("<!-- maija@YLIOPISTO.example and a@b.example -->") == frozenset()


@pytest.mark.parametrize(
    ("template", "values", "names"),
    [
        pytest.param("@A@ @B@ @C@", {"A": "1"}, ("B", "C"), id="a name without a value"),
        pytest.param("@A@", {"A": "1", "B": "2"}, ("B",), id="a value without a name"),
        pytest.param("@A@", {"A": ""}, ("A",), id="an empty value"),
        pytest.param("@A@", {"A": "x\nRequire all granted"}, ("A",), id="a second line"),
        pytest.param("@A@", {"A": "x y"}, ("A",), id="a second word"),
        pytest.param('f("@A@")', {"A": 'x") or f("'}, ("A",), id="a quotation mark"),
        pytest.param("@A@", {"A": "${SECRET}"}, ("A",), id="a variable of Apache"),
        pytest.param("<a>@A@</a>", {"A": "x\ny"}, ("A",), id="a second line in XML"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(template, values, names):
    with pytest.raises(TemplateError) as refused:
        substitute(template, values)

    assert refused.value.names == names


def test_a_value_is_never_filled_in_itself():
    assert substitute("@A@ @B@", {"A": "@B@", "B": "b"}) == "@B@ b"


PARTS = """for all
@if old@
for the old
@end@
    @if new+rich new+poor@
for the new, if rich or poor
    @end@
for all again
"""


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (set(), ["for all", "for all again"]),
        ({"old"}, ["for all", "for the old", "for all again"]),
        ({"new"}, ["for all", "for all again"]),
        ({"new", "poor"}, ["for all", "for the new, if rich or poor", "for all again"]),
    ],
)
def test_a_part_is_for_those_who_asked_for_all_of_one_of_its_words(words, lines):
    assert apply_conditions(PARTS, words).splitlines() == lines


def test_the_words_of_a_template_are_known():
    assert conditions_in(PARTS) == {"old", "new", "rich", "poor"}


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("a.properties", r"C:\idp", r"C:\\idp"),
        ("a.properties", " x", "\\ x"),
        ("a.properties", "Äyräs 😀", r"\u00c4yr\u00e4s \ud83d\ude00"),
        ("a.xml", '<&">', "&lt;&amp;&quot;&gt;"),
        ("a.txt", "it's $5", "it's $5"),
    ],
)
def test_each_kind_of_file_has_its_way_of_writing_a_value(name, value, written):
    assert substitute("@A@", {"A": value}, syntax_of(name)) == written


@pytest.mark.parametrize("name", ["a.properties", "a.xml"])
@pytest.mark.parametrize("value", ["%{idp.sealer.password}", "#{systemProperties}"])
def test_a_value_is_no_property_and_no_expression_of_the_identity_provider(name, value):
    with pytest.raises(TemplateError):
        substitute("@A@", {"A": value}, syntax_of(name))


@pytest.mark.parametrize(
    "template",
    [each.name for each in (files("shibboleth") / "handout/templates/idp").iterdir() if each.name.endswith(".xml")],
)
def test_the_only_expressions_that_spring_runs_look_whether_a_certificate_is_there(template):
    # Velocity has #{end} beside #end; Spring reads each text first, and fails over it
    text = (files("shibboleth") / "handout/templates/idp" / template).read_text("utf-8")

    without = re.sub(r"#\{new java\.io\.File\('([^']+)'\)\.isFile\(\) and [^?]+ \? '\1' : '[^']+'\}", "", text)

    assert "#{" not in without


def test_a_file_of_another_kind_takes_plain_values_alone():
    assert syntax_of("mapping.js") is UNQUOTED
    assert syntax_of("Makefile") is UNQUOTED
