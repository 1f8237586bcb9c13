"""The connector alone in a real Apache, from the operator's file for a machine that serves no pages."""

from __future__ import annotations

import json
import resource
import socket
from contextlib import ExitStack

import pytest

from shibboleth.orcid_id import Registry
from tests.support.factories import make_orcid_id
from tests.support.request_bodies import BODY, CHUNKED, FRAMED, UNREAD, chunks
from tests.support.system.connector_machine import ASKING, ask, connector_machine

SLOW = 1000


@pytest.fixture(scope="module")
def port(venv):
    with connector_machine(venv) as (port, _):
        yield port


def test_an_identity_provider_gets_the_id(port):
    status, head, body = ask(port, "/v1/people/maija%40yliopisto.example")

    assert (status, json.loads(body)) == (200, {"eduPersonOrcid": [make_orcid_id(7, Registry.SANDBOX).uri]})
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert "\r\nContent-Type: application/json" in head


def test_a_slash_in_an_account_arrives_as_it_was_sent(port):
    _, _, body = ask(port, "/v1/people/a%2Fb%40yliopisto.example")

    assert json.loads(body) == {"eduPersonOrcid": [make_orcid_id(8, Registry.SANDBOX).uri]}


@pytest.mark.parametrize(
    ("target", "words", "expected"),
    [
        ("/v1/people/x", {"headers": ""}, 401),
        ("/v1/people/x", {"method": "HEAD"}, 200),
        ("/v1/people/x", {"method": "OPTIONS"}, 405),
        ("/v1/people/" + "x" * 10_240, {}, 414),
        ("/v1/people/a\0b", {}, 400),
        ("/v1/people/a%00b", {}, 404),
        ("/v1/people/%FF%FE", {}, 400),
        ("/v1/people/%zz", {}, 400),
        ("/v1/people/../health", {}, 200),
        ("/v1/health", {}, 200),
        ("/", {}, 403),
        ("/v1/people/x", {"host": "another.test"}, 403),
    ],
)
def test_what_is_strange_gets_what_is_documented(port, target, words, expected):
    assert ask(port, target, **words)[0] == expected


@pytest.mark.parametrize("name", FRAMED)
def test_a_body_is_read_or_refused_as_by_the_other_servers(port, name):
    headers, after, expected = FRAMED[name]

    status, head, body = ask(port, "/v1/changes/ack", method="POST", headers=ASKING + headers, after=after)

    assert (status, json.loads(body)["error"]) == expected
    assert "application/json" in head


@pytest.mark.parametrize("line", UNREAD)
def test_a_body_that_is_not_asked_for_changes_nothing(port, line):
    method, _, target = line.partition(" ")

    for headers, after in [("", ""), (f"Content-Length: {len(BODY)}\r\n", BODY), (CHUNKED, chunks(BODY))]:
        status, _, body = ask(port, target, method=method, headers=ASKING + headers, after=after)
        assert (status, json.loads(body).get("error") if body else None) == UNREAD[line]


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_list_of_megabytes_is_read_and_each_row_answered(port, framing):
    text = (" " * 9_000 + "\n") * 150 + '{"account": "x"}\n'
    headers = f"Content-Length: {len(text)}\r\n" if framing == "length" else CHUNKED
    after = text if framing == "length" else chunks(text)
    headers = f"{ASKING}Content-Type: application/x-ndjson\r\n{headers}"

    status, _, body = ask(port, "/v1/people?dry_run=true", method="POST", headers=headers, after=after)

    lines = [json.loads(line) for line in body.decode().splitlines() if line.startswith("{")]
    assert (status, lines[0]["line"], lines[0]["code"], lines[1]["rows"]) == (200, 151, "invalid", 1)


def test_a_thousand_slow_clients_do_not_block_others(port):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, SLOW + 500), hard), hard))
    with ExitStack() as stack:
        for _ in range(SLOW):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)).sendall(b"\x16")

        assert [ask(port, "/v1/people/x")[0] for _ in range(10)] == [200] * 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
