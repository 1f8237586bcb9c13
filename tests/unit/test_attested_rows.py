"""Rows of attested iDs are validated one by one, as CSV of any spreadsheet and as NDJSON."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from resolver_connector.attested.rows import RowReader
from resolver_connector.csv_file import InvalidCsvFile
from resolver_connector.deprovision import InvalidList
from shibboleth.orcid_id import Registry
from sql.repositories.attested_links import AttestedLink, Refusal
from tests.support.factories import NOON, make_orcid_id, make_organisation

MAIJA, AKE = "maija@yliopisto.example", "ake@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
DAY = datetime(2024, 3, 1, tzinfo=UTC)
HEADER = "account,orcid,authenticated_at,source\n"
ROW = f"{MAIJA},{FIRST.bare},2024-03-01,CRIS"
TOO_LONG = "it has a line of more than 1,000,000 characters"
NOT_UTF8 = "the text is not in UTF-8; for the whole file, save it as CSV in UTF-8"


def open_quote(first, last=0):
    unread = f"; lines {first} to {last} are not read" if last else ""
    return f"the quotation mark opened in line {first} is not closed, or text follows the one that closes it{unread}"


def reader(**other):
    return RowReader(make_organisation(), Registry.PRODUCTION, NOON, **other)


def read(text, ndjson=False, **other):
    """Give the valid rows, and of the others the line and the reason."""
    file = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    rows = [*(reader(**other).read_ndjson if ndjson else reader(**other).read_csv)(file)]
    valid = [each for each in rows if isinstance(each, AttestedLink)]
    return valid, [(each.line, each.reason) for each in rows if not isinstance(each, AttestedLink)]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}{ROW}\n",
        f"account,orcid,authenticated_at,source\n{MAIJA},{FIRST.uri},2024-03-01,CRIS",
        f"source,orcid,authenticated_at,account\nCRIS,{FIRST.uri},2024-03-01,{MAIJA}",
        f"Account;ORCID;Authenticated_at;SOURCE\r\n{MAIJA};{FIRST.bare};2024-03-01;CRIS\r\n",
        f"\ufeff{HEADER}\n {MAIJA} , {FIRST.bare.replace('-', '')} , 2024-03-01 , CRIS \n\n",
        f'"account","orcid","authenticated_at","source"\n"{MAIJA}","http://orcid.org/{FIRST.bare}","2024-03-01","CRIS"\n',
        f"account\torcid\tauthenticated_at\tsource\r{MAIJA}\t{FIRST.bare}\t2024-03-01T00:00:00Z\tCRIS\r",
        (HEADER.replace(",", "\t") + ROW.replace(",", "\t")).encode("utf-16"),
        b"\xfe\xff" + (HEADER.replace(",", ";") + ROW.replace(",", ";")).encode("utf-16-be"),
        (HEADER + ROW).encode("utf-32"),
        f"sep=;\r\naccount;orcid;authenticated_at;source\r\n{MAIJA};{FIRST.bare};2024-03-01;CRIS\r\n",
        f";;;;\r\n\r\n;account;;orcid;authenticated_at;source;\r\n;;;;\r\n;{MAIJA};;{FIRST.bare};2024-03-01;CRIS;\r\n;;;\r\n",
        f"{HEADER}\u00a0{MAIJA}\u200b,\u00a0{FIRST.bare},2024-03-01,CRIS\n",
        f"{HEADER}'{MAIJA},{FIRST.bare},2024-03-01,CRIS\n".replace("'", ""),
        f"{HEADER}{MAIJA},orcid.org/{FIRST.bare},2024-03-01T02:00:00+02:00,CRIS\n",
    ],
)
def test_spreadsheets_write_the_same_in_many_ways(text):
    assert read(text) in [([AttestedLink(n, MAIJA, MAIJA, FIRST, DAY, "CRIS")], []) for n in range(2, 6)]


@pytest.mark.parametrize("bare", [FIRST.bare, FIRST.uri, f"http://orcid.org/{FIRST.bare}", FIRST.bare.replace("-", "")])
def test_ndjson_is_one_object_on_each_line(bare):
    row = json.dumps({"account": MAIJA, "orcid": bare, "authenticated_at": "2024-03-01", "source": "CRIS"})

    found, refused = read(f"\ufeff{row}\r\n\n  \n{row.replace('maija', 'ake')}", ndjson=True)

    assert [(each.line, each.account, each.orcid_id, each.authenticated_at) for each in found] == [
        (1, MAIJA, FIRST, DAY),
        (4, AKE, FIRST, DAY),
    ]
    assert refused == []


def test_a_person_is_one_person_however_the_account_is_typed():
    ((found,), _) = read(f"{HEADER}Maija@Yliopisto.Example,{FIRST.bare},2024-03-01,CRIS\n")

    assert (found.person_key, found.account) == (MAIJA, "Maija@Yliopisto.Example")


REFUSED = [
    ({"account": ""}, "account: it is missing"),
    ({"account": "maija"}, "account: it cannot be an account here, where they end in @yliopisto.example"),
    ({"account": "maija@amk.example"}, "account: it cannot be an account here"),
    ({"account": "a@b@yliopisto.example"}, "account: it cannot be an account here"),
    ({"account": "@yliopisto.example"}, "account: it cannot be an account here"),
    ({"account": "mai\u200bja@yliopisto.example"}, "account: it cannot be an account here"),
    ({"account": f"{'x' * 500}@yliopisto.example"}, "account: it cannot be an account here"),
    ({"orcid": ""}, "orcid: it is missing"),
    ({"orcid": "0000-0002-1825-0098"}, "orcid: it is no ORCID iD: its check character does not fit"),
    ({"orcid": f"https://sandbox.orcid.org/{FIRST.bare}"}, "orcid: it is of the sandbox registry"),
    (
        {"authenticated_at": ""},
        "authenticated_at: it is missing: state when the person signed in at ORCID with this iD",
    ),
    ({"authenticated_at": "yesterday"}, "authenticated_at: it must be a time with its time zone"),
    ({"authenticated_at": "01.03.2024"}, "authenticated_at: it must be a time with its time zone"),
    ({"authenticated_at": "2024-03-01T12:00:00"}, "authenticated_at: it must be a time with its time zone"),
    ({"authenticated_at": "2026-01-17"}, "authenticated_at: it is in the future"),
    ({"authenticated_at": "2026-01-15T12:06:00Z"}, "authenticated_at: it is in the future"),
    ({"source": ""}, "source: it is missing: name the system"),
    ({"source": "x" * 201}, "source: it must be one line of at most 200 characters"),
    ({"source": "ORCID"}, "source: orcid stands for what people linked here"),
    ({"source": "\uff2f\uff32\uff23\uff29\uff24"}, "source: orcid stands for what people linked here"),
]


@pytest.mark.parametrize("ndjson", [False, True])
@pytest.mark.parametrize(("wrong", "reason"), REFUSED)
def test_an_invalid_row_is_refused_with_its_member_and_the_reason(wrong, reason, ndjson):
    good = {"account": AKE, "orcid": SECOND.bare, "authenticated_at": "2024-03-01", "source": "CRIS"}
    bad = {**good, "account": MAIJA, "orcid": FIRST.bare, **wrong}
    if ndjson:
        text = "".join(json.dumps(each) + "\n" for each in (bad, good))
    else:
        text = HEADER + "".join(",".join(each.values()) + "\n" for each in (bad, good))

    found, ((line, said),) = read(text, ndjson)

    assert [each.account for each in found] == [AKE]
    assert line == (1 if ndjson else 2)
    assert said.startswith(reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "the line "),
        ("[]", "the line "),
        ("null", "the line "),
        ('"text"', "the line "),
        ("account,orcid", "the line "),
        ("{}", "account: it is missing"),
        ('{"account": 7}', "account: it is not text"),
        ('{"account": ["maija@yliopisto.example"]}', "account: it is not text"),
        ('{"account": "a@yliopisto.example", "account": "b@yliopisto.example"}', "the line "),
        ('{"acount": "maija@yliopisto.example"}', "acount: there is no such member"),
        (b'{"account": "\xff"}', "the line "),
        ('{"account": "\\ud800@yliopisto.example", "orcid": "x", "authenticated_at": "x"}', ""),
        ("[" * 9_000, "the line "),
        ('{"account": "' + "x" * 10_000 + '"}', "the line has more than 10,000 bytes"),
        ('{"account": "' + "x" * 100_000 + '"}', "the line has more than 10,000 bytes"),
    ],
    ids=str,
)
def test_a_line_that_is_no_row_is_refused_and_the_next_is_read(line, reason):
    good = {"account": MAIJA, "orcid": FIRST.bare, "authenticated_at": "2024-03-01", "source": "CRIS"}
    line = line if isinstance(line, bytes) else line.encode()

    found, ((number, said),) = read(line + b"\n" + json.dumps(good).encode(), ndjson=True)

    assert [each.line for each in found] == [2]
    assert (number, said.startswith(reason)) == (1, True), said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its first line must name the columns"),
        (f"{ROW}\n", "its first line must name the columns"),
        ("account,orcid,authenticated_at,email\n", "its first line must name the columns"),
        ("account,orcid,orcid,authenticated_at\n", "its first line must name the columns"),
        ("account,orcid\n", "its first line must name the columns: account, orcid, authenticated_at"),
        ("sep=|\naccount;orcid;authenticated_at\n", "its first line must name the columns"),
        ("\n;;\n,,\n", "its first line must name the columns"),
        ("account,orcid,".ljust(200_000, "x"), "its first line must name the columns"),
        ("account,orcid".ljust(2_000_000, ","), "its first line must name the columns"),
        (b"\xff\xfe\x00", "its first line must name the columns"),
        (HEADER.encode("utf-16-le"), "is not text in UTF-8: save it as CSV in UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is a spreadsheet or an archive, not CSV: save it as CSV in UTF-8"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "is a spreadsheet, not CSV: save it as CSV in UTF-8"),
        (bytes(range(256)) * 4, "is not text in UTF-8: save it as CSV in UTF-8"),
        (HEADER + '"ab\n",' * 200_000, "its row that begins in line 2 has more than 1,000,000 characters: close its"),
        (HEADER + ROW + "\n" * 100_003, "more than 100,000 of its lines are empty or within a cell: remove them"),
        (HEADER + '"\n"\n' * 50_003, "more than 100,000 of its lines are empty or within a cell: remove them"),
        ("\n" * 100_003 + HEADER, "its first line must name the columns"),
    ],
)
def test_a_file_that_is_no_csv_is_refused(text, why):
    with pytest.raises(InvalidCsvFile) as caught:
        read(text)

    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (b"maija\xe4@yliopisto.example,x,,", [(2, NOT_UTF8)]),
        (f'"{MAIJA}"x,y,,'.encode(), [(2, open_quote(2))]),
        (f"{'x' * 250_000},y,,".encode(), [(2, "a cell is too long")]),
        ((f"{'x,' * 500_000}\n" * 2).encode(), [(2, TOO_LONG), (3, TOO_LONG)]),
        (f'"two\n{"x" * 2_500_000}\n'.encode(), [(2, TOO_LONG)]),
        (f'{ROW}\n"{AKE},x,,'.encode(), [(3, open_quote(3, 4))]),
        (f"{ROW},more".encode(), [(2, "it has a value in a column without a name")]),
    ],
    ids=[
        "Latin-1",
        "text after a quotation mark",
        "a long cell",
        "long lines",
        "a long line in a cell",
        "open",
        "more",
    ],
)
def test_a_row_that_cannot_be_read_is_refused_and_the_next_is_read(rows, expected):
    _, refused = read(HEADER.encode() + rows + f"\n{AKE},{SECOND.bare},2024-03-01,CRIS\n".encode())

    assert refused == expected


@pytest.mark.parametrize("lines", ["\n", " \r\n"])
def test_ndjson_may_have_as_many_empty_lines_as_csv(lines):
    row = json.dumps({"account": MAIJA, "orcid": FIRST.bare, "authenticated_at": "2024-03-01", "source": "CRIS"})

    assert [each.line for each in read(lines * 100_000 + row, ndjson=True)[0]] == [100_001]
    with pytest.raises(InvalidList, match="more than 100,000 of its lines are empty"):
        read(lines * 100_001 + row, ndjson=True)


def test_empty_lines_do_not_count_against_rows():
    valid, refused = read(HEADER + f"{ROW}\n" + "\n" * 99_900 + f"{AKE},{SECOND.bare},2024-03-01,CRIS\n")

    assert ([each.line for each in valid], refused) == ([2, 99_903], [])


def test_a_date_is_the_beginning_of_that_day_and_never_later_than_now():
    rows = [
        f"{each}@yliopisto.example,{FIRST.bare},{at},CRIS\n" for each, at in (("a", "2026-01-15"), ("b", "2026-01-16"))
    ]

    found, _ = read(HEADER + "".join(rows))

    # In the east it is tomorrow already
    assert [each.authenticated_at for each in found] == [NOON - timedelta(hours=12), NOON]


def test_the_source_of_a_list_is_that_of_rows_that_name_none():
    rows = "".join(f"{MAIJA},{FIRST.bare},2024-03-01,{source}\n" for source in ("", "orcid", "Pure"))

    found, _ = read(HEADER + rows, source="CRIS")
    of_one, refused = read(HEADER + rows, source="CRIS", only_source=True)

    assert [each.source for each in found] == ["CRIS", "CRIS", "Pure"]
    assert [each.source for each in of_one] == ["CRIS", "CRIS"]
    assert refused == [(4, "source: it must be CRIS")]


COLUMNS = {"Login Name": "account", "ORCID iD": "orcid", "confirmed": "authenticated_at"}


@pytest.mark.parametrize("ndjson", [False, True])
def test_columns_may_have_other_names_and_there_may_be_others(ndjson):
    row = {
        "Email": "m@example.org",
        "Login Name": MAIJA,
        "ORCID iD": FIRST.bare,
        "confirmed": "2024-03-01",
        "source": "X",
    }
    text = json.dumps(row) if ndjson else ",".join(row) + "\n" + ",".join(row.values())

    ((found,), refused) = read(text, ndjson, columns=COLUMNS)

    assert (found.account, found.orcid_id, found.authenticated_at, found.source) == (MAIJA, FIRST, DAY, "X")
    assert refused == []


def test_a_cell_that_was_neutralised_for_spreadsheets_is_read_as_it_was():
    ((found,), _) = read(f"{HEADER}'=maija@yliopisto.example,{FIRST.bare},2024-03-01,'-CRIS\n")

    assert (found.account, found.source) == ("=maija@yliopisto.example", "-CRIS")


@pytest.mark.parametrize("ndjson", [False, True])
def test_progress_is_the_whole_file(ndjson):
    text, progress = (HEADER + f"{ROW}\n" * 50).encode(), []
    read_rows = reader().read_ndjson if ndjson else reader().read_csv

    list(read_rows(io.BytesIO(text), progress.append))

    assert sum(progress) == len(text)


def test_each_refusal_of_a_reader_is_of_one_kind():
    (result,) = reader().read_csv(io.BytesIO(f"{HEADER}x,y,z,\n".encode()))

    assert (result.refusal, result.member, result.account) == (Refusal.INVALID, "account", "x")
