"""The tables a configuration file is made of: what a section is, what is known of its settings, how it is read.

`loader.py` says which sections there are, and `transfers.py` makes those of the kinds of transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo

from shibboleth.orcid_id import Registry
from webapp.config.errors import InvalidSetting, Setting, SettingProblem, problems_of
from webapp.config.secret import MEND, Secret, resolve

Model = TypeVar("Model", bound="Table")

REFERENCE = 'a reference, "file:/path" or "env:NAME"'


@dataclass(frozen=True, slots=True)
class ConfigContext:
    """What the values of one file are read against: where they stand, and what other files have said already."""

    file: Path
    directory: Path
    """Where relative paths start: the directory of the service's own file."""
    environ: Mapping[str, str]
    registry: Registry | None
    """The registry of the service, known before anything else is judged; None where the file does not say it."""
    kinds: Mapping[str, type[Any]]
    """The kinds of transfers by name: pydantic models whose fields are their settings."""
    claimed: dict[tuple[str, str], str] = field(default_factory=dict)
    secrets: list[Secret] = field(default_factory=list)

    def of(self, file: Path) -> ConfigContext:
        """Read another file against the same."""
        return replace(self, file=file)

    def secret(self, reference: Any) -> Secret:
        """Resolve a reference, `file:PATH` or `env:NAME`. raises InvalidSetting."""
        if not isinstance(reference, str):
            raise InvalidSetting(f"must be {REFERENCE}", MEND)
        secret = resolve(reference, self.directory, self.environ)
        self.secrets.append(secret)
        return secret

    def read_secret(self, reference: Any) -> str:
        """Return the text of the secret behind a reference. raises InvalidSetting."""
        return self.secret(reference).reveal()

    def locate(self, path: Any) -> Any:
        """Return the path of a file that is written relative to the service's own file. raises InvalidSetting."""
        if path == "":
            raise InvalidSetting("is empty", "write a path, or remove it")
        return self.directory / path if isinstance(path, str) else path

    def claim(self, what: str, value: str, owner: str) -> None:
        """Say that this value is this owner's alone. raises InvalidSetting when it is another's."""
        first = self.claimed.setdefault((what, value), owner)
        if first != owner:
            raise InvalidSetting(f"is the same {what} as in {first}", f"give each its own {what}")


def reading_of(info: ValidationInfo) -> ConfigContext:
    """Give what a value is read against."""
    assert isinstance(info.context, ConfigContext)
    return info.context


def _resolved(value: Any, info: ValidationInfo) -> Any:
    return reading_of(info).secret(value)


REFERRED = BeforeValidator(_resolved)
"""Reads a secret by its reference."""


def holding(check: Callable[[str], str]) -> AfterValidator:
    """Check what a secret holds."""

    def checked(secret: Secret) -> Secret:
        check(secret.reveal())
        return secret

    return AfterValidator(checked)


def setting(meaning: str, kind: str, example: Any, *, default: Any = ..., shown: str = "", **rules: Any) -> Any:
    """Describe a setting: `kind` fits after "must be"; `shown` is the default in words, where there is more to say."""
    extra: dict[str, Any] = {"kind": kind, "shown": shown}
    return Field(default, description=meaning, examples=[example], json_schema_extra=extra, **rules)


def section() -> Any:
    """Describe a section; one that is left out is read as an empty one, so that each setting missing is named."""
    return Field(default_factory=dict, validate_default=True)


class Table(BaseModel):
    """A section of a file: exactly these keys, exactly these types, and no value shown in an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


def checked(
    model: type[Model], content: Mapping[str, Any], reading: ConfigContext, problems: list[SettingProblem]
) -> Model | None:
    """Read a file; what is wrong with it joins the problems."""
    try:
        return model.model_validate(content, context=reading)
    except ValidationError as error:
        problems.extend(problems_of(reading.file, errors_of(error), settings(model)))
        return None


def errors_of(error: ValidationError, *place: str, mend: str = "") -> list[dict[str, Any]]:
    """Give the errors of what stands at a place, as `problems_of` takes them: none shows a value.

    What settings have against each other is a sentence for people that quotes no value; `mend` goes with it.
    """
    errors: list[dict[str, Any]] = [
        {**one, "loc": (*place, *one["loc"])} for one in error.errors(include_url=False, include_input=False)
    ]
    for one in errors:
        if mend and one["loc"] == place and one["type"] == "value_error":
            one["ctx"] = {"error": InvalidSetting(str(one["ctx"]["error"]), mend)}
    return errors


def settings(model: type[BaseModel], key: str = "", *, repeated: bool = False) -> Setting:
    """Give what is known of a file's, a section's or a kind's settings, for messages and for the reference page."""
    known = {info.alias or name: info for name, info in model.model_fields.items()}
    inner = {name: _known(info, f"{key}.{name}" if key else name) for name, info in known.items()}
    meaning, kind = model.__doc__ or "", "a section"
    return Setting(key, kind, example={}, meaning=meaning, section=True, repeated=repeated, settings=inner)


def _known(info: FieldInfo, path: str) -> Setting:
    table, repeated = _table_of(info.annotation)
    if table is not None:
        return settings(table, path, repeated=repeated)
    extra = info.json_schema_extra or {}
    assert isinstance(extra, dict)
    assert info.examples
    return Setting(
        path,
        kind=str(extra.get("kind") or _kind_of(info.annotation)),
        example=info.examples[0],
        default=None if info.default in ("", SecretStr("")) else info.default,
        shown=str(extra.get("shown", "")),
        required=info.is_required(),
        meaning=info.description or "",
    )


def _kind_of(annotation: Any) -> str:
    """Say what a value of a type is, in words that fit after "must be"."""
    inner = [each for each in get_args(annotation) if each is not NoneType]
    if inner:  # Annotated, or what may be left out
        return _kind_of(inner[0])
    if issubclass(annotation, StrEnum):
        *most, last = [f'"{each}"' for each in annotation]
        return f"{', '.join(most)} or {last}"
    return _KINDS[annotation]


_KINDS: Mapping[Any, str] = {
    str: "text in quotes",
    bool: "true or false, without quotes",
    Path: "a path in quotes",
    SecretStr: REFERENCE,
}


def _table_of(annotation: Any) -> tuple[type[Table] | None, bool]:
    """Give the table of a section, and whether it may come several times."""
    repeated = bool(get_args(annotation))
    kind = get_args(annotation)[0] if repeated else annotation
    return (kind, repeated) if isinstance(kind, type) and issubclass(kind, Table) else (None, False)
