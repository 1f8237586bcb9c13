"""`orcid-connect import`: files of attested iDs, as the operator types it; on each engine."""

import json
import os

import pytest
from click.testing import CliRunner

from demo.idm.app import SECRET
from resolver_connector.attested.bulk import CSV
from resolver_connector.attested.listing import write_links
from resolver_connector.http import NDJSON
from shibboleth.orcid_id import Registry
from tests.support.configuration import store_section, write_configuration
from tests.support.factories import NOON, UNIVERSITY, make_attested_link, make_link, make_orcid_id
from webapp.cli.main import main

MAIJA, AKE = "maija@yliopisto.example", "ake@yliopisto.example"
HEADER = "account,orcid,authenticated_at,source\n"
OTHER_SCOPE = (
    "it cannot be an account here, where they end in @yliopisto.example: it does not end in one of the "
    "organisation's domains"
)
NOT_YET = "nothing was imported yet: add --yes to import\n"


def trial(number):
    """Give an iD of the sandbox."""
    return make_orcid_id(number, Registry.SANDBOX)


def counts(linked=0, replaced=0, updated=0, unchanged=0, refused=0):
    return f"{linked} linked, {replaced} replaced, {updated} updated, {unchanged} unchanged, {refused} refused"


@pytest.fixture
def run(tmp_path, store_url):
    """Import a file of this content for the university, which has two transfers; give the exit code and the output."""
    (tmp_path / "spool").mkdir()
    rest = {"name": "idm", "kind": "rest", "url": "http://127.0.0.1:1/v1", "signing_secrets": ["file:secrets/sign"]}
    rest["credential"] = "cris"
    file = {"name": "nightly", "kind": "file", "directory": "spool"}
    cris = {"name": "cris", "rights": ["attest", "feed"], "token": "file:secrets/cris"}
    config = write_configuration(
        tmp_path,
        store=store_section(tmp_path, store_url),
        organisations={"yliopisto": {"transfer": [rest, file], "credential": [cris]}},
        secrets={"sign": SECRET, "cris": "c" * 40},
    )

    def run(content, *words):
        path = content
        if not hasattr(content, "exists"):
            path = tmp_path / "links"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CliRunner().invoke(main, ["--config", str(config), "import", "yliopisto", str(path), *words])

    return run


def ndjson(*rows):
    names = ("account", "orcid", "authenticated_at", "source")
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


def test_attested_links_are_checked_first_and_then_imported(run, store):
    rows = f"{HEADER}{MAIJA},{trial(1).uri},2024-03-01,CRIS\n{AKE},{trial(2).bare},2024-03-01,CRIS\n"

    assert run(rows).output == f"{counts(linked=2)}\n{NOT_YET}"
    assert store.links.count(UNIVERSITY) == 0

    imported = run(rows, "--yes")
    assert (imported.exit_code, imported.output) == (0, f"{counts(linked=2)}\n")
    assert store.links.get(UNIVERSITY, MAIJA).orcid_id == trial(1)
    owed = {(each.transfer, each.count) for each in store.deliveries.counts(UNIVERSITY)}
    assert owed == {("idm", 2), ("nightly", 2)}
    assert run(rows, "--yes").output == f"{counts(unchanged=2)}\n"


def test_the_system_that_wrote_the_file_does_not_get_its_links_back(run, store):
    rows = f"{HEADER}{MAIJA},{trial(1).uri},2024-03-01,CRIS\n"

    unknown = run(rows, "--yes", "--credential", "pure")
    assert (unknown.exit_code, unknown.output) == (
        1,
        "orcid-connect: --credential: unknown credential pure; yliopisto has cris\n",
    )
    assert run(rows, "--yes", "--credential", "cris").output == f"{counts(linked=1)}\n"
    assert [each.transfer for each in store.deliveries.list_waiting(UNIVERSITY)] == ["nightly"]
    assert store.changes.newest_for_person(UNIVERSITY, MAIJA).attested_by == "cris"
    (event,) = store.audit.list_events(UNIVERSITY, MAIJA)
    assert event.facts["credential"] == "cris"


