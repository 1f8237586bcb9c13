"""Fill in the files that are handed out: to the operator of the service, to Identity Providers, to other services.

A template is a complete file in which `@NAME@` stands for what differs from site to site.  Which names there are, and
what each one means, is told at the top of each template of `sp/`, and by `idp.py` for those of `idp/`.  Which templates
make up a handout is a table of `TemplateFile`.

Lines between `@when WORD …@` and `@end@` are for those alone who asked for one of the words; `A+B` is a word for who
asked for both.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_WHEN = re.compile(r"\s*@when ([^@]+)@\s*")
_END = re.compile(r"\s*@end@\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Spring takes %{…} for a property, and #{…} for an expression that it runs
_BREAKS_JAVA = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|[%#]\{")
_BREAKS_OTHERS = re.compile(r"[\x00-\x20\x7f\"'\\`<>$%{}#|;]")


class TemplateError(ValueError):
    """A template and the values for it do not belong together, or a value could mean something else in it."""

    def __init__(self, names: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{', '.join(names)}: {reason}")
        self.names = names
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a value stands in a kind of file: what would break the file, and how the rest is written."""

    breaks: re.Pattern[str]
    write: Callable[[str], str] = str


def _in_properties(value: str) -> str:
    """Write a value as java.util.Properties reads it, whatever the encoding of the file is taken for."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    pairs = (int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2))
    written = "".join(chr(unit) if unit < 0x7F else f"\\u{unit:04x}" for unit in pairs)  # noqa: PLR2004 - ASCII
    return "\\" + written if written.startswith(" ") else written


def _in_xml(value: str) -> str:
    # Not by xml.sax.saxutils, which loads an HTTP client into every command
    return html.escape(value, quote=False).replace('"', "&quot;")


XML = Syntax(_BREAKS_JAVA, _in_xml)
PROPERTIES = Syntax(_BREAKS_JAVA, _in_properties)
TEXT = Syntax(_CONTROL)
OTHER = Syntax(_BREAKS_OTHERS)
SYNTAXES = {"xml": XML, "html": XML, "properties": PROPERTIES, "txt": TEXT}
"""By the end of a file's name; what is not here takes values that have no meaning of their own anywhere."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template, and where the file goes that is made of it."""

    template: str
    path: str
    words: frozenset[str] = frozenset()
    """For whom it is: who asked for one of these; everybody, where there is none."""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file as it is handed out."""

    path: str
    """Below the directory where it belongs, or into which it is handed out."""
    text: str
    secret: bool = False
    """Whether it holds a secret or is the place for one, so that nobody else may read it."""


def hand_out(
    folder: str, table: Iterable[TemplateFile], words: Collection[str], values: Mapping[str, str]
) -> tuple[RenderedFile, ...]:
    """Give the files of a table for who asked for these words; `values` may hold more than they need.

    Raises TemplateError.
    """
    return tuple(_handed(folder, file, words, values) for file in table if not file.words or file.words & set(words))


def _handed(folder: str, file: TemplateFile, words: Collection[str], values: Mapping[str, str]) -> RenderedFile:
    chosen = choose((files("shibboleth") / "handout" / "templates" / folder / file.template).read_text("utf-8"), words)
    mine = {each: values[each] for each in placeholders(chosen) if each in values}
    return RenderedFile(file.path, fill(chosen, mine, syntax_of(file.template)), file.secret)


def fill(template: str, values: Mapping[str, str], syntax: Syntax | None = None) -> str:
    """Put each value where the template has its name between two at signs.

    Values are single lines of plain text. In an XML file they are escaped; where no syntax is told and the file is
    not XML, a value that holds a blank, a quotation mark or another character with a meaning of its own is refused.
    Raises TemplateError, also for a value that the template does not ask for and for one that it asks for in vain.
    """
    wanted = placeholders(template)
    _must_be_none(wanted - values.keys(), "the template asks for it, and there is no value")
    _must_be_none(values.keys() - wanted, "there is a value, and the template does not ask for it")
    syntax = syntax or (XML if template.lstrip().startswith("<") else OTHER)
    _must_be_none({name for name, value in values.items() if not value}, "the value is empty")
    _must_be_none({name for name, value in values.items() if syntax.breaks.search(value)}, "it would break the file")
    return _PLACEHOLDER.sub(lambda found: syntax.write(values[found[1]]), template)


def syntax_of(name: str) -> Syntax:
    """Tell the syntax of a file by its name."""
    return SYNTAXES.get(name.rpartition(".")[2], OTHER)


def choose(template: str, words: Collection[str]) -> str:
    """Leave the parts of a template that are for one of these words, and what is for everybody."""
    return "".join(line for line, wanted in _parts(template) if not wanted or any(_met(each, words) for each in wanted))


def words_of(template: str) -> frozenset[str]:
    """Name the words that a template's parts ask about."""
    return frozenset(word for _, wanted in _parts(template) for each in wanted for word in each.split("+"))


def placeholders(template: str) -> frozenset[str]:
    """Name what a template asks for."""
    return frozenset(_PLACEHOLDER.findall(template))


def _parts(template: str) -> Iterator[tuple[str, list[str]]]:
    """Give each line with the words it is for; a marker is no line."""
    wanted: list[str] = []
    for line in template.splitlines(keepends=True):
        if begins := _WHEN.fullmatch(line):
            wanted = begins[1].split()
        elif _END.fullmatch(line):
            wanted = []
        else:
            yield line, wanted


def _met(asked: str, words: Collection[str]) -> bool:
    return all(word in words for word in asked.split("+"))


def _must_be_none(names: Collection[str], reason: str) -> None:
    if names:
        raise TemplateError(tuple(sorted(names)), reason)
