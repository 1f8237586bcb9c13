"""A page's template made straight before it is compiled: no more is done for each request than the request decides.

What a template extends, includes and imports becomes part of it, and what is the same for each request (the name of the
service, the address of a picture) becomes plain text. The page that comes out is the same, character by character.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

_PLAIN = (str, int, bool, type(None))


class Shelf:
    """The templates as they are written, each read once."""

    def __init__(self, read: Callable[[str], nodes.Template]) -> None:
        self._trees = cache(read)
        self._macros = cache(lambda name: _macros(self._trees(name), self))

    def tree(self, name: str) -> nodes.Template:
        """Give a template, for whoever asks to change as they like."""
        found: nodes.Template = _copied(self._trees(name))
        return found

    def macros(self, name: str) -> Mapping[str, _Known]:
        """Give the macros that a template knows."""
        return self._macros(name)


def straight(
    tree: nodes.Template, shelf: Shelf, environment: jinja2.Environment, always: Mapping[str, Any]
) -> nodes.Template:
    """Make a template straight; `always` are facts that are the same for each request."""
    tree = _Including(shelf).visit(_inherited(tree, shelf))
    tree = _Inlining(_macros(tree, shelf), frozenset(environment.globals) - _stored(tree)).visit(tree)
    _drop_unused_imports(tree)
    stored = _stored(tree)
    known = {name: value for name, value in always.items() if name not in stored}
    return _Folding(environment, known).visit(tree)  # type: ignore[no-any-return]


def _inherited(tree: nodes.Template, shelf: Shelf) -> nodes.Template:
    extends = [node for node in tree.body if isinstance(node, nodes.Extends)]
    if not extends or not isinstance(extends[0].template, nodes.Const):
        return tree
    base = _inherited(shelf.tree(extends[0].template.value), shelf)
    blocks = {block.name: block for block in tree.body if isinstance(block, nodes.Block)}
    first = [node for node in tree.body if not isinstance(node, nodes.Extends | nodes.Block | nodes.Output)]
    filled = _Filling(blocks).visit(base)
    return nodes.Template([*first, *filled.body], lineno=1).set_environment(tree.environment)  # type: ignore[return-value, arg-type]


class _Filling(NodeTransformer):
    """Puts a template's blocks in the places that its base has for them."""

    def __init__(self, blocks: Mapping[str, nodes.Block]) -> None:
        self._blocks = blocks

    def visit_Block(self, node: nodes.Block) -> nodes.Node:  # noqa: N802 - jinja2 finds it by this name
        return nodes.Scope(self._blocks.get(node.name, node).body, lineno=node.lineno)