def test_nothing_is_imported_for_an_organisation_whose_links_are_not_kept(tmp_path, store, store_url):
    spool = {"name": "nightly", "kind": "file", "directory": str(tmp_path)}
    config = write_configuration(
        tmp_path,
        store=store_section(tmp_path, store_url),
        organisations={"yliopisto": {"transfer": [spool], "credential": None, "keep": "nothing"}},
    )
    (tmp_path / "links").write_text(f"{HEADER}{MAIJA},{trial(1).uri},2024-03-01,CRIS\n")

    for more in ([], ["--yes"]):
        words = ["--config", str(config), "import", "yliopisto", str(tmp_path / "links"), *more]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 1
        assert 'yliopisto has keep = "nothing"' in result.output
    assert store.links.count(UNIVERSITY) == 0


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_refused_rows_are_shown_and_the_others_are_imported(run, store, form):
    make_link(store, AKE, trial(1))
    make_attested_link(store, MAIJA, trial(2), "CRIS", NOON)
    make_attested_link(store, "gone@yliopisto.example", trial(3), "CRIS", NOON)
    store.links.remove(UNIVERSITY, "gone@yliopisto.example", "person", "", NOON)
    rows = [
        ("new@yliopisto.example", trial(10).uri, "2024-03-01", "CRIS"),
        ("maija@elsewhere.example", trial(11).uri, "2024-03-01", "CRIS"),
        (AKE, trial(12).uri, "2024-03-01", "CRIS"),
        ("other@yliopisto.example", "0000-0002-1825-0098", "2024-03-01", "CRIS"),
        ("other@yliopisto.example", trial(13).uri, "", "CRIS"),
        ("other@yliopisto.example", trial(1).uri, "2024-03-01", "CRIS"),
        ("gone@yliopisto.example", trial(3).uri, "2024-03-01", "CRIS"),
        ("NEW@yliopisto.example", trial(14).uri, "2024-03-01", "CRIS"),
        ("third@yliopisto.example", trial(10).uri, "2024-03-01", "CRIS"),
        (MAIJA, trial(15).uri, "2024-03-01", "Pure"),
    ]
    content = ndjson(*rows) if form == "ndjson" else HEADER + "".join(",".join(row) + "\n" for row in rows)
    first = 1 if form == "ndjson" else 2

    result = run(content, "--yes")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"line {first + 1}: account: {OTHER_SCOPE}",
        f"line {first + 2}: the person has linked another ORCID iD here themselves",
        f"line {first + 3}: orcid: it is no ORCID iD: its check character does not fit",
        f"line {first + 4}: authenticated_at: it is missing: state when the person signed in at ORCID with this iD",
        f"line {first + 5}: another account of the organisation has this ORCID iD",
        f"line {first + 6}: the person or an operator removed the link after this ORCID iD was authenticated",
        f"line {first + 7}: an earlier row has the same account or the same ORCID iD",
        f"line {first + 8}: an earlier row has the same account or the same ORCID iD",
        counts(linked=1, replaced=1, refused=8),
    ]
    assert result.stderr == "orcid-connect: correct or remove the refused rows, and import the file again\n"
    assert store.links.get(UNIVERSITY, MAIJA).source == "Pure"


@pytest.mark.parametrize(
    "content",
    [
        f"Login;Email;ORCID iD;Signed in;\r\n{MAIJA};m@example.org;{trial(1).bare};2024-03-01;\r\n",
        json.dumps({"Login": MAIJA, "ORCID iD": trial(1).uri, "Signed in": "2024-03-01", "Email": "m@example.org"}),
    ],
)
def test_columns_of_the_file_can_be_named(run, store, content):
    columns = 'account=Login,"orcid=ORCID iD", authenticated_at=Signed in'

    result = run(content, "--columns", columns, "--attested-by", "CRIS", "--yes")

    assert result.output == f"{counts(linked=1)}\n"
    assert store.links.get(UNIVERSITY, MAIJA).source == "CRIS"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("login", "each must be NAME=COLUMN"),
        ("email=Email", "each must be NAME=COLUMN"),
        ("account=", "each must be NAME=COLUMN"),
        ("account=a,", "each must be NAME=COLUMN"),
        ("account=a,account=b", "a name or a column is there twice"),
        ("account=a,orcid=a", "a name or a column is there twice"),
        ('"account=a', "unexpected end of data"),
    ],
)
def test_invalid_columns_are_a_usage_error(run, columns, message):
    result = run(HEADER, "--columns", columns)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            HEADER.replace(",authenticated_at", ""),
            "its first line must name the columns: account, orcid, authenticated_at",
        ),
        ("", "its first line must name the columns"),
        (' [{"account": "x"}]', "is a JSON array: write each of its objects on a line of its own"),
        ('{"account": "x"}'.encode("utf-16"), "is JSON in UTF-16: save it in UTF-8"),
        (b"PK\x03\x04", "is a spreadsheet or an archive, not CSV: save it as CSV in UTF-8"),
    ],
)
def test_an_unreadable_file_is_reported_with_a_remedy(run, content, message):
    result = run(content, "--yes")

    assert result.exit_code == 1
    assert message in result.stderr


