"""The connector, as an organisation's Identity Provider asks it, on both engines."""

import base64
import io
import json
import logging
import subprocess
import sys
from datetime import timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.client_address import MAX_FAILURES, TrustedProxies
from resolver_connector.credentials import Basic, Bearer, Credentials
from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.repositories.attested_links import AttestedLink
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    make_client,
    make_link,
    make_orcid_id,
    make_organisation,
)
from tests.support.service import ORGANISATIONS, ask

TOKEN = "t" * 40
OTHER = "o" * 40
PASSWORD = "a:password:with-colons-and-ä-0123456789"
NOBODY = b'{"eduPersonOrcid": []}'


def credentials():
    university = make_client(ORGANISATIONS.by_id(UNIVERSITY))
    polytechnic = make_client(ORGANISATIONS.by_id(POLYTECHNIC))
    return Credentials(
        [
            (Bearer(TOKEN), university),
            (Bearer("n" * 40), university),
            (Basic("yliopisto", PASSWORD), university),
            (Bearer(OTHER), polytechnic),
        ]
    )


@pytest.fixture
def connector(store):
    return Connector(store, credentials(), Registry.PRODUCTION, lambda: NOON)


def get(connector, path, token=TOKEN, method="GET", **environ):
    authorization = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    return ask(connector, path, method, **authorization, **environ)


def test_an_identity_provider_gets_the_id_as_a_list(connector, store):
    make_link(store, orcid_id=make_orcid_id(7))

    answer = get(connector, "/v1/people/maija@yliopisto.example")

    assert answer.status == 200
    assert json.loads(answer.body) == {"eduPersonOrcid": [make_orcid_id(7).uri]}


@pytest.mark.parametrize("account", ["pekka@yliopisto.example", "nobody", "maija@amk.example", "x" * 1024])
def test_an_identity_provider_gets_an_empty_list_for_a_person_without_an_id(connector, store, account):
    make_link(store)

    answer = get(connector, f"/v1/people/{account}")

    assert (answer.status, answer.body) == (200, NOBODY)


def test_an_aggregator_gets_the_id_as_an_object_in_a_list(connector, store):
    make_link(store, orcid_id=make_orcid_id(7))

    there = get(connector, "/v1/records?account=maija%40yliopisto.example")
    nobody = get(connector, "/v1/records?account=pekka%40yliopisto.example")

    assert (there.status, json.loads(there.body)) == (200, [{"eduPersonOrcid": make_orcid_id(7).uri}])
    assert (nobody.status, nobody.body) == (200, b"[]")
    assert get(connector, "/v1/records").status == 400
    assert get(connector, "/v1/records?account=maija%40yliopisto.example", token="").status == 401


def test_a_sandbox_id_is_no_record_of_a_production_service(connector, store):
    make_link(store, orcid_id=make_orcid_id(7, Registry.SANDBOX))

    assert get(connector, "/v1/records?account=maija%40yliopisto.example").body == b"[]"


def test_a_removed_link_is_gone_at_once(connector, store):
    change = make_link(store)
    store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "removed", change.at)

    assert get(connector, "/v1/people/maija@yliopisto.example").body == NOBODY


def test_a_sandbox_id_is_never_released_by_a_production_service(connector, store):
    make_link(store, orcid_id=make_orcid_id(7, Registry.SANDBOX))

    assert get(connector, "/v1/people/maija@yliopisto.example").body == NOBODY


@pytest.mark.parametrize(
    ("account", "asked"),
    [
        ("maija@yliopisto.example", "Maija@YLIOPISTO.example"),
        ("ma+ija@yliopisto.example", "ma+ija@yliopisto.example"),
        ("a/b@yliopisto.example", "a/b@yliopisto.example"),
        ("..", ".."),
        ("äyräs@yliopisto.example", "äyräs@yliopisto.example"),
        ("a\u0308yräs@yliopisto.example", "äyräs@yliopisto.example"),
        ("a b%2F@yliopisto.example", "a b%2F@yliopisto.example"),
        ("山田@yliopisto.example", "山田@yliopisto.example"),
    ],
)
def test_an_account_is_found_however_it_is_written(connector, store, account, asked):
    make_link(store, fold(account))

    assert get(connector, f"/v1/people/{asked}").body != NOBODY


