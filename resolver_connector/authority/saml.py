"""SAML 2.0 of the attribute authority, by pysaml2: queries come in as values, answers go out as SOAP.

Assertion Query/Request Profile: saml-profiles-2.0-os section 6; SOAP binding: saml-bindings-2.0-os section 3.2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from saml2 import BINDING_SOAP, SAMLError, class_name, samlp
from saml2.config import Config
from saml2.mdstore import TooOld
from saml2.metadata import entity_descriptor
from saml2.pack import make_soap_enveloped_saml_thingy
from saml2.s_utils import sid, status_message_factory, success_status_factory
from saml2.saml import NAMEID_FORMAT_ENTITY, Issuer, NameID
from saml2.server import Server
from saml2.sigver import MissingKey, SignatureError
from saml2.time_util import instant
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

from resolver_connector.authority.query import (
    ATTRIBUTE_OF,
    LISTED,
    UNSPECIFIED,
    VERSION,
    Denied,
    Query,
    asked,
    issuer_of,
    must_be_strong,
    parsed,
)
from shibboleth.attributes import ATTRIBUTES
from shibboleth.metadata import ended
from shibboleth.orcid_id import OrcidId

LOOK_AGAIN = timedelta(minutes=1)
"""How often to look whether the federation's metadata is a new one."""

# It tells of messages, and messages tell of persons; what there is to say, the application says
logging.getLogger("saml2").setLevel(logging.CRITICAL)


class Unusable(ValueError):
    """The key, the certificate or the federation's metadata cannot be used; its text says why."""


class MetadataExpired(Unusable):
    """The federation's metadata is older than it may be: nobody in it can be believed any more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the authority speaks, and whom it listens to."""

    entity_id: str
    url: str
    """Where queries are sent: the Destination that they must name if they name one."""
    key: Path
    """Private key in PEM."""
    certificate: Path
    metadata: Path
    """The federation's metadata."""
    metadata_certificate: Path | None = None
    """Who must have signed the metadata; nobody where the file is already known to be right."""


