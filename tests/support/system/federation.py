"""Keys and signed metadata of the test federation, written once per stack."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

from shibboleth.attributes import ATTRIBUTES
from tests.support.system.people import IdentityProvider

URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"

FRIENDLY_NAMES = {"eppn": "eduPersonPrincipalName"}
"""Where the federation's own name of an attribute is another than our id."""

ENTITIES = """\
<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"
  xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" xmlns:mdui="urn:oasis:names:tc:SAML:metadata:ui"
  ID="_federation" Name="urn:test:federation" validUntil="{valid_until}">
<ds:Signature><ds:SignedInfo>
<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>
<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>
<ds:Reference URI="#_federation"><ds:Transforms>
<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference>
</ds:SignedInfo><ds:SignatureValue/></ds:Signature>
{entities}</md:EntitiesDescriptor>
"""

ENTITY = """\
<md:EntityDescriptor entityID="{entity_id}">
<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:Extensions><shibmd:Scope regexp="false">{scope}</shibmd:Scope>
<mdui:UIInfo><mdui:DisplayName xml:lang="fi">{name}</mdui:DisplayName></mdui:UIInfo></md:Extensions>
<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate>
</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:transient</md:NameIDFormat>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{sso}"/>
</md:IDPSSODescriptor></md:EntityDescriptor>
"""


def make_key(directory: Path, name: str, *hosts: str) -> dict[str, str]:
    """Create an RSA key and a self-signed certificate, and return their files."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    names = ",".join(f"{'IP' if each[0].isdigit() else 'DNS'}:{each}" for each in hosts or (name,))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName={names}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"key": str(key), "certificate": str(certificate)}


def certificate_text(certificate: Path | str) -> str:
    """Return the base64 text of a PEM file as one line, as in metadata."""
    return "".join(line for line in Path(certificate).read_text("ascii").split("\n") if "-----" not in line)


def write_metadata(
    directory: Path, providers: Iterable[IdentityProvider], keys: Mapping[str, Mapping[str, str]], port: int
) -> Path:
    """Write and sign the federation's metadata; it is valid for a week."""
    bare, signed = directory / "bare.xml", directory / "federation.xml"
    entities = "".join(_entity(each, keys[each.key or each.host]["certificate"], port) for each in providers)
    valid_until = (datetime.now(UTC) + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")
    bare.write_text(ENTITIES.format(valid_until=valid_until, entities=entities), "utf-8")
    key = keys["federation"]
    subprocess.run(
        ["xmlsec1", "--sign", "--privkey-pem", f"{key['key']},{key['certificate']}",
         "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntitiesDescriptor", "--output", signed, bare],
        check=True, capture_output=True,
    )  # fmt: skip
    return signed


def write_attribute_maps(directory: Path) -> Path:
    """Write pysaml2's map from our ids to SAML names."""
    directory.mkdir()
    names = {FRIENDLY_NAMES.get(each.id, each.id): each.saml2_name for each in ATTRIBUTES.values()}
    back = {name: local for local, name in names.items()}
    text = f"MAP = {{'identifier': {URI!r}, 'to': {names!r}, 'fro': {back!r}}}\n"
    (directory / "uri.py").write_text(text, "utf-8")
    return directory


def _entity(provider: IdentityProvider, certificate: str, port: int) -> str:
    return ENTITY.format(
        entity_id=provider.entity_id,
        scope=provider.scope,
        name=escape(provider.name),
        certificate=certificate_text(certificate),
        sso=f"https://{provider.host}:{port}/sso",
    )