@pytest.mark.parametrize(
    ("account", "sent", "path"),
    [
        ("a/b@yliopisto.example", "a%2Fb%40yliopisto.example", "a%2Fb@yliopisto.example"),
        ("a%2Fb@yliopisto.example", "a%252Fb@yliopisto.example", "a%2Fb@yliopisto.example"),
        ("äyräs@yliopisto.example", "%C3%A4yr%C3%A4s@yliopisto.example", "äyräs@yliopisto.example"),
        ("a?b@yliopisto.example", "a%3Fb@yliopisto.example?account=x", "a?b@yliopisto.example"),
    ],
)
def test_the_undecoded_path_is_used_where_the_server_has_it(connector, store, account, sent, path):
    make_link(store, fold(account))
    decoded = f"/v1/people/{path}".encode().decode("latin-1")

    answer = get(connector, "/", PATH_INFO=decoded, REQUEST_URI=f"/v1/people/{sent}")

    assert answer.body != NOBODY


SCOPE = "yliopisto.example"
HOLDERS = [
    # link: stable id, issued; request; released, and where a stable id is needed
    ((f"subject-id:a@{SCOPE}", ""), f"stable_id=a%40{SCOPE}", True, True),
    ((f"subject-id:a@{SCOPE}", ""), f"stable_id=A@{SCOPE.upper()}&issued=", True, True),
    ((f"subject-id:a@{SCOPE}", ""), f"stable_id=+a@{SCOPE}", True, True),
    ((f"subject-id:a@{SCOPE}", ""), f"stable_id=b@{SCOPE}", False, False),
    ((f"subject-id:a@{SCOPE}", ""), "", True, False),
    ((f"subject-id:a@{SCOPE}", ""), "stable_id=", True, False),
    ((f"subject-id:a@{SCOPE}", ""), "stable_id=%20", True, False),
    ((f"subject-id:a@{SCOPE}", ""), "stable_id=b@amk.example", True, False),
    ((f"subject-id:a@{SCOPE}", ""), f"stable_id=b.c@{SCOPE}", True, False),
    ((f"eduPersonUniqueId:a@{SCOPE}", ""), f"stable_id=b@{SCOPE}", True, True),
    (("", ""), f"stable_id=b@{SCOPE}", True, True),
    (("", "20240115"), f"stable_id=b@{SCOPE}&issued=2024-01-15", True, True),
    (("", "20240115"), f"stable_id=b@{SCOPE}&issued=16.1.2024", False, False),
    (("", "20240115"), f"stable_id=b@{SCOPE}&issued=soon", True, True),
    ((f"subject-id:a@{SCOPE}", "20240115"), f"stable_id=a@{SCOPE}&issued=20250115", False, False),
    (("", ""), f"stable_id=b@{SCOPE}&issued=20250115", True, True),
]


@pytest.mark.parametrize(
    "place", ["/v1/people/maija@yliopisto.example?", "/v1/people?account=maija@yliopisto.example&"]
)
def test_an_id_is_released_to_the_holder_who_linked_it(store, place):
    for number, ((stable_id, issued), query, *released) in enumerate(HOLDERS):
        store.links.remove(UNIVERSITY, "maija@yliopisto.example", "person", "", NOON)
        make_link(store, orcid_id=make_orcid_id(number), issued=issued, stable_id=stable_id)
        for needs, expected in zip((False, True), released, strict=True):
            organisation = make_organisation(stable_id="subject-id", needs_stable_id=needs)
            clients = Credentials([(Bearer(TOKEN), make_client(organisation))])
            answer = get(Connector(store, clients, Registry.PRODUCTION, lambda: NOON), place + query)
            assert answer.status == 200, query
            uris = [make_orcid_id(number).uri] if expected else []
            assert json.loads(answer.body) == {"eduPersonOrcid": uris}, (number, needs)


