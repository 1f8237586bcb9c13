"""The operator's pages: who may see what, the numbers and their plots, retries, incidents, and the audited search."""

import json
import logging
import re
import tracemalloc
from datetime import timedelta
from hashlib import sha256
from itertools import product
from urllib.parse import quote

import pytest

from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisations
from sql.records import Incident, ReleaseState
from tests.support.database import attest_many
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    POLYTECHNIC_IDP,
    UNIVERSITY,
    UNIVERSITY_IDP,
    answered,
    attest,
    make_link,
    make_orcid_id,
    make_organisation,
)
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app, orcid_id
from webapp.app import make_app
from webapp.auth.authenticator import Access
from webapp.auth.named_people import NamedPeople
from webapp.operator.access import AdminAccess
from webapp.operator.statistics import COLUMNS, PERIODS
from webapp.pages.problems import PROBLEMS_BY_CODE
from webapp.routes import ROUTES

ENTITLEMENT = "urn:mace:yliopisto.example:orcid-connect:operator"
STAFF = AdminAccess(
    operators=(
        NamedPeople.parse(UNIVERSITY, ("Operator@Yliopisto.example", "Dated@Yliopisto.example issued 20240826")),
        NamedPeople.parse(UNIVERSITY, entitlements=(ENTITLEMENT,)),
    ),
    administrators=(
        NamedPeople.parse(UNIVERSITY, ("admin@yliopisto.example",)),
        NamedPeople.parse(POLYTECHNIC, ("admin@amk.example",), (ENTITLEMENT,)),
    ),
)
DAY = timedelta(days=1)
MAIJA, VILLE = "maija@yliopisto.example", "ville@yliopisto.example"
IDS = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(store, clock):
    return make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock, admin_access=STAFF))


@pytest.fixture
def operator(app):
    return WebClient(app, "operator@yliopisto.example")


@pytest.fixture
def admin(app):
    return WebClient(app, "admin@yliopisto.example")


def web_client(app, account, entity_id=UNIVERSITY_IDP, entitlement="", issued=""):
    said = {"eduPersonEntitlement": entitlement, "funetEduPersonEPPNTimeStamp": issued}
    return WebClient(app, account, entity_id, said)


# Who may see what

ALL, OWN, OTHERS, NOTHING = ({"yliopisto", "amk"}, {"yliopisto"}, {"amk"}, set())
PEOPLE = {
    "an operator by key": (("operator@yliopisto.example",), ALL),
    "an operator, spelt otherwise": (("OPERATOR@yliopisto.example",), ALL),
    "an operator by entitlement": (("anybody@yliopisto.example", UNIVERSITY_IDP, ENTITLEMENT), ALL),
    "one who has that entitlement elsewhere": (("anybody@amk.example", POLYTECHNIC_IDP, ENTITLEMENT), OTHERS),
    "an operator whose account was issued some day": (
        ("operator@yliopisto.example", UNIVERSITY_IDP, "", "20200101"),
        ALL,
    ),
    "an operator by key and date": (("dated@yliopisto.example", UNIVERSITY_IDP, "", "20240826"), ALL),
    "an operator by key and date in another form": (("dated@yliopisto.example", UNIVERSITY_IDP, "", "2024-08-26"), ALL),
    "an operator of whom no date can be read": (("dated@yliopisto.example", UNIVERSITY_IDP, "", "soon"), NOTHING),
    "a later holder of an operator's account": (("dated@yliopisto.example", UNIVERSITY_IDP, "", "20260101"), NOTHING),
    "one of whose account no date is told": (("dated@yliopisto.example",), NOTHING),
    "an administrator": (("admin@yliopisto.example",), OWN),
    "another's administrator": (("admin@amk.example", POLYTECHNIC_IDP), OTHERS),
    "a person": ((MAIJA,), NOTHING),
    "a person with another entitlement": ((MAIJA, UNIVERSITY_IDP, ENTITLEMENT + "s"), NOTHING),
    "another organisation's person of the operator's name": (("operator@amk.example", POLYTECHNIC_IDP), NOTHING),
}
LIST = "/operator/organisations/<name>/links"
ACCOUNTS = "/operator/accounts"
OURS = [route for route in ROUTES if route.path.startswith("/operator")]


