"""The part of JSON Schema (2020-12) that the docs use.

An unknown keyword is an error.
"""

from __future__ import annotations

import re

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
    "null": lambda value: value is None,
}
PASSED_OVER = {"$schema", "$defs", "title", "properties"}


def problems(schema, value, root=None, place="$"):
    """Give what is wrong with a value, a line each; nothing where it is valid."""
    root = root or schema
    for keyword, said in schema.items():
        if keyword not in PASSED_OVER:
            yield from KEYWORDS[keyword](said, value, root, place)
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if name in value:
                yield from problems(below, value[name], root, f"{place}.{name}")


def is_valid(schema, value, root=None):
    """Tell whether a value is as a schema says."""
    return not list(problems(schema, value, root))


def _ref(said, value, root, place):
    found = root
    for name in said.removeprefix("#/").split("/"):
        found = found[name]
    yield from problems(found, value, root, place)


def _type(said, value, _root, place):
    if not any(TYPES[name](value) for name in ([said] if isinstance(said, str) else said)):
        yield f"{place} is not of the type {said}"


def _required(said, value, _root, place):
    if isinstance(value, dict):
        yield from (f"{place} has no {name}" for name in said if name not in value)


def _enum(said, value, _root, place):
    if value not in said:
        yield f"{place} is none of {said}"


def _const(said, value, _root, place):
    if value != said:
        yield f"{place} is not {said}"


def _pattern(said, value, _root, place):
    if isinstance(value, str) and not re.search(said, value):
        yield f"{place} does not match {said}"


def _min_length(said, value, _root, place):
    if isinstance(value, str) and len(value) < said:
        yield f"{place} is too short"


def _one_of(said, value, root, place):
    fitting = sum(is_valid(each, value, root) for each in said)
    if fitting != 1:
        yield f"{place} fits {fitting} of the alternatives"


KEYWORDS = {
    "$ref": _ref,
    "type": _type,
    "required": _required,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": _min_length,
    "oneOf": _one_of,
}
