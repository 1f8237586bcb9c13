"""Base of all sections: description of a setting, validation, references."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

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

from resolver_connector.orcid.sealing import InvalidKey, check_key
from shibboleth.orcid_id import Registry
from webapp.config import validators
from webapp.config.errors import InvalidSetting, Setting, SettingProblem, setting_problems
from webapp.config.secret import FIX_REFERENCE, REFERENCE, Secret, is_reference, resolve

Model = TypeVar("Model", bound="Table")


@dataclass(frozen=True, slots=True)
class ConfigContext:
    """What the values of one file are validated with, and what was found in them."""

    file: Path
    directory: Path
    """Where relative paths start: the directory of the service's file."""
    environ: Mapping[str, str]
    registry: Registry | None
    """The registry of the service, read before everything else; None if the file does not say it."""
    kinds: Mapping[str, Any]
    """The kinds of transfers by name: pydantic models whose fields are their settings, or an `UnusableKind`."""
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    """The file that has a unique value, by kind of value and value."""
    secrets: list[Secret] = field(default_factory=list)

    def for_file(self, file: Path, owners: Mapping[tuple[str, str], str] | None = None) -> ConfigContext:
        """Return the context of another file of the same configuration.

        Args:
            file: The file.
            owners: Unique values that other files have.
        """
        return replace(self, file=file, owners=dict(owners or {}), secrets=[])

    def resolve_secret(self, reference: Any) -> Secret:
        """Return the secret that a reference names.

        Raises:
            InvalidSetting: If it is not a reference, or the secret does not exist.
        """
        if not isinstance(reference, str):
            raise InvalidSetting(f"must be {REFERENCE}", FIX_REFERENCE)
        secret = resolve(reference, self.directory, self.environ)
        self.secrets.append(secret)
        return secret

    def read_secret(self, reference: Any) -> str:
        """Return the text of the secret that a reference names.

        Raises:
            InvalidSetting: If it is not a reference, or the secret does not exist.
        """
        return self.resolve_secret(reference).reveal()

    def locate(self, path: Any) -> Any:
        """Return a path that is written relative to the service's file.

        Other values are returned unchanged.

        Raises:
            InvalidSetting: If the path is empty.
        """
        if path == "":
            raise InvalidSetting("is empty", "write a path, or remove it")
        return self.directory / path if isinstance(path, str) else path

    def require_current_certificate(self, path: Path) -> None:
        """Check that the first certificate of a file (PEM) has not expired.

        Raises:
            InvalidSetting: If it has, or the file cannot be read as a certificate.
        """
        try:
            expires = certificate_expiry(path)
        except FileNotFoundError:
            raise InvalidSetting("refers to a file that does not exist", "put the certificate there") from None
        except OSError as error:
            text = f"refers to a file that cannot be read ({error.strerror})"
            raise InvalidSetting(text, "make it a file that the user running the service may read") from None
        except ValueError:
            raise InvalidSetting("refers to a file that is not a certificate in PEM", "convert it to PEM") from None
        if expires < datetime.now(UTC):
            text = f"refers to a certificate that has expired on {expires:%Y-%m-%d}"
            raise InvalidSetting(text, "put a new certificate there, and its key where certificate_key says")

    def require_unique(self, what: str, value: str, owner: str) -> None:
        """Record that a value belongs to one owner.

        Raises:
            InvalidSetting: If another owner has the same value.
        """
        first = self.owners.setdefault((what, value), owner)
        if first != owner:
            raise InvalidSetting(f"is the same {what} as in {first}", f"give each its own {what}")


def context_of(info: ValidationInfo) -> ConfigContext:
    """Return the context in which a value is validated."""
    assert isinstance(info.context, ConfigContext)
    return info.context


SecretReference = Annotated[Secret, BeforeValidator(lambda value, info: context_of(info).resolve_secret(value))]
"""A secret, written as a reference."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that seals ORCID's tokens, or why it cannot be used."""

    source: str
    """The reference, which may be shown."""
    secret: Secret | None
    """None where it cannot be used."""
    problem: str = ""
    """Why; empty where it can be used."""


def resolve_sealing_key(reference: Any, info: ValidationInfo) -> SealingKey:
    """Return the key that a reference names.

    A key that is lost or wrong is no error of the configuration, because only the revocation of tokens depends on it:
    `check` reports it.

    Raises:
        InvalidSetting: If it is not a reference.
    """
    try:
        secret = context_of(info).resolve_secret(reference)
        check_key(secret.reveal())
    except InvalidSetting as error:
        if not isinstance(reference, str) or not is_reference(reference):
            raise
        return SealingKey(reference, None, error.text)
    except InvalidKey as error:
        return SealingKey(reference, None, str(error))
    return SealingKey(reference, secret)


