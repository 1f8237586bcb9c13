"""The tables a configuration file is made of: what a section is, what is known of its settings, how it is read.

`config.py` says which sections there are, and `config_transfers.py` makes those of the kinds of transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from shibboleth.orcid_id import Registry
from webapp.config_errors import Problem, Setting, Wrong, problems_of
from webapp.secret import MEND, Secret, resolve

Model = TypeVar("Model", bound="Table")

Kinds = Mapping[str, type[Any]]
"""Kinds of transfers by name: dataclasses whose fields are their settings."""

REFERENCE = 'a reference, "file:/path" or "env:NAME"'


@dataclass(frozen=True, slots=True)
class Reading:
    """What the values of one file are read against: where they stand, and what other files have said already."""

    file: Path
    directory: Path
    """Where relative paths start: the directory of the service's own file."""
    environ: Mapping[str, str]
    registry: Registry | None
    """The registry of the service, known before anything else is judged; None where the file does not say it."""
    kinds: Callable[[], Kinds] = dict
    """The kinds of transfers; asked for where there is a transfer, since to know them all takes time."""
    claimed: dict[tuple[str, str], str] = field(default_factory=dict)
    secrets: list[Secret] = field(default_factory=list)

    def of(self, file: Path) -> Reading:
        """Read another file against the same."""
        return replace(self, file=file)

    def claim(self, what: str, value: str, owner: str) -> None:
        """Say that this value is this owner's alone. Raises Wrong when it is another's."""
        first = self.claimed.setdefault((what, value), owner)
        if first != owner:
            raise Wrong(f"is the same {what} as in {first}", f"give each its own {what}")


def reading_of(info: ValidationInfo) -> Reading:
    """Give what a value is read against."""
    assert isinstance(info.context, Reading)
    return info.context


def _resolved(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise Wrong(f"must be {REFERENCE}", MEND)
    reading = reading_of(info)
    secret = resolve(value, reading.directory, reading.environ)
    reading.secrets.append(secret)
    return secret


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


def checked(model: type[Model], content: Mapping[str, Any], reading: Reading, problems: list[Problem]) -> Model | None:
    """Read a file; what is wrong with it joins the problems."""
    try:
        return model.model_validate(content, context=reading)
    except ValidationError as error:
        problems.extend(problems_of(reading.file, errors_of(error), settings(model)))
        return None


def errors_of(error: ValidationError, *place: str) -> list[dict[str, Any]]:
    """Give the errors of what stands at a place, as `problems_of` takes them: none shows a value."""
    return [{**one, "loc": (*place, *one["loc"])} for one in error.errors(include_url=False, include_input=False)]


def settings(model: type[Table], key: str = "", *, repeated: bool = False) -> Setting:
    """Give what is known of a file's or a section's settings, for messages and for the reference page."""
    inner = {name: _known(info, f"{key}.{name}" if key else name) for name, info in model.model_fields.items()}
    meaning, kind = model.__doc__ or "", "a section"
    return Setting(key, kind, example={}, meaning=meaning, section=True, repeated=repeated, settings=inner)


def _known(info: FieldInfo, path: str) -> Setting:
    table, repeated = _table_of(info.annotation)
    if table is not None:
        return settings(table, path, repeated=repeated)
    extra = info.json_schema_extra
    assert isinstance(extra, dict)
    assert info.examples
    return Setting(
        path,
        kind=str(extra["kind"]),
        example=info.examples[0],
        default=info.default,
        shown=str(extra["shown"]),
        required=info.is_required(),
        meaning=info.description or "",
    )


def _table_of(annotation: Any) -> tuple[type[Table] | None, bool]:
    """Give the table of a section, and whether it may come several times."""
    repeated = bool(get_args(annotation))
    kind = get_args(annotation)[0] if repeated else annotation
    return (kind, repeated) if isinstance(kind, type) and issubclass(kind, Table) else (None, False)