@pytest.mark.parametrize(("issued", "released"), [("20230730", True), ("20260101", False), ("", True)])
def test_an_attested_id_is_released_to_a_holder_who_had_the_account_then(store, issued, released):
    maija = "maija@yliopisto.example"
    row = AttestedLink(1, maija, maija, make_orcid_id(), NOON - timedelta(days=900), "Pure")
    assert store.attested_links.put(UNIVERSITY, row, NOON)[0].outcome == "linked"
    clients = Credentials([(Bearer(TOKEN), make_client())])

    answer = get(Connector(store, clients, Registry.PRODUCTION, lambda: NOON), f"/v1/people/{maija}?issued={issued}")

    assert json.loads(answer.body) == {"eduPersonOrcid": [make_orcid_id().uri] if released else []}


@pytest.mark.parametrize("query", ["stable_id=a&stable_id=a", "stable_id=$stable", "issued=1&issued=2", "issued=$x"])
def test_an_invalid_holder_parameter_is_refused(connector, store, query):
    assert get(connector, f"/v1/people/maija@yliopisto.example?{query}").status == 400


@pytest.mark.parametrize("query", ["account=ma%2Bija%40yliopisto.example", "account=Ma%2bija@yliopisto.example&x="])
def test_an_account_may_stand_in_the_query(connector, store, query):
    make_link(store, "ma+ija@yliopisto.example")

    assert get(connector, f"/v1/people?{query}").body != NOBODY


def test_a_plus_in_a_query_is_a_space(connector, store):
    make_link(store, "a b@yliopisto.example")

    assert get(connector, "/v1/people?account=a+b%40yliopisto.example").body != NOBODY


def test_look_ups_change_nothing(connector, store):
    make_link(store)

    answers = {get(connector, "/v1/people/maija@yliopisto.example").body for _ in range(4)}

    assert len(answers) == 1
    assert store.changes.last_number(UNIVERSITY) == 1


# Who asks


def test_an_organisation_finds_only_its_own_people(connector, store):
    make_link(store)

    assert get(connector, "/v1/people/maija@yliopisto.example", token=OTHER).body == NOBODY


def test_two_tokens_work_while_one_replaces_the_other(connector, store):
    make_link(store)

    assert get(connector, "/v1/people/maija@yliopisto.example", token="n" * 40).body != NOBODY


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_basic_authentication_works_like_a_token(connector, store, scheme):
    make_link(store)
    secret = base64.b64encode(f"yliopisto:{PASSWORD}".encode()).decode()

    answer = get(connector, "/v1/people/maija@yliopisto.example", None, HTTP_AUTHORIZATION=f"{scheme} {secret}")

    assert answer.body != NOBODY


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"bearer\t{TOKEN}",
        TOKEN,
        f"Token {TOKEN}",
        "Basic",
        "Basic !!!",
        "Basic /w==",
        "Basic " + base64.b64encode(f"yliopisto:{TOKEN}".encode()).decode(),
        "Basic " + base64.b64encode(TOKEN.encode()).decode(),
        "Bearer p\xe4\xe4t\xf6n",
    ],
)
@pytest.mark.parametrize("path", ["/v1/people/maija@yliopisto.example", "/v1/people/", "/v1/people"])
def test_a_request_without_a_credential_gets_no_data(connector, store, path, authorization):
    make_link(store)
    said = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}

    answer = get(connector, path, None, **said)

    assert answer.status == 401
    challenges = [value for name, value in answer.headers if name == "WWW-Authenticate"]
    assert challenges == ['Basic realm="orcid-connect", charset="UTF-8"', "Bearer"]
    assert set(json.loads(answer.body)) == {"error"}


