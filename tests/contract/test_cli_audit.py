"""`orcid-connect check` holds the audit log to the links, and to what another party has kept of it."""

import json

import pytest
from click.testing import CliRunner

from shibboleth.orcid_id import Registry
from tests.support.configuration import store_section, write_configuration
from tests.support.factories import NOON, UNIVERSITY, attest, make_link, make_orcid_id
from webapp.cli.main import main

MAIJA, VILLE, AINO = (f"{name}@yliopisto.example" for name in ("maija", "ville", "aino"))


@pytest.fixture
def path(tmp_path, store, store_url):
    """A configuration for the store, in which a person has another iD, one has none again, and one was imported."""
    make_link(store, MAIJA, make_orcid_id(1))
    make_link(store, MAIJA, make_orcid_id(2))
    make_link(store, VILLE, make_orcid_id(3))
    store.links.remove(UNIVERSITY, VILLE, "person", "asked to", NOON)
    attest(store, [(AINO, make_orcid_id(4, Registry.PRODUCTION))])
    return write_configuration(tmp_path, store=store_section(tmp_path, store_url))


def audit(path, *options):
    """Return the exit code of `check`, and level and details of its results about the audit log."""
    done = CliRunner().invoke(main, ["--config", str(path), "check", "--json", *options], catch_exceptions=False)
    results = [each for each in json.loads(done.stdout)["results"] if each["subject"] == "audit"]
    return done.exit_code, [(each["level"], each["details"]) for each in results]


def tamper(store, text):
    with store.engine.transaction() as session:
        session.script(text)


def test_links_with_matching_events_are_reported_as_ok(path):
    code, (chain, links) = audit(path)

    assert code == 0
    assert (chain[0], chain[1]["intact"]) == ("ok", True)
    assert links == ("ok", {"id": "yliopisto", "differences": []})


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("update links set orcid = '0000-0002-1694-233X' where ended_at is null and source = 'orcid';", "link "),
        ("update links set ended_at = null, ended_by = null where person_key like 'ville@%';", "link "),
        ("delete from links where ended_at is null and source = 'orcid';", "event "),
        ("update links set orcid = '0000-0002-1694-233X' where source = 'CRIS';", "link "),
    ],
    ids=["another iD", "a removed link is back", "a link is gone", "another attested iD"],
)
def test_links_changed_without_an_event_are_reported(path, store, change, difference):
    tamper(store, change)

    code, (chain, links) = audit(path)

    assert code == 1
    assert chain[0] == "ok"
    assert links[0] == "error"
    assert [each.startswith(difference) for each in links[1]["differences"]] == [True]


def test_a_kept_last_hash_reveals_a_rewritten_chain(path, store):
    _, (chain, _) = audit(path)
    kept = chain[1]["last_hash"]
    make_link(store, VILLE, make_orcid_id(5))

    later = audit(path, "--last-hash", f"yliopisto={kept.upper()}")
    tamper(
        store,
        "delete from events where number > 1; update organisations set last_event_number = 1, "
        "last_event_hash = (select hash from events where number = 1);",
    )
    cut = audit(path, "--last-hash", f"{UNIVERSITY}={kept}")

    assert later[0] == 0
    assert later[1][2] == ("ok", {"id": "yliopisto", "kept_hash": kept, "event": 5})
    assert cut[0] == 1
    assert [level for level, _ in cut[1]] == ["ok", "error", "error"]
    assert cut[1][2][1]["event"] is None


@pytest.mark.parametrize(
    ("option", "code"),
    [("yliopisto", 2), ("yliopisto=", 2), ("=" + "0" * 64, 2), ("yliopisto=xyz", 2), ("amk=" + "0" * 64, 1)],
)
def test_a_malformed_hash_is_a_usage_error(path, option, code):
    done = CliRunner().invoke(main, ["--config", str(path), "check", "--last-hash", option])

    assert done.exit_code == code
    assert "Traceback" not in done.output
