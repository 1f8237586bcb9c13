"""`orcid-connect link list` on each engine: every link that holds, in forms that others read."""

import csv
import io
import json
import subprocess
import sys
import tracemalloc

import pytest
from click.testing import CliRunner

from shibboleth.orcid_id import Registry
from tests.support.configuration import ORGANISATION, store_section, write_configuration
from tests.support.database import attest_many
from tests.support.docs import ROOT
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, attest, make_link, make_orcid_id
from webapp.cli.main import main

MAIJA, OSKAR = "maija@yliopisto.example", 'åke,the "other"@yliopisto.example'


def run(path, *words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), "link", "list", *words], catch_exceptions=False)
    return result.exit_code, result.output


def trial(number):
    """Give an iD of the sandbox."""
    return make_orcid_id(number, Registry.SANDBOX)


@pytest.fixture
def path(tmp_path, store_url):
    """A configuration for the store."""
    return write_configuration(tmp_path, store=store_section(tmp_path, store_url))


def people(store):
    make_link(store, OSKAR, trial(2))
    make_link(store, MAIJA, trial(1))
    make_link(store, "gone@yliopisto.example", trial(3))
    store.links.remove(UNIVERSITY, "gone@yliopisto.example", "person", "asked to", NOON)
    make_link(store, "liisa@amk.example", trial(1), POLYTECHNIC)
    attest(store, [("Matti@yliopisto.example", trial(4))])


def test_the_list_is_csv_of_the_current_links(store, path):
    people(store)

    code, output = run(path, "yliopisto")

    assert code == 0
    assert list(csv.reader(io.StringIO(output))) == [
        ["account", "orcid", "authenticated_at", "source"],
        [MAIJA, trial(1).uri, "2026-01-15T12:00:00Z", "orcid"],
        ["Matti@yliopisto.example", trial(4).uri, "2026-01-15T12:00:00Z", "CRIS"],
        [OSKAR, trial(2).uri, "2026-01-15T12:00:00Z", "orcid"],
    ]


def test_what_was_listed_can_be_imported(store, path, tmp_path):
    make_link(store, MAIJA, trial(1))
    make_link(store, "matti@yliopisto.example", trial(2))
    (tmp_path / "links.csv").write_text(run(path, "yliopisto")[1])
    for account in (MAIJA, "matti@yliopisto.example"):
        store.links.remove(UNIVERSITY, account, "service", "to import it", NOON)

    words = [
        "--config",
        str(path),
        "import",
        "yliopisto",
        str(tmp_path / "links.csv"),
        "--yes",
        "--attested-by",
        "the old",
    ]
    result = CliRunner().invoke(main, words, catch_exceptions=False)

    assert "2 linked, " in result.output
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [trial(1)]


def test_json_output_has_one_link_on_each_line(store, path):
    people(store)

    code, output = run(path, "yliopisto", "--json")

    assert code == 0
    assert len(output.splitlines()) == 5
    assert [(each["account"], each["orcid"]) for each in json.loads(output)["links"]] == [
        (MAIJA, trial(1).uri),
        ("Matti@yliopisto.example", trial(4).uri),
        (OSKAR, trial(2).uri),
    ]
    shown = CliRunner().invoke(main, ["--config", str(path), "link", "show", "yliopisto", MAIJA, "--json"])
    assert json.loads(output)["links"][0] == json.loads(shown.output)["link"]


def test_accounts_only_output_has_one_account_on_each_line(store, path):
    people(store)

    assert run(path, ORGANISATION["entity_ids"], "--accounts") == (0, f"{MAIJA}\nMatti@yliopisto.example\n{OSKAR}\n")


def test_without_links_the_list_is_empty_in_every_form(store, path):
    assert run(path, "yliopisto") == (0, "account,orcid,authenticated_at,source\n")
    assert run(path, "yliopisto", "--accounts") == (0, "")
    assert json.loads(run(path, "yliopisto", "--json")[1]) == {"links": []}


def test_two_output_formats_are_a_usage_error(path):
    assert run(path, "yliopisto", "--json", "--accounts")[0] == 2


def test_memory_does_not_grow_with_the_list(store, store_url, path, monkeypatch):
    everybody = ((f"person-{n}@yliopisto.example", trial(n)) for n in range(1, 5001))
    attest_many(store, store_url, everybody)

    class Counting(io.TextIOBase):
        lines = 0

        def write(self, text):
            self.lines += text.count("\n")
            return len(text)

    out = Counting()
    monkeypatch.setattr(sys, "stdout", out)
    tracemalloc.start()
    try:
        main(["--config", str(path), "link", "list", "yliopisto"], standalone_mode=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert out.lines == 5001
    assert peak < 4_000_000


def test_the_reader_of_a_pipe_may_stop_early(store, store_url, path):
    everybody = ((f"person-{n}@yliopisto.example", trial(n)) for n in range(1, 3001))
    attest_many(store, store_url, everybody)
    command = f"{sys.executable} -m webapp --config {path} link list yliopisto | head -n 2"

    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr


def test_an_attested_link_is_shown_with_its_system_in_place_of_a_consent(store, path):
    attest(store, [(MAIJA, trial(1))], "CRIS")
    words = ["--config", str(path), "link", "show", "yliopisto", MAIJA]

    shown, as_json = (CliRunner().invoke(main, [*words, *more]).output for more in ([], ["--json"]))

    assert "attested      authenticated in CRIS, 2026-01-15 12:00:00 UTC" in shown
    assert "consent" not in shown
    link = json.loads(as_json)["link"]
    assert (link["source"], link["authenticated_at"], link["consent"]) == ("CRIS", "2026-01-15T12:00:00+00:00", None)
