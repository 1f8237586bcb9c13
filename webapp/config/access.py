"""Access to the operator's pages, the metrics and the connector."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from resolver_connector.attested.rows import invalid_source
from resolver_connector.credentials import Right
from webapp.config import validators
from webapp.config.base import BearerToken, ConfigContext, StrongSecret, Table, context_of, setting
from webapp.config.errors import InvalidSetting, SettingProblem
from webapp.config.secret import REFERENCE, Secret

People = Annotated[tuple[Annotated[str, AfterValidator(validators.named_person)], ...], Field(strict=False)]
Entitlements = Annotated[tuple[Annotated[str, AfterValidator(validators.entitlement)], ...], Field(strict=False)]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


def _people(later_holder: str) -> Any:
    return setting(
        f"Their accounts, by the key attribute; with a date of issue, a later holder of the account {later_holder}.",
        "a list of values of the key attribute in quotes, with `issued` and a date or without",
        ["maija@example.org issued 20240826", "ville@example.org"],
        default=(),
    )


def _entitlements(whose: str, example: str) -> Any:
    return setting(
        f"Everyone for whom {whose} Identity Provider releases one of these (eduPersonEntitlement).",
        "a list of URIs in quotes",
        [example],
        default=(),
    )


class OperatorSettings(Table):
    """People of one organisation who may see the pages of all organisations.

    There may be several such tables.
    """

    organisation: str = setting(
        "The id of their organisation: the name of its file without `.toml`.",
        "the id of an organisation in quotes",
        "example-org",
    )
    people: People = _people("has no access")
    entitlements: Entitlements = _entitlements("that organisation's", "urn:mace:example.org:orcid-connect:operator")

    @model_validator(mode="after")
    def _require_someone(self) -> Self:
        if not (self.people or self.entitlements):
            raise InvalidSetting(
                "names neither people nor entitlements", 'add people = ["maija@example.org"], or entitlements'
            )
        return self


class AdministratorSettings(Table):
    """People who may see the operator's pages of their organisation."""

    people: People = _people("has no access")
    entitlements: Entitlements = _entitlements("the organisation's", "urn:mace:example.org:orcid-connect:administrator")


class PilotSettings(Table):
    """People who may link an iD in the state `pilot`."""

    people: People = _people("may not link")
    entitlements: Entitlements = _entitlements("the organisation's", "urn:mace:example.org:orcid-connect:pilot")


class MetricsSettings(Table):
    """Figures for a monitoring system, at `/metrics`."""

    token: BearerToken | None = setting(
        "The bearer token of the client that reads them, 32 characters or more; without one there is no such page.",
        REFERENCE,
        "file:secrets/metrics.token",
        default=None,
    )


class StatisticsSettings(Table):
    """Statistics for others, at `/statistics.csv` and `/statistics.json`."""

    token: BearerToken | None = setting(
        "The bearer token of the client that reads them, 32 characters or more; without one there are no such pages.",
        REFERENCE,
        "file:secrets/statistics.token",
        default=None,
    )


def unconnected_operators(
    operators: Iterable[OperatorSettings], connected: Iterable[str], context: ConfigContext
) -> Iterable[SettingProblem]:
    """Yield a problem for each operator whose organisation is not connected."""
    known = set(connected)
    fix = "write the name of one of the organisations' files without .toml, or connect this organisation"
    for number, each in enumerate(operators, 1):
        if each.organisation not in known:
            yield SettingProblem(str(context.file), f"operator.organisation (value {number})", "is not connected", fix)


def _validate_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidSetting("must be 1 to 63 of a-z, 0-9 and -", 'write for example: name = "idp"')
    return text


def _parse_right(name: Any) -> Any:
    return Right(validators.one_of(name, tuple(Right))) if isinstance(name, str) else name


def _require_right(rights: tuple[Right, ...]) -> tuple[Right, ...]:
    if not rights:
        raise InvalidSetting("is empty, so the credential could do nothing", 'write for example: rights = ["read"]')
    return rights


def _validate_source(source: str, info: ValidationInfo) -> str:
    if problem := invalid_source(source):
        raise InvalidSetting(f"is no name of a system: {problem}", 'write for example: source = "Pure"')
    if Right.ATTEST not in info.data.get("rights", (Right.ATTEST,)):
        raise InvalidSetting("is for credentials that attest iDs", f'add "{Right.ATTEST}" to rights, or remove source')
    return source


