"""Templates made straight: what comes out is what Jinja makes of them as they stand."""

import jinja2
import pytest
from jinja2 import nodes

from webapp.folding import Shelf, straight


class House:
    name = "A & B"
    open = True

    def address(self, name):
        return {"x.svg": "/static/x.1.svg"}[name]


ALWAYS = {"house": House()}

SHELF = {
    "base": "{% from 'macros' import link %}<title>{% block title %}none{% endblock %}</title>"
    "{{ link(house.name) }}{% block main %}{% endblock %}",
    "macros": "{% macro link(to) %}<a href='{{ to }}'>{% if to.startswith('A') %}A{% else %}?{% endif %}{% endmacro %}"
    "{% macro twice(to) %}{{ link(to) }}{{ link(to) }}{% endmacro %}"
    "{% macro either(to='x') %}{{ to }}{% endmacro %}"
    "{% macro counted(to) %}{% for each in to %}{{ loop.index }}{{ each }}{% endfor %}{% endmacro %}"
    "{% macro named(name) %}{% set said = name ~ '!' %}{{ said }}{{ house.name }}{% endmacro %}",
    "part": "{% set own = 3 %}{{ own }}{{ given }}",
}


def render(source, facts, *, made_straight):
    class Environment(jinja2.Environment):
        def _parse(self, source, name, filename):
            tree = super()._parse(source, name, filename)
            return straight(tree, Shelf(self.tree_of), self, ALWAYS) if made_straight else tree

        def tree_of(self, name):
            return super()._parse(SHELF[name], name, None)

    environment = Environment(
        loader=jinja2.DictLoader({**SHELF, "page": source}), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals = dict(ALWAYS)
    return environment.get_template("page").render(facts)


@pytest.mark.parametrize(
    "source",
    [
        "plain & simple",
        "{{ house.name }} {{ given }} {{ house.address('x.svg') }}",
        "{% extends 'base' %}",
        "{% extends 'base' %}{% set a = house.name %}{% block title %}{{ a }}{{ given }}{% endblock %}",
        "{% extends 'base' %}{% set a = given %}{% block main %}{% set a = 2 %}{{ a }}{% endblock %}",
        "{% set titles = {'<1>': 'one'} %}{{ titles[given] }}",
        "{% include 'part' %}{{ given }}",
        "{% set name = 'part' %}{% include [name] %}",
        "{% from 'macros' import link as l, twice %}{{ l(given) }}{{ twice(given) }}{{ l('<A>') }}{{ l(given ~ 1) }}",
        "{% from 'macros' import either %}{{ either() }}{{ either(given) }}{{ either(to=given) }}",
        "{% from 'macros' import counted %}{% for x in 'ab' %}{{ counted(x ~ 1) }}{{ counted(x) }}{% endfor %}",
        "{% from 'macros' import named %}{% set said = 'kept' %}{{ named(said) }}{{ said }}{{ named(given) }}",
        "{% from 'macros' import named %}{% for house in 'ab' %}{{ named(house) }}{% endfor %}",
        "{% macro own(x) %}<{{ x }}>{% endmacro %}{{ own(given) }}{{ own(own(given)) }}",
        "{% if house.open %}open{% else %}shut{% endif %}{% if not house.open %}shut{% endif %}",
        "{% if not house.open %}1{% elif given %}2{% elif house.open %}3{% else %}4{% endif %}",
        "{% if given %}1{% elif house.open %}2{% endif %}",
        "{% if house.none is defined %}1{% else %}2{% endif %}",
        "{% if false and house.address('none') %}x{% endif %}{{ given and house.name }}",
        "{% set a = 1 %}{% for i in 'ab' %}{% set a = 2 %}{{ a }}{% endfor %}{{ a }}",
    ],
)
def test_a_page_comes_out_as_it_would(source):
    facts = {"given": "<1>"}

    assert render(source, facts, made_straight=True) == render(source, facts, made_straight=False)


def test_what_fails_fails_when_the_page_gets_there():
    source = "{% if given %}{{ house.address('none') }}{% endif %}"

    assert not render(source, {"given": ""}, made_straight=True)
    with pytest.raises(KeyError):
        render(source, {"given": "yes"}, made_straight=True)


def test_what_is_the_same_for_each_request_is_text_beforehand():
    environment = jinja2.Environment(autoescape=True, loader=jinja2.DictLoader(SHELF))
    tree = environment.parse(
        "{% set icon = house.address('x.svg') %}{{ icon }}{% if house.open %}{{ given }}{% endif %}"
    )

    tree = straight(tree, Shelf(lambda name: environment.parse(SHELF[name])), environment, ALWAYS)

    assert [name.name for name in tree.find_all(nodes.Name)] == ["given"]
    assert tree.find(nodes.If) is None
    assert [each.value for each in tree.find_all(nodes.Const)] == ["/static/x.1.svg"]
