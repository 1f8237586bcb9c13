"""Handlers of the statistics: the operator's page, its files, and the API."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from resolver_connector.csv_file import write_csv
from shibboleth.organisation import Organisation, State
from webapp.i18n.language import gettext_noop
from webapp.log import log
from webapp.operator.link_statistics import (
    MEASURES,
    LinkStatistics,
    PeriodStatistics,
    Unit,
    link_statistics,
    published_statistics,
    together,
)
from webapp.operator.statistics import REFUSED_CODES, chart_rows
from webapp.pages.problems import NotFound
from webapp.pages.request import Page, PageRequest, RawResponse

if TYPE_CHECKING:
    from webapp.pages.context import AppContext

SHOWN_DAYS, SHOWN_MONTHS = 31, 24
"""How many days or months the page shows; files have all."""
REFUSED_DAYS = 30
STATES = {
    State.HIDDEN: gettext_noop("hidden"),
    State.PILOT: gettext_noop("pilot"),
    State.OPEN: gettext_noop("open"),
    State.CLOSED: gettext_noop("closed"),
}
"""Messages of the catalogues for the states of an organisation, as words."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="statistics"'}
_TITLES = (
    "organisation",
    "name",
    "state",
    "period",
    *(each.name for each in MEASURES),
    "current",
    "researchers",
    "share",
)


def statistics(context: AppContext, request: PageRequest) -> Page:
    """Show the statistics of the organisations that the person may see."""
    permissions = context.admin_access.permissions(request.person, context.organisations)
    organisations, chosen = permissions.sorted_by_name(request.language.code), request.parameter("organisation")
    selected = [permissions.organisation(chosen)] if chosen else organisations
    unit, today = _unit(request), request.now.date()
    unit = Unit.MONTH if unit is Unit.ALL else unit
    found = [
        link_statistics(context.store, one, _researchers(context, one), unit, today, _first_shown(unit, today))
        for one in selected
    ]
    whole = together(found) if len(found) > 1 else found[0]
    since = today - timedelta(days=REFUSED_DAYS - 1)
    refused = {one.id: context.store.statistics.refused_sign_ins(one.id, since) for one in selected}
    facts = {
        "organisations": organisations,
        "chosen": chosen,
        "unit": unit,
        "units": [each for each in Unit if each is not Unit.ALL],
        "statistics": found,
        "whole": whole,
        "states": STATES,
        "measures": MEASURES,
        "chart_rows": chart_rows(MEASURES, whole.periods),
        "refused": refused,
        "refused_unknown": context.store.statistics.refused_sign_ins("", since) if permissions.operator else {},
        "refused_codes": REFUSED_CODES,
        "refused_days": REFUSED_DAYS,
        "published": permissions.operator,
    }
    return Page("operator/statistics.html", facts)


def statistics_file(context: AppContext, request: PageRequest) -> RawResponse:
    """Return the statistics as a file, CSV or JSON.

    An administrator gets the exact ones of the own organisation; an operator those that may be passed on.
    """
    permissions = context.admin_access.permissions(request.person, context.organisations)
    chosen = request.parameter("organisation")
    selected = [permissions.organisation(chosen)] if chosen else list(permissions.organisations)
    log("statistics-saved", organisation=request.person.organisation.id)
    if permissions.operator:
        return _published_file(context, request, selected)
    unit, today = _unit(request), request.now.date()
    found = [link_statistics(context.store, one, _researchers(context, one), unit, today) for one in selected]
    return _file(found, unit, request)


def statistics_api(context: AppContext, request: PageRequest) -> RawResponse:
    """Return the statistics that may be passed on to who has the token.

    Raises:
        NotFound: If no token is configured.
    """
    token = context.admin_access.statistics_token
    if not token:
        raise NotFound
    # Of digests, so that the duration of the comparison does not reveal the length of the token
    given, expected = (
        sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (request.authorization, f"Bearer {token}")
    )
    if not hmac.compare_digest(given, expected):
        return RawResponse(b"A bearer token is needed.\n", "text/plain; charset=utf-8", 401, headers=_CHALLENGE)
    return _published_file(context, request, sorted(context.organisations, key=lambda one: one.id))


def _published_file(context: AppContext, request: PageRequest, organisations: Sequence[Organisation]) -> RawResponse:
    unit, today = _unit(request), request.now.date()
    unit = Unit.MONTH if unit is Unit.DAY else unit
    found = [published_statistics(context.store, one, _researchers(context, one), unit, today) for one in organisations]
    return _file(found, unit, request)


def _unit(request: PageRequest) -> Unit:
    asked = request.parameter("by")
    return Unit(asked) if asked in set(Unit) else Unit.MONTH


def _first_shown(unit: Unit, today: date) -> date:
    if unit is Unit.DAY:
        return today - timedelta(days=SHOWN_DAYS - 1)
    if unit is Unit.MONTH:
        months = today.year * 12 + today.month - SHOWN_MONTHS
        return date(months // 12, months % 12 + 1, 1)
    return date.min


def _researchers(context: AppContext, organisation: Organisation) -> int | None:
    return context.settings(organisation).researchers


def _file(found: Sequence[LinkStatistics], unit: Unit, request: PageRequest) -> RawResponse:
    name, whole = "orcid-connect-statistics", together(found)
    if request.path.endswith(".json"):
        content = {"by": unit, "organisations": [_json(each) for each in found], "all": _json(whole)}
        return RawResponse(json.dumps(content, indent=1).encode() + b"\n", "application/json", filename=f"{name}.json")
    lines = write_csv(_TITLES, (row for each in [*found, whole] for row in _rows(each)))
    return RawResponse("".join(lines).encode(), "text/csv; charset=utf-8", filename=f"{name}.csv")


def _json(one: LinkStatistics) -> dict[str, Any]:
    organisation = one.organisation
    said: dict[str, Any] = {}
    if organisation:
        said = {"organisation": organisation.id, "names": dict(organisation.names), "state": organisation.state}
    return {
        **said,
        "researchers": one.researchers,
        "share": one.share(one.totals.current),
        "total": _period_json(one.totals),
        "periods": [{"period": each.key, **_period_json(each)} for each in one.periods if each.key],
    }


def _period_json(period: PeriodStatistics) -> dict[str, int | None]:
    return {**{each.name: period.counts[each.name] for each in MEASURES}, "current": period.current}


def _rows(one: LinkStatistics) -> Iterator[list[str]]:
    organisation = one.organisation
    whose = [organisation.id, organisation.name("en"), organisation.state] if organisation else ["*", "", ""]
    for each in [*(period for period in one.periods if period.key), one.totals]:
        numbers = [*(each.counts[measure.name] for measure in MEASURES), each.current, one.researchers]
        # Of several organisations, the share at the end alone compares links and researchers of the same ones
        share = one.share(each.current) if organisation or each is one.totals else None
        yield [*whose, each.key or "total", *("" if number is None else str(number) for number in [*numbers, share])]
