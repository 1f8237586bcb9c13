"""The connector reads and refuses request bodies alike under waitress and granian; system tests ask mod_wsgi."""

import json

import pytest

from tests.contract.test_granian import running as running_granian
from tests.support.processes.raw_client import ASKING, sent
from tests.support.processes.servers import configuration, running
from tests.support.request_bodies import BODY, CHUNKED, FRAMED, UNREAD, chunks


@pytest.fixture(scope="module", params=["waitress", "granian"])
def port(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bodies")
    if request.param == "granian":
        with running_granian(configuration(directory)) as port:
            yield port
        return
    with running(configuration(directory, connector={"port": 0}), "connector") as (_, address):
        yield int(address.rpartition(":")[2])


def final(status, head, body):
    """Give an answer without the interim one before it."""
    while status == 100:
        head, _, body = body.decode("latin-1").partition("\r\n\r\n")
        status, body = int(head.split()[1]), body.encode("latin-1")
    return status, head, body


@pytest.mark.parametrize("name", FRAMED)
def test_a_body_is_read_or_refused_alike_however_it_is_framed(port, name):
    headers, after, expected = FRAMED[name]

    status, head, body = final(*sent(port, "/v1/changes/ack", "POST", ASKING + headers, after))

    assert (status, json.loads(body)["error"]) == expected
    assert "application/json" in head


@pytest.mark.parametrize("line", UNREAD)
def test_a_body_that_is_not_asked_for_changes_nothing(port, line):
    method, _, target = line.partition(" ")
    framings = [("", ""), (f"Content-Length: {len(BODY)}\r\n", BODY), (CHUNKED, chunks(BODY))]

    for headers, after in framings:
        status, _, body = sent(port, target, method, ASKING + headers, after)
        assert (status, json.loads(body).get("error") if body else None) == UNREAD[line]


def test_a_credential_is_refused_before_the_body_is_read(port):
    status, _, body = sent(port, "/v1/changes/ack", "POST", f"Host: x\r\n{CHUNKED}", chunks(BODY))

    assert (status, [*json.loads(body)]) == (401, ["error"])


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_list_of_megabytes_is_read_alike_and_its_answer_has_each_row(port, framing):
    # An empty line is no row; the body is more than is held in memory
    rows = "".join(json.dumps({"account": f"p{n}@x", "orcid": "x"}) + "\n" for n in range(300))
    text = rows + (" " * 9_000 + "\n") * 150
    headers = f"Content-Length: {len(text)}\r\n" if framing == "length" else CHUNKED
    after = text if framing == "length" else chunks(text[:500_000], text[500_000:])

    status, head, body = sent(
        port, "/v1/people?dry_run=true", "POST", f"{ASKING}Content-Type: application/x-ndjson\r\n{headers}", after
    )

    lines = [line for line in body.decode().splitlines() if line.startswith("{")]
    assert (status, "application/x-ndjson" in head) == (200, True)
    assert len(lines) == 301
    assert json.loads(lines[-1])["refused"] == 300
