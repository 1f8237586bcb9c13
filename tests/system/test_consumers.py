"""Other software that asks the connector through Apache: SimpleSAMLphp, SATOSA and curl, as our pages set them up."""

import http.client
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import quote, urlencode, urljoin, urlsplit

import pytest
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor

from shibboleth.orcid_id import Registry
from sql.migrate import migrate
from sql.store import open_store
from tests.support import docs
from tests.support.configuration import TOKEN, write_configuration
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.ports import free_port
from tests.support.system.faulty_connector import Faults
from tests.support.system.federation import certificate_text, make_key
from tests.support.system.satosa_proxy import satosa
from tests.support.system.simplesaml import simplesaml
from tests.support.system.stack import running

# pysaml2 leaves temporary files to be closed when they are forgotten
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO")

SERVICE, ACS = "https://sp.example/shibboleth", "https://sp.example/acs"
ACCOUNT, NAME = "maija+1/x@yliopisto.example", "Maija Mäkelä"
ORCID = make_orcid_id(7, Registry.SANDBOX)
AT_ONCE = 4.0
"""Seconds, on a busy machine. Apache itself ends a connection that its client waits to see closed after five."""
IDP = """\
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id}">
<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing">
<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">
<X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
<SingleSignOnService Binding="{binding}" Location="{sso}"/></IDPSSODescriptor></EntityDescriptor>
"""


@dataclass
class Browser:
    """Somebody who follows redirects and sends forms, until one is meant for the service."""

    cookies: dict = field(default_factory=dict)

    def visit(self, url, form=None):
        """Give the SAML response that arrives at the service in the end."""
        for _ in range(12):
            body, location = self._ask(url, form)
            if location:
                url, form = urljoin(url, location), None
                continue
            action = urljoin(url, unescape(re.search(r'action="([^"]*)"', body)[1]))
            form = {unescape(name): unescape(value) for name, value in _fields(body)}
            if action == ACS:
                return form["SAMLResponse"]
            url = action
        raise AssertionError("there is no end of it")

    def _ask(self, url, form):
        to = urlsplit(url)
        connection = http.client.HTTPConnection(to.netloc, timeout=30)
        mine = self.cookies.setdefault(to.netloc, {})
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in mine.items())} if mine else {}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        path = f"{to.path}?{to.query}" if to.query else to.path
        connection.request("POST" if form is not None else "GET", path, urlencode(form or {}) or None, headers)
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            mine[name] = value
        connection.close()
        assert answer.status < 400, body
        return body, answer.headers["Location"]


def _fields(body):
    for tag in re.findall(r"<input[^>]*>", body):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and value:
            yield name[1], value[1]


@pytest.fixture(scope="module")
def machine(venv):
    """The front that we recommend, with the real connector behind it, under a name that every program finds."""

    def install_apps(stack):
        url = f"sqlite://{stack.var}/links.db"
        service = {"front": "variables", "front_proof": None, "public_url": stack.base_url}
        configuration = write_configuration(stack.etc, store={"url": url}, service=service)
        store = open_store(url)
        migrate(store.engine, NOON)
        store.close()
        for each in (*stack.var.iterdir(), *(stack.etc / "secrets").iterdir()):
            stack.account.owns(each)
        (stack.etc / "connector.wsgi").write_text(
            "from tests.support.system.faulty_connector import faulty\n\n"
            f"application = faulty({str(configuration)!r}, {str(stack.var / 'fault.json')!r})\n"
        )

    with running("variables", venv, install_apps, host="localhost") as stack:
        yield stack


