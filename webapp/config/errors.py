"""What is wrong with a configuration, in words that say where it stands and how to mend it.

Knows nothing of the library that validates: it is handed that library's list of errors as plain values.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CLOSE_ENOUGH = 0.6


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One thing to mend. Holds no value from the file, since any of them may be a secret in the wrong place."""

    file: str
    key: str
    """Dotted, as in `orcid.client_id`; empty when the whole file is meant."""
    text: str
    mend: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.text}; {self.mend}"


class Misconfigured(Exception):
    """The configuration cannot be used; `problems` holds all that is wrong with it."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(each) for each in self.problems))


class InvalidSetting(ValueError):
    """A value cannot be what it should be: what is wrong with it, and the mend."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one key of a file: enough to say what it should be, and to write its documentation."""

    key: str
    """Dotted, from the top of its file."""
    kind: str
    """What it is, in words that fit after "must be"."""
    example: Any
    """A valid value; a table for a section."""
    default: Any = None
    """What holds when it is not written; None where there is nothing."""
    shown: str = ""
    """The default in words, where there is more to say."""
    required: bool = False
    meaning: str = ""
    section: bool = False
    repeated: bool = False
    """Of a section: whether it may come several times."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Of a section: its keys."""

    @property
    def name(self) -> str:
        """The last part of the key, as it is written inside its section."""
        return self.key.rpartition(".")[2]

    @property
    def line(self) -> str:
        """A line of the file that would do."""
        if self.section:
            return f"[[{self.key}]]" if self.repeated else f"[{self.key}]"
        return f"{self.name} = {toml(self.example)}"

    def walk(self) -> Iterator[Setting]:
        """Give every setting below this section that is not itself a section."""
        for one in self.settings.values():
            yield from one.walk() if one.section else (one,)


def toml(value: Any) -> str:
    """Write a value as TOML does; for text, numbers, truth values and lists of them JSON writes the same."""
    return json.dumps(value, ensure_ascii=False)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that was probably meant."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=_CLOSE_ENOUGH)
    return close[0] if close else None


def problems_of(file: Path, errors: Sequence[Mapping[str, Any]], whole: Setting) -> list[SettingProblem]:
    """Turn the validator's errors (`type`, `loc`, `ctx`) about one file into problems, in the order of the file."""
    return [_problem(str(file), error, whole) for error in errors]


def _problem(file: str, error: Mapping[str, Any], whole: Setting) -> SettingProblem:
    location = error["loc"]
    own = error.get("ctx", {}).get("error")
    if isinstance(own, InvalidSetting):
        return SettingProblem(file, _spoken(location), own.text, own.mend)
    text, mend = _WORDS.get(error["type"], _another_kind)(location, whole)
    return SettingProblem(file, _spoken(location), text, mend)


def _spoken(location: Sequence[str | int]) -> str:
    key = ".".join(part for part in location if isinstance(part, str))
    numbers = [part for part in location if isinstance(part, int)]
    return key + "".join(f" (value {number + 1})" for number in numbers)


def _find(location: Sequence[str | int], whole: Setting) -> Setting:
    found = whole
    for part in location:
        found = found.settings.get(str(part), found)
    return found


def _home(location: Sequence[str | int], whole: Setting) -> str:
    """Name the place a key stands in, for the middle of a sentence."""
    section = _find(location[:-1], whole)
    return section.line if section.key else "the top of the file"


def _missing(location: Sequence[str | int], whole: Setting) -> tuple[str, str]:
    setting = _find(location, whole)
    place = f"to {_home(location, whole)}" if len(location) > 1 else "at the top of the file"
    return "is missing", f"add {place}, for example: {setting.line}"


def _unknown(location: Sequence[str | int], whole: Setting) -> tuple[str, str]:
    name, section = str(location[-1]), _find(location[:-1], whole)
    meant = nearest(name, section.settings)
    if meant is not None:
        kept = section.settings[meant]
        return "is not a setting", f"did you mean {kept.line if kept.section else meant}?"
    elsewhere = [one for one in whole.walk() if one.name == name]
    if elsewhere:
        belongs = _home(elsewhere[0].key.split("."), whole)
        return f"is not a setting of {_home(location, whole)}", f"it belongs to {belongs}"
    return "is not a setting", f"remove it; {_home(location, whole)} knows: {', '.join(sorted(section.settings))}"


def _another_kind(location: Sequence[str | int], whole: Setting) -> tuple[str, str]:
    setting = _find(location, whole)
    if setting.section:
        return "is a section and not a value", f"write {setting.line} on a line of its own, and its settings below"
    return f"must be {setting.kind}", f"write for example: {setting.line}"


_WORDS = {"missing": _missing, "extra_forbidden": _unknown}
