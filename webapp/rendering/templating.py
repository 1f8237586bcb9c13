"""Jinja2 with its i18n extension, one environment for each language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup

from webapp.i18n.language import Language

_AFTER_A_SLASH = re.compile(r"(?<=[^/:]/)(?=[^/])")

Templates = Callable[[str, Mapping[str, Any]], str]
"""Renders a template by name with facts."""


class _CompiledTemplates(jinja2.BytecodeCache):
    # The environments of all languages and applications of this process share what is compiled
    def __init__(self) -> None:
        self._bytecode: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._bytecode:
            bucket.bytecode_from_string(self._bytecode[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._bytecode[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _CompiledTemplates()


def environment(language: Language, always: Mapping[str, Any]) -> jinja2.Environment:
    """Make the Jinja2 environment of a language; values are escaped.

    Args:
        always: Variables of every template.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("webapp"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_COMPILED,
    )
    # The extension adds this method to the environment (its documentation, "newstyle gettext")
    made.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
    made.filters["breaking"] = breaking
    made.filters["host"] = lambda url: urlsplit(url).hostname or url
    made.globals.update(always, language=language)
    return made


def templates(language: Language, always: Mapping[str, Any]) -> Templates:
    """Return a function that renders templates in a language."""
    known = environment(language, always)
    return lambda name, facts: known.get_template(name).render(facts)


def breaking(text: str) -> Markup:
    """Add a line break opportunity after each slash of a URL."""
    return Markup("<wbr>").join(_AFTER_A_SLASH.split(text) if "://" in text else [text])
