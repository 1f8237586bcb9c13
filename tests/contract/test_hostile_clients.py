"""What the connector answers to whoever asks in a strange or hostile way, over real sockets, as its page lists it."""

import json
import re
import resource
import time

import pytest

from tests.support import docs
from tests.support.processes.raw_client import ASKING, connected, many_slow_clients, received, sent
from tests.support.processes.servers import configuration, running

NOBODY = b'{"eduPersonOrcid": []}'


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a connector that is a process of its own."""
    path = configuration(tmp_path_factory.mktemp("connector"), connector={"port": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As LimitNOFILE= in its unit; the many clients below are this process
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4352), hard), hard))
    with running(path, "connector") as (_, address):
        yield int(address.rpartition(":")[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


NAMED = {
    "no credential": (401, {"headers": "Host: connect.example\r\n"}),
    "a wrong credential": (401, {"headers": "Host: connect.example\r\nAuthorization: Bearer wrong\r\n"}),
    "two credentials": (401, {"headers": ASKING + ASKING.partition("\r\n")[2]}),
    "a credential with other white space around it than spaces and tabs": (
        401,
        {"headers": ASKING.replace("\r\n", "\xa0\r\n")},
    ),
    "an account in the path and another in the query, or a parameter twice": (
        400,
        {"target": "/v1/people/maija%40yliopisto.example?account=ville%40yliopisto.example"},
    ),
    "an account of 10 kB": (400, {"target": "/v1/people/" + "x" * 10_240}),
    "an account with NUL": (400, {"target": "/v1/people/a\0b"}),
    "an account with `%00`": (400, {"target": "/v1/people/a%00b"}),
    "an account that is not UTF-8, `%FF`": (400, {"target": "/v1/people/%FF%FE"}),
    "unencoded octets above 127": (400, {"target": "/v1/people/\xff\xfe"}),
    "an unencoded space": (400, {"target": "/v1/people/a b"}),
    "the account `..`": (200, {"target": "/v1/people/.."}),
    "`../` in the account": (200, {"target": "/v1/people/../health"}),
    "`%2E%2E%2F` in the account": (200, {"target": "/v1/people/%2E%2E%2Fhealth"}),
    "`%zz`, an invalid escape": (200, {"target": "/v1/people/%zz"}),
    "HEAD": (200, {"method": "HEAD"}),
    "OPTIONS": (405, {"method": "OPTIONS"}),
    "TRACE": (405, {"method": "TRACE"}),
    "a method in lower case": (400, {"method": "get"}),
    "a body with GET": (200, {"headers": ASKING + "Content-Length: 5\r\n", "after": "hello"}),
    "a body of more than 16 MiB": (413, {"method": "POST", "headers": ASKING + "Content-Length: 16777217\r\n"}),
    "headers of more than 64 kB": (431, {"headers": ASKING + "X: " + "x" * 65_500 + "\r\n"}),
}
"""What is sent that is strange: its status, and what differs from an ordinary request."""

FROM_THE_SERVER = {
    "unencoded octets above 127",
    "an unencoded space",
    "a method in lower case",
    "a body of more than 16 MiB",
    "headers of more than 64 kB",
}
"""What is no HTTP, or too much of it: the connector never sees it, and the server says so in plain text."""


@pytest.mark.parametrize("name", NAMED)
def test_each_malformed_request_gets_the_documented_response(port, name):
    expected, words = NAMED[name]

    status, head, body = sent(port, **{"target": "/v1/people/maija%40yliopisto.example", **words})

    assert status == expected
    assert "\r\nLocation:" not in head
    if name in FROM_THE_SERVER:
        assert "\r\nContent-Type: text/plain" in head
    else:
        assert "\r\nContent-Type: application/json\r\n" in head
        assert words.get("method") == "HEAD" or set(json.loads(body)) <= {"eduPersonOrcid", "error"}


def test_the_page_lists_exactly_these():
    page = (docs.DOCS / "connector-run.md").read_text("utf-8")
    listed = re.findall(
        r"^\| (.+?) \| (\d{3})\b", page.partition("## Malformed requests")[2].partition("\n### ")[0], re.MULTILINE
    )

    assert listed == [(name, str(status)) for name, (status, _) in NAMED.items()]


def test_path_traversal_in_an_account_is_part_of_the_account(port):
    assert sent(port, "/v1/people/../health")[2] == NOBODY
    assert sent(port, "/v1/people/%2E%2E%2Fhealth")[2] == NOBODY


def test_head_is_answered_without_a_body(port):
    status, head, body = sent(port, "/v1/people/x", "HEAD")

    assert (status, body) == (200, b"")
    assert f"\r\nContent-Length: {len(NOBODY)}\r\n" in head


def test_options_names_the_methods(port):
    assert "\r\nAllow: GET, HEAD, PUT, DELETE\r\n" in sent(port, "/v1/people/x", "OPTIONS")[1]


def test_pipelined_requests_are_answered_one_by_one_in_their_order(port):
    asked = ["/v1/people/x", "/v1/health", "/v1/nowhere", "/v1/people/y"]
    requests = "".join(f"GET {each} HTTP/1.1\r\n{ASKING}\r\n" for each in asked)

    with connected(port) as wire:
        wire.sendall(f"{requests}GET /v1/health HTTP/1.1\r\n{ASKING}Connection: close\r\n\r\n".encode())
        answers = received(wire)

    assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"200", b"200", b"404", b"200", b"200"]
    assert re.findall(rb"\r\n\r\n(\{.*?\})", answers)[:2] == [NOBODY, b'{"status": "ok"}']


def test_a_thousand_slow_clients_do_not_block_others(port):
    with many_slow_clients(port) as slow:
        for _ in range(3):
            for each in slow[::10]:
                each.sendall(b"e")
            begun = time.monotonic()
            answers = [sent(port, "/v1/people/x")[0] for _ in range(10)]
            took = time.monotonic() - begun

            assert answers == [200] * 10
            assert took < 10