def test_credentials_are_not_shown():
    assert TOKEN not in repr(Bearer(TOKEN))
    assert PASSWORD not in repr(Basic("yliopisto", PASSWORD))


# The form of every answer


ANSWERS = [
    ("/v1/people/maija@yliopisto.example", "GET", TOKEN, 200),
    ("/v1/people/nobody@yliopisto.example", "GET", TOKEN, 200),
    ("/v1/people/maija@yliopisto.example", "GET", None, 401),
    ("/v1/people/maija@yliopisto.example", "POST", TOKEN, 405),
    ("/v1/people/maija@yliopisto.example", "OPTIONS", TOKEN, 405),
    ("/v1/people/maija@yliopisto.example", "PUT", TOKEN, 400),
    ("/v1/people/maija@yliopisto.example", "DELETE", TOKEN, 200),
    ("/v1/people/maija@yliopisto.example", "DELETE", None, 401),
    ("/v1/people/", "DELETE", TOKEN, 400),
    ("/v1/changes?cursor=x", "GET", TOKEN, 400),
    ("/v1/changes", "GET", None, 401),
    ("/v1/changes", "DELETE", TOKEN, 405),
    ("/v1/changes/ack", "GET", TOKEN, 405),
    ("/v1/changes/ack", "POST", TOKEN, 400),
    ("/v1/changes/ack", "POST", None, 401),
    ("/v1/changes/", "GET", TOKEN, 404),
    ("/v1/health", "POST", None, 405),
    ("/v1/people/", "GET", TOKEN, 400),
    ("/v1/people/$resolutionContext.principal", "GET", TOKEN, 400),
    ("/v1/people/" + "x" * 1025, "GET", TOKEN, 400),
    ("/v1/people/a\0b", "GET", TOKEN, 400),
    ("/v1/people?account=a&account=b", "GET", TOKEN, 400),
    ("/v1/people/maija@yliopisto.example?account=maija@yliopisto.example", "GET", TOKEN, 400),
    ("/v1/people/maija@yliopisto.example?x=1&x=2", "GET", TOKEN, 200),
    ("/v1/people/maija@yliopisto.example?account=a", "DELETE", TOKEN, 400),
    ("/v1/people/maija@yliopisto.example?dry_run=true&dry_run=false", "DELETE", TOKEN, 400),
    ("/v1/records?account=a&%61ccount=a", "GET", TOKEN, 400),
    ("/v1/changes?cursor=a&cursor=a", "GET", TOKEN, 400),
    ("/v1/changes?limit=1&limit=1", "GET", TOKEN, 400),
    ("/v1/changes?limit=\u0661", "GET", TOKEN, 400),
    ("/v1/people?account=%FF", "GET", TOKEN, 400),
    ("/v1/people?" + "a=1&" * 20, "GET", TOKEN, 400),
    ("/v1/peoples", "GET", TOKEN, 404),
    ("/", "GET", None, 404),
    ("/v1/health", "GET", None, 200),
    ("/healthz", "GET", None, 200),
    ("/readyz", "GET", None, 200),
]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f" \tbearer   {TOKEN}\t ", 200),
        (f"\xa0Bearer {TOKEN}", 401),
        (f"Bearer {TOKEN}\x85", 401),
        (f"Bearer \xa0{TOKEN}", 401),
        (f"Bearer \x1f{TOKEN}", 401),
        (f"Bearer\xa0{TOKEN}", 401),
        (f"Bearer {TOKEN}, Bearer {TOKEN}", 401),
        (f"Bearer {TOKEN},Bearer {'x' * 40}", 401),
        (f"Bearer {TOKEN} {TOKEN}", 401),
        (f"Basic Og==, Bearer {TOKEN}", 401),
    ],
)
def test_a_credential_comes_once_and_with_no_other_white_space_than_https(connector, header, status):
    answer = get(connector, "/v1/people/maija@yliopisto.example", token=None, HTTP_AUTHORIZATION=header)

    assert answer.status == status


