"""Signed metadata of an invented federation, as bytes."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml import DigestAlgorithm, SignatureMethod, XMLSigner

IDP = "https://idp.esimerkki.example/idp/shibboleth"
LATER, EARLIER = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
NAMES = {"en": "Example University", "fi": "Esimerkin yliopisto", "sv": "Exempels universitet"}
CONTACTS = (
    ("technical", "Maija", "Mäkelä", "mailto:idm@esimerkki.example"),
    ("support", "", "", "help@esimerkki.example"),
)


class Sha1Signer(XMLSigner):
    """Signs as federations did long ago."""

    def check_deprecated_methods(self):
        """Accept SHA-1."""


@cache
def key_pair(name):
    """Make a key and a certificate, which has expired."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime.now(UTC) - timedelta(days=900)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=300))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(serialization.Encoding.PEM).decode()


def idp(
    entity_id=IDP,
    names=None,
    scopes=("esimerkki.example",),
    contacts=CONTACTS,
    *,
    role="IDPSSODescriptor",
    valid_until="",
    patterns=(),
):
    """Write the entry of an Identity Provider; values are inserted as XML."""
    shown = "".join(
        f'<ui:DisplayName xml:lang="{code}">{name}</ui:DisplayName>' for code, name in (names or NAMES).items()
    )
    scoped = "".join(f"<shibmd:Scope>{each}</shibmd:Scope>" for each in scopes)
    scoped += "".join(f'<shibmd:Scope regexp="true">{each}</shibmd:Scope>' for each in patterns)
    people = "".join(
        f'<ContactPerson contactType="{kind}"><GivenName>{given}</GivenName><SurName>{family}</SurName>'
        f"<EmailAddress>{address}</EmailAddress></ContactPerson>"
        for kind, given, family, address in contacts
    )
    until = f' validUntil="{valid_until}"' if valid_until else ""
    return (
        f'<EntityDescriptor entityID="{entity_id}"{until}><{role} protocolSupportEnumeration="p"><Extensions>{scoped}'
        f"<ui:UIInfo>{shown}</ui:UIInfo></Extensions></{role}><Organization>"
        f'<OrganizationDisplayName xml:lang="de">Beispiel</OrganizationDisplayName></Organization>{people}'
        "</EntityDescriptor>"
    )


def federation(*entities, valid_until=LATER, root="EntitiesDescriptor"):
    """Write metadata that is not signed yet."""
    until = f' validUntil="{valid_until}"' if valid_until else ""
    return (
        f'<{root} xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" '
        f'xmlns:ui="urn:oasis:names:tc:SAML:metadata:ui" ID="_f"{until}>{"".join(entities)}</{root}>'
    )


def sign(text, name="federation", digest="SHA256"):
    """Sign metadata as its federation does: the root, enveloped."""
    key, certificate = key_pair(name)
    kind = XMLSigner if digest == "SHA256" else Sha1Signer
    signer = kind(
        signature_algorithm=SignatureMethod[f"RSA_{digest}"],
        digest_algorithm=DigestAlgorithm[digest],
        c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    )
    signed = signer.sign(
        etree.fromstring(text.encode()), key=key, cert=certificate, reference_uri="#_f", id_attribute="ID"
    )
    return etree.tostring(signed)
