"""An administrator's list of accounts is compared with the links, and nothing of it is kept."""

import csv
import io
import logging
import re
import tempfile
from pathlib import Path

import pytest

from resolver_connector.csv_file import MAX_OTHER_LINES
from shibboleth import handout
from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from sql.engines.base import queries
from tests.support.database import attest_many, contents, driver_of
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app, with_settings
from webapp.app import make_app
from webapp.auth.named_people import NamedPeople
from webapp.config.organisation import Keep
from webapp.operator import account_list
from webapp.operator.access import AdminAccess
from webapp.pages.request import MAX_UPLOAD_BYTES

PATH = "/operator/accounts"
STAFF = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, ("admin@yliopisto.example",)),))
MAIJA, VILLE = "Maija@yliopisto.example", "ville@yliopisto.example"


@pytest.fixture
def web_app(store):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock(), admin_access=STAFF)


@pytest.fixture
def admin(web_app):
    return WebClient(make_app(web_app), "admin@yliopisto.example")


def compare(admin, content, **fields):
    return admin.upload(PATH, {"token": admin.token(), **fields}, file=content)


def problems(caplog):
    return [each.facts["problem"] for each in caplog.records if each.msg == "problem"]


def numbers(page):
    """The counts of a result, in their order."""
    facts = re.search(r'<dl class="facts">(.*?)</dl>', page.text, re.DOTALL)[1]
    return [int(re.sub(r"\D", "", each)) for each in re.findall(r"<dd>(.*?)</dd>", facts)]


def unlinked(page):
    found = re.search(r"<textarea[^>]* readonly[^>]*>(.*?)</textarea>", page.text, re.DOTALL)
    return found[1].split("\n") if found else []


def error(page):
    assert page.status == 422, page.title
    assert "<title>Error: " in page.text
    field, sentence = re.search(r'<li><a href="#(\w+)">(.*?)</a>', page.text).groups()
    assert f'id="{field}-error"' in page.text
    assert re.search(rf'id="{field}"[^>]* aria-describedby="{field}-error [^>]* aria-invalid="true"', page.text)
    return field, sentence


def test_accounts_without_a_link_are_shown_counted_and_saved(store, admin):
    make_link(store, fold(MAIJA))
    make_link(store, "ended@yliopisto.example", make_orcid_id(2))
    store.links.remove(UNIVERSITY, "ended@yliopisto.example", "person", "wanted", NOON)
    make_link(store, "amk@yliopisto.example", make_orcid_id(3), POLYTECHNIC)
    left = [VILLE, "ended@yliopisto.example", "amk@yliopisto.example"]
    lines = [MAIJA, VILLE, "Ville@yliopisto.example", "", *left[1:], "x@amk.example", "nobody"]

    page = compare(admin, "\r\n".join(lines).encode())
    as_csv = compare(admin, "\n".join(unlinked(page)).encode(), format="csv")

    assert unlinked(page) == left
    assert numbers(page) == [7, 4, 1, 3, 1, 1]
    assert re.findall(r"<li>(Line .*?)</li>", page.text) == [
        "Line 7: <bdi>x@amk.example</bdi>: it does not end in one of the organisation's domains",
        "Line 8: <bdi>nobody</bdi>: it does not have exactly one @",
    ]
    assert as_csv.header("Content-Type") == "text/csv; charset=utf-8"
    assert as_csv.header("Content-Disposition") == f'attachment; filename="without-orcid-{UNIVERSITY}.csv"'
    assert as_csv.header("Cache-Control") == page.header("Cache-Control") == "no-store"
    assert [row["account"] for row in csv.DictReader(io.StringIO(as_csv.text))] == left
    # The page sends its own list to save it
    token, form = admin.token(), {"accounts": "\r\n".join(left), "format": "csv"}
    assert admin.upload(PATH, {"token": token, **form}, file=b"").body == as_csv.body
    assert admin.post(PATH, {"token": token, **form}).body == as_csv.body


def test_only_numbers_are_recorded_and_nothing_is_kept(store, store_url, admin, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, "orcid-connect")
    # No temporary file can be made
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    many = "".join(f"secret{number}@yliopisto.example\n" for number in range(30_000))

    compare(admin, f"{many}secret@amk.example\n".encode())

    *_, event = store.audit.list_events(UNIVERSITY)
    assert (event.kind, event.actor, event.person_key) == ("accounts-compared", "organisation", None)
    assert dict(event.facts) == {
        "by": "admin@yliopisto.example",
        "by_organisation": UNIVERSITY,
        "accounts": "30000",
        "unlinked": "30000",
    }
    (line,) = [each.facts for each in caplog.records if each.msg == "accounts-compared"]
    assert (line["accounts"], line["unlinked"]) == ("30000", "30000")
    assert "secret" not in str([each.facts for each in caplog.records])
    assert "secret" not in str(contents(store_url))