def asked(who, route, name):
    """Ask for a route, about the organisation of this short name, with a form that is one of ours."""
    path = route.path.replace("<name>", name)
    if route.method == "GET":
        return who.get(path)
    said = {"token": who.token(), "transfer": "idm", "organisation": name, "whom": MAIJA, "reason": "asked to"}
    return who.post(path, said)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("person", PEOPLE)
def test_each_role_sees_its_pages_and_others_get_404(app, store, person):
    who, sees = web_client(app, *PEOPLE[person][0]), PEOPLE[person][1]
    make_link(store, MAIJA, orcid_id(IDS_OF[0]))
    make_link(store, "anna@amk.example", orcid_id(IDS_OF[1]), POLYTECHNIC)

    for route, name in product(OURS, ("yliopisto", "amk")):
        if (route.method, route.path) == ("POST", LIST) or route.path == ACCOUNTS:
            continue
        reply = asked(who, route, name)

        of_one = "<name>" in route.path or route.method == "POST"
        if name in sees if of_one else sees:
            # The form names no claim that there is
            of_a_claim = (route.method, route.path) == ("POST", "/operator/people/claim")
            assert reply.status in ({409} if of_a_claim else {200, 303}), route
        else:
            assert reply.status == 404, route
            assert said_in(reply) == said_in(who.get("/nowhere"))
        shows_a_person = route.path.startswith("/operator/people") and name == "yliopisto"
        assert shows_a_person or not IDS.search(reply.text)
        assert ("Amk" in said_in(reply)) <= ("amk" in sees)


ADMINISTRATORS = {
    "one who has that entitlement elsewhere": OTHERS,
    "an administrator": OWN,
    "another's administrator": OTHERS,
}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("person", PEOPLE)
def test_the_list_of_an_organisation_is_for_its_own_administrators(app, store, person):
    who, lists = web_client(app, *PEOPLE[person][0]), ADMINISTRATORS.get(person, NOTHING)
    make_link(store, MAIJA, orcid_id(IDS_OF[0]))
    make_link(store, "anna@amk.example", orcid_id(IDS_OF[1]), POLYTECHNIC)

    for name in ("yliopisto", "amk"):
        page = who.get(f"/operator/organisations/{name}")
        reply = who.post(LIST.replace("<name>", name), {"token": who.token(), "format": "csv"})

        assert ("Save the list as CSV" in page.text) == (name in lists)
        assert reply.status == (200 if name in lists else 404)
        assert (reply.header("Content-Type") == "text/csv; charset=utf-8") == (name in lists)
        assert ("links-listed" in kinds(store, name)) == (name in lists)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("person", PEOPLE)
def test_accounts_are_compared_for_administrators_with_their_own_organisation(app, store, person):
    who, administers = web_client(app, *PEOPLE[person][0]), ADMINISTRATORS.get(person, NOTHING)
    form = {"token": who.token(), "accounts": "x@yliopisto.example\nx@amk.example"}

    page, reply = who.get(ACCOUNTS), who.post(ACCOUNTS, form)

    assert (page.status, reply.status) == ((200, 200) if administers else (404, 404))
    for name in ("yliopisto", "amk"):
        assert ("accounts-compared" in kinds(store, name)) == (name in administers)
        assert (f">x@{name}.example</textarea>" in reply.text) == (name in administers)
    assert ('href="/operator/accounts"' in who.get("/operator").text) == bool(administers)


def kinds(store, name):
    return [event.kind for event in store.audit.list_events(name)]


