"""The attribute authority, as services of the federation ask it: with a client of pysaml2, over HTTP."""

import http.client
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from saml2 import BINDING_HTTP_POST, saml, soap
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor
from saml2.pack import make_soap_enveloped_saml_thingy
from saml2.xmldsig import DIGEST_SHA1, DIGEST_SHA256, SIG_RSA_SHA1, SIG_RSA_SHA256

from resolver_connector.authority.app import MAX_QUERY_BYTES, AttributeAuthority
from resolver_connector.authority.query import CLOCK_SKEW
from resolver_connector.authority.replay import ReplayCache
from resolver_connector.authority.saml import METADATA_CHECK_INTERVAL, InvalidSamlFile, MetadataExpired, SamlMessages
from shibboleth.attributes import ATTRIBUTES
from shibboleth.orcid_id import Registry
from sql.store import open_store
from tests.support.authority import (
    SECOND_IDP,
    SERVICE,
    URI,
    make_authority,
    make_identity,
    make_keys,
    stored,
    write_federation,
)
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    POLYTECHNIC_IDP,
    UNIVERSITY_IDP,
    make_link,
    make_orcid_id,
)
from tests.support.service import Clock, ask, serve_app

# pysaml2 leaves temporary files to be closed when they are forgotten
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO")

AUTHORITY = "https://connect.example/aa"
STRANGER = "https://stranger.example/shibboleth"
EPPN = ATTRIBUTES["eppn"].saml2_name
ORCID = ATTRIBUTES["eduPersonOrcid"].saml2_name
MAIJA = "maija@yliopisto.example"
STRONG = {"sign_alg": SIG_RSA_SHA256, "digest_alg": DIGEST_SHA256}
WEAK = {"sign_alg": SIG_RSA_SHA1, "digest_alg": DIGEST_SHA1}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory, "stranger", "thief", "federation")


def settings_of(entity_id, key, metadata):
    return {
        "entityid": entity_id,
        "key_file": key["key"],
        "cert_file": key["certificate"],
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "metadata": {"local": [str(each) for each in metadata]},
        "service": {
            "sp": {
                "endpoints": {"assertion_consumer_service": [("https://sp.example/acs", BINDING_HTTP_POST)]},
                "want_response_signed": True,
            }
        },
    }


def described(settings):
    return re.sub(r"<\?xml.*?\?>", "", str(entity_descriptor(SPConfig().load(settings))))


def enveloped(made):
    """Give what pysaml2 made in a SOAP envelope; it gives a text if it signed, and bytes if it did not."""
    text = make_soap_enveloped_saml_thingy(made)
    return text if isinstance(text, bytes) else text.encode()


@dataclass
class World:
    """An authority at work, and those who ask it."""

    app: AttributeAuthority
    clock: Clock
    clients: dict
    keys: dict

    @property
    def federation(self):
        return self.app.saml.identity.metadata

    @property
    def described(self):
        """Where a client reads the authority's own metadata."""
        path = self.federation.with_name("authority.xml")
        path.write_bytes(self.app.saml.metadata)
        return path

    def query(self, who=SERVICE, value=MAIJA, form=EPPN, *, destination=AUTHORITY, how=STRONG, asks=(), qualifier=None):
        """Give a query as it goes over the wire; it is not signed where nothing tells how."""
        about = saml.NameID(text=value, format=form, name_qualifier=qualifier)
        _, made = self.clients[who].create_attribute_query(destination, name_id=about, sign=False)
        made.attribute = [saml.Attribute(name=name, name_format=URI) for name in asks]
        return enveloped(self.clients[who].sign(made, **how) if how else made)

    def post(self, body, **headers):
        words = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "text/xml"}
        return ask(self.app, "/aa", "POST", **{**words, **headers})

    def asked(self, *words, **other):
        """Ask, and give what the answer says: iDs, or the words of a refusal."""
        answer = self.post(self.query(*words, **other))
        assert answer.status == 200
        return said(answer.body)


def said(body):
    status = re.findall(rb'StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:(\w+)"', body)
    values = re.findall(rb"<[a-z0-9]+:AttributeValue[^>]*>([^<]*)<", body)

    return [each.decode() for each in status], [each.decode() for each in values]


NOTHING = (["Success"], [])
REFUSED = (["Requester", "RequestDenied"], [])


