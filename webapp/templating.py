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
    """Puts in its place what is known at start: translated sentences, and texts of what all pages know (`always`)."""

    def __init__(self, language: Language, always: Mapping[str, Any]) -> None:
        self._language = language
        self._always = always

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - jinja2 finds it by this name
        """Give a text that all pages know. Raises TemplateAssertionError where the name is given to something else."""
        if node.ctx != "load":
            self._must_be_free(node, node.name)
        return _settled(self._known(node), node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 - as above
        """Look into a macro. Raises as `visit_Name`."""
        self._must_be_free(node, node.name)
        return self.generic_visit(node)

    def visit_Import(self, node: nodes.Import) -> nodes.Node:  # noqa: N802 - as above
        """Let it be. Raises as `visit_Name`."""
        self._must_be_free(node, node.target)
        return node

    def visit_FromImport(self, node: nodes.FromImport) -> nodes.Node:  # noqa: N802 - as above
        """Let it be. Raises as `visit_Name`."""
        self._must_be_free(node, *(each if isinstance(each, str) else each[1] for each in node.names))
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - as above
        """Give a text of something that all pages know."""
        known = self._known(node.node)
        if known is not None:
            return _settled(getattr(known, node.attr, None), node)
        return self.generic_visit(node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - as above
        """Give a sentence, translated, or the text which something that all pages know says of constants."""
        asked, said = node.node, [each.value for each in node.args if isinstance(each, nodes.Const)]
        constant = len(said) == len(node.args) and not node.dyn_args and not node.dyn_kwargs
        if constant and isinstance(asked, nodes.Name) and asked.name == "_":
            return self._said(node, *said)
        if constant and isinstance(asked, nodes.Getattr) and not node.kwargs and self._known(asked.node) is not None:
            return _settled(getattr(self._known(asked.node), asked.attr)(*said), node)
        return self.generic_visit(node)

    def _said(self, node: nodes.Call, sentence: str) -> nodes.Node:
        self.generic_visit(node)
        said = nodes.Const(Markup(self._language.say(sentence)), lineno=node.lineno)  # noqa: S704 - our own words
        facts = nodes.Dict([nodes.Pair(nodes.Const(fact.key), fact.value) for fact in node.kwargs])
        return nodes.Mod(said, facts, lineno=node.lineno) if node.kwargs else said

    def _known(self, node: nodes.Node) -> Any:
        return self._always.get(node.name) if isinstance(node, nodes.Name) else None

    def _must_be_free(self, node: nodes.Node, *names: str) -> None:
        for name in self._always.keys() & set(names):
            raise jinja2.TemplateAssertionError(f"all templates know {name} as something else", node.lineno)


def _settled(value: object, node: nodes.Node) -> nodes.Node:
    """Give a constant in the place of a node whose value is a text, which is escaped as any other."""
    return nodes.Const(value, lineno=node.lineno) if isinstance(value, str) else node


class OneLanguage(jinja2.Environment):
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
        known = {"language": language, **always}
        self._settled = _Settled(language, known)
        self.filters["breaking"] = breaking
        self.globals = {"_": _sayer(language), **known}

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
    environment = OneLanguage(language, always)
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