class _Including(NodeTransformer):
    """Puts included templates in their places."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def visit_Include(self, node: nodes.Include) -> nodes.Node:  # noqa: N802 - as above
        if not isinstance(node.template, nodes.Const):
            return node
        return nodes.Scope(self.visit(self._shelf.tree(node.template.value)).body, lineno=node.lineno)


@dataclass(frozen=True, slots=True)
class _Known:
    """A macro, and those that it can call itself."""

    macro: nodes.Macro
    others: Mapping[str, _Known]
    needs: frozenset[str]
    """The names it reads that are none of its own."""

    @classmethod
    def of(cls, macro: nodes.Macro, others: Mapping[str, _Known]) -> _Known:
        own = {*_stored(macro), *(argument.name for argument in macro.args), *others}
        return cls(macro, others, _read(macro) - own)


def _macros(tree: nodes.Template, shelf: Shelf) -> dict[str, _Known]:
    """Give the macros that a template imports or makes, by the names that it knows them by."""
    found: dict[str, _Known] = {}
    for imported in tree.find_all(nodes.FromImport):
        if isinstance(imported.template, nodes.Const):
            there = shelf.macros(imported.template.value)
            names = [(name, name) if isinstance(name, str) else name for name in imported.names]
            found.update({alias: there[name] for name, alias in names if name in there})
    for macro in tree.body:
        if isinstance(macro, nodes.Macro):
            found[macro.name] = _Known.of(macro, dict(found))
    return found


class _Inlining(NodeTransformer):
    """Puts the bodies of macros in the places where they are called, where that changes nothing."""

    def __init__(self, macros: Mapping[str, _Known], everywhere: frozenset[str]) -> None:
        self._macros = macros
        self._everywhere = everywhere
        """The names that mean the same in every template."""

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 - as above
        """Leave a macro as it is: it is read where it is called."""
        return node

    def visit_Output(self, node: nodes.Output) -> list[nodes.Node]:  # noqa: N802 - as above
        parts: list[nodes.Node] = []
        for each in node.nodes:
            called = self._called(each)
            parts += called or [nodes.Output([each], lineno=node.lineno)]
        return _joined(parts)

    def _called(self, call: nodes.Expr) -> list[nodes.Node] | None:
        if not isinstance(call, nodes.Call) or not isinstance(call.node, nodes.Name) or call.kwargs:
            return None
        known = self._macros.get(call.node.name)
        if known is None or call.dyn_args or call.dyn_kwargs or not self._may_be_here(known, len(call.args)):
            return None
        body = _Inlining(known.others, self._everywhere).visit(nodes.Template(_copied(known.macro.body))).body
        return _with([argument.name for argument in known.macro.args], call.args, body)

    def _may_be_here(self, known: _Known, given: int) -> bool:
        macro = known.macro
        return not macro.defaults and given == len(macro.args) and known.needs <= self._everywhere


def _with(names: list[str], values: list[nodes.Expr], body: list[nodes.Node]) -> list[nodes.Node]:
    """Give a body its values: written into it where they are as short as a name, and named before it where not."""
    scope = nodes.Scope(body)
    stored = _stored(scope)
    simple = {
        name: value
        for name, value in zip(names, values, strict=True)
        if _is_simple(value) and name not in stored and not _read(value) & stored
    }
    rest = [(name, value) for name, value in zip(names, values, strict=True) if name not in simple]
    _Writing(simple).visit(scope)
    if not rest:
        return [scope]
    if {name for name, _ in rest} & {each for value in simple.values() for each in _read(value)}:
        rest = list(zip(names, values, strict=True))
        simple = {}
    return [nodes.With([nodes.Name(name, "param") for name, _ in rest], [value for _, value in rest], scope.body)]


def _is_simple(value: nodes.Node) -> bool:
    if isinstance(value, nodes.Getattr):
        return _is_simple(value.node)
    return isinstance(value, nodes.Const | nodes.Name)


class _Writing(NodeTransformer):
    """Writes expressions in the place of names."""

    def __init__(self, values: Mapping[str, nodes.Expr]) -> None:
        self._values = values

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - as above
        return _copied(self._values[node.name]) if node.name in self._values and node.ctx == "load" else node


class _Folding(NodeTransformer):
    """Works out beforehand what is the same for each request."""

    def __init__(self, environment: jinja2.Environment, known: Mapping[str, Any]) -> None:
        self._environment = environment
        self._context = nodes.EvalContext(environment)
        self._known = dict(known)

    def visit_Template(self, node: nodes.Template) -> nodes.Node:  # noqa: N802 - as above
        names = [each.name for each in node.find_all(nodes.Name) if each.ctx != "load"]
        node.body = [each for each in node.body if not self._learnt(each, names)]
        self.generic_visit(node)
        return node

    def _learnt(self, node: nodes.Node, names: list[str]) -> bool:
        """Learn what a page sets at its top, once and to the same at each request; then it need not be set again."""
        if not isinstance(node, nodes.Assign) or not isinstance(node.target, nodes.Name):
            return False
        try:
            value = self._value(node.node)
        except nodes.Impossible:
            return False
        if names.count(node.target.name) > 1 or not isinstance(value, _PLAIN):
            return False
        self._known[node.target.name] = value
        return True

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.Name | nodes.Getattr | nodes.Call | nodes.Compare | nodes.Not | nodes.Or | nodes.And):
            return self._folded(node)
        return node

    def _folded(self, node: nodes.Expr) -> nodes.Node:
        try:
            value = self._value(node)
        except nodes.Impossible:
            return node
        return nodes.Const(value, lineno=node.lineno) if isinstance(value, _PLAIN) else node

    def visit_If(self, node: nodes.If) -> nodes.Node | list[nodes.Node]:  # noqa: N802 - as above
        if node.elif_:
            first, *others = node.elif_
            first.elif_, first.else_ = others, node.else_
            node.elif_, node.else_ = [], [first]
        self.generic_visit(node)
        try:
            return node.body if self._value(node.test) else node.else_
        except nodes.Impossible:
            return node

    def _value(self, node: nodes.Node) -> Any:
        """Give the value that an expression has at each request. Raises Impossible where requests differ."""
        if isinstance(node, nodes.Name) and node.ctx == "load" and node.name in self._known:
            return self._known[node.name]
        if isinstance(node, nodes.Getattr):
            return self._there(self._environment.getattr(self._value(node.node), node.attr))
        if isinstance(node, nodes.Call):
            return self._result(node)
        if isinstance(node, nodes.Name) or not isinstance(node, nodes.Expr):
            raise nodes.Impossible
        return node.as_const(self._context)

    def _there(self, value: Any) -> Any:
        if isinstance(value, jinja2.Undefined):
            raise nodes.Impossible
        return value

    def _result(self, node: nodes.Call) -> Any:
        if node.kwargs or node.dyn_args or node.dyn_kwargs or not isinstance(node.node, nodes.Getattr):
            raise nodes.Impossible
        arguments = [self._value(argument) for argument in node.args]
        try:
            return self._value(node.node)(*arguments)
        except Exception:  # noqa: BLE001 - what fails here fails where the page gets there, if it ever does
            raise nodes.Impossible from None


def _drop_unused_imports(tree: nodes.Template) -> None:
    read = _read(tree)
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, nodes.FromImport)
        or read & {name if isinstance(name, str) else name[1] for name in node.names}
    ]


def _copied(part: Any) -> Any:
    # Not by `copy`: each node knows its environment, and that one is to stay the same
    if isinstance(part, list | tuple):
        return [_copied(each) for each in part]
    if not isinstance(part, nodes.Node):
        return part
    fields = [_copied(getattr(part, name)) for name in part.fields]
    return type(part)(*fields, lineno=part.lineno, environment=part.environment)


def _joined(parts: list[nodes.Node]) -> list[nodes.Node]:
    joined: list[nodes.Node] = []
    for part in parts:
        if joined and isinstance(part, nodes.Output) and isinstance(joined[-1], nodes.Output):
            joined[-1].nodes += part.nodes
        else:
            joined.append(part)
    return joined


def _stored(tree: nodes.Node) -> frozenset[str]:
    return frozenset(each.name for each in tree.find_all(nodes.Name) if each.ctx != "load")


def _read(tree: nodes.Node) -> frozenset[str]:
    own = [tree.name] if isinstance(tree, nodes.Name) and tree.ctx == "load" else []
    return frozenset([*own, *(each.name for each in tree.find_all(nodes.Name) if each.ctx == "load")])