def test_a_path_that_is_no_file_is_reported(run, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "is not a regular file; write its content to one" in run(tmp_path / "pipe").stderr
    assert "is not a regular file; write its content to one" in run(tmp_path).stderr
    assert "No such file" in run(tmp_path / "none").stderr


def test_each_row_or_the_operator_names_the_system(run):
    rows = f"{HEADER}{MAIJA},{trial(1).bare},2024-03-01,\n"

    assert "line 2: source: it is missing: name the system" in run(rows).stdout
    assert run(rows, "--attested-by", "CRIS").output == f"{counts(linked=1)}\n{NOT_YET}"
    assert "--attested-by: it must be one line" in run(rows, "--attested-by", "two\nlines").stderr


def test_progress_is_shown_on_a_terminal_alone(run, monkeypatch):
    rows = f"{HEADER}{MAIJA},{trial(1).bare},2024-03-01,CRIS\n"

    assert run(rows).stderr == ""
    monkeypatch.setattr("webapp.cli.imports.is_terminal", lambda: True)
    assert "checking" in run(rows).stderr


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_list_with_neutralised_formulas_can_be_imported(run, store, form):
    people = {"=1+1@yliopisto.example": "-CRIS", "'=2@yliopisto.example": "@CRIS", MAIJA: "'s register"}
    for number, (account, source) in enumerate(people.items(), 1):
        make_attested_link(store, account, trial(number), source, NOON)
    links = store.links.list_current(UNIVERSITY)
    listed = b"".join(write_links(CSV if form == "csv" else NDJSON, links))

    result = run(listed, "--yes")

    assert result.output == f"{counts(unchanged=3)}\n"
    assert form == "ndjson" or b"'=1+1@" in listed
    assert form == "ndjson" or b"''=2@" in listed


# replace


ROWS = f"account,orcid,authenticated_at\n{MAIJA},{trial(1).bare},2024-03-01\n"
REPLACE = ("--mode", "replace", "--attested-by", "CRIS", "--rows", "1")


def attest_three(store):
    """Attest two links in the one system, and one in the other."""
    make_attested_link(store, MAIJA, trial(1), "CRIS", NOON)
    make_attested_link(store, AKE, trial(2), "CRIS", NOON)
    make_attested_link(store, "other@yliopisto.example", trial(3), "Pure", NOON)


def test_links_of_the_system_that_the_file_lacks_are_removed_after_an_hour(run, store):
    attest_three(store)

    checked = run(ROWS, *REPLACE, "--max-percent", "50")
    assert (checked.exit_code, checked.output) == (
        0,
        f"{counts(updated=1)}\n{AKE}\n1 of 2 links would be removed\n{NOT_YET}",
    )
    assert store.removals.pending(UNIVERSITY).count == 0

    imported = run(ROWS, *REPLACE, "--max-percent", "50", "--yes")
    assert imported.exit_code == 0
    assert "1 of 2 links will be removed at " in imported.stdout
    assert "to cancel: orcid-connect link cancel-removals yliopisto" in imported.stdout
    assert store.removals.pending(UNIVERSITY).count == 1
    assert "cancel them first" in run(ROWS, *REPLACE, "--yes").stderr


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (ROWS, REPLACE, "at most 5 % may be removed; if the list is right, state a larger --max-percent"),
        (ROWS, (*REPLACE[:-1], "2"), "it has 1 rows, and 2 were stated"),
        (ROWS + "x,y,z\n", (*REPLACE[:-1], "2"), "line 3: account: "),
        (ROWS.replace("bare", "").replace(trial(1).bare, ""), REPLACE, "line 2: orcid: it is missing"),
    ],
)
def test_a_file_that_is_not_as_stated_replaces_nothing(run, store, content, words, message):
    attest_three(store)
    before = list(store.links.list_current(UNIVERSITY))

    result = run(content, *words, "--yes")

    assert result.exit_code == 1
    assert message in result.stderr
    assert list(store.links.list_current(UNIVERSITY)) == before
    assert store.removals.pending(UNIVERSITY).count == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (REPLACE[:4], "--mode replace needs --rows and --attested-by."),
        (("--mode", "replace", "--rows", "1"), "--mode replace needs --rows and --attested-by."),
        (("--rows", "1"), "--rows and --max-percent are for --mode replace."),
        (("--max-percent", "5"), "--rows and --max-percent are for --mode replace."),
        (("--mode", "merge", "--max-percent", "50", "--yes"), "--rows and --max-percent are for --mode replace."),
        (("--mode", "delete"), "'delete' is not one of"),
    ],
)
def test_options_that_do_not_fit_the_mode_are_refused(run, store, words, message):
    result = run(ROWS, *words)

    assert (result.exit_code, message in result.stderr) == (2, True)
    assert store.links.count(UNIVERSITY) == 0
