"""An Identity Provider looks up person after person with the files that it is handed, also where all goes wrong."""

from __future__ import annotations

import json

import pytest

from shibboleth.handout.idp import Version
from shibboleth.orcid_id import Registry
from tests.support.configuration import write_configuration
from tests.support.factories import make_orcid_id
from tests.support.http_server import drips, hangs, head, serving
from tests.support.idp import engines
from tests.support.idp.handout import TOKEN, hand_out
from tests.support.transfers.private_ca import PrivateCa

URI = make_orcid_id(1, Registry.SANDBOX).uri
PATH = "/v1/people?account=maija"
ANSWER = json.dumps({"eduPersonOrcid": [URI]}).encode()
THEIRS = [["eduPersonOrcid", [URI]]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority that no Java knows, and the certificate of another one."""
    return PrivateCa(tmp_path_factory.mktemp("ca"))


def answers(request):
    head(request, length=len(ANSWER))
    request.wfile.write(ANSWER)


def refuses(status, said):
    def behave(request):
        body = json.dumps({"error": said}).encode()
        head(request, status, len(body))
        request.wfile.write(body)

    return behave


def handed(directory, version, *words):
    return hand_out(write_configuration(directory), directory / "out", "--version", version, "--source", "http", *words)


@pytest.mark.parametrize("version", Version)
def test_many_look_ups_succeed_with_a_private_authority(tmp_path, authority, version):
    files = handed(tmp_path, version, "--ca", authority.certificate)

    with serving(answers, authority.context()) as (address, asked):
        came = engines.look_up(files, [address + PATH] * 5, version=version, authority=authority.certificate)

    assert [each.get("attributes", each) for each in came] == [THEIRS] * 5
    assert len(asked) == 5


def test_without_a_private_authority_the_connection_is_kept(tmp_path):
    files = handed(tmp_path, "4")

    with serving(answers) as (address, asked):
        came = engines.look_up(files, [address + PATH] * 5, properties={"orcidconnect.credential": TOKEN})

    assert [each.get("attributes", each) for each in came] == [THEIRS] * 5
    assert len({client for client, _headers in asked}) == 1
    assert {headers["Authorization"] for _client, headers in asked} == {f"Bearer {TOKEN}"}


def test_a_certificate_of_another_authority_is_refused(tmp_path, authority):
    files = handed(tmp_path, "4", "--ca", authority.certificate)

    with serving(answers, authority.context("stranger")) as (address, _asked):
        (came,) = engines.look_up(files, [address + PATH], authority=authority.certificate)

    assert "attributes" not in came


@pytest.mark.parametrize("version", Version)
def test_a_slow_response_is_given_up(tmp_path, version):
    with serving(drips) as (address, _asked):
        (came,) = engines.look_up(handed(tmp_path, version), [address + PATH], version=version)

    assert came["error"] == "orcidConnect: the answer came too slowly"
    assert came["warnings"] == [came["error"]]
    assert came["seconds"] < 3


def test_a_missing_response_is_awaited_for_three_seconds(tmp_path):
    with serving(hangs) as (address, _asked):
        (came,) = engines.look_up(handed(tmp_path, "4"), [address + PATH])

    assert "timed out" in came["error"].lower()
    assert 2 < came["seconds"] < 5


def test_an_invalid_response_is_refused_with_a_reason(tmp_path):
    def page(request):
        head(request, 502, 4, "text/html")
        request.wfile.write(b"<a/>")

    in_turn = iter((refuses(401, "unknown credential"), refuses(418, "tea"), page))

    def behave(request):
        next(in_turn)(request)

    with serving(behave) as (address, _asked):
        came = engines.look_up(handed(tmp_path, "4"), [address + PATH] * 3)

    assert [each["error"] for each in came] == [
        "orcidConnect: status 401, the connector says: unknown credential",
        "HTTP status unknown or unacceptable",
        "Content-Type unknown or unacceptable",
    ]
