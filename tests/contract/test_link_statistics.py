"""Statistics of links: exact for those who may see them, and safe to pass on; and refused sign-ins."""

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest

from resolver_connector.csv_file import read_csv_stream
from shibboleth.organisation import Organisations, Stage, State
from sql.counts import add_counts
from sql.engines.base import queries
from sql.errors import StoreUnavailable
from tests.support.database import driver_of
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    POLYTECHNIC_IDP,
    UNIVERSITY,
    UNIVERSITY_IDP,
    make_link,
    make_orcid_id,
    make_organisation,
)
from tests.support.service import (
    ORGANISATIONS,
    Clock,
    WebClient,
    ask,
    make_orcid_client,
    make_web_app,
    with_settings,
)
from webapp.app import make_app
from webapp.auth.named_people import NamedPeople
from webapp.limits import DailyLimit, Limits
from webapp.operator.access import AdminAccess
from webapp.operator.link_statistics import Unit, link_statistics, published_statistics, together

TOKEN = "s" * 40
STAFF = AdminAccess(
    operators=(NamedPeople.parse(UNIVERSITY, ("operator@yliopisto.example",)),),
    administrators=(NamedPeople.parse(UNIVERSITY, ("admin@yliopisto.example",)),),
    metrics_token=TOKEN,
    statistics_token=TOKEN,
)
HOME, OTHER = ORGANISATIONS.by_id(UNIVERSITY), ORGANISATIONS.by_id(POLYTECHNIC)
TODAY = NOON.date()
DAY = timedelta(days=1)


@pytest.fixture
def web_app(store):
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock(), admin_access=STAFF)
    return with_settings(web_app, researchers=200)


@pytest.fixture
def app(web_app):
    return make_app(web_app)


def add(store, counts, organisation=UNIVERSITY, source="event"):
    """Store counts by day and name, as the worker does."""
    with store.engine.transaction() as session:
        add_counts(
            session, Counter({(organisation, day, source, name): number for (day, name), number in counts.items()})
        )


def by_month(store, name, *counts, first=2025, organisation=UNIVERSITY):
    """Store the counts of consecutive months from January on."""
    months = [f"{first + at // 12}-{at % 12 + 1:02}-15" for at in range(len(counts))]
    add(store, {(month, name): count for month, count in zip(months, counts, strict=True) if count}, organisation)


def rows_of(reply):
    assert reply.header("Content-Type") == "text/csv; charset=utf-8"
    return {(row["organisation"], row["period"]): row for row in csv.DictReader(io.StringIO(reply.body.decode()))}


