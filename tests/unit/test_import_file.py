"""A file of links made elsewhere is believed line by line."""

import os
from datetime import UTC, datetime

import pytest

from shibboleth.orcid_id import Registry
from sql.repositories.imports import AttestedLink
from tests.support.factories import NOON, make_orcid_id, make_organisation
from webapp.cli.imports.file import ImportFile, InvalidImportFile, read_source

MAIJA = "maija@yliopisto.example"
FIRST = make_orcid_id(1)
HEADER = "account,orcid,authenticated_at,source\n"
TOO_LONG = "it has a line of more than 1,000,000 characters"
NOT_UTF8 = "the text is not in UTF-8; for the whole file, save it as CSV in UTF-8"
INVISIBLE = "the account is too long, or has invisible characters"


def open_quote(first, last=0):
    unread = f"; lines {first} to {last} are not read" if last else ""
    return f"the quotation mark opened in line {first} is not closed, or text follows the one that closes it{unread}"


@pytest.fixture
def file(tmp_path):
    """Write a file of links and give what reads it."""

    def written(text, registry=Registry.PRODUCTION):
        path = tmp_path / "links.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ImportFile(path, make_organisation(), registry, "CRIS", NOON)

    return written


def read(links):
    """Give the lines that are believed, and what was said of the others."""
    rejected = []
    return list(links.read_links(lambda line, reason: rejected.append((line, reason)))), rejected


def test_a_line_says_who_has_which_id_and_since_when(file):
    found, rejected = read(file(f"{HEADER}{MAIJA},{FIRST.uri},2024-03-01,CRIS\n"))

    assert found == [AttestedLink(2, MAIJA, MAIJA, FIRST, datetime(2024, 3, 1, tzinfo=UTC))]
    assert rejected == []


@pytest.mark.parametrize(
    "text",
    [
        f"account,orcid\n{MAIJA},{FIRST.uri}\n",
        f"orcid,account\n{FIRST.uri},{MAIJA}",
        f"Account;ORCID;source\r\n{MAIJA};{FIRST.bare};\r\n",
        f"\ufeffaccount,orcid\n\n {MAIJA} , {FIRST.bare.replace('-', '')} \n\n",
        f'"account","orcid"\n"{MAIJA}","http://orcid.org/{FIRST.bare}"\n',
        f"account\torcid\r{MAIJA}\t{FIRST.bare}\r",
        f"account\torcid\r\n{MAIJA}\t{FIRST.bare}\r\n".encode("utf-16"),
        b"\xfe\xff" + f"account;orcid\n{MAIJA};{FIRST.bare}".encode("utf-16-be"),
        f"account,orcid\n{MAIJA},{FIRST.bare}\n".encode("utf-32"),
        f"sep=;\r\naccount;orcid\r\n{MAIJA};{FIRST.bare}\r\n",
        f";;;\r\n\r\n;account;;ORCID;\r\n;;;;\r\n;{MAIJA};;{FIRST.bare};\r\n;;;;;;\r\n",
        f'\ufeff"account";"orcid"\r\n"{MAIJA}";"{FIRST.bare}"\r\n',
        f"account,orcid\n\u00a0{MAIJA}\u200b,\u00a0{FIRST.bare}\n",
        f"{HEADER}{MAIJA},{FIRST.bare}\n",
    ],
)
def test_spreadsheets_write_the_same_in_many_ways(file, text):
    found, rejected = read(file(text))

    assert [(each.account, each.orcid_id, each.authenticated_at) for each in found] == [(MAIJA, FIRST, None)]
    assert rejected == []