def _text_matches(validate_text: Callable[[str], str]) -> AfterValidator:
    def validate_secret(secret: Secret) -> Secret:
        validate_text(secret.reveal())
        return secret

    return AfterValidator(validate_secret)


StrongSecret = Annotated[SecretReference, _text_matches(validators.strong_secret)]
BearerToken = Annotated[SecretReference, _text_matches(validators.token)]


def setting(description: str, expected: str, example: Any, *, default: Any = ..., shown: str = "", **rules: Any) -> Any:
    """Describe a setting of a section of the configuration, a `Table`.

    Settings of a kind of transfer are described by `resolver_connector.transfers.base.setting`.

    Args:
        description: What it is for, as a sentence.
        expected: Its type, in words that follow "must be".
        example: A valid value.
        default: The default; required if there is none.
        shown: The default in words, if its value does not say enough.
        rules: Constraints, as pydantic's Field takes them.
    """
    extra: dict[str, Any] = {"expected": expected, "shown": shown}
    return Field(default, description=description, examples=[example], json_schema_extra=extra, **rules)


def section() -> Any:
    """Describe a section.

    A missing section is validated as an empty one, so that each missing setting is named.
    """
    return Field(default_factory=dict, validate_default=True)


class Table(BaseModel):
    """A section of a file.

    Unknown keys are errors, types are not converted, and errors contain no value.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


def validate(
    model: type[Model], content: Mapping[str, Any], context: ConfigContext, problems: list[SettingProblem]
) -> Model | None:
    """Validate the content of a file; return None if it is not valid.

    The errors are added to `problems`.
    """
    try:
        return model.model_validate(content, context=context)
    except ValidationError as error:
        problems.extend(setting_problems(context.file, validation_errors(error), describe_settings(model)))
        return None


def validation_errors(error: ValidationError, *location: str, fix: str = "") -> list[dict[str, Any]]:
    """Return pydantic's errors of a table, as `setting_problems` takes them.

    Args:
        error: What pydantic raises.
        location: Where the validated table is in its file.
        fix: The fix for errors of the whole table, whose texts are written for users and contain no value.
    """
    errors: list[dict[str, Any]] = [{**one, "loc": (*location, *one["loc"])} for one in error.errors(include_url=False)]
    for one in errors:
        if fix and one["loc"] == location and one["type"] == "value_error":
            one["ctx"] = {"error": InvalidSetting(str(one["ctx"]["error"]), fix)}
    return errors


def describe_settings(model: type[BaseModel], key: str = "", *, repeated: bool = False) -> Setting:
    """Return the description of a file, a section or a kind of transfer."""
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    inner = {name: _describe(info, f"{key}.{name}" if key else name) for name, info in fields.items()}
    description = model.__doc__ or ""
    return Setting(
        key, "a section", example={}, description=description, section=True, repeated=repeated, settings=inner
    )


def _describe(info: FieldInfo, key: str) -> Setting:
    table, repeated = _table_of(info.annotation)
    if table is not None:
        return describe_settings(table, key, repeated=repeated)
    extra = info.json_schema_extra or {}
    assert isinstance(extra, dict)
    assert info.examples
    return Setting(
        key,
        expected=str(extra.get("expected") or _expected_of(info.annotation)),
        example=info.examples[0],
        default=None if info.default in ("", SecretStr("")) else info.default,
        default_text=str(extra.get("shown", "")),
        required=info.is_required(),
        description=info.description or "",
    )


def certificate_expiry(path: Path) -> datetime:
    """Return when the first certificate of a file (PEM) expires.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a certificate.
    """
    from cryptography import x509  # noqa: PLC0415 - few configurations have a client certificate

    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def _expected_of(annotation: Any) -> str:
    """Return the type of a value, in words that follow "must be"."""
    inner = [each for each in get_args(annotation) if each is not NoneType]
    if inner:  # Annotated, or optional
        return _expected_of(inner[0])
    if issubclass(annotation, StrEnum):
        *most, last = [f'"{each}"' for each in annotation]
        return f"{', '.join(most)} or {last}"
    return _EXPECTED[annotation]


_EXPECTED: Mapping[Any, str] = {
    str: "text in quotes",
    bool: "true or false, without quotes",
    Path: "a path in quotes",
    SecretStr: REFERENCE,
}


def _table_of(annotation: Any) -> tuple[type[Table] | None, bool]:
    """Return the model of a section, and whether it may occur several times."""
    inner = [each for each in get_args(annotation) if each is not NoneType]
    kind, repeated = inner[0] if inner else annotation, get_origin(annotation) is tuple
    return (kind, repeated) if isinstance(kind, type) and issubclass(kind, Table) else (None, False)