def test_events_are_in_the_period_of_their_day_and_links_are_those_at_its_end(store):
    for account, orcid, when in (("a", 1, NOON), ("b", 2, NOON), ("b", 3, NOON + 20 * DAY), ("c", 4, NOON + 400 * DAY)):
        make_link(store, account, make_orcid_id(orcid), now=when)
    store.links.remove(UNIVERSITY, "a", "person", "wanted", NOON + 40 * DAY)
    today = (NOON + 400 * DAY).date()

    found = {unit: link_statistics(store, HOME, 200, unit, today) for unit in Unit}
    shown = link_statistics(store, HOME, None, Unit.DAY, today, today - DAY)

    days, months, years, whole = ({each.key: each for each in found[unit].periods} for unit in Unit)
    assert len(days) == 401
    assert [days[day].counts["linked"] for day in ("2026-01-15", "2026-01-16", "2027-02-19")] == [2, 0, 1]
    assert [days[day].current for day in ("2026-01-15", "2026-02-23", "2026-02-24", "2027-02-19")] == [2, 2, 1, 2]
    assert [(key, each.counts["replaced"], each.counts["removed"], each.current) for key, each in months.items()][
        :3
    ] == [("2026-01", 0, 0, 2), ("2026-02", 1, 1, 1), ("2026-03", 0, 0, 1)]
    assert {key: (each.counts["linked"], each.current) for key, each in years.items()} == {
        "2026": (2, 1),
        "2027": (1, 2),
    }
    assert {key: each.counts["linked"] for key, each in whole.items()} == {"": 3}
    for each in found.values():
        assert (each.totals.counts["linked"], each.totals.current, each.share(each.totals.current)) == (3, 2, 1.0)
    assert [(each.key, each.current) for each in shown.periods] == [("2027-02-18", 1), ("2027-02-19", 2)]
    assert shown.share(2) is None


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        ([], [0]),
        ([5, 0, 12], [5, 0, 12]),
        ([4], [None]),
        ([3, 0, 1, 2, 7, 0, 4], [None, None, None, 6, 7, 0, None]),
        ([1, 1, 1, 1, 1, 1], [None, None, None, None, 5, None]),
        ([0, 0, 2, 100], [None, 102]),
    ],
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_small_count_is_published_with_a_later_month(store, counts, published):
    by_month(store, "linked", *counts)
    last = date(2025, max(len(counts), 1) + 1, 28)

    found = published_statistics(store, HOME, None, Unit.MONTH, last)

    assert [each.counts["linked"] for each in found.periods] == published
    assert found.totals.counts["linked"] == (sum(each or 0 for each in published) if published != [None] else None)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_is_published_follows_from_the_published_months(store):
    """Two histories with the same published months have the same years, totals and links, and so has each day."""
    histories = {
        UNIVERSITY: {"linked": [9, 3, 3, 0, 20, 2], "removed": [0, 4, 1, 0, 0, 3], "replaced": [0, 1, 0, 0, 0, 0]},
        POLYTECHNIC: {"linked": [9, 1, 5, 0, 20, 4], "removed": [0, 1, 4, 0, 0, 1], "replaced": [0, 4, 0, 0, 0, 0]},
    }
    for organisation, measures in histories.items():
        for name, counts in measures.items():
            by_month(store, name, *counts, organisation=organisation)

    def published(organisation, unit, today=date(2025, 7, 1)):
        return published_statistics(store, organisation, 40, unit, today)

    for unit in (Unit.MONTH, Unit.YEAR, Unit.ALL):
        one, other = published(HOME, unit), published(OTHER, unit)
        assert (one.periods, one.totals) == (other.periods, other.totals)
        numbers = [
            number
            for each in [*one.periods, one.totals]
            for number in [*each.counts.values(), each.current]
            if number is not None
        ]
        assert not {1, 2, 3, 4} & {*numbers}
    assert published(HOME, Unit.YEAR).periods[0].counts["linked"] == 35
    add(store, {("2025-07-01", "linked"): 50, ("2025-07-30", "removed"): 50})
    assert published(HOME, Unit.ALL, date(2025, 7, 31)) == published(HOME, Unit.ALL)
    later = published(HOME, Unit.MONTH, date(2025, 8, 1)).periods
    assert later[:-1] == published(HOME, Unit.MONTH).periods


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_sum_of_organisations_compares_only_those_with_a_number_of_researchers(store):
    by_month(store, "linked", 50)
    by_month(store, "linked", 30, organisation=POLYTECHNIC)
    found = [link_statistics(store, HOME, 200, Unit.YEAR, TODAY), link_statistics(store, OTHER, None, Unit.YEAR, TODAY)]

    whole = together(found)

    assert (whole.totals.current, whole.researchers, whole.share(whole.totals.current)) == (80, 200, 25.0)
    assert [each.current for each in whole.periods] == [80, 80]


def test_an_operator_sees_all_and_an_administrator_the_own_organisation(store, app):
    make_link(store)
    add(store, {("2026-01-10", "linked"): 1}, POLYTECHNIC)
    operator, admin = (WebClient(app, f"{name}@yliopisto.example") for name in ("operator", "admin"))

    everything, own = operator.get("/operator/statistics?by=year").text, admin.get("/operator/statistics").text

    assert "Amk" in everything
    assert "Amk" not in own
    assert "0.5%" in own.replace("\u00a0", "")
    assert operator.get("/operator/statistics?organisation=amk").status == 200
    assert admin.get("/operator/statistics?organisation=amk").status == 404
    assert admin.get("/operator/statistics.csv?organisation=amk").status == 404
    for path in ("/operator/statistics", "/operator/statistics.csv", "/operator/statistics.json"):
        assert WebClient(app).get(path).status == 404


