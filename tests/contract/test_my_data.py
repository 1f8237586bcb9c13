"""A person sees everything that is stored about them, on a page and in a file, on each engine."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

import sql
from shibboleth.orcid_id import Registry
from sql.records import AffiliationItemState, AffiliationSection, Mail, MailKind, ReleaseState
from sql.rows import format_timestamp
from tests.support.affiliation import STAFF
from tests.support.database import driver_of
from tests.support.factories import (
    CLIENT_ID,
    NOON,
    UNIVERSITY,
    answered,
    make_attempt,
    make_consent,
    make_link,
    make_orcid_id,
    store_token,
)
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app, with_settings
from webapp.app import make_app
from webapp.config.organisation import Keep
from webapp.linking.service import AUDITED
from webapp.pages.data_inventory import (
    ANSWERS,
    EVENTS,
    FACT_VALUES,
    FACTS,
    NEVER_SHOWN,
    OUTCOMES,
    SECTIONS,
    SOURCES,
    STATES,
    TABLES,
    TABLES_WITHOUT_PERSON,
)
from webapp.pages.my_data import FORMAT, MAX_SHOWN, SINGLE_RECORD_SECTIONS

MAIJA = "maija@yliopisto.example"
VILLE = "ville@yliopisto.example"
FIRST, SECOND = (make_orcid_id(number, Registry.SANDBOX) for number in (1, 2))
SAID = "no <b>such</b> entry"
WISH = """
insert into erasures (id, organisation, person_key, change_number, event_number, uses_feed, requested_at)
values ('wish', '{}', '{}', 2, 4, 0, '2026-01-15T12:00:00.000000Z')
"""

PRAGMA = "pragma table_info({})"
COLUMNS = """
select table_name, column_name
from information_schema.columns
join information_schema.tables using (table_schema, table_name)
where table_schema = 'public' and table_type = 'BASE TABLE'
"""


@pytest.fixture
def web_app(store):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app), said={"displayName": "Maija Mäkelä", "funetEduPersonEPPNTimeStamp": "20240101"})


def asking(store, text):
    """Run a statement on the database itself, and give the rows it finds."""
    if type(store.engine).__name__ == "Sqlite":
        return [dict(row) for row in driver_of(store).execute(text)]
    with store.engine.connection() as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def columns(store):
    """Name every column of the database, as `table.column`."""
    if type(store.engine).__name__ == "Sqlite":
        return {f"{name}.{row['name']}" for name in store.engine.tables() for row in asking(store, PRAGMA.format(name))}
    return {f"{row['table_name']}.{row['column_name']}" for row in asking(store, COLUMNS)}


def told():
    """Name every column of which the person is told."""
    return {column for section in SECTIONS for field in section.fields for column in field.columns}


def live(store):
    """Let Maija link, replace, be delivered, be given up, decline, be looked for, and wish to be erased."""
    attempt = answered(store, MAIJA, FIRST)
    store_token(store, attempt)
    store.links.add(attempt, "20240101", make_consent(text="I agree to all of it."), None, NOON, "first", ("idm",))
    (delivery,) = store.deliveries.claim("worker", NOON, timedelta(minutes=1), 9)
    store.deliveries.dead_letter(delivery, "worker", "refused", SAID, NOON + timedelta(minutes=2))
    attempt = answered(store, MAIJA, SECOND)
    store.links.add(attempt, "20240101", make_consent(), FIRST, NOON, "second", ("idm",))
    store.deliveries.claim("worker", NOON, timedelta(minutes=1), 9)
    store.releases.record(store.links.get(UNIVERSITY, MAIJA), ReleaseState.SEEN, NOON + timedelta(days=1))
    link = store.links.get(UNIVERSITY, MAIJA)
    store.affiliations.permit(link, make_consent(text="They may write."), STAFF, "records", NOON)
    store.affiliations.set_refused(link, NOON)
    store.affiliations.add_item(link.id, AffiliationSection.EMPLOYMENT, CLIENT_ID, NOON)
    (item,) = store.affiliations.list_items(UNIVERSITY, MAIJA)
    store.affiliations.set_item(UNIVERSITY, MAIJA, item, AffiliationItemState.WRITTEN, NOON, put_code="1001")
    token = store.orcid_tokens.claim(CLIENT_ID, "worker", NOON, timedelta(minutes=1))
    store.orcid_tokens.reschedule(token, "temporary", NOON + timedelta(days=1), NOON)
    store_token(store, answered(store, MAIJA, SECOND))
    store.attempts.close(answered(store, MAIJA, FIRST).id, "declined", NOON)
    store.audit.add(UNIVERSITY, "searched", "operator", MAIJA, {"reason": "she rang us: incident 3f2a9c10"}, NOON)
    store.changes.acknowledge(UNIVERSITY, 1, NOON)
    store.audit.mark_read(UNIVERSITY, MAIJA, 1, NOON)
    store.mail.add(Mail(UNIVERSITY, MAIJA, MailKind.RECEIPT, 2, "maija@home.example", "fi", NOON))
    asking(store, WISH.format(UNIVERSITY, MAIJA))
    store.removals.schedule(UNIVERSITY, (), NOON + timedelta(days=1), "operator", NOON, max_percent=100)


def leaves(value):
    """Give every value in a file that holds no others."""
    if isinstance(value, dict | list):
        yield from (leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in leaves(each))
    elif value is not None:
        yield str(value)


# All that is stored


def test_every_database_column_is_shown_or_left_out_for_a_reason(store):
    known = columns(store)
    without_person = {column for column in known if column.partition(".")[0] in TABLES_WITHOUT_PERSON}

    assert known - without_person == told() | NEVER_SHOWN.keys()
    assert not told() & NEVER_SHOWN.keys()
    assert TABLES_WITHOUT_PERSON.keys() <= {column.partition(".")[0] for column in known}
    assert {column for column in known if column.endswith(".person_key")} == {f"{table}.person_key" for table in TABLES}


def test_the_file_has_every_stored_value_of_a_person(store, maija):
    live(store)
    rows = {table: asking(store, f"select * from {table} where person_key = '{MAIJA}'") for table in TABLES}
    rows |= {
        table: asking(store, f"select * from {table}")
        for table in (
            "acknowledgements",
            "affiliation_items",
            "affiliation_permissions",
            "consent_texts",
            "orcid_tokens",
        )
    }

    held = set(leaves(json.loads(maija.get("/me/data.json").body)))

    for table in TABLES:
        assert rows[table], table
    for section in SECTIONS:
        for field in section.fields:
            for table, column in (each.split(".") for each in field.columns):
                for value in {row[column] for row in rows[table]} - {None, ""}:
                    assert present(column, value, held), f"{section.name}.{field.name}: {value}"


def present(column, value, held):
    """Tell whether a stored value is in the file, in the form it has there."""
    if column in {"registry", "previous_registry"}:
        return any(f"//{Registry(value).host}/" in each for each in held)
    if column in {"orcid", "previous_orcid"}:
        return any(each.endswith(f"orcid.org/{value}") for each in held)
    if column == "facts":
        return set(leaves(json.loads(value)["facts"])) <= held
    return str(value) in held


def test_the_file_says_how_it_is_written_and_explains_each_field(store, maija):
    live(store)

    file = json.loads(maija.get("/me/data.json").body)

    assert file["format"] == FORMAT
    assert file["made_at"] == format_timestamp(NOON)
    assert list(file) == [
        "format",
        "made_at",
        "language",
        *(each.name for each in SECTIONS),
        "explained",
        "never_shown",
    ]
    assert file["explained"].keys() == {each.name for each in SECTIONS}
    for section in SECTIONS:
        of_it = file[section.name]
        for one in [of_it] if section.name in SINGLE_RECORD_SECTIONS else of_it:
            assert one.keys() == file["explained"][section.name]["fields"].keys()


def test_the_file_is_a_download_that_no_cache_keeps(maija):
    answer = maija.get("/me/data.json")

    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Content-Disposition") == 'attachment; filename="my-data.json"'
    assert answer.header("Cache-Control") == "no-store"


def test_a_person_without_data_is_told_so(maija):
    file, page = json.loads(maija.get("/me/data.json").body), maija.get("/me/data").text

    assert (file["links"], file["changes"], file["feed"], file["erasure"]) == ([], [], None, None)
    assert page.count("Nothing is stored.") == len(SECTIONS) - 1
    assert "Maija Mäkelä" in page


def test_the_ids_that_the_organisation_releases_are_shown(maija):
    maija.said["eduPersonOrcid"] = FIRST.uri

    assert json.loads(maija.get("/me/data.json").body)["you"]["released"] == [FIRST.uri]
    assert FIRST.uri in maija.get("/me/data").text


@pytest.mark.parametrize(("code", "marked"), [("en", False), ("fi", True)])
def test_a_consent_in_another_language_is_marked_with_its_language(store, maija, code, marked):
    """Or a screen reader would read English in a Finnish voice (WCAG 3.1.2)."""
    make_link(store, MAIJA)

    page = maija.get("/me/data", HTTP_ACCEPT_LANGUAGE=code).text

    assert ('<dd lang="en"><bdi>I agree that' in page) == marked


@pytest.mark.parametrize(("code", "called"), [("en", "English"), ("fi", "englanti"), ("sv", "engelska")])
def test_the_page_says_what_the_language_of_the_text_is_called(store, maija, code, called):
    make_link(store, MAIJA)

    assert f"<dd>{called}</dd>" in maija.get("/me/data", HTTP_ACCEPT_LANGUAGE=code).text


def test_no_data_of_another_person_is_shown(store, maija):
    live(store)
    make_link(store, VILLE, make_orcid_id(7))

    for place in ("/me/data", "/me/data.json"):
        text = maija.get(place).text
        assert VILLE not in text
        assert make_orcid_id(7).bare not in text


# The page


def test_the_page_tells_of_links_deliveries_events_and_where_each_came_from(store, maija):
    live(store)

    page = maija.get("/me/data").text

    assert FIRST.uri in page
    assert SECOND.uri in page
    assert "I agree to all of it." in page
    assert "it was rejected" in page
    assert "she rang us: incident 3f2a9c10" in page
    assert "the operator of this service" in page
    for section in SECTIONS:
        assert f'<h2 id="{section.name}">' in page
        for source in section.sources:
            assert SOURCES[source].replace("'", "&#39;") in page.replace("'", "&#39;")
    assert "Nothing is stored." not in page


def test_messages_of_receivers_are_escaped(store, maija):
    live(store)

    page = maija.get("/me/data").text

    assert SAID not in page
    assert "no &lt;b&gt;such&lt;/b&gt; entry" in page


def test_the_page_shows_the_newest_and_the_file_has_all(store, maija):
    begin_many(store)

    page, file = maija.get("/me/data").text, json.loads(maija.get("/me/data.json").body)

    assert page.count("<dt>Begun</dt>") == MAX_SHOWN
    assert f"These are the newest {MAX_SHOWN}" in page
    assert len(file["attempts"]) == 1000
    assert file["attempts"][0]["started_at"] == format_timestamp(NOON + timedelta(seconds=999))


@pytest.mark.parametrize("path", ["/me/data", "/me/data.json"])
def test_the_number_of_queries_does_not_grow_with_the_data(store, maija, path, monkeypatch):
    asked = []
    for name in ("fetch_one", "fetch_all"):
        monkeypatch.setattr(store.engine, name, noting(getattr(store.engine, name), asked))
    maija.get(path)
    before = list(asked)
    asked.clear()
    begin_many(store)

    maija.get(path)

    assert asked == before
    assert len(asked) < 18


def begin_many(store):
    """Let Maija begin a thousand times."""
    for number in range(1000):
        store.attempts.add(make_attempt(MAIJA, started_at=NOON + timedelta(seconds=number)), f"state {number}")


def noting(ask, asked):
    """Give a way to ask that notes each question."""

    def noted(query, **values):
        asked.append(query)
        return ask(query, **values)

    return noted


def test_where_nothing_is_kept_the_page_says_how_short_it_is(web_app):
    page = WebClient(make_app(web_app)).get("/me/data").text
    forgetful = WebClient(make_app(with_settings(web_app, keep=Keep.NOTHING))).get("/me/data").text

    assert "a quarter of an hour" not in page
    assert forgetful.count("Until 15 minutes after") == 4


# Words


def test_every_shown_code_has_a_label(store):
    sources = "".join(path.read_text() for path in Path(sql.__file__).parent.rglob("*.py"))
    written = set(re.findall(r'\.insert_event\(\s*"([a-z-]+)"', sources)) | {"delivered", "dead-letter"} | AUDITED
    of_nobody = {
        *("dead-letters-retried", "imported", "erased", "backfilled", "removals-scheduled", "removals-cancelled"),
        *("organisation-merged", "accounts-renamed"),
    }

    assert written - of_nobody <= EVENTS.keys()
    assert OUTCOMES.keys() >= AUDITED
    assert ANSWERS.keys() <= FACT_VALUES.keys()
    assert {"waiting", "done", "dead-letter"} == STATES.keys()
    assert FACTS
