"""The `[[transfer]]` tables of an organisation's file.

Each kind has settings of its own. The kinds are pydantic models (`ConfigContext.kinds`). They are validated with the
`ConfigContext` as context, which resolves the secrets and paths that their settings refer to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo

from resolver_connector.transfers.installed import UnusableKind, installed_kinds
from resolver_connector.transfers.orcid import OrcidTransfer
from webapp.config import validators
from webapp.config.base import (
    ConfigContext,
    Table,
    context_of,
    describe_settings,
    section,
    setting,
    validation_errors,
)
from webapp.config.errors import InvalidSetting, Setting, SettingProblem, setting_problems
from webapp.config.texts import TRANSFER_LABELS

KEY = "transfer"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


def _validate_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidSetting("must be 1 to 63 of a-z, 0-9 and -", 'write for example: name = "idm"')
    return text


def _validate_kind(kind: str, info: ValidationInfo) -> str:
    return validators.one_of(kind, tuple(context_of(info).kinds))


if TYPE_CHECKING:
    TransferLabel = Table
else:
    TransferLabel = TRANSFER_LABELS


class TransferTable(Table):
    """A way by which changes reach the organisation's own identity management.

    An organisation may have several.
    """

    # Its other settings are those of its kind, which is not known before it is read
    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(_validate_name)] = setting(
        "Its name in logs, on the command line and in the database, unique in the organisation.",
        "a name in quotes, of a-z, 0-9 and -",
        "idm",
    )
    kind: Annotated[str, AfterValidator(_validate_kind)] = setting(
        "The kind of transfer; each has settings of its own.", "the name of a kind in quotes", "rest"
    )
    credential: str | None = setting(
        "The credential of the same system, if it attests iDs: what it attested is not sent back to it.",
        "the name of a credential in quotes",
        "cris",
        default=None,
    )
    label: TransferLabel = section()


def require_unique_names(transfers: tuple[TransferTable, ...]) -> tuple[TransferTable, ...]:
    """Return the transfers of an organisation, whose names must be unique.

    Raises:
        InvalidSetting: If two have the same name, or two write to ORCID records.
    """
    if len({each.name for each in transfers}) < len(transfers):
        raise InvalidSetting("has two with the same name", "give each its own name")
    if [each.kind for each in transfers].count(OrcidTransfer.kind) > 1:
        raise InvalidSetting('has two of kind "orcid", which would write the same twice', "remove one of them")
    return transfers


def transfer_labels(transfers: tuple[TransferTable, ...]) -> Mapping[str, Mapping[str, str]]:
    """Return the labels of transfers, by the transfer's name and by language."""
    return MappingProxyType({each.name: each.label.model_dump(exclude_none=True) for each in transfers})


def validate_transfers(
    content: Mapping[str, Any], context: ConfigContext, problems: list[SettingProblem]
) -> Mapping[str, Any]:
    """Validate the settings of an organisation's transfers.

    Errors are added to `problems`. The name, kind and label of each transfer are validated with the file itself.

    Args:
        content: The organisation's file.
        context: What the values are validated with.
        problems: The problems found so far.

    Returns:
        The models of the valid transfers, by name.
    """
    tables, found = content.get(KEY), {}
    for number, table in enumerate(tables if isinstance(tables, list) else (), 1):
        kind = context.kinds.get(str(table.get("kind"))) if isinstance(table, dict) else None
        if kind is None:
            continue
        own = {name: value for name, value in table.items() if name not in TransferTable.model_fields}
        name = table.get("name")
        place = name if isinstance(name, str) and _NAME.fullmatch(name) else f"number {number}"
        fix = "update or repair the package that has this kind; docs/transfer-kinds.md says what it must have"
        if isinstance(kind, UnusableKind):
            text = f'kind = "{kind.kind}" {kind.problem}'
            problems.append(SettingProblem(str(context.file), f"{KEY}.{place}", text, fix))
            continue
        try:
            if (model := _validate(kind, own, context, place, problems)) is not None:
                found[place] = model
        except (OSError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001 - a kind of another package concerns its users alone
            text = f'kind = "{kind.kind}" failed with {type(error).__name__}'
            problems.append(SettingProblem(str(context.file), f"{KEY}.{place}", text, fix))
    return MappingProxyType(found)


def _validate(
    kind: Any, own: Mapping[str, Any], context: ConfigContext, place: str, problems: list[SettingProblem]
) -> Any:
    # The model; or None, and the problems of the settings
    try:
        return kind.model_validate(own, context=context)
    except ValidationError as error:
        fix = f'fix it; docs/settings.md says what each setting of kind = "{kind.kind}" is for'
        described = Setting("", "", example={}, settings={KEY: describe_kind(kind)})
        problems.extend(setting_problems(context.file, validation_errors(error, KEY, place, fix=fix), described))
        return None


def installed_kind_problems() -> Mapping[str, str]:
    """Return what is wrong with each kind of an installed package, by name.

    The text is empty where the kind can be used.
    """
    return {name: kind.problem if isinstance(kind, UnusableKind) else "" for name, kind in installed_kinds().items()}


def describe_kind(kind: type[BaseModel]) -> Setting:
    """Return the description of a kind's own settings."""
    return describe_settings(kind, KEY, repeated=True)