@pytest.fixture
def store(tmp_path):
    with stored(tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def settings(keys):
    """pysaml2's settings of each service of the federation."""
    named = {SERVICE: keys["service"], STRANGER: keys["stranger"]}
    return {name: settings_of(name, key, ()) for name, key in named.items()}


@pytest.fixture(scope="module")
def clients(keys, settings):
    """Who asks, and a thief who says to be the service."""
    thief = settings_of(SERVICE, keys["thief"], ())
    return {name: Saml2Client(config=SPConfig().load(each)) for name, each in {**settings, "thief": thief}.items()}


@pytest.fixture(scope="module")
def services(settings):
    """What the federation's metadata says of them."""
    return [described(each) for each in settings.values()]


@pytest.fixture
def identity(keys, services, tmp_path):
    return make_identity(AUTHORITY, keys["authority"], write_federation(tmp_path / "federation.xml", *services))


@pytest.fixture
def simulator(store, identity, clients, keys):
    clock = Clock(datetime.now(UTC))
    return World(make_authority(store, identity, clock), clock, clients, keys)


def test_a_service_that_an_organisation_has_named_gets_the_id(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))

    assert simulator.asked() == (["Success"], [make_orcid_id(7).uri])


def test_a_pysaml2_client_accepts_the_response(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))
    with (
        serve_app(simulator.app) as address,
        closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)) as connection,
    ):
        connection.request("POST", "/aa", simulator.query(), {"Content-Type": "text/xml"})
        body = connection.getresponse().read()
    inside = soap.parse_soap_enveloped_saml_attribute_response(body).decode()
    reader = Saml2Client(config=SPConfig().load(settings_of(SERVICE, simulator.keys["service"], [simulator.described])))

    answer = reader.sec.correctly_signed_response(inside, must=True, origdoc=body)

    (assertion,) = answer.assertion
    assert assertion.attribute_statement[0].attribute[0].name == ORCID
    assert assertion.subject.name_id.text == MAIJA
    assert assertion.conditions.audience_restriction[0].audience[0].text == SERVICE


@pytest.mark.parametrize("value", ["pekka@yliopisto.example", "nobody", "maija@amk.example", "maija@elsewhere.example"])
def test_people_without_an_id_and_unknown_people_get_the_same_response(simulator, store, value):
    make_link(store)

    assert simulator.asked(value=value) == NOTHING


def test_an_unnamed_service_gets_no_attribute_of_an_organisation(simulator, store):
    make_link(store, "pekka@amk.example", organisation=POLYTECHNIC)

    assert simulator.asked(value="pekka@amk.example") == NOTHING


def test_a_service_that_no_organisation_has_named_is_refused(simulator, store):
    make_link(store)

    assert simulator.asked(STRANGER) == REFUSED


@pytest.mark.parametrize(
    "other",
    [
        {"how": None},
        {"who": "thief"},
        {"how": WEAK},
        {"how": {**STRONG, "digest_alg": DIGEST_SHA1}},
        {"destination": "https://elsewhere.example/aa"},
        {"form": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
    ],
    ids=[
        *("unsigned", "signed by somebody else", "signed with SHA-1", "of a digest with SHA-1"),
        *("meant for another", "a name of another kind"),
    ],
)
def test_an_insufficiently_authenticated_query_is_refused(simulator, store, other):
    make_link(store)

    assert simulator.asked(**other) == REFUSED


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_query_outside_the_time_window_is_refused(simulator, store, minutes):
    make_link(store)
    query = simulator.query()

    simulator.clock.passes(minutes=minutes)

    assert said(simulator.post(query).body) == REFUSED


def test_a_replayed_query_is_refused(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))
    query = simulator.query()
    first = said(simulator.post(query).body)

    simulator.clock.passes(minutes=4)
    again = simulator.post(query)

    assert first == (["Success"], [make_orcid_id(7).uri])
    assert said(again.body) == REFUSED
    assert b"the query was sent before" in again.body
    assert simulator.asked() == first


def test_two_concurrent_copies_of_a_query_get_one_response(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))
    query = simulator.query()

    with ThreadPoolExecutor(4) as pool:
        answers = [said(each.body) for each in pool.map(simulator.post, [query] * 4)]

    assert answers.count((["Success"], [make_orcid_id(7).uri])) == 1
    assert answers.count(REFUSED) == 3


def test_refused_queries_are_not_remembered(simulator, store):
    for _ in range(2):
        simulator.asked(STRANGER)
        simulator.asked(who="thief")

    assert len(simulator.app.replay_cache) == 0


def test_the_replay_cache_is_bounded_and_entries_expire():
    answered, until = ReplayCache(max_entries=2), NOON + CLOCK_SKEW
    for number in range(3):
        assert answered.add(SERVICE, f"q{number}", until, NOON)

    assert len(answered) == 2
    assert not answered.add(SERVICE, "q2", until, until)
    assert answered.add(STRANGER, "q2", until, until)
    assert answered.add(SERVICE, "q4", until + CLOCK_SKEW, until + timedelta(seconds=1))
    assert len(answered) == 1


