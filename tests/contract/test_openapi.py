"""`/v1/openapi.json` says what the connector answers, all of it and nothing else."""

import json
import logging
import re
from itertools import count

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.checks import positive_data_acceptance

from resolver_connector.app import PUBLIC_ROUTES, ROUTES, Connector
from resolver_connector.client_address import FailureLimit
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.feed import DEFAULT_LIMIT, MAX_LIMIT
from resolver_connector.resolver import MAX_ACCOUNT_LENGTH
from shibboleth.orcid_id import Registry
from sql.store import open_store
from tests.support import docs
from tests.support.database import make_sqlite
from tests.support.factories import NOON, UNIVERSITY, make_client, make_link, make_orcid_id
from tests.support.openapi import Undocumented, document, methods_at, must_be_documented
from tests.support.service import ORGANISATIONS, WebResponse, ask

TOKEN = "t" * 40
# This client does not unpack; and which tokens are an organisation's own no schema can say, so that a well-written
# request may be refused
ASKING = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[*HealthCheck],
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def connector(request, tmp_path_factory):
    """Yield a connector with some links, which the generated requests may remove."""
    if request.param == "sqlite":
        store = open_store(make_sqlite(tmp_path_factory.mktemp("openapi")))
    else:
        server = request.getfixturevalue("postgres")
        store = open_store(server.socket_url(server.make_database("test_1")))
    for number in range(3):
        make_link(store, f"person-{number}@yliopisto.example", make_orcid_id(number))
    credentials = Credentials([(Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY)))])
    connector = Connector(store, credentials, Registry.PRODUCTION, lambda: NOON)
    # Minutes pass between wrong credentials, so that none is one too many
    connector.failure_limit = FailureLimit(count(step=60).__next__)
    yield connector
    store.close()


OPERATIONS = [(path, name) for path, operations in document()["paths"].items() for name in operations]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_generated_requests_get_documented_responses(connector, path, method):
    operation = schemathesis.openapi.from_wsgi("/v1/openapi.json", connector)[path][method.upper()]

    @EXAMPLES
    @given(operation.as_strategy())
    def held(case):
        answer = case.call_and_validate(headers=ASKING, excluded_checks=[positive_data_acceptance])
        headers = [(_written(name), each) for name, values in answer.headers.items() for each in values]

        must_be_documented(method.upper(), path, WebResponse(answer.status_code, headers, answer.content))
        assert answer.status_code < 500

    held()


def _written(name):
    """Write the name of a header as we do: the client has them all in small letters."""
    return {"etag": "ETag", "www-authenticate": "WWW-Authenticate"}.get(name, name.title())


def test_the_openapi_document_needs_no_credential(connector):
    answer = ask(connector, "/v1/openapi.json")

    assert answer.status == 200
    assert json.loads(answer.body) == document()
    assert int(answer.header("Content-Length")) == len(answer.body)


def test_it_is_openapi_3_1():
    assert document()["openapi"].startswith("3.1.")
    for each in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(each)
    names = [operation["operationId"] for path in document()["paths"].values() for operation in path.values()]
    assert len({*names}) == len(names)


def test_it_lists_each_path_and_method():
    described = {path: [name.upper() for name in operations] for path, operations in document()["paths"].items()}

    public = {path: ["GET", "HEAD"] for path in PUBLIC_ROUTES}
    routes = {path: [*methods] for path, methods in ROUTES.items()}
    assert described == routes | public


def test_its_limits_are_those_of_the_program():
    parameters = {each["name"]: each["schema"] for each in methods_at("/v1/changes")["GET"]["parameters"]}
    account = methods_at("/v1/people")["GET"]["parameters"][0]

    assert (parameters["limit"]["maximum"], parameters["limit"]["default"]) == (MAX_LIMIT, DEFAULT_LIMIT)
    assert account["schema"]["maxLength"] == MAX_ACCOUNT_LENGTH


def test_a_change_is_the_one_that_the_page_for_owners_describes():
    (block,) = docs.blocks((docs.DOCS / "idm-owner.md").read_text("utf-8"), "json schema")
    page, ours = json.loads(block), document()["components"]["schemas"]["Change"]

    assert page["oneOf"] == ours["oneOf"]
    assert page["required"] == ours["required"]
    assert page["properties"].keys() == ours["properties"].keys()
    assert page["$defs"]["iD"]["pattern"] == document()["components"]["schemas"]["OrcidId"]["pattern"]


def test_every_reference_can_be_resolved():
    text = json.dumps(document())

    for each in re.findall(r'"#/components/(\w+)/([\w-]+)"', text):
        assert each[1] in document()["components"][each[0]], each


@pytest.mark.parametrize(
    "answer",
    [
        WebResponse(204, [], b""),
        WebResponse(200, [("Content-Type", "application/json")], b"{}"),
        WebResponse(418, [("Content-Type", "application/json")], b"{}"),
    ],
)
def test_an_answer_that_is_not_described_is_noticed(answer):
    with pytest.raises(Undocumented):
        must_be_documented("GET", "/v1/people/x", answer)


def test_the_other_tests_check_their_responses_against_it(connector, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PUBLIC_ROUTES, "/v1/health", lambda _: (200, [("Content-Type", "text/html")], [b"<p>"]))
        with pytest.raises(Undocumented):
            ask(connector, "/v1/health")