def test_a_person_is_one_person_however_the_account_is_typed(file):
    ((found,), _) = read(file(f"account,orcid\nMaija@Yliopisto.Example,{FIRST.bare}\n"))

    assert (found.person_key, found.account) == (MAIJA, "Maija@Yliopisto.Example")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f",{FIRST.bare},,", "there is no account"),
        (f"maija,{FIRST.bare},,", "the account is not of this organisation, whose accounts end in @yliopisto.example"),
        (f"maija@amk.example,{FIRST.bare},,", "the account is not of this organisation"),
        (f"a@b@yliopisto.example,{FIRST.bare},,", "the account is not of this organisation"),
        (f"@yliopisto.example,{FIRST.bare},,", "the account is not of this organisation"),
        (f"mai\u200bja@yliopisto.example,{FIRST.bare},,", "has invisible characters"),
        (f"{'x' * 500}@yliopisto.example,{FIRST.bare},,", "the account is too long"),
        (f"{MAIJA},,,", "there is no ORCID iD"),
        (f"{MAIJA},0000-0002-1825-0098,,", "not an ORCID iD: its check character does not fit"),
        (f"{MAIJA},https://sandbox.orcid.org/{FIRST.bare},,", "the ORCID iD is of the sandbox registry"),
        (f"{MAIJA},{FIRST.bare},yesterday,", "authenticated_at is not a date like 2026-01-15"),
        (f"{MAIJA},{FIRST.bare},2026-01-16,", "authenticated_at is in the future"),
        (f"{MAIJA},{FIRST.bare},0001-01-01T00:00:00+14:00,", "authenticated_at is not a date"),
        (f"{MAIJA},{FIRST.bare},,Elsewhere", "it names another source"),
        (f"{MAIJA},{FIRST.bare},,,more", "it has a value in a column without a name"),
    ],
)
def test_a_line_that_cannot_be_believed_is_named_with_the_reason(file, line, reason):
    good = f"ake@yliopisto.example,{make_orcid_id(2).bare},,"

    found, ((number, said),) = read(file(f"{HEADER}{good}\n{line}\n"))

    assert [each.account for each in found] == ["ake@yliopisto.example"]
    assert number == 3
    assert said.startswith(reason) or said.endswith(reason)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its first line must name the columns"),
        (f"{MAIJA},{FIRST.bare}\n", "its first line must name the columns"),
        ("account,orcid,email\n", "its first line must name the columns"),
        ("account,orcid,orcid\n", "its first line must name the columns"),
        ("account\n", "its first line must name the columns"),
        ("sep=|\naccount;orcid\n", "its first line must name the columns"),
        ("\n;;\n,,\n", "its first line must name the columns"),
        ("account,orcid,".ljust(200_000, "x"), "its first line must name the columns"),
        ("account,orcid".ljust(2_000_000, ","), "its first line must name the columns"),
        (b"\xff\xfe\x00", "its first line must name the columns"),
        ("account,orcid\n".encode("utf-16-le"), "is not text in UTF-8: save it as CSV in UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is a spreadsheet or an archive, not CSV: save it as CSV in UTF-8"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "is a spreadsheet, not CSV: save it as CSV in UTF-8"),
        (bytes(range(256)) * 4, "is not text in UTF-8: save it as CSV in UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused(file, text, why):
    with pytest.raises(InvalidImportFile) as caught:
        read(file(text))

    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            b"maija\xe4@yliopisto.example,x,,",
            [(2, NOT_UTF8)],
        ),
        (f'"{MAIJA}"x,y,,'.encode(), [(2, open_quote(2))]),
        (f"{'x' * 250_000},y,,".encode(), [(2, "a cell is too long")]),
        (f'y,"{"x" * 250_000}"'.encode(), [(2, "a cell is too long")]),
        ((f"{'x,' * 500_000}\n" * 2).encode(), [(2, TOO_LONG), (3, TOO_LONG)]),
        (f"{',' * 1_000_000}ake@yliopisto.example,{FIRST.bare},,".encode(), [(2, TOO_LONG)]),
        (f'"two\n{"x" * 2_500_000}\n'.encode(), [(2, TOO_LONG)]),
        (f'"two\nlines@yliopisto.example",{FIRST.bare},,'.encode(), [(2, INVISIBLE)]),
        (b"a\0b@yliopisto.example,0000-0002-1825-0097,,", [(2, INVISIBLE)]),
    ],
    ids=[
        "Latin-1",
        "text after a quotation mark",
        "a long cell",
        "a long quoted cell",
        "long lines",
        "a row at the end of a long line",
        "a long line in a quoted cell",
        "a line break in a cell",
        "a NUL",
    ],
)
def test_a_row_that_cannot_be_read_is_rejected_and_the_next_is_read(file, rows, expected):
    found, rejected = read(file(HEADER.encode() + rows + f"\n{MAIJA},{FIRST.bare},,\n".encode()))

    assert [each.account for each in found] == [MAIJA]
    assert rejected == expected


def test_a_quotation_mark_that_is_not_closed_is_said_where_it_is_opened(file):
    found, rejected = read(file(f'{HEADER}{MAIJA},{FIRST.bare},,\n"ake@yliopisto.example,x,,\n{MAIJA},x\n'))

    assert [each.account for each in found] == [MAIJA]
    assert rejected == [(3, open_quote(3, 4))]


def test_a_row_of_several_lines_names_the_line_of_its_open_quotation_mark(file):
    _, rejected = read(file(f'{HEADER}"two ""\r\nlines",5" disk,"\nx,"",\n{MAIJA},x\n'))

    assert rejected == [(2, open_quote(3, 5))]


def test_what_is_not_a_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InvalidImportFile, match="is not a regular file; write its content to one"):
            read_source(path, None)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InvalidImportFile, match="No such file"):
        read_source(tmp_path / "none.csv", None)


def test_the_source_is_what_the_organisation_attests_or_what_the_first_line_says(file):
    path = file(f"{HEADER}{MAIJA},{FIRST.bare},,Example CRIS\n").path

    assert read_source(path, None) == "Example CRIS"
    assert read_source(path, "The other") == "The other"


@pytest.mark.parametrize("line", [f"{MAIJA},{FIRST.bare},,", ""])
def test_what_nobody_attests_is_not_imported(file, line):
    path = file(HEADER + line).path

    with pytest.raises(InvalidImportFile, match="has to attest"):
        read_source(path, None)


def test_a_source_is_one_line(file):
    path = file(HEADER).path

    for source in ("two\nlines", "x" * 201):
        with pytest.raises(InvalidImportFile, match="one line"):
            read_source(path, source)


def test_whoever_waits_can_see_how_far_it_is(file):
    text = f"{HEADER}{MAIJA},{FIRST.bare},,\n"
    read = []

    list(file(text).read_links(lambda _line, _reason: None, read.append))

    assert sum(read) == len(text)