class Saml:
    """Reads queries and writes answers, for one identity."""

    def __init__(self, identity: Identity, now: datetime) -> None:
        """Read keys and metadata. Raises Unusable."""
        self.identity = identity
        self._server, self._stamp = self._made(), self._seen()
        self._looked_at = now
        self.description = _described(self._server.config)
        """Our own metadata, to be given to the federation."""

    def read(self, body: bytes, now: datetime) -> Query:
        """Read a query. Raises Malformed, Denied and Unusable."""
        query = parsed(body)
        self._refresh(now)
        self._must_be_of_now(query, now)
        self._must_be_signed(query, body)
        must_be_strong(query)
        self._must_be_for_us(query)
        return asked(query, now)

    def found(self, query: Query, orcid_ids: Sequence[OrcidId]) -> bytes:
        """Write an answer: an assertion with these iDs; or success without one, where there are none."""
        if not orcid_ids:
            return self._sealed(self._response(query.id, success_status_factory()))
        answer = self._server.create_attribute_response(
            {"eduPersonOrcid": [each.uri for each in orcid_ids]},
            query.id,
            None,
            query.service,
            name_id=_name_id(query),
            sign_response=True,
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
        return _enveloped(answer)

    def denied(self, error: Denied) -> bytes:
        """Write an answer to whoever may not ask; not signed, since anybody can have us write it."""
        status = status_message_factory(str(error), samlp.STATUS_REQUEST_DENIED, samlp.STATUS_REQUESTER)
        return _enveloped(self._response(error.query_id, status))

    def _response(self, query_id: str, status: Any) -> Any:
        return samlp.Response(
            id=sid(),
            version=VERSION,
            issue_instant=instant(),
            issuer=Issuer(text=self._server.config.entityid, format=NAMEID_FORMAT_ENTITY),
            in_response_to=query_id,
            status=status,
        )

    def _sealed(self, response: Any) -> bytes:
        return _enveloped(self._server.sign(response, sign_alg=SIG_RSA_SHA256, digest_alg=DIGEST_SHA256))

    def _must_be_of_now(self, query: Any, now: datetime) -> None:
        """See that the metadata that tells of who asks may still be believed: as a whole, and of this one."""
        for source in self._server.metadata.metadata.values():
            whole = source.entities_descr or source.entity_descr
            if end := ended([getattr(whole, "valid_until", None)], now):
                raise MetadataExpired(f"{self.identity.metadata} was valid until {end}")
            if issuer_of(query) in source.to_old or ended(_ends(source.entity.get(issuer_of(query), {})), now):
                raise Denied("what the federation's metadata says of who asks has expired", query.id)

    def _must_be_signed(self, query: Any, body: bytes) -> None:
        if not query.signature:
            raise Denied("it is not signed", query.id)
        try:
            # As it came: what pysaml2 has read and written again has other prefixes, which a signature covers
            self._server.sec.check_signature(query, class_name(query), body, must=True)
        except MissingKey:
            raise Denied("the federation's metadata has no key of who asks", query.id) from None
        except (SignatureError, SAMLError) as error:
            raise Denied(f"its signature does not hold ({type(error).__name__})", query.id) from None

    def _must_be_for_us(self, query: Any) -> None:
        if query.destination not in {None, "", self.identity.url}:
            raise Denied("it is addressed to somebody else", query.id)

    # The federation's metadata changes daily, and a new file is read when it is there

    def _refresh(self, now: datetime) -> None:
        if abs(now - self._looked_at) < LOOK_AGAIN:
            return
        self._looked_at = now
        stamp = self._seen()
        if stamp not in {None, self._stamp}:
            self._server, self._stamp = self._made(), stamp

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = self.identity.metadata.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _made(self) -> Server:
        mine = self.identity
        signed_by = () if mine.metadata_certificate is None else (str(mine.metadata_certificate),)
        source = {"class": "saml2.mdstore.MetaDataFile", "metadata": [(str(mine.metadata), *signed_by)]}
        settings = {
            "entityid": mine.entity_id,
            "key_file": str(mine.key),
            "cert_file": str(mine.certificate),
            "xmlsec_binary": "/usr/bin/xmlsec1",
            "metadata": [source],
            "service": {
                "aa": {
                    "endpoints": {"attribute_service": [(mine.url, BINDING_SOAP)]},
                    "name_id_format": sorted(ATTRIBUTE_OF),
                    "policy": {"default": {"lifetime": {"minutes": 5}, "fail_on_missing_requested": False}},
                }
            },
        }
        try:
            server = Server(config=Config().load(settings))
        except TooOld as error:
            raise MetadataExpired(f"{mine.metadata}: {error}") from error
        except Exception as error:
            # pysaml2 has no one class for what may be wrong with a file
            raise Unusable(f"{type(error).__name__}: {error}") from error
        # With a certificate given, pysaml2 checks a signature that is there, and lets pass what has none
        if signed_by and not all(each.signed() for each in server.metadata.metadata.values()):
            raise Unusable(f"{mine.metadata} is not signed")
        return server


def _described(config: Config) -> bytes:
    found = entity_descriptor(config)
    # pysaml2 lists whatever xmlsec1 knows, MD5 and SHA-1 too, and a Shibboleth SP signs with the first that it knows
    known = found.extensions.extension_elements
    found.extensions.extension_elements = [each for each in known if each.attributes.get("Algorithm") in LISTED]
    return str(found).encode()


def _ends(entity: Mapping[str, Any]) -> Iterator[str | None]:
    """Give when what metadata says of an entity ends, and of its roles: the first of these ends all of it."""
    yield entity.get("valid_until")
    for roles in entity.values():
        if isinstance(roles, list):
            yield from (role.get("valid_until") for role in roles if isinstance(role, dict))


def _name_id(query: Query) -> Any:
    form = UNSPECIFIED if query.attribute is None else ATTRIBUTES[query.attribute].saml2_name
    return NameID(text=query.value, format=form, name_qualifier=query.qualifier)


def _enveloped(message: Any) -> bytes:
    text = make_soap_enveloped_saml_thingy(message)
    return text.encode() if isinstance(text, str) else bytes(text)