@pytest.mark.parametrize("by", ["", "day", "month", "year", "all", "hour", "9" * 99])
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_each_page_has_charts_with_a_scale_and_a_table(store, app, by):
    make_link(store)

    page = WebClient(app, "operator@yliopisto.example").get(f"/operator/statistics?by={by}").text

    figures = re.findall(r'<figure class="plot">(.*?)</figure>', page, re.DOTALL)
    assert len(figures) == 5
    for figure in figures:
        assert re.search(r"<title [^>]*>[^<]+</title>\s*<desc [^>]*>From [^<]+</desc>", figure)
    # Charts of a row have the same scale
    assert [re.findall(r'class="scale".*?<span>(\d+)<', row) for row in page.split('<div class="plots">')[1:]] == [
        ["1", "1"],
        ["1", "1"],
        ["1"],
    ]
    assert "Highest: 1 (" in figures[0]
    assert "style=" not in page
    assert "<script" not in page


def test_an_administrators_file_is_exact_and_an_operators_may_be_passed_on(store, app):
    make_link(store)
    by_month(store, "linked", 7, 2)
    operator, admin = (WebClient(app, f"{name}@yliopisto.example") for name in ("operator", "admin"))

    exact = rows_of(admin.get("/operator/statistics.csv?by=day"))
    passed_on = rows_of(operator.get("/operator/statistics.csv?by=day"))

    assert exact[UNIVERSITY, "2026-01-15"]["linked"] == "1"
    assert exact[UNIVERSITY, "total"]["current"] == "10"
    assert exact[UNIVERSITY, "total"]["share"] == "5.0"
    assert {period for _, period in passed_on} == {*(f"2025-{month:02}" for month in range(1, 13)), "total"}
    assert [passed_on[UNIVERSITY, f"2025-0{month}"]["linked"] for month in (1, 2, 3)] == ["7", "", ""]
    assert passed_on["*", "total"]["linked"] == "7"
    assert operator.get("/operator/statistics.csv").header("Cache-Control") == "no-store"


def test_the_api_gives_who_has_the_token_the_same(store, app):
    by_month(store, "linked", 7, 2, 12)
    operator = WebClient(app, "operator@yliopisto.example")

    def get(path, token=TOKEN):
        return ask(app, path, HTTP_AUTHORIZATION=f"Bearer {token}")

    assert get("/statistics.csv?by=year").body == operator.get("/operator/statistics.csv?by=year").body
    assert get("/statistics.json").body == operator.get("/operator/statistics.json?by=month").body
    content = json.loads(get("/statistics.json?by=year").body)
    (home,) = (each for each in content["organisations"] if each["organisation"] == UNIVERSITY)
    assert (home["researchers"], home["share"], home["total"]["linked"]) == (200, 10.5, 21)
    assert [(each["period"], each["linked"]) for each in home["periods"]] == [("2025", 21)]
    assert content["all"]["total"]["current"] == 21
    assert [ask(app, "/statistics.json").status, get("/statistics.csv", "x").status] == [401, 401]
    assert get("/statistics.json", "x").header("WWW-Authenticate") == 'Bearer realm="statistics"'


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_without_a_token_there_is_no_api(store, web_app):
    context = replace(web_app.context, admin_access=replace(STAFF, statistics_token=""))

    assert ask(make_app(replace(web_app, context=context)), "/statistics.csv").status == 404


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_name_that_a_spreadsheet_would_calculate_is_neutralised(store):
    organisations = Organisations.of([make_organisation(stage=Stage.TEST, names={"en": "=cmd|' /C calc'!A0"})])
    client = make_orcid_client("https://sandbox.orcid.org")
    app = make_app(make_web_app(store, client, Clock(), organisations, admin_access=STAFF))

    reply = WebClient(app, "operator@yliopisto.example").get("/operator/statistics.csv")

    assert b"'=cmd" in reply.body
    assert next(read_csv_stream(io.BytesIO(reply.body), ["name"], ["name"], ignore_others=True)).cells == {
        "name": "=cmd|' /C calc'!A0"
    }


