"""What the page for owners of a research information system says works as it stands there."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.attested.bulk import MAX_BULK_BYTES
from resolver_connector.attested.rows import MEMBERS
from resolver_connector.credentials import Bearer, Client, Credentials, Right
from resolver_connector.deprovision import MAX_PERCENT
from resolver_connector.orcid.pairs import TokenError
from resolver_connector.orcid.sealing import TokenPair, TokenSealer
from shibboleth.orcid_id import OrcidId, Registry
from sql.records import OrcidToken
from sql.repositories.attested_links import MAX_ROWS, Outcome, Refusal
from tests.support import docs
from tests.support.configuration import write_configuration, write_secret
from tests.support.factories import NOON, answered, make_consent, make_organisation
from tests.support.service import OWN_CLIENT_ID, TOKEN_KEY, Clock, serve_app
from webapp.config.loader import load

PAGE = (docs.DOCS / "research-information-system.md").read_text("utf-8")
RIGHTS = frozenset({Right.ATTEST, Right.REVERSE, Right.FEED})
TOKEN = "t" * 40


@pytest.fixture
def clock():
    """Where it is an hour ago, until `passes` is called: what is made by then is older than a list made now."""
    return Clock(datetime.now(UTC) - timedelta(hours=1))


@pytest.fixture
def run(store, tmp_path, clock):
    """Run a block of the page as it stands there, and give the JSON objects that it printed."""
    organisation = make_organisation("example-org", scopes=frozenset({"example.org"}))
    client = Client(organisation, "cris", RIGHTS | {Right.TOKENS}, orcid_client_id=OWN_CLIENT_ID)
    credentials = Credentials([(Bearer(TOKEN), client)])
    connector = Connector(store, credentials, Registry.PRODUCTION, clock, sealer=TokenSealer([TOKEN_KEY]))
    (listed,) = docs.blocks(PAGE, "csv")
    (tmp_path / "orcid.csv").write_text(listed)
    (tmp_path / "complete.csv").write_text("".join(listed.splitlines(keepends=True)[:2]))
    with serve_app(connector) as address:

        def run(block, code=0):
            ran = subprocess.run(
                ["sh", "-eu"],
                input=block.replace("curl ", "curl -sS "),
                env={"PATH": os.environ["PATH"], "CONNECT": address, "TOKEN": TOKEN},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ran.returncode == code, ran.stderr
            return ran.stdout

        yield run


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_the_lines_of_the_page_work_in_their_order(run, store, clock):
    put, delete, dry_run, post, ndjson, replace, pending, one, every, *_ = docs.blocks(PAGE, "sh")
    shown_put, shown_delete, shown_one, _ = (json.loads(block) for block in docs.blocks(PAGE, "json"))
    shown_dry_run, shown_replace = map(objects, docs.blocks(PAGE, "ndjson"))

    assert objects(run(put)) == [shown_put]
    assert objects(run(delete)) == [shown_delete]
    assert objects(run(dry_run)) == shown_dry_run
    assert store.links.count("example-org") == 0
    stored = objects(run(post))
    assert stored[-1] == {**shown_dry_run[-1], "dry_run": False}
    assert objects(run(ndjson))[0]["outcome"] == "unchanged"
    (found,) = objects(run(one))
    assert [each | {"etag": '"…"'} for each in found["people"]] == shown_one["people"]
    as_ndjson, _, as_csv = run(every).partition('{"count": 2}\n')
    assert [each["account"] for each in objects(as_ndjson)] == ["ake@example.org", "maija@example.org"]
    assert as_csv.splitlines()[0] == ",".join(MEMBERS)
    clock.passes(hours=1, seconds=30)
    # It lacks one of two links: more than it may remove
    assert "at most 5 % may be removed" in run(replace, 22)
    run(delete.replace("maija", "ake"))
    *_, end = objects(run(replace))
    times = {"requested_at": None, "due_at": None}
    assert end | times == shown_replace[0] | times
    pending_removals = objects(run(pending).replace("}{", "}\n{"))
    assert [{*each} for each in pending_removals] == [
        {"removals", "requested_at", "due_at", "source", "credential"},
        {"cancelled", "source", "credential"},
    ]


def test_a_token_is_fetched_as_the_page_shows(run, store):
    (*_, fetch, report), (*_, shown) = docs.blocks(PAGE, "sh"), map(json.loads, docs.blocks(PAGE, "json"))
    orcid_id, expires_at = OrcidId.parse(shown["orcid"]), datetime.fromisoformat(shown["expires_at"])
    attempt = answered(store, "maija@example.org", orcid_id, "example-org")
    sealed = TokenSealer([TOKEN_KEY]).seal("some", TokenPair(shown["access_token"]))
    token = OrcidToken("some", "example-org", OWN_CLIENT_ID, shown["scope"], NOON, expires_at, sealed=sealed)
    store.orcid_tokens.add(token, attempt.id, NOON)
    store.links.add(attempt, "", make_consent(), None, NOON, "link-of-maija")

    assert objects(run(fetch)) == [shown]
    refused = objects(run(fetch.replace("/activities/update", "/person/update")))[0]["code"]
    assert refused == TokenError.SCOPE_NOT_GRANTED
    assert objects(run(report))[0]["code"] == TokenError.WITHDRAWN
    assert objects(run(fetch))[0]["code"] == TokenError.WITHDRAWN


def test_the_tables_have_every_outcome_code_and_limit():
    assert all(f"| `{each}` | 20" in PAGE for each in set(Outcome) - {Outcome.REFUSED})
    assert all(f"`{each}`" in PAGE for each in (*Refusal, *TokenError))
    assert all(f"`{each}`" in (docs.DOCS / "connector.md").read_text("utf-8") for each in TokenError)
    assert f"{MAX_ROWS:,} rows and {MAX_BULK_BYTES // 1024**2} MiB" in PAGE
    assert f"removed; {MAX_PERCENT} if you state none" in PAGE


def test_the_credential_on_the_page_is_one(tmp_path):
    (block,) = docs.blocks(PAGE.replace("\n   ", "\n"), "toml")
    path = write_configuration(tmp_path, organisations={"yliopisto": {"credential": None}})
    (secret,) = re.findall(r'"file:([^"]+)"', block)
    write_secret(tmp_path / secret, TOKEN)
    with (tmp_path / "organisations" / "yliopisto.toml").open("a") as file:
        file.write("\n" + block)

    (credential,) = load(path, {}).organisation_settings["yliopisto"].credentials

    assert frozenset(credential.rights) == RIGHTS