def _unique_user(user: str, info: ValidationInfo) -> str:
    context = context_of(info)
    context.require_unique("user", user, context.file.name)
    return user


def _unique_secret(what: str) -> AfterValidator:
    # Credentials with the same secret would be indistinguishable, in one organisation too
    def require_unique(secret: Any, info: ValidationInfo) -> Any:
        context = context_of(info)
        owner = f"{context.file.name}, credential {info.data.get('name', 'without a name')}"
        context.require_unique(what, secret.reveal(), owner)
        return secret

    return AfterValidator(require_unique)


def _require_one_kind(password: Secret | None, info: ValidationInfo) -> Secret | None:
    known = info.data
    if "user" not in known or "token" not in known:
        return password  # one of them is invalid
    if password is None and known["user"] is not None:
        raise InvalidSetting("is missing beside user", 'add to it: password = "file:secrets/example.password"')
    if password is not None and known["user"] is None:
        raise InvalidSetting("has no user to go with", 'add to it: user = "example"')
    if known["token"] is not None and password is not None:
        raise InvalidSetting("is set together with a token", "write a [[credential]] for each")
    if known["token"] is None and password is None:
        raise InvalidSetting("is missing, and there is no token", 'add to it: token = "file:secrets/example.token"')
    return password


class CredentialSettings(Table):
    """A credential that the connector accepts for the organisation.

    It is a bearer token, or a user with a password.
    """

    name: Annotated[str, AfterValidator(_validate_name)] = setting(
        "Its name in logs and in the output of `check`, unique in the organisation.",
        "a name in quotes, of a-z, 0-9 and -",
        "idp",
    )
    rights: Annotated[
        tuple[Annotated[Right, BeforeValidator(_parse_right)], ...], Field(strict=False), AfterValidator(_require_right)
    ] = setting(
        "Its permissions: [the rights](connector.md#rights). That of an Identity Provider has `read` alone.",
        "a list of rights in quotes: " + ", ".join(Right),
        ["read"],
    )
    own_changes: bool = setting(
        "Whether its feed has the changes of iDs that it attested itself.", "true or false", True, default=False
    )
    source: Annotated[str, AfterValidator(_validate_source)] | None = setting(
        "The only system for which it attests iDs, cancels removals and, with `attest` alone, removes links. "
        "Without it, a credential with `attest` does so for any system that it names.",
        "the name of a system in quotes",
        "Pure",
        default=None,
    )
    token: Annotated[BearerToken, _unique_secret("token")] | None = setting(
        "A bearer token, 32 characters or more.", REFERENCE, "file:secrets/example.token", default=None
    )
    user: Annotated[str, AfterValidator(validators.user), AfterValidator(_unique_user)] | None = setting(
        "The user of HTTP Basic, for an Identity Provider that cannot send a token.",
        "a user name in quotes",
        "example",
        default=None,
    )
    password: Annotated[
        Annotated[StrongSecret, _unique_secret("password")] | None, AfterValidator(_require_one_kind)
    ] = setting(
        "The password of that user, 32 characters or more.",
        REFERENCE,
        "file:secrets/example.password",
        default=None,
        shown="none; required with `user`",
        validate_default=True,
    )

    @property
    def scheme(self) -> str:
        """The authentication scheme: `bearer` or `basic`."""
        return "basic" if self.token is None else "bearer"


def valid_credentials(tables: Iterable[Any], context: ConfigContext) -> list[CredentialSettings]:
    """Return the `[[credential]]` tables that are valid by themselves.

    The file that has them is invalid as a whole.
    """
    found = []
    for table in tables:
        with suppress(ValidationError):
            found.append(CredentialSettings.model_validate(table, context=context))
    return found


def require_unique_credential_names(credentials: tuple[CredentialSettings, ...]) -> tuple[CredentialSettings, ...]:
    """Return the credentials of an organisation, whose names must be unique.

    Raises:
        InvalidSetting: If two have the same name.
    """
    if len({each.name for each in credentials}) < len(credentials):
        raise InvalidSetting("has two with the same name", "give each its own name")
    return credentials