FORMS = {
    "one on each line": (f"{MAIJA}\n{VILLE}".encode(), ""),
    "with a byte order mark": (b"\xef\xbb\xbf" + f"{MAIJA}\n{VILLE}\n".encode(), ""),
    "UTF-16, as a spreadsheet saves text": (f"{MAIJA}\r\n{VILLE}\r\n".encode("utf-16"), ""),
    "CSV with the column of ours": (f"account\n{MAIJA}\n{VILLE}\n".encode(), ""),
    "CSV with other columns": (f"Name;Login;Mail\nM;{MAIJA};m@x\nV;{VILLE};v@x\n".encode(), " login "),
    "CSV with a byte order mark": (b"\xef\xbb\xbf" + f'"Login"\t"Name"\n"{MAIJA}"\t"M"\n{VILLE}\tV'.encode(), "LOGIN"),
    "a separator line": (f"sep=;\nname;account\nM;{MAIJA}\nV;{VILLE}\n".encode(), ""),
    "empty lines and spaces": (f"\n  {MAIJA} \n\n\t{VILLE}\n\n".encode(), ""),
    "cells that were neutralised": (f"account\n{MAIJA}\n{VILLE}\n'=x@yliopisto.example\n".encode(), ""),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_list_is_read_as_text_or_csv(store, admin, form):
    content, column = FORMS[form]
    make_link(store, fold(MAIJA))

    page = compare(admin, content, column=column)

    assert unlinked(page)[0] == VILLE
    assert numbers(page)[-2:] == [0, 0]


UNUSABLE = (
    (b"", "file", "Choose a file, or enter"),
    (b" \r\n", "file", "Choose a file, or enter"),
    (b"PK\x03\x04...", "file", "The file is not text"),
    (b"\0\0\0\0", "file", "The file is not text"),
    (b"a\n" * 3 + b'"x\n",' * 300_000, "file", "The value that begins in line 4 is too long"),
    (b"a@yliopisto.example\n" + b"\n" * (MAX_OTHER_LINES + 10), "file", "Too many lines of the list are empty"),
    (b"login;name\nmaija;M\n", "column", "No line has an account"),
    (b"\xff\xfe", "column", "No line has an account"),
    (b"x@yliopisto.example\n" * 11, "file", "more than 10 lines"),
)


@pytest.mark.parametrize("row", range(len(UNUSABLE)))
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_list_that_cannot_be_compared_is_an_error_of_its_field(store, admin, row, monkeypatch):
    content, field, part = UNUSABLE[row]
    if "10 lines" in part:
        monkeypatch.setattr(account_list, "MAX_ROWS", 10)

    found, sentence = error(compare(admin, content))

    assert (found, part in sentence) == (field, True), sentence
    assert "accounts-compared" not in [each.kind for each in store.audit.list_events(UNIVERSITY)]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_wrong_lines_are_named_in_the_readers_language(admin):
    content = "account,name\n" + 'a"b@x,"y"z\n' + f"{VILLE}\n,M\n{VILLE},x,y\n"
    content = content.encode() + b"\xffx@yliopisto.example,\n" + f"x\u200b@yliopisto.example\n{'x' * 600}@y\n".encode()

    page = admin.get(f"{PATH}?lang=fi")
    found = compare(admin, content)

    assert page.header("Content-Language") == found.header("Content-Language") == "fi"
    assert re.findall(r"<li>Rivi (\d+): (?:<bdi>.*?</bdi>: )?(.*?)</li>", found.text) == [
        ("2", "sulkeva lainausmerkki puuttuu tai sen jälkeen on tekstiä"),
        ("4", "se on tyhjä"),
        ("5", "siinä on enemmän arvoja kuin ensimmäisellä rivillä on sarakkeita"),
        ("6", "teksti ei ole UTF-8-muodossa"),
        ("7", "siinä on näkymättömiä merkkejä"),
        ("8", "se on pidempi kuin 512 merkkiä"),
    ]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_text_that_is_wrong_stays_in_its_field(admin):
    form = {"token": admin.token(), "accounts": "x@amk.example <b>"}

    assert error(admin.post(PATH, form))[0] == "column"
    assert "x@amk.example &lt;b&gt;</textarea>" in admin.post(PATH, form).text
    assert error(compare(admin, b"a@yliopisto.example", accounts="b@yliopisto.example"))[1].endswith("not both.")
    assert error(compare(admin, b"a@yliopisto.example", column="x" * 200))[0] == "column"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_only_the_first_wrong_lines_are_named(admin):
    page = compare(admin, b"x@amk.example\n" * 50 + VILLE.encode())

    assert len(re.findall(r"<li>Line ", page.text)) == account_list.MAX_ERRORS
    assert numbers(page)[-2:] == [50, 0]
    assert "The others are not shown." in page.text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_cell_that_a_spreadsheet_would_calculate_is_neutralised(admin):
    reply = compare(admin, b"=cmd@yliopisto.example\n@x@yliopisto.example\n-a@yliopisto.example\n", format="csv")

    assert reply.text.splitlines() == ["account", "'=cmd@yliopisto.example", "'-a@yliopisto.example"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_organisation_whose_links_are_not_kept_has_no_list(web_app):
    admin = WebClient(make_app(with_settings(web_app, keep=Keep.NOTHING)), "admin@yliopisto.example")

    for page in (admin.get(PATH), admin.post(PATH, {"token": admin.token(), "accounts": VILLE})):
        assert "stores no connections of your organisation" in page.text
        assert "<textarea" not in page.text


BOUNDARY = "multipart/form-data; boundary=boundary"
PART = b'--boundary\r\nContent-Disposition: form-data; name="accounts"\r\n'


@pytest.mark.parametrize("name", ["apache-mod_wsgi.conf", "apache-proxy.conf"])
def test_apache_lets_lists_pass_that_the_page_refuses_itself(name):
    text = (Path(handout.__file__).parent / "templates/sp" / name).read_text("utf-8")

    limits = dict(re.findall(r'<Location "([^"]+)">\s+LimitRequestBody (\d+)\s+</Location>', text))

    assert int(limits[PATH]) > MAX_UPLOAD_BYTES


BROKEN = (
    ("multipart/form-data", b"", "incomplete-form"),
    (BOUNDARY, b"", "incomplete-form"),
    (BOUNDARY, PART, "incomplete-form"),
    (BOUNDARY, PART + b"\r\nx", "incomplete-form"),
    (BOUNDARY, PART.replace(b"form-data", b"") + b"\r\nx\r\n--boundary--\r\n", "csrf-failed"),
    (BOUNDARY, b"--boundary\r\nno header\r\n\r\n--boundary--\r\n", "incomplete-form"),
    (BOUNDARY, PART + b"\r\n\xff\r\n--boundary--\r\n", "incomplete-form"),
    (BOUNDARY, PART + b"Content-Type: text/plain; charset=x\r\n\r\nx\r\n--boundary--\r\n", "incomplete-form"),
    (BOUNDARY, PART + b"Content-Length: x\r\n\r\nx\r\n--boundary--\r\n", "incomplete-form"),
    (BOUNDARY, (PART + b"\r\nx\r\n") * 2 + b"--boundary--\r\n", "repeated-parameter"),
    (BOUNDARY, PART + b"\r\n" + b"x" * MAX_UPLOAD_BYTES, "upload-too-large"),
    ("application/x-www-form-urlencoded", b"accounts=" + b"x" * 17_000, "too-large"),
)


@pytest.mark.parametrize("row", range(len(BROKEN)))
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_form_that_cannot_be_read_is_refused(admin, caplog, row):
    caplog.set_level(logging.INFO, "orcid-connect")
    content_type, body, code = BROKEN[row]
    admin.token()

    assert admin.post_body(PATH, content_type, body).status >= 400
    assert problems(caplog) == [code]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_many_fields_are_refused(admin):
    form = {f"field{number}": "x" for number in range(60)}

    assert admin.upload(PATH, form).status == 413


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_large_form_is_read_for_administrators_alone(web_app, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    person = WebClient(make_app(web_app), VILLE)

    assert person.upload(PATH, {"token": person.token()}, file=b"x" * 20_000).status == 413
    assert problems(caplog) == ["too-large"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_form_without_its_token_is_refused(admin):
    admin.token()

    assert admin.upload(PATH, {"token": "x"}, file=VILLE.encode()).status == 403


def test_many_links_are_read_in_pages_by_an_index(store, store_url, admin):
    many = 1_200
    rows = [(f"p{number:06d}@yliopisto.example", make_orcid_id(number, Registry.SANDBOX)) for number in range(many)]
    attest_many(store, store_url, rows)
    content = "".join(f"p{number:06d}@yliopisto.example\n" for number in range(3_000)).encode()

    assert numbers(compare(admin, content)) == [3_000, 3_000, many, 3_000 - many, 0, 0]
    if store_url.startswith("sqlite"):
        values = {"organisation": "o", "after": "", "limit": 9}
        plan = driver_of(store).execute("explain query plan " + queries()["list_linked_keys"], values)
        assert ["USING INDEX one_current_link_for_a_person" in row["detail"] for row in plan] == [True]