def test_the_list_has_what_the_organisation_can_hand_in_again(store, admin):
    make_link(store, MAIJA, orcid_id(IDS_OF[0]))
    attest(store, [("=ake@yliopisto.example", orcid_id(IDS_OF[1]))], "-CRIS", NOON - DAY)
    path, token = LIST.replace("<name>", "yliopisto"), admin.token()

    as_csv = admin.post(path, {"token": token, "format": "csv"})
    as_ndjson = admin.post(path, {"token": token, "format": "ndjson"})

    assert as_csv.text.splitlines() == [
        "account,orcid,authenticated_at,source",
        f"'=ake@yliopisto.example,{orcid_id(IDS_OF[1]).uri},2026-01-14T12:00:00Z,'-CRIS",
        f"{MAIJA},{orcid_id(IDS_OF[0]).uri},2026-01-15T12:00:00Z,orcid",
    ]
    *links, last = [json.loads(line) for line in as_ndjson.text.splitlines()]
    assert [(each["account"], each["source"]) for each in links] == [
        ("=ake@yliopisto.example", "-CRIS"),
        (MAIJA, "orcid"),
    ]
    assert last == {"count": 2}
    assert {each.header("Cache-Control") for each in (as_csv, as_ndjson)} == {"no-store"}
    assert as_csv.header("Content-Disposition") == 'attachment; filename="orcid-yliopisto.csv"'
    assert as_ndjson.header("Content-Disposition") == 'attachment; filename="orcid-yliopisto.ndjson"'
    *_, event = store.audit.list_events(UNIVERSITY)
    assert (event.kind, event.actor, event.person_key) == ("links-listed", "organisation", None)
    assert dict(event.facts) == {"by": "admin@yliopisto.example", "by_organisation": UNIVERSITY}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_list_needs_little_memory_however_many_links_there_are(store, store_url, admin):
    many = 4_000
    attest_many(
        store,
        store_url,
        [(f"p{number:06d}@yliopisto.example", make_orcid_id(number, Registry.SANDBOX)) for number in range(many)],
    )
    form = {"token": admin.token(), "format": "csv"}
    tracemalloc.start()
    try:
        reply = admin.post(LIST.replace("<name>", "yliopisto"), form)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(reply.text.splitlines()) == many + 1
    assert int(reply.header("Content-Length")) == len(reply.body)
    # The client of this test holds the body twice; all links at once would be ten times as much
    assert peak < 4 * len(reply.body) + 2_000_000


def test_a_search_says_where_an_attested_id_came_from(store, admin):
    attest(store, [(MAIJA, orcid_id(IDS_OF[0]))], "the <Library>")

    page = admin.post(
        "/operator/people", {"token": admin.token(), "organisation": "yliopisto", "whom": MAIJA, "reason": "she asks"}
    )

    assert "<dt>Attested by the organisation</dt>\n<dd><bdi>the &lt;Library&gt;</bdi>" in page.text


IDS_OF = ("0000-0002-1825-0097", "0000-0001-5109-3700")


def said_in(reply):
    """Give what a page says, without its incident number."""
    return re.sub(r"<code>[0-9a-f]{8}</code>", "", reply.text.partition("<main")[2].partition("</main>")[0])


def test_every_page_requires_a_session():
    assert OURS
    assert {route.access for route in OURS} == {Access.PERSON}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_refused_access_is_logged_without_the_person(app, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")

    web_client(app, MAIJA).get("/operator/organisations/yliopisto")

    (told,) = [record.facts for record in caplog.records if record.msg == "problem"]
    assert (told["problem"], told["error"], told["at"]) == (
        "not-found",
        "NotPermitted",
        "/operator/organisations/<name>",
    )
    assert "maija" not in str(told)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_without_administrators_the_pages_do_not_exist(store, clock):
    app = make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock))

    assert {asked(WebClient(app), route, "yliopisto").status for route in OURS} == {404}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["/operator/organisations/yliopisto/retry", "/operator/people"])
def test_every_form_requires_a_csrf_token(operator, store, path):
    make_link(store, MAIJA)
    form = {"transfer": "idm", "organisation": "yliopisto", "whom": MAIJA, "reason": "asked to", "token": "x"}

    reply = operator.post(path, form)

    assert (reply.status, reply.title) == (403, "This form is out of date")
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked"]


# Numbers


def happened(store):
    """Let something of everything happen."""
    store.attempts.close(answered(store, "anna@yliopisto.example").id, "declined", NOON)
    store.attempts.close(answered(store, "anna@yliopisto.example").id, "orcid-refused", NOON)
    make_link(store, MAIJA, make_orcid_id(1), now=NOON - 3 * DAY, transfers=["idm"])
    make_link(store, MAIJA, make_orcid_id(2), now=NOON - 2 * DAY, transfers=["idm"])
    make_link(store, VILLE, make_orcid_id(3), now=NOON - 2 * DAY, transfers=["idm"])
    store.releases.record(store.links.get(UNIVERSITY, MAIJA), ReleaseState.SEEN, NOON)
    first, second = store.deliveries.claim("worker", NOON, DAY, 2)
    store.deliveries.complete(first, "worker", "stored", "", NOON)
    store.deliveries.dead_letter(
        second, "worker", "refused", f"no {second.change.account}, or {make_orcid_id(3).uri}", NOON
    )
    store.links.remove(UNIVERSITY, VILLE, "person", "wanted", NOON, transfers=["idm"])
    store.statistics.count_refused_sign_in(UNIVERSITY, "missing-attribute", NOON.date())