REFUSALS = {
    "missing-attribute": ("", UNIVERSITY_IDP, UNIVERSITY),
    "foreign-scope": ("maija%40elsewhere.example", UNIVERSITY_IDP, UNIVERSITY),
    "several-values": ("a%40yliopisto.example;b%40yliopisto.example", UNIVERSITY_IDP, UNIVERSITY),
    "broken-attribute": ("maija", UNIVERSITY_IDP, UNIVERSITY),
    "unknown-organisation": ("a%40elsewhere.example", "https://idp.elsewhere.example", ""),
}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_refused_sign_in_is_counted_with_its_reason(store, web_app, code):
    eppn, entity_id, organisation = REFUSALS[code]
    person = WebClient(make_app(web_app), account="", entity_id=entity_id)

    for _ in range(2):
        assert person.get("/me", eppn=eppn).status == 403

    assert store.statistics.refused_sign_ins(organisation) == {code: 2}
    assert store.statistics.refused_sign_ins(organisation, TODAY) == {code: 2}
    assert store.statistics.refused_sign_ins(organisation, TODAY + DAY) == {}
    operator = WebClient(make_app(web_app), "operator@yliopisto.example")
    assert f"<code>{code}</code>" in operator.get("/operator/statistics").text
    sample = f'orcid_connect_sign_ins_refused_total{{organisation="{organisation or "-"}",reason="{code}"}} 2.0'
    assert sample in ask(make_app(web_app), "/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_refusal_is_counted_for_the_organisation_whose_scope_or_file_it_is(store):
    organisations = Organisations.of([HOME], {POLYTECHNIC: (POLYTECHNIC_IDP,)})
    client = make_orcid_client("https://sandbox.orcid.org")
    app = make_app(make_web_app(store, client, Clock(), organisations))

    WebClient(app, "maija@yliopisto.example", "https://idp.new.example").get("/me")
    WebClient(app, "ville@amk.example", POLYTECHNIC_IDP).get("/me")

    assert store.statistics.refused_sign_ins(UNIVERSITY) == {"unknown-organisation": 1}
    assert store.statistics.refused_sign_ins(POLYTECHNIC) == {"organisation-misconfigured": 1}


@pytest.mark.parametrize(
    ("state", "status", "counted"),
    [
        (State.HIDDEN, 403, {"not-admitted": 1}),
        (State.PILOT, 403, {"not-admitted": 1}),
        (State.CLOSED, 200, {"linking-closed": 1}),
        (State.OPEN, 200, {}),
    ],
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_people_whom_the_state_excludes_are_counted_and_the_state_is_shown(store, state, status, counted):
    organisations = Organisations.of([make_organisation(stage=Stage.TEST, state=state)])
    client = make_orcid_client("https://sandbox.orcid.org")
    app = make_app(make_web_app(store, client, Clock(), organisations, admin_access=STAFF))
    make_link(store, "linked@yliopisto.example")
    admin = WebClient(app, "admin@yliopisto.example")

    assert WebClient(app, "other@yliopisto.example").get("/me").status == status
    for known in (WebClient(app, "linked@yliopisto.example"), admin):
        assert known.get("/me").status == 200

    assert store.statistics.refused_sign_ins(UNIVERSITY) == counted
    page = admin.get("/operator/statistics").text
    assert f">{state}</td>" in page
    for code in counted:
        assert f"<code>{code}</code>" in page
    assert rows_of(admin.get("/operator/statistics.csv"))[UNIVERSITY, "total"]["state"] == state
    (content,) = json.loads(admin.get("/operator/statistics.json").body)["organisations"]
    assert content["state"] == state


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_refused_sign_ins_are_counted_up_to_a_limit_and_never_in_the_way(store, web_app, monkeypatch):
    context = replace(web_app.context, limits=Limits(refused_sign_ins=DailyLimit(2)))
    person = WebClient(make_app(replace(web_app, context=context)), account="")
    for _ in range(3):
        person.get("/me")
    assert store.statistics.refused_sign_ins(UNIVERSITY) == {"missing-attribute": 2}

    def away(*_arguments):
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(type(store.statistics), "count_refused_sign_in", away)

    assert WebClient(make_app(web_app), account="").get("/me").status == 403


@pytest.mark.parametrize("query", ["list_counts_by_period", "count_refused_sign_ins"])
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_statistics_read_the_counts_of_one_organisation_by_their_key(store, query):
    values = {"organisation": "o", "since": "", "length": 7, "group_length": 7}

    plan = [row["detail"] for row in driver_of(store).execute("explain query plan " + queries()[query], values)]

    assert any("period_counts" in step and "(organisation=? AND length=? AND period>?)" in step for step in plan)
    assert not any(step.startswith("SCAN") or "events" in step.split()[1:2] for step in plan)
