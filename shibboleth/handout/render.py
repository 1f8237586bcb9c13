"""Renders the files that are generated for operators of SAML software.

A template is a complete file with placeholders `@NAME@`. Each template of `sp/` explains its placeholders at the top;
`idp.py` explains those of `idp/`. A table of `TemplateFile` lists the templates of a handout.

Lines between `@if CONDITION ...@` and `@end@` are kept if one of the conditions holds; `A+B` requires both.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_IF = re.compile(r"\s*@if ([^@]+)@\s*")
_END = re.compile(r"\s*@end@\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Spring replaces %{…} by a property and evaluates #{…} as an expression
_FORBIDDEN_IN_JAVA = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|[%#]\{")
_FORBIDDEN_UNQUOTED = re.compile(r"[\x00-\x20\x7f\"'\\`<>$%{}#|;]")


class TemplateError(ValueError):
    """A template and its values do not fit.

    A placeholder has no value, a value has no placeholder, or a value is not allowed in this kind of file.
    """

    def __init__(self, names: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{', '.join(names)}: {reason}")
        self.names = names
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Syntax:
    """How values are written in a kind of file."""

    forbidden: re.Pattern[str]
    """Matches characters that a value must not have."""
    escape: Callable[[str], str] = str


def _in_properties(value: str) -> str:
    # ASCII alone, because versions of java.util.Properties differ in the encoding they expect
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    pairs = (int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2))
    written = "".join(chr(unit) if unit < 0x7F else f"\\u{unit:04x}" for unit in pairs)  # noqa: PLR2004 - ASCII
    return "\\" + written if written.startswith(" ") else written


def _in_xml(value: str) -> str:
    # xml.sax.saxutils would import an HTTP client into every command
    return html.escape(value, quote=False).replace('"', "&quot;")


def _in_toml(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


XML = Syntax(_FORBIDDEN_IN_JAVA, _in_xml)
PROPERTIES = Syntax(_FORBIDDEN_IN_JAVA, _in_properties)
TEXT = Syntax(_CONTROL)
UNQUOTED = Syntax(_FORBIDDEN_UNQUOTED)
SYNTAXES = {"xml": XML, "html": XML, "properties": PROPERTIES, "txt": TEXT, "toml": Syntax(_CONTROL, _in_toml)}
"""By the extension of a file's name; other files get `UNQUOTED`."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template and the path of the rendered file."""

    template: str
    path: str
    conditions: frozenset[str] = frozenset()
    """The file is rendered if one of these holds, or if there are none."""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A rendered file."""

    path: str
    """Relative to the output directory."""
    text: str
    secret: bool = False
    """Whether it holds a secret, or will hold one, and must be readable by its owner only."""


def render_files(
    folder: str, table: Iterable[TemplateFile], conditions: Collection[str], values: Mapping[str, str]
) -> tuple[RenderedFile, ...]:
    """Render the files of a table whose conditions hold.

    Args:
        folder: The folder of the templates.
        table: The templates.
        conditions: The conditions that hold.
        values: The values of placeholders; may hold more than the templates use.

    Raises:
        TemplateError: If a value is missing, or is not allowed in this kind of file.
    """
    rendered = []
    for file in table:
        if file.conditions and not file.conditions & set(conditions):
            continue
        template = (files("shibboleth") / "handout" / "templates" / folder / file.template).read_text("utf-8")
        selected = apply_conditions(template, conditions)
        used = {name: values[name] for name in placeholders(selected) if name in values}
        rendered.append(RenderedFile(file.path, substitute(selected, used, syntax_of(file.template)), file.secret))
    return tuple(rendered)


def substitute(template: str, values: Mapping[str, str], syntax: Syntax | None = None) -> str:
    """Replace the placeholders of a template by values.

    Values are single lines of plain text.

    Args:
        template: The template.
        values: One value for each placeholder.
        syntax: How values are written; None means XML where the template begins with `<`, otherwise `UNQUOTED`.

    Raises:
        TemplateError: If values and placeholders differ, or a value is empty or not allowed in this kind of file.
    """
    names = placeholders(template)
    syntax = syntax or (XML if template.lstrip().startswith("<") else UNQUOTED)
    problems = {
        "the template has this placeholder, and there is no value": names - values.keys(),
        "there is a value, and the template has no such placeholder": values.keys() - names,
        "the value is empty": {name for name, value in values.items() if not value},
        "the value has characters that are not allowed in this file": {
            name for name, value in values.items() if syntax.forbidden.search(value)
        },
    }
    for reason, wrong in problems.items():
        if wrong:
            raise TemplateError(tuple(sorted(wrong)), reason)
    return _PLACEHOLDER.sub(lambda match: syntax.escape(values[match[1]]), template)


def syntax_of(name: str) -> Syntax:
    """Return the syntax of a file by its name."""
    return SYNTAXES.get(name.rpartition(".")[2], UNQUOTED)


def apply_conditions(template: str, conditions: Collection[str]) -> str:
    """Remove lines whose conditions do not hold, and the markers."""
    return "".join(
        line
        for line, alternatives in _lines(template)
        if not alternatives or any(all(each in conditions for each in one.split("+")) for one in alternatives)
    )


def conditions_in(template: str) -> frozenset[str]:
    """Return the names of all conditions in a template."""
    return frozenset(each for _, alternatives in _lines(template) for one in alternatives for each in one.split("+"))


def placeholders(template: str) -> frozenset[str]:
    """Return the names of the placeholders in a template."""
    return frozenset(_PLACEHOLDER.findall(template))


def _lines(template: str) -> Iterator[tuple[str, list[str]]]:
    # Each line without the markers, with its conditions
    alternatives: list[str] = []
    for line in template.splitlines(keepends=True):
        if begins := _IF.fullmatch(line):
            alternatives = begins[1].split()
        elif _END.fullmatch(line):
            alternatives = []
        else:
            yield line, alternatives
