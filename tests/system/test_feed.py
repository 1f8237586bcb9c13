"""The feed and the word about a leaver come through a real Apache as they were meant."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.support.system.client import HttpBrowser
from tests.support.system.people import SAIMAA, TUNTURI, idm_token_of

AWAY = "somebody/who%2Fleft@saimaa.example"
"""An account with all that could go wrong on the way."""


@pytest.fixture
def asks(service):
    """Ask the connector as an organisation's job does; gives the answer, its body as it came."""

    def ask(method, path, organisation=SAIMAA, body=None, **headers):
        authorization = {"Authorization": f"Bearer {idm_token_of(organisation)}"}
        address = service.stack.base_url + path
        with HttpBrowser(service.stack) as job:
            return job.request(
                method, address, data=body, headers=authorization | headers, timeout=20, allow_redirects=False
            )

    return ask


def test_a_job_fetches_and_says_that_it_has(asks):
    snapshot = asks("GET", "/v1/changes")
    token = snapshot.json()["next_cursor"]

    page = asks("GET", f"/v1/changes?cursor={token}")
    same = asks("GET", f"/v1/changes?cursor={token}", **{"If-None-Match": page.headers["ETag"]})
    acknowledged = asks("POST", "/v1/changes/ack", body=f'{{"cursor": "{token}"}}')

    assert (snapshot.status_code, page.json()) == (200, {"changes": [], "next_cursor": token, "has_more": False})
    assert (same.status_code, same.content) == (304, b"")
    assert (acknowledged.status_code, acknowledged.content) == (204, b"")


@pytest.mark.parametrize("since", [False, True])
def test_an_answer_is_packed_once(asks, since):
    token = asks("GET", "/v1/changes").json()["next_cursor"]

    path = f"/v1/changes?cursor={token}" if since else "/v1/changes"
    plain, packed = (asks("GET", path, **{"Accept-Encoding": coding}) for coding in ("identity", "gzip"))

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content


def test_word_of_a_leaver_gets_through(asks):
    looked = asks("DELETE", f"/v1/people/{quote(AWAY, safe='')}?dry_run=true")
    gone = asks("DELETE", f"/v1/people/{quote(AWAY, safe='')}")

    assert (looked.status_code, looked.json()["dry_run"]) == (200, True)
    assert gone.json() == {"dry_run": False, "links": 0, "attempts": 0, "deliveries": 0}


def test_what_is_not_understood_is_told_by_the_connector_and_not_by_apache(asks):
    foreign = asks("GET", "/v1/changes", TUNTURI).json()["next_cursor"]
    answers = [
        asks("GET", f"/v1/changes?cursor={foreign}"),
        asks("POST", "/v1/changes/ack", body="x" * 5000),
        asks("OPTIONS", "/v1/changes"),
        asks("PUT", "/v1/changes", body="x"),
        asks("POST", "/v1/changes/ack"),
    ]

    assert [each.status_code for each in answers] == [400, 413, 405, 405, 400]
    assert all(set(each.json()) == {"error"} for each in answers)
    assert answers[2].headers["Allow"] == "GET, HEAD"
