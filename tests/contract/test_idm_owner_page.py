"""What the page for owners of identity management says is true, and what stands on it works as it stands there."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import canonicalize

import pytest
import requests

from demo.idm.app import SECRET, Idm
from demo.idm.http import Response
from demo.idm.server import serve as serve_idm
from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.delivery.backoff import BACKOFF, MAX_AGE, MISCONFIGURED_SKIPS
from resolver_connector.transfers import TRANSFERS
from resolver_connector.transfers.base import MAX_MESSAGE_LENGTH, Outcome, Policy
from resolver_connector.transfers.http_response import STATUS_OUTCOMES
from resolver_connector.transfers.rest import Profile, RestTransfer, write_csc
from resolver_connector.transfers.scim import ScimTransfer
from resolver_connector.transfers.soap import SoapTransfer
from resolver_connector.transfers.soap import write as write_soap
from shibboleth.orcid_id import OrcidId, Registry
from sql.records import ChangeKind
from tests.support import docs
from tests.support.configuration import write, write_configuration, write_secret
from tests.support.factories import NOON, UNIVERSITY, make_client, make_link, make_orcid_id
from tests.support.json_schema import is_valid, problems
from tests.support.ports import free_port
from tests.support.service import ORGANISATIONS, serve_app
from tests.support.transfers.harness import (
    AKE,
    LINKED,
    MAIJA,
    NOBODY,
    REMOVED,
    REPLACED,
    SECOND,
    make_change,
    with_settings,
)
from webapp.config.loader import load

PAGE = "\n".join(
    (docs.DOCS / name).read_text("utf-8")
    for name in (
        "idm-owner.md",
        "idm-owner-fetch.md",
        "idm-owner-receive.md",
        "idm-owner-people.md",
        "transfer-kind-module.md",
    )
)
TOKEN = "t" * 40
SOON, LATER = NOON + timedelta(minutes=1), NOON + timedelta(hours=1)
FIRST = LINKED.orcid_id
SECONDS = 10
ON_THE_PAGE = replace(
    LINKED,
    organisation="example-org",
    entity_id="https://idp.example.org/idp/shibboleth",
    account="maija@example.org",
    orcid_id=OrcidId("0000-0002-1825-0097", Registry.PRODUCTION),
)

(SCHEMA,) = (json.loads(block) for block in docs.blocks(PAGE, "json schema"))


def program(name):
    """Give a program of the page, by the name in its first line."""
    (found,) = (block for block in docs.blocks(PAGE, "python") if block.startswith(f"# {name}\n"))
    return found


def shell(heading, directory, **environ):
    """Run the blocks of a shell under a heading, as they stand there; give what each said."""
    blocks = docs.blocks(docs.under(PAGE, heading), "sh")
    known = {"PATH": os.environ["PATH"], **environ}
    for block in blocks:
        ran = subprocess.run(
            ["sh", "-eu"], input=block, env=known, cwd=directory, capture_output=True, text=True, timeout=60, check=True
        )
        yield ran.stdout


def connector(store):
    pairs = [(Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY)))]
    return Connector(store, Credentials(pairs), Registry.PRODUCTION, lambda: LATER, {UNIVERSITY: ("idm",)})


@pytest.fixture
def address(store):
    """Where the connector is served."""
    with serve_app(connector(store)) as address:
        yield address


def get(address, path="/v1/changes"):
    return requests.get(address + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=SECONDS).json()


# --- A change -----------------------------------------------------------------------------------------------------


def test_the_change_on_the_page_is_as_its_schema_says_and_its_members_are_explained():
    example = json.loads(docs.blocks(PAGE, "json")[0])

    assert list(problems(SCHEMA, example)) == []
    # `status` is a member of snapshots alone
    assert [*example, "status"] == list(SCHEMA["properties"])
    assert list(example) == SCHEMA["required"]
    assert re.findall(r"^\| `(\w+)` \|", docs.under(PAGE, "A change"), re.MULTILINE) == list(SCHEMA["properties"])


def test_fetched_changes_match_the_schema(store, address):
    start = get(address)["next_cursor"]
    make_link(store, MAIJA, FIRST)
    make_link(store, MAIJA, SECOND)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)
    make_link(store, AKE, FIRST)

    changes, snapshot = get(address, f"/v1/changes?cursor={start}")["changes"], get(address)["changes"]

    assert [each["action"] for each in changes] == ["linked", "replaced", "removed", "linked"]
    assert [problem for each in [*changes, *snapshot] for problem in problems(SCHEMA, each)] == []


def sent(transfer_of, what):
    """Give the last request that a transfer made of this news."""
    idm = Idm((MAIJA, "maija@example.org"), now=NOON.timestamp)
    with serve_idm(idm) as server:
        transfer_of(server.address).deliver(what, now=NOON, timeout=SECONDS)
    return idm.received[-1].request


@pytest.mark.parametrize(
    "what", [LINKED, REPLACED, REMOVED, replace(LINKED, orcid_id=make_orcid_id(1, Registry.SANDBOX))]
)
def test_sent_changes_match_the_schema(what):
    request = sent(lambda address: RestTransfer(url=f"{address}/v1", signing_secrets=(SECRET,)), what)

    body = json.loads(request.body)
    assert list(problems(SCHEMA, body["data"])) == []
    assert body["type"] == f"orcid.{what.kind}"
    assert all(f"\n{name}: " in PAGE.lower() for name in request.headers if name.startswith(("webhook-", "idemp")))


@pytest.mark.parametrize(
    "slip",
    [
        *({name: ...} for name in SCHEMA["required"]),
        {"orcid": None},
        {"orcid": "0000-0002-1825-0097"},
        {"orcid": "http://orcid.org/0000-0002-1825-0097"},
        {"previous": "https://orcid.org/0000-0002-1825-0097"},
        {"action": "removed"},
        {"action": "replaced"},
        {"action": "LINKED"},
        {"person": {"value": "maija@example.org"}},
        {"person": "maija@example.org"},
        {"time": "2026-01-15T12:00:00+00:00"},
        {"id": ""},
    ],
)
def test_the_schema_rejects_invalid_changes(slip):
    example = json.loads(docs.blocks(PAGE, "json")[0]) | slip
    value = {name: each for name, each in example.items() if each is not ...}

    assert not is_valid(SCHEMA, value)


# --- Fetching -----------------------------------------------------------------------------------------------------


def test_the_curl_lines_of_the_feed_work(store, address, tmp_path):
    make_link(store, MAIJA, FIRST)
    start = get(address)["next_cursor"]
    make_link(store, AKE, SECOND)

    snapshot, since, acknowledged = shell("Fetch", tmp_path, CONNECT=address, TOKEN=TOKEN, NEXT=start)

    assert len(json.loads(snapshot)["changes"]) == 2
    assert [each["person"]["value"] for each in json.loads(since)["changes"]] == [AKE]
    assert acknowledged == ""
    assert store.changes.acknowledged(UNIVERSITY)[0] == 1


@pytest.fixture
def fetch(address, tmp_path):
    """Run the client of the page as a job would, and give the lines it says."""
    script = write(tmp_path / "orcid_fetch.py", program("orcid_fetch.py"))
    environ = {"CONNECT": address, "TOKEN": TOKEN, "STATE": str(tmp_path / "state.json")}

    def run():
        ran = subprocess.run(
            [sys.executable, "-W", "error", script],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    return run


def test_the_client_of_the_page_keeps_a_directory_in_step(store, fetch):
    make_link(store, MAIJA, FIRST)
    first = fetch()
    make_link(store, MAIJA, SECOND)
    make_link(store, AKE, FIRST)
    second, nothing = fetch(), fetch()
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)
    third = fetch()

    assert first == [f"{MAIJA} {FIRST.uri}"]
    assert second == [f"{MAIJA} {SECOND.uri}", f"{AKE} {FIRST.uri}"]
    assert nothing == []
    assert third == [f"{MAIJA} None"]
    assert store.changes.acknowledged(UNIVERSITY)[0] == 4


def test_the_client_of_the_page_starts_over_when_it_comes_too_late(store, fetch):
    make_link(store, MAIJA, FIRST)
    make_link(store, AKE, SECOND)
    fetch()
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", SOON)
    make_link(store, AKE, FIRST, now=SOON)
    store.changes.delete_before(before=LATER)

    late = fetch()

    assert sorted(late) == [f"{AKE} {FIRST.uri}", f"{MAIJA} None"]
    assert fetch() == []


def test_the_client_of_the_page_reads_on_while_there_is_more(store, fetch, monkeypatch):
    monkeypatch.setattr("resolver_connector.feed.DEFAULT_LIMIT", 2)
    fetch()
    for number in range(1, 6):
        make_link(store, f"person-{number}@yliopisto.example", make_orcid_id(number))

    assert len(fetch()) == 5


def test_the_client_of_the_page_folds_accounts(store, fetch):
    make_link(store, MAIJA, FIRST)
    fetch()
    with store.engine.transaction() as session:
        session.script("update links set account = 'MAIJA@Yliopisto.example';")
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", LATER)

    assert fetch() == [f"{MAIJA} None"]
    assert fetch() == []


def test_every_status_of_the_feed_is_explained(store, address):
    make_link(store)
    told = {int(each) for each in re.findall(r"^\| (\d{3}) \|", docs.under(PAGE, "Fetch"), re.MULTILINE)}

    assert told == {200, 304, 400, 401, 403, 410, 503}


# --- Being sent to ------------------------------------------------------------------------------------------------


@contextmanager
def receiver(directory, secret=SECRET):
    """Run the receiver of the page, and give the transfer that leads to it."""
    script = write(directory / "orcid_receiver.py", program("orcid_receiver.py"))
    port = free_port()
    environ = {"SECRETS": secret, "PEOPLE": f"{MAIJA} {AKE}", "PORT": str(port)}
    with subprocess.Popen([sys.executable, script], env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield RestTransfer(url=f"http://127.0.0.1:{port}/orcid", signing_secrets=(SECRET,))
        finally:
            process.terminate()


def _wait_for(port, process):
    for _ in range(600):
        assert process.poll() is None
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the receiver does not listen")


def outcomes(transfer, *told, now=None):
    now = now or datetime.now(UTC)
    return [transfer.deliver(each, now=now, timeout=SECONDS).outcome for each in told]


def test_the_receiver_of_the_page_works(tmp_path):
    with receiver(tmp_path) as transfer:
        life = outcomes(transfer, LINKED, LINKED, REPLACED, REMOVED, REMOVED, LINKED)
        conflict = transfer.deliver(
            make_change(account=AKE.upper(), name="other"), now=datetime.now(UTC), timeout=SECONDS
        )

    stored, already = Outcome.STORED, Outcome.ALREADY_THERE
    # The last one was repeated after all had changed, and its id was known
    assert life == [stored, already, stored, stored, already, already]
    assert conflict.outcome is Outcome.STORED


def test_the_receiver_of_the_page_reports_errors(tmp_path):
    with receiver(tmp_path) as transfer:
        (_, conflict, unknown) = (
            transfer.deliver(each, now=datetime.now(UTC), timeout=SECONDS)
            for each in (LINKED, make_change(account=AKE, name="2"), make_change(account=NOBODY, name="3"))
        )
        (late,) = outcomes(transfer, REPLACED, now=datetime.now(UTC) - timedelta(minutes=6))

    assert (conflict.outcome, conflict.message) == (Outcome.CONFLICT, "Another person here has this ORCID iD.")
    assert (unknown.outcome, unknown.message) == (Outcome.UNKNOWN_PERSON, f"Unknown account: {NOBODY}.")
    assert late is Outcome.MISCONFIGURED


def test_the_receiver_of_the_page_refuses_unsigned_requests(tmp_path):
    with receiver(tmp_path, secret="whsec_" + "A" * 44) as transfer:
        answer = transfer.deliver(LINKED, now=datetime.now(UTC), timeout=SECONDS)

    assert (answer.outcome, answer.message) == (Outcome.MISCONFIGURED, "The signature is invalid.")


@pytest.mark.parametrize(("damage", "said"), [(b"", "good\n"), (b" ", "bad\n")])
def test_a_signature_can_be_checked_by_hand(tmp_path, damage, said):
    request = sent(lambda address: RestTransfer(url=f"{address}/v1", signing_secrets=(SECRET,)), LINKED)
    (tmp_path / "body").write_bytes(request.body + damage)
    known = {
        "ID": request.headers["webhook-id"],
        "AT": request.headers["webhook-timestamp"],
        "SIGNATURE": "v1,bm90IHRoaXMgb25l " + request.headers["webhook-signature"],
        "SECRET": SECRET,
    }

    assert list(shell("Receive changes", tmp_path, **known)) == [said]


def answers():
    """Give each status of the table of answers with the body it comes with, and what it comes to."""
    table = docs.under(PAGE, "What each answer means")
    for said, outcome in re.findall(r"^\| ([2-5].*?) \| ([a-z ]+) \|", table, re.MULTILINE):
        body = next((body for words, body in BODIES.items() if words in said), b"")
        for status in re.findall(r"\b[2-5]\d\d\b", said):
            yield pytest.param(int(status), body, Outcome(outcome.replace(" ", "-")), id=f"{status} {said}")


BODIES = {"already-there": b'{"outcome": "already-there"}', "web page": b"<!doctype html><p>Portal", "broken": b"{"}


@pytest.mark.parametrize(("status", "body", "outcome"), [*answers()])
def test_every_response_has_the_documented_meaning(status, body, outcome):
    idm = Idm((MAIJA,), now=NOON.timestamp)
    idm.receivers["/v1"] = lambda _request: Response(status, body, (("Content-Type", "application/json"),))

    with serve_idm(idm) as server:
        found = outcomes(RestTransfer(url=f"{server.address}/v1", signing_secrets=(SECRET,)), LINKED)

    assert found == [outcome]


def test_every_outcome_is_on_the_page():
    table = docs.under(PAGE, "What each answer means")

    assert set(STATUS_OUTCOMES) <= {each.values[0] for each in answers()}
    assert all(f"*{outcome.value.replace('-', ' ')}*" in table for outcome in Outcome)
    assert f"up to {MAX_MESSAGE_LENGTH} characters" in table


def in_words(wait):
    for unit, seconds in (("hour", 3600), ("minute", 60), ("second", 1)):
        if wait.total_seconds() % seconds == 0:
            return f"{int(wait.total_seconds() // seconds)} {unit}s"
    raise AssertionError(wait)


def test_the_page_has_the_retry_schedule():
    said = docs.under(PAGE, "Retries and order")
    total, within = timedelta(), []
    for wait in BACKOFF:
        total += wait
        if total < MAX_AGE:
            within.append(in_words(wait))

    assert f"after {', '.join(within[:-1])} and {within[-1]}" in said
    assert f"after {MAX_AGE.days} days" in said
    assert f"waits {in_words(BACKOFF[MISCONFIGURED_SKIPS])} at least" in said


def test_the_format_of_2016_on_the_page_is_what_is_sent():
    (shown,) = (json.loads(block) for block in docs.blocks(PAGE, "json csc"))
    rest = RestTransfer(
        url="https://idm.example.org/orcid",
        profile=Profile.CSC,
        mediator="https://connect.example.org",
        user="orcid-connect",
        password="secret",
    )

    body, _ = write_csc(rest, ON_THE_PAGE, NOON)

    assert json.dumps(json.loads(body)) == json.dumps(shown)
    members = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*? \|", docs.under(PAGE, "As in 2016"), re.MULTILINE)))
    )
    assert members == set(shown["identifier"][0])


def test_the_modify_on_the_page_is_what_is_sent():
    (shown,) = docs.blocks(PAGE, "xml")
    soap = SoapTransfer(url="https://idm.example.org/x", user="u", password="p")

    written = write_soap(soap, ON_THE_PAGE).decode()

    inner = written[written.index("<modify ") : written.index("</modify>") + len("</modify>")]
    assert canonicalize(inner, strip_text=True) == canonicalize(shown, strip_text=True)
    own = write_soap(
        with_settings(soap, policy=Policy.KEEP_OTHERS), replace(ON_THE_PAGE, previous=ON_THE_PAGE.orcid_id)
    ).decode()
    assert "<remove-value>" in own
    assert "remove-all-values" not in own


def test_the_patch_on_the_page_is_what_is_sent():
    shown = re.search(r"PATCH .*?\n(\{.*?\})\n```", PAGE, re.DOTALL)[1]

    request = sent(
        lambda address: ScimTransfer(url=f"{address}/scim/v2", token="made-up-token-that-everybody-may-know"),
        ON_THE_PAGE,
    )

    assert request.method == "PATCH"
    assert json.loads(request.body) == json.loads(shown)


@pytest.mark.parametrize("block", docs.blocks(PAGE, "toml"))
def test_the_settings_on_the_page_are_valid(tmp_path, block):
    path = write_configuration(tmp_path)
    for secret in re.findall(r'"file:([^"]+)"', block):
        write_secret(tmp_path / secret, SECRET)
    with (tmp_path / "organisations" / "yliopisto.toml").open("a") as file:
        file.write("\n" + block)

    config = load(path, {})

    assert list(config.transfers[UNIVERSITY]) == ["idm"]


# --- The rest -----------------------------------------------------------------------------------------------------


def test_a_deprovisioning_response_is_as_on_the_page(store, address, tmp_path):
    make_link(store, "maija@example.org")
    under = docs.under(PAGE, "Report that a person has left")
    (shown,) = map(json.loads, docs.blocks(under, "json"))

    (said,) = map(json.loads, shell("Report that a person has left", tmp_path, CONNECT=address, TOKEN=TOKEN))

    assert said | {"attempts": 0} == shown
    assert {"dry_run", *re.findall(r"^\| `(\w+)` \|", under, re.MULTILINE)} == set(said)
    assert store.links.get(UNIVERSITY, "maija@example.org") is not None


@pytest.fixture
def another_kind(tmp_path):
    """The kind of transfer that the page writes, as a module of its own."""
    path = write(tmp_path / "program.py", program("program.py"))
    spec = importlib.util.spec_from_file_location("program_of_the_page", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["program_of_the_page"] = module
    spec.loader.exec_module(module)
    yield module.Program
    del sys.modules["program_of_the_page"]


@pytest.mark.parametrize(
    ("script", "outcome", "message"),
    [
        ('grep -q \'"action": "linked"\' && echo stored well', Outcome.STORED, "stored well"),
        ("cat > /dev/null; exit 65", Outcome.CONFLICT, "exit status 65"),
        ("cat > /dev/null; exit 67", Outcome.UNKNOWN_PERSON, "exit status 67"),
        ("cat > /dev/null; exit 75", Outcome.TEMPORARY, "exit status 75"),
        ("cat > /dev/null; exit 1", Outcome.REFUSED, "exit status 1"),
    ],
)
def test_a_new_kind_of_transfer_is_one_file(another_kind, tmp_path, script, outcome, message):
    path = write(tmp_path / "orcid-change", f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)

    answer = another_kind(path=path).deliver(LINKED, now=NOON, timeout=SECONDS)

    assert (answer.outcome, answer.message) == (outcome, message)


def test_a_failing_new_kind_is_misconfigured_and_a_hanging_one_temporary(another_kind, tmp_path):
    path = write(tmp_path / "orcid-change", "#!/bin/sh\nexec sleep 20\n")
    path.chmod(0o700)

    missing = another_kind(path=tmp_path / "nowhere").deliver(LINKED, now=NOON, timeout=SECONDS)
    hanging = another_kind(path=path).deliver(LINKED, now=NOON, timeout=0.2)

    assert (missing.outcome, hanging.outcome) == (Outcome.MISCONFIGURED, Outcome.TEMPORARY)


def test_a_new_kind_of_transfer_is_configured_by_its_fields(another_kind, tmp_path):
    path = write_configuration(
        tmp_path,
        organisations={"yliopisto": {"transfer": [{"name": "own", "kind": "program", "path": "/bin/true"}]}},
    )

    config = load(path, {}, {**TRANSFERS, "program": another_kind})

    assert config.transfers[UNIVERSITY]["own"] == another_kind(path=config.transfers[UNIVERSITY]["own"].path)


def test_every_kind_is_on_the_page():
    for kind in TRANSFERS:
        assert f"kind--{kind}" in PAGE or f'kind = "{kind}"' in PAGE or f"idm-owner-{kind}.md" in PAGE


def test_every_kind_of_change_is_on_the_page():
    assert all(f"`{kind}`" in PAGE for kind in ChangeKind)
