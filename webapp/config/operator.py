"""Access to the operator's pages and to the metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from webapp.config import validators
from webapp.config.base import BearerToken, ConfigContext, Table, setting
from webapp.config.errors import InvalidSetting, SettingProblem
from webapp.config.secret import REFERENCE

People = Annotated[tuple[Annotated[str, AfterValidator(validators.named_person)], ...], Field(strict=False)]
Entitlements = Annotated[tuple[Annotated[str, AfterValidator(validators.entitlement)], ...], Field(strict=False)]

_PEOPLE = "a list of values of the key attribute in quotes, with `issued` and a date or without"
_WHO = "Their accounts, by the key attribute; with the date of issue, a later holder of the account is not meant."
_ENTITLEMENT = "urn:mace:example.org:orcid-connect:operator"


class OperatorSettings(Table):
    """People of one organisation who may see the operator's pages, of all organisations; there may be several."""

    organisation: str = setting(
        "The id of their organisation: the name of its file without `.toml`.",
        "the id of an organisation in quotes",
        "example-org",
    )
    people: People = setting(
        _WHO,
        _PEOPLE,
        ["maija@example.org issued 20240826", "ville@example.org"],
        default=(),
    )
    entitlements: Entitlements = setting(
        "Everyone for whom that organisation's Identity Provider releases one of these (eduPersonEntitlement).",
        "a list of URIs in quotes",
        [_ENTITLEMENT],
        default=(),
    )

    @model_validator(mode="after")
    def _require_someone(self) -> Self:
        if not (self.people or self.entitlements):
            raise InvalidSetting("names no one", 'add people = ["maija@example.org"], or entitlements')
        return self


class AdministratorSettings(Table):
    """People of the organisation who may see the operator's pages of their own organisation."""

    people: People = setting(
        _WHO,
        _PEOPLE,
        ["maija@example.org issued 20240826", "ville@example.org"],
        default=(),
    )
    entitlements: Entitlements = setting(
        "Everyone for whom the organisation's Identity Provider releases one of these (eduPersonEntitlement).",
        "a list of URIs in quotes",
        ["urn:mace:example.org:orcid-connect:administrator"],
        default=(),
    )


class MetricsSettings(Table):
    """Figures for a monitoring system, at `/metrics`."""

    token: BearerToken | None = setting(
        "The bearer token of the client that reads them, 32 characters or more; without one there is no such page.",
        REFERENCE,
        "file:secrets/metrics.token",
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
