"""Two other services of the federation.

They have an Apache, a mod_shib and a shibd of their own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shibboleth.attributes import ATTRIBUTES
from shibboleth.handout.consumer import Consumer, consumer_files
from shibboleth.orcid_id import Registry
from tests.support.system.machine import DidNotStart, Machine, fresh_directory, make_directory
from tests.support.system.people import SAIMAA

if TYPE_CHECKING:
    from tests.support.system.stack import Stack

KEY = "neighbour"
"""The name of the key by which both sign and decrypt."""
SHOWN = ("eppn", "displayName", "eduPersonOrcid")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as the federation knows it."""

    host: str
    application: str
    """What mod_shib calls it."""
    requested: tuple[str, ...]
    """The attributes that its metadata asks for."""

    @property
    def entity_id(self) -> str:
        return f"https://{self.host}/shibboleth"


JOURNAL = Service("journal.test", "default", SHOWN)
CANTEEN = Service("canteen.test", "canteen", ("eppn", "displayName"))
SERVICES = (JOURNAL, CANTEEN)

METADATA = """\
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"
  entityID="{entity_id}">
<md:SPSSODescriptor AuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:KeyDescriptor><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>
</ds:KeyInfo></md:KeyDescriptor>
<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
  Location="https://{host}:{port}/Shibboleth.sso/SAML2/POST" index="1" isDefault="true"/>
<md:AttributeConsumingService index="1"><md:ServiceName xml:lang="en">{host}</md:ServiceName>
{requested}</md:AttributeConsumingService>
</md:SPSSODescriptor></md:EntityDescriptor>
"""
REQUESTED = """\
<md:RequestedAttribute Name="{name}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"/>
"""

SHIBBOLETH = """\
<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" clockSkew="180">
  <ApplicationDefaults entityID="{journal.entity_id}" signing="true">
    <Sessions lifetime="28800" timeout="3600" relayState="ss:mem" checkAddress="false" handlerSSL="true"
        cookieProps="https" redirectLimit="exact">
      <SSO entityID="{idp}">SAML2</SSO>
      <Logout>Local</Logout>
    </Sessions>
    <Errors supportContact="help@journal.test"/>
    <MetadataProvider type="XML" validate="true" path="{metadata}"/>
    <AttributeExtractor type="XML" validate="true" path="attribute-map.xml"/>
    <AttributeFilter type="XML" validate="true" path="attribute-policy.xml"/>
    <CredentialResolver type="File" key="{key[key]}" certificate="{key[certificate]}"/>
    <ApplicationOverride id="{canteen.application}" entityID="{canteen.entity_id}"/>
  </ApplicationDefaults>
  <SecurityPolicyProvider type="XML" validate="true" path="security-policy.xml"/>
  <ProtocolProvider type="XML" validate="true" path="protocols.xml"/>
</SPConfig>
"""

NAMED = """\
    <Attribute name="urn:oid:2.16.840.1.113730.3.1.241" id="displayName"/>
"""
"""What Debian's attribute map does not know either."""

SITE = """\
<VirtualHost *:{port}>
    ServerName https://{service.host}:{port}
    UseCanonicalName On
    SSLEngine on
    SSLCertificateFile {tls[certificate]}
    SSLCertificateKeyFile {tls[key]}
    DocumentRoot {www}
    <Directory {www}>
        Options Includes
        AddType text/html .shtml
        AddOutputFilter INCLUDES .shtml
        DirectoryIndex index.shtml
    </Directory>
    <Location />
        AuthType shibboleth
        ShibRequestSetting requireSession 1
        ShibRequestSetting applicationId {service.application}
        Require shib-session
    </Location>
    <Location /Shibboleth.sso>
        AuthType None
        Require all granted
        SetHandler shib
    </Location>
</VirtualHost>
"""

PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Told</title><h1>What we were told</h1>\n{rows}'
ROW = '<p>{name}: <span id="{name}"><!--#echo var="{name}" --></span></p>\n'


def metadata_of(service: Service, port: int, certificate: str) -> str:
    """Give what the federation knows of a service."""
    requested = "".join(REQUESTED.format(name=ATTRIBUTES[name].saml2_name) for name in service.requested)
    return METADATA.format(
        entity_id=service.entity_id, host=service.host, port=port, certificate=certificate, requested=requested
    )


@dataclass(slots=True, kw_only=True)
class OtherServices(Machine):
    """The machine of the two services."""

    stack: Stack
    """Whose federation they are in."""

    def address(self, service: Service) -> str:
        return f"https://{service.host}:{self.stack.neighbours_port}"

    def install(self) -> None:
        self.make_directories()
        www = make_directory(self.directory / "www")
        (www / "index.shtml").write_text(PAGE.format(rows="".join(ROW.format(name=name) for name in SHOWN)), "utf-8")
        self._install_service_provider()
        self._install_sites(www)

    def _install_service_provider(self) -> None:
        to = self.install_shibboleth()
        # What every service is handed that wants the iD, put where its files say
        handed = {each.path: each.text for each in consumer_files(Consumer.SHIBBOLETH, Registry.SANDBOX)}
        lines = re.search(r"<Attributes [^>]*>\n(.*)</Attributes>", handed["attribute-map.xml"], re.DOTALL)[1]
        rule = re.search(r"<AttributeRule .*</AttributeRule>", handed["attribute-policy.xml"], re.DOTALL)[0]
        for name, before, added in (
            ("attribute-map.xml", "</Attributes>", NAMED + lines),
            ("attribute-policy.xml", '<AttributeRule attributeID="*"', rule),
        ):
            known = (Path("/etc/shibboleth") / name).read_text("utf-8")
            assert known.count(before) == 1
            (to / name).write_text(known.replace(before, f"{added}\n{before}"), "utf-8")
        text = SHIBBOLETH.format(
            journal=JOURNAL,
            canteen=CANTEEN,
            idp=SAIMAA.entity_id,
            metadata=self.stack.directory / "federation" / "federation.xml",
            key=self.stack.key(KEY),
        )
        (to / "shibboleth2.xml").write_text(text, "utf-8")

    def _install_sites(self, www: Path) -> None:
        to = self.install_apache("ssl", "shib", "include")
        port = self.stack.neighbours_port
        (to / "ports.conf").write_text(f"Listen 127.0.0.1:{port}\n")
        sites = [SITE.format(service=each, port=port, tls=self.stack.world_key, www=www) for each in SERVICES]
        (to / "sites-available" / "neighbours.conf").write_text("".join(sites), "utf-8")
        self.do("a2ensite", "-q", "neighbours")


@contextmanager
def running_beside(stack: Stack, tries: int = 2) -> Iterator[OtherServices]:
    """The two services at work in a stack's federation.

    Starting is tried twice, as a stack is.
    """
    neighbours = OtherServices(directory=fresh_directory(), venv=stack.venv, stack=stack)
    try:
        _start(neighbours, tries)
        yield neighbours
    finally:
        neighbours.stop()
        shutil.rmtree(neighbours.directory, ignore_errors=True)


def _start(neighbours: OtherServices, tries: int) -> None:
    neighbours.install()
    try:
        neighbours.start_shibd()
        neighbours.start_apache()
    except DidNotStart:
        neighbours.stop()
        if tries == 1:
            raise
        shutil.rmtree(neighbours.directory)
        neighbours.directory.mkdir(mode=0o755)
        _start(neighbours, tries - 1)
