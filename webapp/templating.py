"""Templates, compiled for each language: what all pages of it say alike becomes plain text of the page at start."""

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


class _Settled(NodeTransformer):
    """Puts in its place what is known at start: translated sentences, and what `always` holds of texts."""

    def __init__(self, language: Language, always: Mapping[str, Any]) -> None:
        self._language = language
        self._always = always

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - jinja2 finds it by this name
        """Give a text that all pages know. Raises TemplateAssertionError where a template takes its name."""
        if node.name not in self._always:
            return node
        if node.ctx != "load":
            raise jinja2.TemplateAssertionError(f"all templates know {node.name} as something else", node.lineno)
        return _settled(self._always[node.name], node)

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - as above
        """Give a text of something that all pages know."""
        self.generic_visit(node)
        return _settled(getattr(self._known(node.node), node.attr, None), node)

    def visit_If(self, node: nodes.If) -> nodes.Node | list[nodes.Node]:  # noqa: N802 - as above
        """Leave out what is never shown."""
        node.test = self.visit(node.test)
        if isinstance(node.test, nodes.Const) and not node.elif_:
            return [shown for each in (node.body if node.test.value else node.else_) for shown in self.visit_list(each)]
        self.generic_visit(node)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - as above
        """Translate a call that says one constant sentence and nothing else; and ask what all pages know."""
        self.generic_visit(node)
        asked, said = node.node, [each.value for each in node.args if isinstance(each, nodes.Const)]
        if len(said) < len(node.args) or node.dyn_args or node.dyn_kwargs:
            return node
        if isinstance(asked, nodes.Name) and asked.name == "_":
            return self._said(node, *said)
        if not isinstance(asked, nodes.Getattr) or node.kwargs or self._known(asked.node) is None:
            return node
        return _settled(getattr(self._known(asked.node), asked.attr)(*said), node)

    def _said(self, node: nodes.Call, sentence: str) -> nodes.Node:
        said = nodes.Const(Markup(self._language.say(sentence)), lineno=node.lineno)  # noqa: S704 - our own words
        facts = nodes.Dict([nodes.Pair(nodes.Const(fact.key), fact.value) for fact in node.kwargs])
        return nodes.Mod(said, facts, lineno=node.lineno) if node.kwargs else said

    def _known(self, node: nodes.Node) -> Any:
        return self._always.get(node.name) if isinstance(node, nodes.Name) else None


def _settled(value: object, node: nodes.Node) -> nodes.Node:
    """Give a constant in the place of a node whose value is a text, which is escaped as any other, or a yes or no."""
    return nodes.Const(value, lineno=node.lineno) if isinstance(value, str | bool) else node


class Environment(jinja2.Environment):
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
        self._settled = _Settled(language, {"language": language, **always})
        self.filters["breaking"] = breaking
        self.globals = {"_": _sayer(language), "language": language, **always}

    def make_globals(self, d: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give what a template knows before it is rendered, as one dictionary: Jinja's own chain is slow to copy."""
        return {**self.globals, **(d or {})}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = self._settled.visit(super()._parse(source, name, filename))
        return tree


def templates(language: Language, always: Mapping[str, Any], *, at_once: bool = True) -> Templates:
    """Compile all templates for a language, `at_once` or each when it is needed; `always` are facts that all know.

    Everything that is not our own sentence is escaped: outside text is text.
    """
    environment = Environment(language, always)
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