EXPECTED = {
    "started": 5,
    "declined": 1,
    "problems": 1,
    "refused": 1,
    "linked": 2,
    "replaced": 1,
    "removed": 1,
    "delivered": 1,
    "dead-letter": 1,
    "released": 1,
}


def cells(row):
    """Give the numbers in a row; what is none is none of anything."""
    return [int(re.sub(r"[^0-9]", "", each) or 0) for each in re.findall(r"<td.*?>(.*?)</td>", row)]


def tables(text):
    """Give each table's rows of numbers, by their heads."""
    return [
        {
            re.sub(r"<.*?>", "", head): cells(row)
            for head, row in re.findall(r'<th scope="row".*?>(.*?)</th>(.*?)</tr>', table, re.DOTALL)
        }
        for table in re.findall(r"<tbody.*?>(.*?)</tbody>", text, re.DOTALL)
    ]


def test_the_overview_shows_counts_and_states(store, operator):
    happened(store)

    now, period = tables(operator.get("/operator").text)

    # Links, release seen, waiting, missing, left alone; and the last fetched, which is none
    assert now["Yliopisto"][:5] == [1, 1, 2, 1, 0]
    assert dict(zip((each.name for each in COLUMNS), period["Yliopisto"], strict=True)) == EXPECTED
    assert set(period["Amk"]) == {0}


def test_organisations_are_sorted_by_name(store, clock):
    called = Organisations.of(
        (
            make_organisation(POLYTECHNIC, names={"en": "zoo", "sv": "Öst"}),
            make_organisation(UNIVERSITY, names={"en": "Aalto", "sv": "väst"}),
        )
    )
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock, called, admin_access=STAFF)
    operator = WebClient(make_app(web_app), "operator@yliopisto.example")

    for code, names in {"en": ["Aalto", "zoo"], "sv": ["väst", "Öst"]}.items():
        overview, search = (operator.get(f"/operator{page}?lang={code}").text for page in ("", "/people"))

        assert [list(each) for each in tables(overview)] == [names, names]
        assert re.findall(r"<option.*?>(.*?)</option>", search)[1:] == names


def test_accounts_that_look_renamed_are_counted_and_not_named(store, operator):
    assert "Renamed accounts" not in operator.get("/operator/organisations/yliopisto").text
    for number, account in enumerate((MAIJA, VILLE)):
        make_link(store, account, make_orcid_id(number + 1), stable_id="subject-id:a@yliopisto.example")

    page = operator.get("/operator/organisations/yliopisto").text

    assert "Pairs of accounts that may belong to one person: 1." in page
    assert MAIJA not in page


