"""What is believed of a federation's metadata: what its key has signed, and nothing else."""

import pytest

from shibboleth.federation_metadata import Contact, read_identity_provider
from shibboleth.metadata import InvalidMetadata
from tests.support.factories import NOON
from tests.support.federation_metadata import EARLIER, IDP, LATER, federation, idp, key_pair, sign

CERTIFICATE = key_pair("federation")[1]
OTHER = idp("https://idp.other.example/idp", scopes=("other.example",))
ENTITY = "https://idp.esimerkki.example/idp/shibboleth"


def read(data, entity_id=IDP, certificate=CERTIFICATE):
    return read_identity_provider(data, certificate, entity_id, NOON)


def test_an_identity_provider_is_read_with_names_scopes_and_contacts():
    found = read(sign(federation(OTHER, idp(patterns=(r"^.+\.esimerkki\.example$",)))))

    assert found.entity_id == ENTITY
    assert dict(found.names) == {
        "de": "Beispiel",
        "en": "Example University",
        "fi": "Esimerkin yliopisto",
        "sv": "Exempels universitet",
    }
    assert found.scopes == ("esimerkki.example",)
    assert found.pattern_scopes == (r"^.+\.esimerkki\.example$",)
    assert found.contacts == (
        Contact("technical", "Maija Mäkelä", "idm@esimerkki.example"),
        Contact("support", "", "help@esimerkki.example"),
    )
    assert found.valid_until == LATER


def test_names_are_text_on_one_line():
    names = {"en": "  A&#10;B\u202e&lt;b&gt; ", "fi": "x" * 500, "sv": "&#160;", "FI-fi": ""}

    found = read(sign(federation(idp(names=names, contacts=[("other\u202e", "\u2066a", "", "mailto:\u200b")]))))

    assert dict(found.names) == {"de": "Beispiel", "en": "A B<b>", "fi": "x" * 200}
    assert found.contacts == (Contact("other", "a", ""),)


def test_metadata_may_be_of_one_entity_and_without_an_end():
    alone = idp().replace(
        "<EntityDescriptor ",
        '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="_f" '
        'xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" xmlns:ui="urn:oasis:names:tc:SAML:metadata:ui" ',
    )

    assert read(sign(alone)).valid_until == ""


def tampered(data, old, new):
    assert old in data
    return data.replace(old, new)


def wrapped():
    """Move what is signed aside, and put another root around it."""
    signed = sign(federation(OTHER)).decode()
    evil = federation(idp(scopes=("evil.example",)))
    return evil.replace("</EntitiesDescriptor>", f"<Extensions>{signed}</Extensions></EntitiesDescriptor>").encode()


def wrapped_signature():
    """Copy a signature to another root, with what it signs below."""
    signed = sign(federation(OTHER)).decode()
    begin = signed.index("<ds:Signature")
    signature = signed[begin : signed.index("</ds:Signature>") + len("</ds:Signature>")]
    evil = federation(idp(scopes=("evil.example",))).replace('ID="_f"', 'ID="_e"')
    inner = signed.replace(signature, "")
    return evil.replace(
        "</EntitiesDescriptor>", f"{signature}<Extensions>{inner}</Extensions></EntitiesDescriptor>"
    ).encode()


SIGNED = sign(federation(idp()))
REFUSED = {
    "not signed": (federation(idp()).encode(), "signature is not valid"),
    "signed by another key": (sign(federation(idp()), "other"), "signature is not valid"),
    "changed": (
        tampered(SIGNED, b"esimerkki.example</shibmd:Scope>", b"evil.example</shibmd:Scope>"),
        "signature is not valid",
    ),
    "signed by SHA-1": (sign(federation(idp()), digest="SHA1"), "signature is not valid"),
    "a signed part of another file": (wrapped(), "signature is not valid"),
    "a signature of a part": (wrapped_signature(), "no entity"),
    "expired": (sign(federation(idp(), valid_until=EARLIER)), f"expired at {EARLIER}"),
    "an expired entity": (sign(federation(idp(valid_until=EARLIER))), f"expired at {EARLIER}"),
    "an expired group": (
        sign(federation(f'<EntitiesDescriptor validUntil="{EARLIER}">{idp()}</EntitiesDescriptor>')),
        f"expired at {EARLIER}",
    ),
    "no such entity": (sign(federation(OTHER)), "no entity"),
    "twice": (sign(federation(idp(), idp())), "more than one entity"),
    "a service": (sign(federation(idp(role="SPSSODescriptor"))), "not an Identity Provider"),
    "other XML": (sign('<a ID="_f"/>'), "not SAML 2.0 metadata"),
    "no XML": (b"haka", "not acceptable XML"),
    "empty": (b"", "not acceptable XML"),
    "another encoding": (b'<?xml version="1.0" encoding="nowhere"?><a/>', "not acceptable XML"),
    "a document type": (b"<!DOCTYPE a []>" + SIGNED, "not acceptable XML"),
    "an entity": (b'<!DOCTYPE a [<!ENTITY e "e">]>' + SIGNED, "not acceptable XML"),
    "an entity of a file": (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + SIGNED, "not acceptable XML"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_other_metadata_is_refused(data, reason):
    with pytest.raises(InvalidMetadata, match=reason):
        read(data)


def test_a_certificate_is_needed():
    with pytest.raises(InvalidMetadata, match="certificate is not one in PEM"):
        read(SIGNED, certificate="-----BEGIN CERTIFICATE-----")