@pytest.mark.parametrize(("path", "method", "token", "status"), ANSWERS)
def test_every_answer_is_short_json_with_its_length(connector, path, method, token, status):
    answer = get(connector, path, token, method)

    assert answer.status == status
    assert answer.header("Content-Type") == "application/json"
    assert int(answer.header("Content-Length")) == len(answer.body) < 300
    assert isinstance(json.loads(answer.body), dict)
    assert answer.header("Content-Encoding") is None
    assert answer.header("Location") is None
    assert b"null" not in answer.body
    assert answer.body.isascii()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/people/maija@yliopisto.example", "GET, HEAD, PUT, DELETE"),
        ("/v1/people?account=maija@yliopisto.example", "GET, HEAD, PUT, DELETE, POST"),
        ("/v1/changes", "GET, HEAD"),
        ("/v1/changes/ack", "POST"),
        ("/v1/health", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE"])
def test_another_method_is_answered_405_with_allow(connector, path, allowed, method):
    answer = get(connector, path, method=method, **{"wsgi.input": io.BytesIO()})

    assert (answer.status, answer.header("Allow")) == (405, allowed)
    assert allowed in json.loads(answer.body)["error"]


def test_head_is_answered_as_get_without_a_body(connector, store):
    make_link(store)

    asked, looked = (get(connector, "/v1/people/maija@yliopisto.example", method=how) for how in ("GET", "HEAD"))

    assert (looked.status, looked.body, looked.headers) == (200, b"", asked.headers)


def test_an_account_that_is_not_utf8_is_refused(connector):
    assert get(connector, "/v1/people/", PATH_INFO="/v1/people/\xff\xfe").status == 400


def test_look_ups_are_never_compressed(connector):
    answer = get(connector, "/v1/people/x", HTTP_ACCEPT_ENCODING="gzip,deflate", HTTP_ACCEPT="text/html")

    assert (answer.status, answer.body) == (200, NOBODY)


def test_the_connector_may_be_mounted_at_v1(connector):
    assert get(connector, "/", SCRIPT_NAME="/v1", PATH_INFO="/people/x").body == NOBODY


class Away:
    """A store of which nothing works."""

    def __init__(self, error):
        self.error = error

    def get_current_orcid_id(self, *_asked):
        raise self.error

    check_schema = merged_organisations = get_current_orcid_id

    def lookup(self):
        return self


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable("the server is away"), 503),
        (SchemaBehind(("0009_x.sql",)), 503),
        (SchemaAhead(("0009_x.sql",)), 503),
        (RuntimeError("a secret"), 500),
    ],
)
@pytest.mark.parametrize("path", ["/v1/people/maija@yliopisto.example", "/v1/health"])
def test_an_unavailable_store_is_reported_at_once_in_json(path, error, status, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")

    answer = get(Connector(Away(error), credentials(), Registry.PRODUCTION, lambda: NOON), path)

    assert answer.status == status
    assert "secret" not in answer.text
    assert set(json.loads(answer.body)) == {"error"}
    assert len(caplog.records) == 1
    assert "maija" not in str(caplog.records[0].__dict__)


def test_the_connector_needs_no_transfer_objects():
    program = (
        "import sys, resolver_connector.app; print(sorted({'requests', 'ldap3', 'bottle', 'jinja2'} & {*sys.modules}))"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout == "[]\n"


# Credentials that are not valid


def refuse(connector, number=1, address="192.0.2.1", token="wrong", **environ):
    return [
        get(connector, "/v1/people/maija@yliopisto.example", token, REMOTE_ADDR=address, **environ)
        for _ in range(number)
    ]


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "Digest"])
def test_each_refused_credential_has_a_line_in_the_log_without_credential_or_account(connector, caplog, scheme):
    caplog.set_level(logging.INFO, "orcid-connect")

    for _ in range(2):
        get(
            connector,
            "/v1/people/maija@yliopisto.example",
            "",
            HTTP_AUTHORIZATION=f"{scheme} wrong",
            REMOTE_ADDR="192.0.2.1",
        )

    name = scheme.lower() if scheme != "Digest" else "other"
    assert [record.message for record in caplog.records] == ["credential-refused"] * 2
    assert [record.facts for record in caplog.records] == [{"address": "192.0.2.1", "scheme": name}] * 2