def test_the_subject_of_a_signed_query_cannot_be_changed(simulator, store):
    make_link(store, "pekka@yliopisto.example")
    query = simulator.query().replace(MAIJA.encode(), b"pekka@yliopisto.example")

    assert said(simulator.post(query).body) == REFUSED


def test_signature_wrapping_is_refused(simulator, store):
    make_link(store, "pekka@yliopisto.example")
    signed = simulator.query().decode()
    inside = signed[signed.index("Body>") + 5 : signed.rindex("</")]
    inside = inside[: inside.rindex("</")]
    forged = inside.replace(MAIJA, "pekka@yliopisto.example")
    for header, body in ((inside, forged), (forged, inside)):
        text = (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/">'
            f"<e:Header>{header}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
        )
        answer = simulator.post(text.encode())
        assert (answer.status, said(answer.body)[1]) == (500, [])


def test_only_requested_attributes_are_returned(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))

    assert simulator.asked(asks=["urn:oid:0.9.2342.19200300.100.1.3"]) == NOTHING
    assert simulator.asked(asks=["urn:oid:0.9.2342.19200300.100.1.3", ORCID]) == (["Success"], [make_orcid_id(7).uri])


@pytest.mark.parametrize(
    ("other", "there"),
    [
        ({"form": None}, True),
        ({"form": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"}, True),
        ({"form": ATTRIBUTES["subject-id"].saml2_name}, False),
        ({"qualifier": UNIVERSITY_IDP}, True),
        ({"qualifier": SECOND_IDP}, True),
        ({"qualifier": POLYTECHNIC_IDP}, False),
        ({"value": "MAIJA@YLIOPISTO.EXAMPLE"}, True),
    ],
)
def test_a_person_is_named_by_the_organisations_key(simulator, store, other, there):
    make_link(store, orcid_id=make_orcid_id(7))

    assert simulator.asked(**other) == ((["Success"], [make_orcid_id(7).uri]) if there else NOTHING)


def test_a_production_service_returns_no_sandbox_id(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7, Registry.SANDBOX))

    assert simulator.asked() == NOTHING


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"x" * (MAX_QUERY_BYTES + 1),
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>',
        b'<!DOCTYPE x [<!ENTITY a "a">]><x ID="a">&a;</x>',
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body ID="x"/></e:Envelope>',
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><x ID="x"/></e:Body></e:Envelope>',
    ],
)
def test_a_body_that_is_not_a_query_gets_a_soap_fault(simulator, body):
    answer = simulator.post(body)

    assert (answer.status, b"<faultcode>soap:Client</faultcode>" in answer.body) == (500, True)


def test_a_query_with_two_signatures_is_refused(simulator, store):
    make_link(store)
    query = simulator.query()
    signature = re.search(rb"<((?:\w+:)?Signature)[\s>].*</\1>", query, re.DOTALL)[0]

    answer = simulator.post(query.replace(signature, signature * 2))

    assert (answer.status, b"there must be one signature" in answer.body) == (500, True)


def test_the_body_size_is_limited_with_and_without_content_length(simulator):
    answer = simulator.post(b"x", CONTENT_LENGTH="0000655369999999")

    assert (answer.status, b"the body is larger than" in answer.body) == (500, True)


@pytest.mark.parametrize(
    "spoilt",
    [
        (b'Version="2.0"', b'Version="1.1"'),
        (b"<ns1:Issuer", b"<ns1:Nobody"),
        (b"NameID", b"NameNot"),
        (b'IssueInstant="2', b'IssueInstant="x'),
    ],
)
def test_a_query_that_lacks_something_is_answered_with_a_fault_or_refused(simulator, store, spoilt):
    make_link(store)
    answer = simulator.post(simulator.query().replace(*spoilt))

    assert said(answer.body)[1] == []
    assert answer.status == 500 or said(answer.body) == REFUSED


def test_an_unavailable_database_gets_a_retryable_response(simulator, tmp_path, caplog):
    away = open_store(f"sqlite://{tmp_path}/nothing/links.db")
    simulator.app = replace(simulator.app, store=away)

    answer = simulator.post(simulator.query())

    assert (answer.status, answer.header("Retry-After")) == (500, "5")
    assert b"soap:Server" in answer.body


def test_an_unexpected_exception_becomes_a_plain_soap_fault(simulator, store):
    class Broken:
        def orcid_of(self, *_):
            raise RuntimeError("maija@yliopisto.example")

    simulator.app = replace(simulator.app, store=Broken())

    answer = simulator.post(simulator.query())

    assert (answer.status, b"maija" in answer.body) == (500, False)