def test_a_period_ends_today_and_begins_as_many_days_ago(store, operator, clock):
    make_link(store, MAIJA, make_orcid_id(1))
    of_linked = [each.name for each in COLUMNS].index("linked")

    def linked(days):
        return tables(operator.get(f"/operator?days={days}").text)[1]["Yliopisto"][of_linked]

    for days in PERIODS:
        whole = days if days <= 31 else -(-days // 7) * 7
        clock.now = NOON + (whole - 1) * DAY
        assert linked(days) == 1
        clock.passes(days=1)
        assert linked(days) == 0


@pytest.mark.parametrize("days", ["", "0", "-1", "12", "x", "9" * 99])
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_unknown_period_is_the_default(operator, days):
    assert "in the last 30 days" in operator.get(f"/operator?days={days}").text


@pytest.mark.parametrize("days", PERIODS)
def test_the_plots_have_the_same_numbers_as_the_table(store, operator, days):
    happened(store)

    page = operator.get(f"/operator/organisations/yliopisto?days={days}").text

    (rows,) = tables(page)
    columns = list(zip(*reversed(rows.values()), strict=True))
    figures = re.findall(r'<figure class="plot">(.*?)</figure>', page, re.DOTALL)
    assert len(figures) == len(COLUMNS)
    scale = {
        row: max(1, *(max(numbers) for one, numbers in zip(COLUMNS, columns, strict=True) if one.row == row))
        for row in {one.row for one in COLUMNS}
    }
    for column, numbers, figure in zip(COLUMNS, columns, figures, strict=True):
        heights = [float(each) for each in re.findall(r'<rect .*? height="([0-9.]+)"/>', figure)]
        tops = [float(each) for each in re.findall(r'<rect .*? y="([0-9.]+)"', figure)]
        most = scale[column.row]
        assert [round(height * most / 60) for height in heights] == list(numbers)
        assert [round(top + height) for top, height in zip(tops, heights, strict=True)] == [60] * len(heights)
        assert f"<strong>{sum(numbers)}</strong>" in figure
        assert f"<span>{most}</span><span>0</span>" in figure
        assert (f"Highest: {max(numbers)} (" in figure) == (max(numbers) > 0)
        assert sum(numbers) == EXPECTED[column.name]
    assert len(rows) == (days if days <= 31 else -(-days // 7))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_plots_have_text_alternatives(store, operator):
    happened(store)

    page = operator.get("/operator/organisations/yliopisto").text

    for svg in re.findall(r"<svg .*?</svg>", page, re.DOTALL):
        assert 'role="img"' in svg
        for part in ("title", "desc"):
            (name,) = re.findall(rf'<{part} id="([a-z-]+)"', svg)
            assert re.search(rf'aria-(labelledby|describedby)="{name}"', svg)
    assert "style=" not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    "path", ["/operator", "/operator/organisations/yliopisto", "/operator/incidents", "/operator/people"]
)
def test_no_page_names_a_person_who_was_not_asked_for(store, operator, path):
    happened(store)

    page = operator.get(path).text

    assert not IDS.search(page)
    for name in ("maija", "ville", "anna"):
        assert name not in page.lower()


# What did not arrive


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such entry", "no such entry"),
        ("uid=maija,ou=people: no such entry", "uid=…,ou=people: no such entry"),
        ("Maija@Yliopisto.example is unknown", "… is unknown"),
        ("conflict with pekka@elsewhere.example", "conflict with …"),
        ("held: https://orcid.org/0000-0002-1825-0097", "held: https://orcid.org/…"),
        ("held: 0000000218250097", "held: …"),
        ("maijala is no name", "maijala is no name"),
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
    ],
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_receivers_messages_are_shown_without_personal_data(store, operator, said, shown):
    make_link(store, MAIJA, transfers=["idm"])
    (delivery,) = store.deliveries.claim("worker", NOON, DAY, 1)
    store.deliveries.dead_letter(delivery, "worker", "refused", said, NOON)

    page = operator.get("/operator/organisations/yliopisto").text

    assert f'<q lang=""><bdi>{shown}</bdi></q>' in page


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_failures_of_one_kind_are_grouped(store, operator):
    rows = [(f"p{n:03}@x", make_orcid_id(n)) for n in range(1, 13)]
    attest(store, rows, transfers=["idm"])
    for delivery in store.deliveries.claim("worker", NOON, DAY, 50):
        store.deliveries.dead_letter(
            delivery, "worker", "unknown-person", f"no such entry: {delivery.change.account}", NOON
        )

    page = operator.get("/operator/organisations/yliopisto").text

    assert re.findall(r'<li><strong>(\d+)</strong> <code>([a-z-]+)</code> <q lang=""><bdi>(.*?)</bdi>', page) == [
        ("12", "unknown-person", "no such entry: …")
    ]


def retried(who, token):
    return who.post("/operator/organisations/yliopisto/retry", {"token": token, "transfer": "idm"})


def test_dead_letters_are_retried_and_the_audit_names_the_requester(store, operator, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    happened(store)
    page = operator.get("/operator/organisations/yliopisto")

    place = operator.post(
        "/operator/organisations/yliopisto/retry", {"token": page.field("token"), "transfer": "idm"}
    ).location

    assert "Queued for retry: 1." in operator.get(place).text
    assert list(store.deliveries.list_dead_letters(UNIVERSITY)) == []
    *_, event = store.audit.list_events(UNIVERSITY)
    assert (event.kind, event.actor, event.person_key) == ("dead-letters-retried", "operator", None)
    assert event.facts == {
        "transfer": "idm",
        "deliveries": "1",
        "by": "operator@yliopisto.example",
        "by_organisation": UNIVERSITY,
    }
    assert store.audit.verify(UNIVERSITY) == []
    told = [(record.msg, record.facts) for record in caplog.records if record.msg == "dead-letters-retried"]
    assert told == [("dead-letters-retried", {"organisation": "yliopisto", "transfer": "idm", "deliveries": 1})]


def test_an_administrator_is_the_organisation_in_the_audit(store, admin):
    happened(store)

    retried(admin, admin.token())

    *_, event = store.audit.list_events(UNIVERSITY)
    assert (event.kind, event.actor) == ("dead-letters-retried", "organisation")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_without_dead_letters_nothing_is_retried(store, operator):
    make_link(store, MAIJA, transfers=["idm"])

    place = operator.post(
        "/operator/organisations/yliopisto/retry", {"token": operator.token(), "transfer": "idm"}
    ).location

    assert "There was nothing to retry." in operator.get(place).text
    assert "retry." not in operator.get("/operator/organisations/yliopisto?retried=x").text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_state_of_transfers_and_feed_is_shown(store, operator, clock):
    change = make_link(store, MAIJA, transfers=["idm"])

    def page():
        return operator.get("/operator/organisations/yliopisto").text

    assert "Reachable." in page()
    assert "It has not fetched any changes yet." in page()
    store.deliveries.record_failure(UNIVERSITY, "idm", NOON, 2, DAY)
    assert "Delivering as usual. Consecutive failures: 1." in page()
    store.deliveries.record_failure(UNIVERSITY, "idm", NOON, 2, DAY)
    assert "Paused until" in page()
    store.changes.acknowledge(UNIVERSITY, change.number, NOON)
    assert "Everything has been fetched." in page()
    make_link(store, VILLE, make_orcid_id(2), now=NOON)
    assert "Not fetched yet: 1" in page()
    clock.passes(days=2)
    assert "Deliveries are tried one at a time" in page()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_person_without_deliveries_is_shown_as_such(operator):
    assert "Nothing has been sent to this organisation yet." in operator.get("/operator/organisations/amk").text


# Incidents


def incident_of(page):
    (number,) = re.findall(r"<code>([0-9a-f]{8})</code>", page)
    return number


def test_the_number_on_a_persons_page_is_found(app, operator):
    stranger = web_client(app, "maija@elsewhere.example")
    number = incident_of(stranger.get("/me").text)

    page = operator.get(f"/operator/incidents?number=%20{number.upper()}").text

    assert "<code>foreign-scope</code>" in page
    assert "Your account seems to belong to another organisation" in page
    assert "Yliopisto" in page
    assert "<code>/me</code>" in page
    assert "maija" not in page


def test_the_number_of_an_attempt_is_found_long_after_the_attempt(app, operator, store):
    maija = WebClient(app)
    maija.get("/me")
    cookie = maija.cookies["__Host-orcid-connect"]
    attempt = answered(store, MAIJA, browser_hash=sha256(cookie.encode()).hexdigest())
    store.attempts.close(attempt.id, "orcid-unavailable", NOON)
    number = incident_of(maija.get(f"/me/result/{attempt.id}").text)

    store.attempts.delete_expired(NOON + 9 * DAY)

    page = operator.get(f"/operator/incidents?number={number}").text
    assert "<code>orcid-unavailable</code>" in page
    assert "ORCID is not answering" in page


def test_an_administrator_finds_the_incidents_of_their_own_organisation_alone(app, operator, admin):
    own = incident_of(web_client(app, "maija@elsewhere.example").get("/me").text)
    others = incident_of(web_client(app, "anna@elsewhere.example", POLYTECHNIC_IDP).get("/me").text)
    nobodys = incident_of(web_client(app, "x@y.example", "https://idp.unknown.example/idp").get("/me").text)

    def finds(who):
        return ["foreign-scope" in (page := who.get(f"/operator/incidents?number={each}").text) or "unknown-org" in page
                for each in (own, others, nobodys)]  # fmt: skip

    assert finds(operator) == [True, True, True]
    assert finds(admin) == [True, False, False]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_invalid_incident_number_finds_nothing(operator):
    for said in ("", "00000000", "0000", "zzzzzzzz", "<script>", "0" * 500, "\0"):
        reply = operator.get(f"/operator/incidents?number={quote(said)}")

        assert reply.status == 200
        assert ("There is no record of this number." in reply.text) == bool(said)
        assert "<script" not in reply.text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_incidents_of_anonymous_requests_are_not_stored(app, operator):
    number = incident_of(web_client(app, MAIJA).get("/nowhere").text)

    assert "There is no record of this number." in operator.get(f"/operator/incidents?number={number}").text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_a_person_was_told_is_shown_for_every_word(store, operator):
    for at, word in enumerate(PROBLEMS_BY_CODE):
        store.incidents.add(Incident(f"{at:08x}", NOON, word, UNIVERSITY, "/me"))

        page = operator.get(f"/operator/incidents?number={at:08x}").text

        assert f"<code>{word}</code>" in page
        assert "What the person was told" in page
        assert "%(" not in page


# One person


def looked(who, **said):
    form = {"token": who.token(), "organisation": "yliopisto", "whom": MAIJA, "reason": "the person asked", **said}
    return who.post("/operator/people", form)


@pytest.mark.parametrize(
    "whom", [MAIJA, "MAIJA@yliopisto.example ", IDS_OF[0], f"https://sandbox.orcid.org/{IDS_OF[0]}"]
)
def test_a_person_is_found_by_account_or_id_and_the_audit_knows_who_asked_and_why(store, operator, whom):
    make_link(store, MAIJA, orcid_id(IDS_OF[0]), transfers=["idm"])

    page = looked(operator, whom=whom).text

    assert f"https://sandbox.orcid.org/{IDS_OF[0]}" in page
    assert "waiting" in page
    *_, event = store.audit.list_events(UNIVERSITY, MAIJA)
    assert (event.kind, event.actor, event.at) == ("person-searched", "operator", NOON)
    assert event.facts == {
        "by": "operator@yliopisto.example",
        "by_organisation": UNIVERSITY,
        "reason": "the person asked",
    }
    assert store.audit.verify(UNIVERSITY) == []


def test_the_person_sees_who_searched_and_why(app, store, operator):
    make_link(store, MAIJA)
    looked(operator)

    page = WebClient(app).get("/me/data").text

    assert "an operator of this service viewed your connection" in page
    assert "operator@yliopisto.example" in page
    assert "the person asked" in page


def test_a_search_without_a_result_is_audited(store, admin):
    by_account, by_id = looked(admin, whom="nobody@yliopisto.example"), looked(admin, whom=IDS_OF[1])

    assert "none connected" in by_account.text
    assert "none connected" in by_id.text
    events = list(store.audit.list_events(UNIVERSITY))
    assert [(event.kind, event.actor, event.person_key) for event in events] == [
        ("person-searched", "organisation", "nobody@yliopisto.example"),
        ("person-searched", "organisation", None),
    ]
    # An iD that nobody has here is nobody's business to keep
    assert IDS_OF[1] not in str([event.facts for event in events])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"reason": " "}, "Enter a reason"),
        ({"reason": "x" * 201}, "too long"),
        ({"reason": "a\nb"}, "invisible characters"),
        ({"whom": ""}, "Enter an account or an ORCID iD"),
        ({"whom": "x" * 513}, "too long"),
        ({"whom": "a\0b"}, "invisible characters"),
        ({"organisation": ""}, "Choose an organisation."),
    ],
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_without_a_reason_nothing_is_shown(store, operator, said, told):
    make_link(store, MAIJA, orcid_id(IDS_OF[0]))

    reply = looked(operator, **said)

    assert reply.status == 422
    assert told in reply.text
    assert IDS_OF[0] not in reply.text
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_invalid_form_keeps_its_values(operator):
    page = looked(operator, reason="").text

    assert f'value="{MAIJA}"' in page
    assert '<option value="yliopisto" selected>' in page


def test_the_log_contains_nothing_of_the_search(store, operator, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    make_link(store, MAIJA)

    looked(operator)

    told = [(record.msg, record.facts) for record in caplog.records if record.msg == "person-searched"]
    assert told == [("person-searched", {"organisation": "yliopisto"})]
