"""The transfers in an organisation's file: tables named `[[transfer]]`, each of a kind, with that kind's settings.

The kinds are pydantic models (`ConfigContext.kinds`), validated with the `ConfigContext` as their context: it resolves
the secrets and the paths that their settings refer to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo

from webapp.config import values
from webapp.config.errors import InvalidSetting, Setting, SettingProblem, problems_of
from webapp.config.names import INTERFACE_NAMES
from webapp.config.tables import ConfigContext, Table, errors_of, reading_of, section, setting, settings

KEY = "transfer"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidSetting("must be 1 to 63 of a-z, 0-9 and -", 'write for example: name = "idm"')
    return text


def _known(kind: str, info: ValidationInfo) -> str:
    return values.one_of(kind, tuple(reading_of(info).kinds))


if TYPE_CHECKING:
    Label = Table
else:
    Label = INTERFACE_NAMES


class TransferTable(Table):
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


def different(transfers: tuple[TransferTable, ...]) -> tuple[TransferTable, ...]:
    """Refuse two of one name."""
    names = [each.name for each in transfers]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSetting(f"has two that are called {name}", "give each its own name")
    return transfers


def labels_of(transfers: tuple[TransferTable, ...]) -> Mapping[str, Mapping[str, str]]:
    """Give what people are told that each transfer is: by name and language."""
    return MappingProxyType({each.name: each.label.model_dump(exclude_none=True) for each in transfers})


def transfers_in(
    content: Mapping[str, Any], reading: ConfigContext, problems: list[SettingProblem]
) -> Mapping[str, Any]:
    """Make the transfers of an organisation's file by name; problems with their kinds' settings join the others.

    What is wrong with their names and kinds is found where the file itself is read.
    """
    tables = content.get(KEY)
    whole = [each for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []
    made = [(table.get("name"), _made(table, number, reading, problems)) for number, table in enumerate(whole, 1)]
    return MappingProxyType({name: transfer for name, transfer in made if isinstance(name, str)})


def _made(table: dict[str, Any], number: int, reading: ConfigContext, problems: list[SettingProblem]) -> Any:
    kind = reading.kinds.get(str(table.get("kind")))
    if kind is None:
        return None
    own = {name: value for name, value in table.items() if name not in TransferTable.model_fields}
    name = table.get("name")
    place = (KEY, name if isinstance(name, str) and _NAME.fullmatch(name) else f"number {number}")
    try:
        return kind.model_validate(own, context=reading)
    except ValidationError as error:
        mend = f'mend it; docs/settings.md says what each setting of kind = "{table["kind"]}" is for'
        whole = Setting("", "", example={}, settings={KEY: settings_of(kind)})
        problems.extend(problems_of(reading.file, errors_of(error, *place, mend=mend), whole))
        return None


def settings_of(kind: type[BaseModel]) -> Setting:
    """Give what is known of a kind's own settings, for messages and for the reference page."""
    return settings(kind, KEY, repeated=True)
