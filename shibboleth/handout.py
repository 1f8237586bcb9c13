"""Fill in the files that are handed out: those in `sp/` to the operator of the service.

A template is a complete file in which `@NAME@` stands for what differs from site to site. Which names there are, and
what each one means, is told at the top of each template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_BREAKS_XML = re.compile(r"[\x00-\x1f\x7f]")
_BREAKS_OTHERS = re.compile(r"[\x00-\x20\x7f\"'\\`<>$%{}#|;]")


class CannotFill(ValueError):
    """A template and the values for it do not belong together, or a value could mean something else in it."""

    def __init__(self, names: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{', '.join(names)}: {reason}")
        self.names = names
        self.reason = reason


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put each value where the template has its name between two at signs.

    Values are single lines of plain text. In an XML file they are escaped; in any other file a value that holds a
    blank, a quotation mark or another character with a meaning of its own is refused. Raises CannotFill, also for a
    value that the template does not ask for and for one that it asks for in vain.
    """
    wanted = set(_PLACEHOLDER.findall(template))
    _must_be_none(wanted - values.keys(), "the template asks for it, and there is no value")
    _must_be_none(values.keys() - wanted, "there is a value, and the template does not ask for it")
    is_xml = template.lstrip().startswith("<")
    breaks = _BREAKS_XML if is_xml else _BREAKS_OTHERS
    _must_be_none({name for name, value in values.items() if not value}, "the value is empty")
    _must_be_none({name for name, value in values.items() if breaks.search(value)}, "the value would break the file")
    ready = {name: escape(value, {'"': "&quot;"}) if is_xml else value for name, value in values.items()}
    return _PLACEHOLDER.sub(lambda found: ready[found[1]], template)


def placeholders(template: str) -> frozenset[str]:
    """Name what a template asks for."""
    return frozenset(_PLACEHOLDER.findall(template))


def _must_be_none(names: set[str], reason: str) -> None:
    if names:
        raise CannotFill(tuple(sorted(names)), reason)