def test_our_metadata_has_the_key_and_the_endpoint(simulator):
    answer = ask(simulator.app, "/aa")

    assert answer.header("Content-Type") == "application/samlmetadata+xml"
    assert b"AttributeAuthorityDescriptor" in answer.body
    assert f'Location="{AUTHORITY}"'.encode() in answer.body
    assert ask(simulator.app, "/aa", "HEAD").body == b""
    assert ask(simulator.app, "/aa", "DELETE").status == 405


def test_new_metadata_of_the_federation_is_read_within_a_minute(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))
    before = simulator.asked()
    write_federation(simulator.federation, "")
    os.utime(simulator.federation, (1, 1))

    simulator.clock.passes(seconds=METADATA_CHECK_INTERVAL.total_seconds() + 1)

    assert before == (["Success"], [make_orcid_id(7).uri])
    assert simulator.asked() == REFUSED


def test_metadata_that_cannot_be_refreshed_is_still_used(simulator, store):
    make_link(store, orcid_id=make_orcid_id(7))
    simulator.federation.unlink()

    simulator.clock.passes(seconds=METADATA_CHECK_INTERVAL.total_seconds() + 1)

    assert simulator.asked() == (["Success"], [make_orcid_id(7).uri])


def soon(simulator):
    """Give a moment that comes before a query of now is too old."""
    return f"{simulator.clock() + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"


def replaced(simulator, *entities, **other):
    """Write new metadata of the federation, and let it be seen."""
    write_federation(simulator.federation, *entities, **other)
    simulator.clock.passes(seconds=METADATA_CHECK_INTERVAL.total_seconds() + 1)


def test_expired_metadata_refuses_every_service(simulator, store, services, caplog):
    make_link(store, orcid_id=make_orcid_id(7))
    caplog.set_level("INFO")
    replaced(simulator, *services, ends=soon(simulator))
    before = simulator.asked()
    simulator.clock.passes(minutes=1)

    answer = simulator.post(simulator.query())

    assert before == (["Success"], [make_orcid_id(7).uri])
    assert (answer.status, said(answer.body)) == (500, ([], []))
    assert b"the federation's metadata has expired" in answer.body
    assert [each.facts["error"] for each in caplog.records] == ["MetadataExpired"]


def test_refreshed_metadata_accepts_services_again(simulator, store, services):
    make_link(store, orcid_id=make_orcid_id(7))
    replaced(simulator, *services, ends=soon(simulator))
    simulator.clock.passes(minutes=1)
    before = simulator.post(simulator.query())

    replaced(simulator, *services, ends=soon(simulator))

    assert before.status == 500
    assert said(simulator.post(simulator.query()).body) == (["Success"], [make_orcid_id(7).uri])


@pytest.mark.parametrize("element", ["EntityDescriptor", "SPSSODescriptor"])
@pytest.mark.parametrize("loaded", [True, False], ids=["since it was loaded", "long since"])
def test_a_service_whose_own_metadata_has_expired_is_refused(simulator, store, services, element, loaded):
    make_link(store, orcid_id=make_orcid_id(7))
    mine, others = services
    until = soon(simulator) if loaded else "2020-01-01T00:00:00Z"
    ending = re.sub(rf"(<\w+:{element} )", rf'\1validUntil="{until}" ', mine, count=1)
    replaced(simulator, ending, others)
    before = simulator.asked()
    simulator.clock.passes(minutes=1)

    answer = simulator.post(simulator.query())

    assert before == ((["Success"], [make_orcid_id(7).uri]) if loaded else REFUSED)
    assert said(answer.body) == REFUSED
    assert b"the metadata of the service has expired" in answer.body


def test_the_authority_does_not_start_with_expired_metadata(identity, services):
    write_federation(identity.metadata, *services, ends="2020-01-01T00:00:00Z")

    with pytest.raises(MetadataExpired, match=r"2020-01-01"):
        SamlMessages(identity, NOON)


def test_unsigned_metadata_is_not_used(identity, keys):
    demanding = replace(identity, metadata_certificate=Path(keys["federation"]["certificate"]))

    with pytest.raises(InvalidSamlFile, match="is not signed"):
        SamlMessages(demanding, NOON)


def test_the_log_contains_no_personal_data(simulator, store, caplog):
    make_link(store)
    caplog.set_level(0)

    simulator.asked()
    simulator.asked(how=None)
    simulator.asked(who="thief")

    assert "maija" not in caplog.text
