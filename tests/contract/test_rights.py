"""Each address of the connector requires its right, and without it nothing happens."""

import io
import json
import re

import pytest

from resolver_connector.app import MOVE_PATH, PERSON_PATH, PUBLIC_ROUTES, ROUTES, TOKEN_PATH, Connector
from resolver_connector.credentials import Bearer, Credentials, Right
from shibboleth.orcid_id import Registry
from tests.support import docs
from tests.support.database import contents
from tests.support.factories import NOON, UNIVERSITY, make_client, make_link, make_organisation
from tests.support.openapi import document
from tests.support.service import ask

MAIJA = "/v1/people/maija@yliopisto.example"
MAIJA_BY_QUERY = "/v1/people?account=maija@yliopisto.example"
ADDRESSES_OF = {PERSON_PATH: MAIJA, MOVE_PATH: f"{MAIJA}/move", TOKEN_PATH: f"{MAIJA}/orcid-token"}


def operations():
    """Yield the path, method, an address and the rights of each operation."""
    for path, methods in ROUTES.items():
        for method, route in methods.items():
            of_one_person = path == "/v1/people" and method in ROUTES[PERSON_PATH]
            address = MAIJA_BY_QUERY if of_one_person else ADDRESSES_OF.get(path, path)
            yield path, method, address, route.rights
            if route.without_account is not None:
                yield path, method, path, route.without_account.rights


OPERATIONS = [*operations()]
ADDRESSES = [each[1:] for each in OPERATIONS]


def connector(store, *rights):
    """Give the connector of a university whose only credential has these rights."""
    credentials = Credentials([(Bearer("t" * 40), make_client(make_organisation(), *rights, credential="some"))])
    return Connector(store, credentials, Registry.PRODUCTION, lambda: NOON, {UNIVERSITY: ("idm",)})


def request(app, address, method, token="t" * 40):
    """Send a request that would change something, if its right were there."""
    body = b'{"cursor": "x"}'
    sent = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} if method == "POST" else {}
    return ask(app, address, method, **sent, HTTP_AUTHORIZATION=f"Bearer {token}")


@pytest.mark.parametrize(("method", "address", "rights"), ADDRESSES)
def test_a_credential_without_the_right_is_refused_and_changes_nothing(  # noqa: PLR0917 - one for each word
    store, store_url, caplog, method, address, rights
):
    make_link(store, transfers=("idm",))
    before = contents(store_url)

    refused = request(connector(store, *set(Right) - {*rights}), address, method)

    assert refused.status == 403
    if method != "HEAD":
        assert json.loads(refused.body) == {
            "error": f"the credential lacks the right {' or '.join(rights)}",
            "right": rights[0],
        }
    assert contents(store_url) == before
    (line,) = [each for each in caplog.records if each.message == "right-missing"]
    assert line.facts == {"organisation": "yliopisto", "credential": "some", "right": rights[0]}


@pytest.mark.parametrize(("method", "address", "rights"), ADDRESSES)
def test_one_right_is_enough_for_its_addresses(store, method, address, rights):
    make_link(store)

    for right in rights:
        assert request(connector(store, right), address, method).status not in {401, 403}
    assert request(connector(store, rights[0]), address, method, token="u" * 40).status == 401


def test_the_description_for_programs_names_the_rights_of_each_operation():
    wanted = {}
    for path, method, _, rights in OPERATIONS:
        either = [{scheme: [right]} for right in rights for scheme in ("bearer", "basic")]
        described_as = (path, method.lower())
        wanted[described_as] = wanted.get(described_as, []) + either
    wanted |= {(path, method): [] for path in PUBLIC_ROUTES for method in ("get", "head")}

    described = {(path, method): each for path, of in document()["paths"].items() for method, each in of.items()}

    assert {each: operation.get("security", []) for each, operation in described.items()} == wanted
    assert all(("403" in described[each]["responses"]) is bool(rights) for each, rights in wanted.items())


def test_the_page_says_which_addresses_each_right_opens():
    text = (docs.DOCS / "connector.md").read_text("utf-8")
    opened = {right: [] for right in Right}
    listed = {(path, method, "none") for path in PUBLIC_ROUTES for method in ("GET", "HEAD")}
    for path, method, address, rights in OPERATIONS:
        if address == MAIJA_BY_QUERY:
            continue
        listed.add((path, method, " or ".join(f"`{right}`" for right in rights)))
        for right in rights if method != "HEAD" else ():
            opened[right].append(f"`{method} {path}`")

    of_rights = text.partition("## Rights")[2].partition("\n## ")[0]
    by_right = dict(re.findall(r"^\| `([a-z]+)` \| ([^|]*) \| [^|]*\|$", of_rights, re.MULTILINE))
    rows = re.findall(r"^\| (`/[^|]*`) \| ([A-Z, ]+) \| ((?:`[a-z]+`(?: or )?)+|none) \|", text, re.MULTILINE)
    by_path = [(path, some, right) for paths, some, right in rows for path in re.findall("`([^`]*)`", paths)]

    assert by_right == {right: ", ".join(paths) or "nothing yet" for right, paths in opened.items()}
    assert {(path, method, right) for path, some, right in by_path for method in some.split(", ")} == listed
