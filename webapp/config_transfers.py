"""The transfers in an organisation's file: tables named `[[transfer]]`, each of a kind, with that kind's settings.

What the kinds are is told by whoever knows them (`Reading.kinds`): they are dataclasses, and a field's type, default
and metadata (`meaning`, `example`, `secret`) say all there is to say about a setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, ValidationInfo
from pydantic import Field as Lax

from webapp import config_values as values
from webapp.config_errors import Problem, Setting, Wrong, problems_of
from webapp.config_names import INTERFACE_NAMES
from webapp.config_tables import REFERENCE, REFERRED, Reading, Table, errors_of, reading_of, section, setting
from webapp.secret import Secret

KEY = "transfer"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Wrong("must be 1 to 63 of a-z, 0-9 and -", 'write for example: name = "idm"')
    return text


def _known(kind: str, info: ValidationInfo) -> str:
    return values.one_of(kind, tuple(reading_of(info).kinds()))


if TYPE_CHECKING:
    Label = Table
else:
    Label = INTERFACE_NAMES


class Transfer(Table):
    """A way by which changes reach the organisation's own identity management; there may be several."""

    # Its other settings are those of its kind, which is not known before it is read
    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(_name)] = setting(
        "What it is called in logs, on the command line and in the store; no other of the organisation has this name.",
        "a name in quotes, of a-z, 0-9 and -",
        "idm",
    )
    kind: Annotated[str, AfterValidator(_known)] = setting(
        "Which way it is; each has settings of its own.", "the name of a kind in quotes", "rest"
    )
    label: Label = section()


def different(transfers: tuple[Transfer, ...]) -> tuple[Transfer, ...]:
    """Refuse two of one name."""
    names = [each.name for each in transfers]
    for name in names:
        if names.count(name) > 1:
            raise Wrong(f"has two that are called {name}", "give each its own name")
    return transfers


def labels_of(transfers: tuple[Transfer, ...]) -> Mapping[str, Mapping[str, str]]:
    """Give what people are told that each transfer is: by name and language."""
    return MappingProxyType({each.name: each.label.model_dump(exclude_none=True) for each in transfers})


def transfers_in(content: Mapping[str, Any], reading: Reading, problems: list[Problem]) -> Mapping[str, Any]:
    """Make the transfers of an organisation's file by name; problems with their kinds' settings join the others.

    What is wrong with their names and kinds is found where the file itself is read.
    """
    tables = content.get(KEY)
    whole = [each for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []
    made = [(table.get("name"), _made(table, number, reading, problems)) for number, table in enumerate(whole, 1)]
    return MappingProxyType({name: transfer for name, transfer in made if isinstance(name, str)})


def _made(table: dict[str, Any], number: int, reading: Reading, problems: list[Problem]) -> Any:
    kind = reading.kinds().get(str(table.get("kind")))
    if kind is None:
        return None
    own = {name: value for name, value in table.items() if name not in Transfer.model_fields}
    name = table.get("name")
    place = (KEY, name if isinstance(name, str) and _NAME.fullmatch(name) else f"number {number}")
    told, errors = _read(own, kind, reading, place)
    if errors:
        whole = Setting("", "", example={}, settings={KEY: settings_of(kind)})
        problems.extend(problems_of(reading.file, errors, whole))
        return None
    try:
        return kind(**told)
    except ValueError as error:
        # What a kind has against its settings is a sentence for people, and quotes no secret
        mend = f'mend it; docs/settings.md says what each setting of kind = "{table["kind"]}" is for'
        problems.append(Problem(str(reading.file), ".".join(place), str(error), mend))
        return None


def _read(
    own: Mapping[str, Any], kind: type[Any], reading: Reading, place: tuple[str, ...]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the settings of a kind, and tell what is wrong with them."""
    read: dict[str, Any] = {}
    readers = _readers(kind)
    errors: list[dict[str, Any]] = []
    for name, known in settings_of(kind).settings.items():
        try:
            if name in own:
                read[name] = _plain(readers[name].validate_python(own[name], context=reading))
            elif known.required:
                errors.append({"type": "missing", "loc": (*place, name)})
        except ValidationError as error:
            errors += errors_of(error, *place, name)
    errors += [{"type": "extra_forbidden", "loc": (*place, name)} for name in own if name not in readers]
    return read, errors


def _plain(value: Any) -> Any:
    """Give a secret itself, for its kind keeps it out of sight from here on."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.reveal() if isinstance(value, Secret) else value


# --- What a kind's fields say of its settings ---------------------------------------------------------------------


def settings_of(kind: type[Any]) -> Setting:
    """Give what is known of a kind's own settings, for messages and for the reference page."""
    inner = {one.name: _setting(one, _hint(kind, one)) for one in fields(kind)}
    return Setting(KEY, "a section", example={}, section=True, repeated=True, settings=inner)


def _readers(kind: type[Any]) -> Mapping[str, TypeAdapter[Any]]:
    """Give what reads each setting."""
    strict = ConfigDict(strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True)
    return {
        one.name: TypeAdapter(_spelt(_hint(kind, one), secret=one.metadata["secret"])[0], config=strict)
        for one in fields(kind)
    }


def _hint(kind: type[Any], one: Field[Any]) -> Any:
    """Give the type of a field where it is given; whether it may be left out is said by its default."""
    hint = get_type_hints(kind)[one.name]
    given = [each for each in get_args(hint) if each is not NoneType]
    return given[0] if NoneType in get_args(hint) else hint


def _setting(one: Field[Any], hint: Any) -> Setting:
    required = one.default is MISSING
    return Setting(
        f"{KEY}.{one.name}",
        kind=_spelt(hint, secret=one.metadata["secret"])[1],
        example=one.metadata["example"],
        default=None if required or one.default == "" else one.default,
        required=required,
        meaning=one.metadata["meaning"],
    )


def _spelt(hint: Any, *, secret: bool) -> tuple[Any, str]:
    """Give how a value of a type is spelt in the file: what reads it, and the words that fit after "must be"."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        *most, last = [f'"{each}"' for each in hint]
        return Annotated[hint, Lax(strict=False)], f"{', '.join(most)} or {last}"
    return _SECRETS[hint] if secret else _SPELT[hint]


def _placed(path: str, info: ValidationInfo) -> Path:
    if not path:
        raise Wrong("is empty", "write a path, or remove it")
    return reading_of(info).directory / path


_SPELT: Mapping[Any, tuple[Any, str]] = {
    str: (str, "text in quotes"),
    bool: (bool, "true or false, without quotes"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    Path: (Annotated[str, AfterValidator(_placed)], "a path in quotes"),
    tuple[str, ...]: (Annotated[tuple[str, ...], Lax(strict=False)], "a list of texts in quotes"),
}
_SECRETS: Mapping[Any, tuple[Any, str]] = {
    str: (Annotated[Secret, REFERRED], REFERENCE),
    tuple[str, ...]: (
        Annotated[tuple[Annotated[Secret, REFERRED], ...], Lax(strict=False)],
        'a list of references, each "file:/path" or "env:NAME"',
    ),
}
"""How the values of each type are spelt, plain ones and secrets."""
