"""Errors of the configuration: what is wrong, where, and how to fix it.

This module does not import the library that validates: it takes that library's errors as plain dictionaries.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SIMILAR = 0.6
# What is written as a key may be a secret that lost its key
_KEY = re.compile(r"[A-Za-z0-9_-]{1,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One error of the configuration.

    It contains no value from the file, because any value may be a secret in the wrong place.
    """

    file: str
    key: str
    """Dotted, as in `orcid.client_id`; empty if the whole file is meant."""
    text: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.text}; {self.fix}"


class Misconfigured(Exception):
    """The configuration cannot be used; `problems` has all of its errors."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(each) for each in self.problems))


class InvalidSetting(ValueError):
    """A value is not valid.

    `text` says why and `fix` what to write, and neither contains the value.
    """

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text)
        self.text = text
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Setting:
    """Description of a key, for error messages and the docs."""

    key: str
    """Dotted, from the top of its file."""
    expected: str
    """The type, in words that follow "must be"."""
    example: Any
    """A valid value; a table for a section."""
    default: Any = None
    """None if there is no default."""
    default_text: str = ""
    """The default in words, if its value does not say enough."""
    required: bool = False
    description: str = ""
    section: bool = False
    repeated: bool = False
    """Of a section: whether it may occur several times."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Of a section: its keys."""

    @property
    def name(self) -> str:
        """The last part of the key, as it is written in its section."""
        return self.key.rpartition(".")[2]

    @property
    def example_line(self) -> str:
        """A valid line of the file."""
        if self.section:
            return f"[[{self.key}]]" if self.repeated else f"[{self.key}]"
        return f"{self.name} = {to_toml(self.example)}"

    def walk(self) -> Iterator[Setting]:
        """Yield every setting below this section that is not a section itself."""
        for one in self.settings.values():
            yield from one.walk() if one.section else (one,)


def to_toml(value: Any) -> str:
    """Write text, a number, a truth value or a list of them as TOML.

    JSON has the same notation for them, except for U+007F, which TOML wants escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def closest_match(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelled one probably means.

    Returns:
        None if no name is similar.
    """
    by_folded = {each.lower(): each for each in known}
    matches = difflib.get_close_matches(name.lower(), list(by_folded), n=1, cutoff=_SIMILAR)
    return by_folded[matches[0]] if matches else None


def setting_problems(file: Path, errors: Sequence[Mapping[str, Any]], described: Setting) -> list[SettingProblem]:
    """Turn the validator's errors about one file into problems.

    Args:
        file: The file.
        errors: Each with `type`, `loc`, `input` and `ctx`, as pydantic gives them.
        described: The settings of the file.
    """
    return [_problem(str(file), error, described) for error in errors]


def _problem(file: str, error: Mapping[str, Any], described: Setting) -> SettingProblem:
    location = error["loc"]
    key = ".".join(part if _KEY.fullmatch(part) else "…" for part in location if isinstance(part, str))
    key += "".join(f" (value {part + 1})" for part in location if isinstance(part, int))
    own = error.get("ctx", {}).get("error")
    if isinstance(own, InvalidSetting):
        return SettingProblem(file, key, own.text, own.fix)
    if error["type"] == "missing":
        return SettingProblem(file, key, "is missing", _fix_missing(location, described))
    if error["type"] == "extra_forbidden":
        return SettingProblem(file, key, *_unknown_key(location, described))
    return SettingProblem(file, key, *_wrong_type(location, error, described))


def _find(location: Sequence[str | int], described: Setting) -> Setting:
    found = described
    for part in location:
        found = found.settings.get(str(part), found)
    return found


def _section_name(location: Sequence[str | int], described: Setting) -> str:
    """Return the section that a key is written in, for the middle of a sentence."""
    section = _find(location[:-1], described)
    return section.example_line if section.key else "the top of the file"


def _fix_missing(location: Sequence[str | int], described: Setting) -> str:
    place = f"to {_section_name(location, described)}" if len(location) > 1 else "at the top of the file"
    return f"add {place}, for example: {_find(location, described).example_line}"


def _unknown_key(location: Sequence[str | int], described: Setting) -> tuple[str, str]:
    name, section = str(location[-1]), _find(location[:-1], described)
    place = _section_name(location, described)
    for one in described.walk():
        if one.name == name:
            return f"is not a setting of {place}", f"it belongs to {_section_name(one.key.split('.'), described)}"
    if meant := closest_match(name, section.settings):
        similar = section.settings[meant]
        return "is not a setting", f"did you mean {similar.example_line if similar.section else meant}?"
    return "is not a setting", f"remove it; the settings of {place} are: {', '.join(sorted(section.settings))}"


def _wrong_type(location: Sequence[str | int], error: Mapping[str, Any], described: Setting) -> tuple[str, str]:
    setting, value = _find(location, described), error.get("input")
    example = setting.example_line
    if setting.section:
        return "is a section and not a value", f"write {example} on a line of its own, and its settings below it"
    fix = f"write for example: {example}"
    if isinstance(value, str) and error["type"] == "enum":
        meant = closest_match(value, re.findall(r'"([^"]+)"', setting.expected))
        fix = f"did you mean {setting.name} = {to_toml(meant)}?" if meant else fix
    elif isinstance(value, str) and isinstance(setting.example, bool | int | float):
        fix = f"write it without quotes, for example: {example}"
    elif isinstance(value, str) and isinstance(setting.example, list):
        fix = f"write it in brackets, for example: {example}"
    elif isinstance(value, bool | int | float) and isinstance(setting.example, str):
        fix = f"write it in quotes, for example: {example}"
    return f"must be {setting.expected}", fix