@pytest.fixture(scope="module")
def store(machine):
    store = open_store(f"sqlite://{machine.var}/links.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def faults(machine):
    """What the connector answers instead of what is true."""
    return Faults(machine.var / "fault.json")


@pytest.fixture
def at_once():
    """Hold the test to the time in which a person signs in who waits for nothing."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    path = tmp_path_factory.mktemp("secrets") / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("service"), "service")


def service_of(key, *metadata):
    settings = {
        "entityid": SERVICE,
        "key_file": key["key"],
        "cert_file": key["certificate"],
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "metadata": {"local": [str(each) for each in metadata]},
        "service": {
            "sp": {
                "endpoints": {"assertion_consumer_service": [(ACS, BINDING_HTTP_POST)]},
                "allow_unsolicited": True,
                "want_response_signed": False,
                "want_assertions_or_response_signed": True,
            }
        },
    }
    return Saml2Client(config=SPConfig().load(settings))


def attributes_of(client, response, outstanding=None):
    return client.parse_authn_request_response(response, BINDING_HTTP_POST, outstanding or {}).ava


@pytest.fixture(scope="module")
def proxy():
    """Where SATOSA will be."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def idp(machine, token, proxy):
    """SimpleSAMLphp, whose filter asks the connector; a second service stands for SATOSA, for which it does not."""
    person = {"eduPersonPrincipalName": [ACCOUNT], "displayName": [NAME]}
    asks = {"50": {"class": "orcidconnect:OrcidConnect", "url": machine.base_url, "tokenFile": str(token)}}
    services = {
        SERVICE: {"AssertionConsumerService": ACS, "authproc": asks},
        f"{proxy}/Back/sp": {"AssertionConsumerService": f"{proxy}/Back/acs/post"},
    }
    with simplesaml(person, services, machine.trusted) as started:
        yield started


@pytest.fixture
def at_simplesaml(idp, key):
    """Sign in at SimpleSAMLphp, and give what the service gets."""
    client = service_of(key, idp.metadata)

    def sign_in():
        response = Browser().visit(f"{idp.address}/saml2/idp/SSOService.php?spentityid={SERVICE}")
        return attributes_of(client, response)

    return sign_in


@pytest.fixture
def linked(store, faults):
    faults.clear()
    make_link(store, ACCOUNT, orcid_id=ORCID)
    yield
    store.links.remove(UNIVERSITY, ACCOUNT, "person", "the test is over", NOON)
    faults.clear()


JSON = [("Content-Type", "application/json")]
FAULTS = {
    "away": ("503 Service Unavailable", JSON, b'{"error": "the database does not answer; try again"}'),
    "a redirect": ("302 Found", [("Location", "http://127.0.0.1:1/")], b""),
    "HTML": ("200 OK", [("Content-Type", "text/html")], b"<html>"),
    "half an answer": ("200 OK", JSON, b'{"eduPersonOrcid": ["https://orc'),
    "something else": ("200 OK", JSON, b'{"eduPersonOrcid": [null, "", 7, "https://orcid.example/0000"]}'),
    "no object": ("200 OK", JSON, b"[]"),
    "an object of another kind": ("200 OK", JSON, b'{"eduPersonOrcid": {"a": "b"}}'),
    "far too much": ("200 OK", JSON, b'{"eduPersonOrcid": ["' + b"x" * 200_000 + b'"]}'),
}


def test_simplesamlphp_releases_the_id_that_the_connector_gives(linked, at_simplesaml):
    assert at_simplesaml() == {
        "eduPersonPrincipalName": [ACCOUNT],
        "displayName": [NAME],
        "eduPersonOrcid": [ORCID.uri],
    }


def test_simplesamlphp_signs_in_who_has_no_id(at_simplesaml):
    assert at_simplesaml() == {"eduPersonPrincipalName": [ACCOUNT], "displayName": [NAME]}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_sign_in_at_simplesamlphp_fails_for_want_of_an_id(linked, at_simplesaml, faults, idp, fault):
    faults.answer(*FAULTS[fault])

    assert at_simplesaml() == {"eduPersonPrincipalName": [ACCOUNT], "displayName": [NAME]}
    assert TOKEN not in idp.log()


@pytest.fixture(scope="module")
def micro_service(machine, token):
    settings = {"url": machine.base_url, "token_file": str(token), "person": "eppn", "target": "orcid"}
    return {"module": "orcid_connect.OrcidConnect", "name": "OrcidConnect", "config": settings}


@pytest.fixture(scope="module")
def at_satosa(idp, proxy, micro_service, key, tmp_path_factory):
    """Sign in at SimpleSAMLphp through SATOSA, whose micro service asks the connector."""
    directory = tmp_path_factory.mktemp("metadata")
    downstream, front = directory / "service.xml", directory / "front.xml"
    downstream.write_text(str(entity_descriptor(service_of(key).config)), "utf-8")
    with satosa(idp.metadata, downstream, micro_service, int(proxy.rpartition(":")[2]), idp.trusted) as (
        certificate,
        out,
    ):
        words = {"binding": BINDING_HTTP_REDIRECT, "sso": f"{proxy}/Back/sso/redirect"}
        front.write_text(IDP.format(entity_id=f"{proxy}/Front/idp", certificate=certificate_text(certificate), **words))
        client = service_of(key, front)

        def sign_in():
            request, sent = client.prepare_for_authenticate(f"{proxy}/Front/idp", binding=BINDING_HTTP_REDIRECT)
            response = Browser().visit(dict(sent["headers"])["Location"])
            return attributes_of(client, response, {request: "/"}), out.read_text("utf-8", "replace")

        yield sign_in


def test_satosa_passes_on_the_id_that_the_connector_gives(linked, at_satosa):
    attributes, _ = at_satosa()

    assert attributes == {
        "eduPersonPrincipalName": [ACCOUNT],
        "displayName": [NAME],
        "eduPersonOrcid": [ORCID.uri],
    }


def test_satosa_signs_in_who_has_no_id(at_satosa):
    attributes, _ = at_satosa()

    assert attributes == {"eduPersonPrincipalName": [ACCOUNT], "displayName": [NAME]}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_sign_in_through_satosa_fails_for_want_of_an_id(linked, at_satosa, faults, fault):
    faults.answer(*FAULTS[fault])

    attributes, log_of_satosa = at_satosa()

    assert attributes == {"eduPersonPrincipalName": [ACCOUNT], "displayName": [NAME]}
    assert TOKEN not in log_of_satosa


# After the sign-ins above, so that every program has been started and has loaded what it needs


def test_a_sign_in_at_simplesamlphp_waits_for_nothing(linked, at_simplesaml, at_once):
    assert at_simplesaml()["eduPersonOrcid"] == [ORCID.uri]


def test_a_sign_in_through_satosa_waits_for_nothing(linked, at_satosa, at_once):
    attributes, _ = at_satosa()

    assert attributes["eduPersonOrcid"] == [ORCID.uri]


@pytest.mark.usefixtures("linked", "at_once")
@pytest.mark.parametrize("path", ["/v1/people?account=", "/v1/records?account=", "/v1/people/"])
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--http1.0", "--no-alpn"],
        ["-H", "Connection: close"],
        ["-H", "Connection: Close, TE"],
        ["--http1.0", "--no-alpn", "-H", "Connection: close"],
        ["--http1.0", "--no-alpn", "-H", "Connection: x"],
        ["-H", "Connection: Keep-Alive"],
    ],
    ids=" ".join,
)
def test_no_client_waits_for_the_end_of_an_answer(machine, token, words, path):
    """OpenConext asks `/v1/records`, an Identity Provider and COmanage `/v1/people`; each has a library of its own."""
    credential = f"Authorization: Bearer {token.read_text().strip()}"
    asked = ["curl", "-sS", "--cacert", str(machine.trusted), "-H", credential, *words]
    address = f"{machine.base_url}{path}{quote(ACCOUNT, safe='')}"

    done = subprocess.run([*asked, address], capture_output=True, text=True, check=True)

    assert ORCID.uri in done.stdout


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_php_does_not_wait_for_the_end_of_an_answer(linked, machine, token, at_once, version):
    headers = [f"Authorization: Bearer {token.read_text().strip()}", "Connection: close"]
    options = json.dumps({"http": {"header": headers, "protocol_version": float(version)}})
    script = "echo file_get_contents($argv[1], false, stream_context_create(json_decode($argv[2], true)));"
    address = f"{machine.base_url}/v1/people/{quote(ACCOUNT, safe='')}"

    done = subprocess.run(
        ["php", "-d", f"openssl.cafile={machine.trusted}", "-r", script, address, options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert json.loads(done.stdout) == {"eduPersonOrcid": [ORCID.uri]}


def test_the_check_on_the_page_for_identity_providers_answers_at_once(machine, tmp_path, at_once):
    blocks = docs.blocks((docs.DOCS / "identity-provider.md").read_text("utf-8"))
    script = next(each for each in blocks if "curl" in each).replace(
        "https://orcid-connect.example.org", machine.base_url
    )

    done = subprocess.run(
        ["bash", "-c", script], input=f"{TOKEN}\n", capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "CURL_CA_BUNDLE": str(machine.trusted)},
    )  # fmt: skip

    assert json.loads(done.stdout.strip()) == {"eduPersonOrcid": []}
