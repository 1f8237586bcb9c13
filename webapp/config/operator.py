"""The settings of the operator's pages: who may see them, and which machine may read the metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from webapp.config import values
from webapp.config.errors import InvalidSetting, SettingProblem
from webapp.config.secret import Secret
from webapp.config.tables import REFERENCE, REFERRED, ConfigContext, Table, holding, setting

People = Annotated[tuple[Annotated[str, AfterValidator(values.named_person)], ...], Field(strict=False)]
Entitlements = Annotated[tuple[Annotated[str, AfterValidator(values.entitlement)], ...], Field(strict=False)]

_PEOPLE = "a list of values of the key attribute in quotes, with `issued` and a date or without"
_WHO = "Who they are, by the organisation's key attribute; with the date on which it issued the account, nobody later."
_ENTITLEMENT = "urn:mace:example.org:orcid-connect:operator"


class Operator(Table):
    """People of one organisation who may see the operator's pages, of all organisations; there may be several."""

    entity_id: Annotated[str, AfterValidator(values.entity_id)] = setting(
        "The entityID of the Identity Provider where they sign in: one of the connected organisations.",
        "an entityID in quotes",
        "https://idp.example.org/idp/shibboleth",
    )
    people: People = setting(
        _WHO,
        _PEOPLE,
        ["maija@example.org issued 20240826", "ville@example.org"],
        default=(),
    )
    entitlements: Entitlements = setting(
        "Or everybody of whom that Identity Provider says one of these (eduPersonEntitlement).",
        "a list of URIs in quotes",
        [_ENTITLEMENT],
        default=(),
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.people or self.entitlements):
            raise InvalidSetting("names nobody", 'add people = ["maija@example.org"], or entitlements')
        return self


class Administrators(Table):
    """People of the organisation who may see the operator's pages of their own organisation."""

    people: People = setting(
        _WHO,
        _PEOPLE,
        ["maija@example.org issued 20240826", "ville@example.org"],
        default=(),
    )
    entitlements: Entitlements = setting(
        "Or everybody of whom the organisation's Identity Provider says one of these (eduPersonEntitlement).",
        "a list of URIs in quotes",
        ["urn:mace:example.org:orcid-connect:administrator"],
        default=(),
    )


class Metrics(Table):
    """Figures for a monitoring system, at `/metrics`."""

    token: Annotated[Secret, holding(values.token), REFERRED] | None = setting(
        "The bearer token of whoever reads them, 32 characters or more; without one there is no such page.",
        REFERENCE,
        "file:secrets/metrics.token",
        default=None,
    )


def unknown(
    operators: Iterable[Operator], connected: Iterable[str], reading: ConfigContext
) -> Iterable[SettingProblem]:
    """Tell which operators sign in nowhere."""
    known = set(connected)
    mend = "write the entity_id of one of the organisations' files: whoever is not let in sees nothing"
    for number, each in enumerate(operators, 1):
        if each.entity_id not in known:
            yield SettingProblem(str(reading.file), f"operator.entity_id (value {number})", "is not connected", mend)