def test_a_request_without_a_credential_is_no_failure(connector, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")

    answers = refuse(connector, 2 * MAX_FAILURES, token="")

    assert {each.status for each in answers} == {401}
    assert not caplog.records


def test_an_address_that_fails_too_often_is_told_to_wait_and_valid_credentials_are_never_limited(connector):
    answers = refuse(connector, MAX_FAILURES + 1)

    assert {each.status for each in answers[:-1]} == {401}
    assert (answers[-1].status, [*json.loads(answers[-1].body)]) == (429, ["error"])
    assert int(answers[-1].header("Retry-After")) > 0
    assert get(connector, "/v1/people/maija@yliopisto.example", REMOTE_ADDR="192.0.2.1").status == 200
    assert [each.status for each in refuse(connector, address="192.0.2.2")] == [401]


def test_a_whole_university_comes_from_one_address(connector):
    path = "/v1/people/maija@yliopisto.example"

    assert {get(connector, path, REMOTE_ADDR="192.0.2.1").status for _ in range(10 * MAX_FAILURES)} == {200}


def test_behind_a_proxy_the_address_is_the_one_that_a_trusted_proxy_tells(store):
    proxies = TrustedProxies.parse(["127.0.0.1"])
    behind = Connector(store, credentials(), Registry.PRODUCTION, lambda: NOON, trusted_proxies=proxies)
    refuse(behind, MAX_FAILURES, "127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.5, 192.0.2.1")

    assert refuse(behind, 1, "127.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.1")[0].status == 429
    assert refuse(behind, 1, "127.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.2")[0].status == 401
    # Who is not trusted cannot name another address
    forged = [refuse(behind, 1, "198.51.100.1", HTTP_X_FORWARDED_FOR=f"192.0.2.{each}")[0] for each in range(100)]
    assert forged[-1].status == 429


# What mod_wsgi and granian hand on


class Broken(io.BytesIO):
    def read(self, _size=-1):
        raise OSError("Apache/mod_wsgi request data read error")


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"CONTENT_LENGTH": "9", "wsgi.input": io.BytesIO(b"{}")}, "the body is shorter than Content-Length"),
        ({"CONTENT_LENGTH": "9", "wsgi.input": Broken()}, "the body could not be read"),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Broken()}, "the body could not be read"),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, "the only supported Transfer-Encoding is chunked"),
        ({"CONTENT_LENGTH": "+2"}, "Content-Length is invalid"),
        ({"REQUEST_URI": "/v1/changes/\xe4"}, "the path is not percent-encoded"),
    ],
)
def test_an_incomplete_body_is_not_logged_as_a_bug(connector, environ, reason):
    answer = get(connector, "/v1/changes/ack", method="POST", **environ)

    assert (answer.status, json.loads(answer.body)) == (400, {"error": reason})


@pytest.mark.parametrize("length", ["4097", "9" * 30, "0" * 30 + "4097"])
def test_a_body_that_is_too_large_is_not_read(connector, length):
    answer = get(connector, "/v1/changes/ack", method="POST", CONTENT_LENGTH=length, **{"wsgi.input": Broken()})

    assert answer.status == 413


def test_a_query_that_is_not_percent_encoded_is_refused(connector):
    assert get(connector, "/v1/people?account=\xe4").status == 400
