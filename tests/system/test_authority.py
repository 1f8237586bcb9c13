"""The attribute authority as a real Shibboleth SP asks it, set up as the page tells: by Debian's `resolvertest`."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from shibboleth.attributes import ATTRIBUTES
from tests.support.authority import SERVICE, URI, make_authority, make_identity, make_keys, stored, write_federation
from tests.support.docs import DOCS
from tests.support.factories import (
    UNIVERSITY_IDP,
    make_link,
    make_orcid_id,
)
from tests.support.ports import free_port
from tests.support.system.federation import certificate_text, make_key
from tests.support.tls import serve_tls

# pysaml2 leaves temporary files to be closed when they are forgotten
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO")

AUTHORITY = "https://orcid-connect.example.org/aa"
ACCOUNT = "maija@yliopisto.example"

ENTITIES = """\
<EntityDescriptor entityID="{service}" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<KeyDescriptor><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>
</ds:KeyInfo></KeyDescriptor><AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
Location="https://sp.example/Shibboleth.sso/SAML2/POST" index="1"/></SPSSODescriptor></EntityDescriptor>
<EntityDescriptor entityID="{idp}"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<Extensions><shibmd:Scope xmlns:shibmd="urn:mace:shibboleth:metadata:1.0">yliopisto.example</shibmd:Scope></Extensions>
<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"/>
</IDPSSODescriptor></EntityDescriptor>
"""

SHIBBOLETH = """\
<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" clockSkew="180">
  <ApplicationDefaults entityID="{service}" signing="true">
    <Sessions lifetime="28800" timeout="3600" checkAddress="false" handlerSSL="true" cookieProps="https"/>
    <MetadataProvider type="XML" path="{metadata}"/>
    <AttributeExtractor type="XML" path="attribute-map.xml"/>
    {asking}    <AttributeFilter type="XML" path="attribute-policy.xml"/>
    <CredentialResolver type="File" key="{key[key]}" certificate="{key[certificate]}"/>
    {trusting}  </ApplicationDefaults>
  <SecurityPolicyProvider type="XML" path="security-policy.xml"/>
  <ProtocolProvider type="XML" path="protocols.xml"/>
</SPConfig>
"""

ASSERTION = """\
<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0" IssueInstant="{now}">
<Issuer>{idp}</Issuer>
<Subject><NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">_2</NameID></Subject>
<Conditions NotBefore="{now}" NotOnOrAfter="{later}"/>
<AttributeStatement><Attribute Name="{eppn}" NameFormat="{uri}"><AttributeValue>{account}</AttributeValue></Attribute>
</AttributeStatement></Assertion>
"""


def shown(language, number=0):
    """Give a block of the page."""
    page = (DOCS / "attribute-authority.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[number]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory) | {"web": make_key(tmp_path_factory.mktemp("web"), "web", "127.0.0.1")}


@pytest.fixture
def store(tmp_path):
    with stored(tmp_path) as store:
        yield store


@pytest.fixture
def asked(store, keys, tmp_path):
    """Have an SP that was set up as the page tells resolve the attributes of a sign-in; gives what it says."""
    held = {}

    def app(environ, start_response):
        return held["app"](environ, start_response)

    port = free_port()
    with serve_tls(app, port, keys["web"]):
        metadata = tmp_path / "federation.xml"
        words = {
            "service": SERVICE,
            "idp": UNIVERSITY_IDP,
            "certificate": certificate_text(keys["service"]["certificate"]),
        }
        write_federation(metadata, ENTITIES.format(**words))
        identity = make_identity(AUTHORITY, keys["authority"], metadata, f"https://127.0.0.1:{port}/aa")
        held["app"] = make_authority(store, identity, lambda: datetime.now(UTC))
        write_federation(metadata, ENTITIES.format(**words), held["app"].saml.metadata.decode())
        yield lambda: _resolved(_service_provider(tmp_path / "shibboleth", metadata, keys["service"]))


def _service_provider(directory, metadata, key):
    if not directory.exists():
        shutil.copytree("/etc/shibboleth", directory, ignore=shutil.ignore_patterns("*-key.pem", "shibboleth2.xml"))
        attribute_map = directory / "attribute-map.xml"
        text = attribute_map.read_text("utf-8")
        attribute_map.write_text(text.replace("</Attributes>", shown("xml", 2) + "</Attributes>"), "utf-8")
        text = SHIBBOLETH.format(
            service=SERVICE, metadata=metadata, asking=shown("xml"), trusting=shown("xml", 1), key=key
        )
        (directory / "shibboleth2.xml").write_text(text, "utf-8")
    return directory


def _resolved(directory):
    now = datetime.now(UTC)
    times = {"now": f"{now:%Y-%m-%dT%H:%M:%SZ}", "later": f"{now + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"}
    names = {"idp": UNIVERSITY_IDP, "eppn": ATTRIBUTES["eppn"].saml2_name, "uri": URI, "account": ACCOUNT}
    environment = {
        "PATH": "/usr/bin:/bin",
        "SHIBSP_CONFIG": str(directory / "shibboleth2.xml"),
        "SHIBSP_CFGDIR": str(directory.parent),
        "SHIBSP_LOGDIR": str(directory.parent),
        "SHIBSP_RUNDIR": str(directory.parent),
        "SHIBSP_CACHEDIR": str(directory.parent),
    }
    done = subprocess.run(
        ["resolvertest"], input=ASSERTION.format(**names, **times), env=environment, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    return {line for line in done.stdout.split("\n") if re.match(r"\w+: ", line)}, done.stdout + done.stderr


def test_a_shibboleth_sp_set_up_as_the_page_tells_gets_the_id(asked, store):
    make_link(store, ACCOUNT, orcid_id=make_orcid_id(7))

    found, said = asked()

    assert found == {f"eppn: {ACCOUNT}", f"eduPersonOrcid: {make_orcid_id(7).uri}"}, said


def test_who_has_no_id_is_signed_in_all_the_same(asked):
    found, said = asked()

    assert found == {f"eppn: {ACCOUNT}"}, said
    assert "ERROR" not in said
