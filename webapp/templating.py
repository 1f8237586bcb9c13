"""Templates, compiled for each language: a sentence without facts in it becomes plain text of the page at start."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from webapp.language import Language

_AFTER_A_SLASH = re.compile(r"(?<=[^/:]/)(?=[^/])")

Templates = Callable[[str, Mapping[str, Any]], str]
"""Renders a template by name with facts."""


class _Saying(NodeTransformer):
    """Puts translated sentences in the place of `_("…")`."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - jinja2 finds it by this name
        """Translate a call that says one constant sentence and nothing else."""
        self.generic_visit(node)
        asked = isinstance(node.node, nodes.Name) and node.node.name == "_"
        if not asked or node.dyn_kwargs is not None or not isinstance(node.args[0], nodes.Const):
            return node
        said = nodes.Const(Markup(self._language.say(node.args[0].value)), lineno=node.lineno)  # noqa: S704 - our own words
        facts = nodes.Dict([nodes.Pair(nodes.Const(fact.key), fact.value) for fact in node.kwargs])
        return nodes.Mod(said, facts, lineno=node.lineno) if node.kwargs else said


class _Environment(jinja2.Environment):
    """Templates of one language."""

    def __init__(self, language: Language, always: Mapping[str, Any]) -> None:
        super().__init__(
            loader=jinja2.FileSystemLoader(str(files("webapp") / "templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._saying = _Saying(language)
        self.filters["breaking"] = breaking
        self.globals = {"_": _sayer(language), "language": language, **always}

    def make_globals(self, d: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give what a template knows before it is rendered, as one dictionary: Jinja's own chain is slow to copy."""
        return {**self.globals, **(d or {})}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = self._saying.visit(super()._parse(source, name, filename))
        return tree


def templates(language: Language, always: Mapping[str, Any], *, at_once: bool = True) -> Templates:
    """Compile all templates for a language, `at_once` or each when it is needed; `always` are facts that all know.

    Everything that is not our own sentence is escaped: outside text is text.
    """
    environment = _Environment(language, always)
    compiled = cache(environment.get_template)
    for name in environment.list_templates() if at_once else ():
        compiled(name)
    return lambda name, facts: compiled(name).render(facts)


def breaking(text: str) -> Markup:
    """Let a long address go on in the next line after any of its slashes, rather than within a word."""
    return Markup("<wbr>").join(_AFTER_A_SLASH.split(text) if "://" in text else [text])


def _sayer(language: Language) -> Callable[..., Markup]:
    def say(sentence: str, /, **facts: Any) -> Markup:
        # The sentence is ours; the facts are outside text, and Markup escapes them as they take their places
        said = Markup(language.say(sentence))  # noqa: S704 - see above
        return said % facts if facts else said

    return say
