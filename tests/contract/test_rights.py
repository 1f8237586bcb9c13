"""Each address of the connector requires its right, and without it nothing happens."""

import io
import json
import re

import pytest

from resolver_connector.app import PUBLIC_ROUTES, ROUTES, Connector
from resolver_connector.credentials import Bearer, Credentials, Right
from shibboleth.orcid_id import Registry
from tests.support import docs
from tests.support.database import contents
from tests.support.factories import NOON, UNIVERSITY, make_client, make_link, make_organisation
from tests.support.openapi import document
from tests.support.service import ask

MAIJA = "/v1/people/maija@yliopisto.example"
PATHS = {"/v1/people": MAIJA}
"""What is requested of a path that needs more than itself."""
OPERATIONS = [(path, method, route.right) for path, methods in ROUTES.items() for method, route in methods.items()]


def connector(store, *rights):
    """Give the connector of a university whose only credential has these rights."""
    credentials = Credentials([(Bearer("t" * 40), make_client(make_organisation(), *rights, credential="some"))])
    return Connector(store, credentials, Registry.PRODUCTION, lambda: NOON, {UNIVERSITY: ("idm",)})


def request(app, path, method, token="t" * 40):
    """Send a request that would change something, if its right were there."""
    body = b'{"cursor": "x"}'
    sent = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} if method == "POST" else {}
    return ask(app, PATHS.get(path, path), method, **sent, HTTP_AUTHORIZATION=f"Bearer {token}")


@pytest.mark.parametrize(("path", "method", "right"), OPERATIONS)
def test_a_credential_without_the_right_is_refused_and_changes_nothing(  # noqa: PLR0917 - one for each word
    store, store_url, caplog, path, method, right
):
    make_link(store, transfers=("idm",))
    before = contents(store_url)

    refused = request(connector(store, *set(Right) - {right}), path, method)

    assert refused.status == 403
    if method != "HEAD":
        assert json.loads(refused.body) == {"error": f"the credential lacks the right {right}", "right": right}
    assert contents(store_url) == before
    (line,) = [each for each in caplog.records if each.message == "right-missing"]
    assert line.facts == {"organisation": "yliopisto", "credential": "some", "right": right}


@pytest.mark.parametrize(("path", "method", "right"), OPERATIONS)
def test_one_right_is_enough_for_its_addresses(store, path, method, right):
    make_link(store)

    assert request(connector(store, right), path, method).status not in {401, 403}
    assert request(connector(store, right), path, method, token="u" * 40).status == 401


def test_the_description_for_programs_names_the_right_of_each_operation():
    of_path = ROUTES | {"/v1/people/{account}": ROUTES["/v1/people"]}
    wanted = {
        (path, method.lower()): [{"bearer": [route.right]}, {"basic": [route.right]}]
        for path, methods in of_path.items()
        for method, route in methods.items()
    }
    wanted |= {(path, method): [] for path in PUBLIC_ROUTES for method in ("get", "head")}

    described = {(path, method): each for path, of in document()["paths"].items() for method, each in of.items()}

    assert {each: operation.get("security", []) for each, operation in described.items()} == wanted
    assert all(("403" in described[each]["responses"]) is bool(rights) for each, rights in wanted.items())


def test_the_page_says_which_addresses_each_right_opens():
    text = (docs.DOCS / "connector.md").read_text("utf-8")
    opened = {right: [] for right in Right}
    for path, method, right in OPERATIONS:
        if method != "HEAD":
            opened[right].append(f"`{method} {re.sub('^/v1/people$', '/v1/people/{account}', path)}`")
    listed = {(path.replace("/{account}", ""), method, f"`{right}`") for path, method, right in OPERATIONS}
    listed |= {(path, method, "none") for path in PUBLIC_ROUTES for method in ("GET", "HEAD")}

    of_rights = text.partition("## Rights")[2].partition("\n## ")[0]
    by_right = dict(re.findall(r"^\| `([a-z]+)` \| ([^|]*) \| [^|]*\|$", of_rights, re.MULTILINE))
    by_path = re.findall(r"^\| `(/v1/[^`]*)` \| ([A-Z, ]+) \| (`[a-z]+`|none) \|", text, re.MULTILINE)

    assert by_right == {right: ", ".join(paths) or "nothing yet" for right, paths in opened.items()}
    assert {
        (path.replace("/{account}", ""), method, right) for path, some, right in by_path for method in some.split(", ")
    } == listed
