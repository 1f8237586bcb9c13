"""What each kind of transfer says, octet by octet where somebody else's program reads it, and how it takes answers."""

import base64
import csv
import json
import logging
import socket
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from freezegun import freeze_time
from standardwebhooks import Webhook, WebhookVerificationError

from demo.idm.app import PASSWORD, SECRET, TOKEN, USER, Idm
from demo.idm.http import Response, json_response
from demo.idm.scim import SCHEMA
from demo.idm.server import serve
from resolver_connector.transfers.base import Outcome, Policy, ValueForm
from resolver_connector.transfers.file import FileTransfer, Format
from resolver_connector.transfers.http import MAX_RESPONSE_BYTES
from resolver_connector.transfers.rest import Profile, Removal, RestTransfer
from resolver_connector.transfers.scim import Form, Operation, ScimTransfer
from resolver_connector.transfers.soap import SoapTransfer
from shibboleth.orcid_id import Registry
from sql.records import ChangeKind, ChangeReason
from tests.support.factories import NOON, make_orcid_id
from tests.support.transfers.harness import (
    AKE,
    FIRST,
    LINKED,
    MAIJA,
    REMOVED,
    REPLACED,
    SECOND,
    CscHarness,
    ScimHarness,
    SoapHarness,
    V1Harness,
    with_settings,
)
from tests.support.transfers.harness import make_change as make_news
from tests.support.transfers.private_ca import PrivateCa

SECONDS = 20
THIRD = make_orcid_id(3)
ANOTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of thirty-two oct").decode()
CREDENTIAL = {"user": USER, "password": PASSWORD}


@pytest.fixture(scope="module")
def server():
    with serve(Idm((MAIJA, AKE), now=NOON.timestamp)) as server:
        yield server


@pytest.fixture
def idm(server):
    server.idm.reset()
    known = dict(server.idm.receivers)
    yield server.idm
    server.idm.receivers = known
    server.idm.receivers["/scim/v2/Users"].duplicates.clear()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def v1(server, idm):
    return V1Harness.make(server.address, None)


@pytest.fixture
def csc(server, idm):
    return CscHarness.make(server.address, None)


@pytest.fixture
def soap(server, idm):
    return SoapHarness.make(server.address, None)


@pytest.fixture
def scim(server, idm):
    return ScimHarness.make(server.address)


def deliver(transfer, what=LINKED, now=NOON, timeout=SECONDS):
    return transfer.deliver(what, now=now, timeout=timeout)


def asked(idm):
    """Give the last request that arrived."""
    return idm.received[-1].request


def answering(idm, path, status=200, body=b"", kind="application/json", **headers):
    """Let a receiver give one answer to everything."""
    fixed = [(name.replace("_", "-"), value) for name, value in headers.items()]
    idm.receivers[path] = lambda _request: Response(status, body, (("Content-Type", kind), *fixed))


# --- What the kinds that speak HTTP share -------------------------------------------------------------------------


def test_user_and_password_are_sent_at_once_and_in_utf_8(csc, idm):
    deliver(with_settings(csc, user="käyttäjä", password="salä€nä"))

    assert len(idm.received) == 1
    assert asked(idm).basic == ("käyttäjä", "salä€nä")


def test_a_token_is_sent_at_once(csc, idm):
    answer = deliver(with_settings(csc, user="", password="", token=TOKEN))

    assert answer.outcome is Outcome.STORED
    assert asked(idm).headers["authorization"] == f"Bearer {TOKEN}"


def test_nothing_is_taken_from_the_environment(csc, idm, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    answer = deliver(csc)

    assert answer.outcome is Outcome.STORED
    assert asked(idm).basic == (USER, PASSWORD)


def test_redirects_are_not_followed_and_their_secrets_not_shown(csc, idm):
    idm.set_fault("301")

    answer = deliver(csc)

    assert len(idm.received) == 1
    assert "https://elsewhere.example/" in answer.message
    assert "token" not in answer.message


@pytest.mark.parametrize(
    ("said", "told"), [("", "no address"), ("/login", "/login"), ("https://[x", "an invalid address")]
)
def test_the_target_of_a_redirect_is_reported(csc, idm, said, told):
    answering(idm, "/csc", 302, Location=said)

    assert f"(302) to {told}, " in deliver(csc).message


def test_an_unresolvable_host_is_temporary(csc, monkeypatch):
    def unknown(*_arguments, **_words):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    answer = deliver(with_settings(csc, url="https://idm.example.org/csc"))

    assert answer.outcome is Outcome.TEMPORARY
    assert answer.message.startswith("its host name cannot be resolved")


def test_without_time_nothing_is_sent(csc, idm):
    answer = deliver(csc, timeout=0)

    assert answer.outcome is Outcome.TEMPORARY
    assert not idm.received


def test_a_refused_connection_is_temporary(csc):
    answer = deliver(with_settings(csc, url="http://127.0.0.1:1/csc"))

    assert answer.outcome is Outcome.TEMPORARY
    assert answer.message == "the connection broke: connection refused"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("expired", "its certificate is not accepted: certificate has expired"),
        ("wrong-name", "its certificate is not accepted: IP address mismatch"),
        ("stranger", "its certificate is not accepted: unable to get local issuer certificate"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(ca, how, words):
    with serve(Idm((MAIJA,)), context=ca.context(how)) as server:
        answer = deliver(CscHarness.make(server.address, ca.certificate))

    assert answer.outcome is Outcome.MISCONFIGURED
    assert answer.message.startswith(words)


def test_a_receiver_without_tls_is_misconfigured(server, csc, ca):
    answer = deliver(with_settings(csc, url=csc.url.replace("http:", "https:"), ca_file=ca.certificate))

    assert answer.outcome is Outcome.MISCONFIGURED
    assert answer.message.startswith("no TLS connection with it")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_misconfigured(csc, tmp_path, content):
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)

    answer = deliver(with_settings(csc, url="https://127.0.0.1:1/csc", ca_file=tmp_path / "ca.pem"))

    assert answer.outcome in {Outcome.MISCONFIGURED, Outcome.TEMPORARY}


def test_a_receiver_may_ask_for_our_certificate(ca):
    certificate, key = ca.client
    with serve(Idm((MAIJA,), now=NOON.timestamp), context=ca.context(asks_clients=True)) as server:
        known = V1Harness.make(server.address, ca.certificate, certificate=certificate, certificate_key=key)
        unknown = V1Harness.make(server.address, ca.certificate)

        answers = [deliver(known), deliver(unknown)]

    assert answers[0].outcome is Outcome.STORED
    assert answers[1].retryable


STATUSES = {
    301: Outcome.MISCONFIGURED,
    304: Outcome.MISCONFIGURED,
    400: Outcome.REFUSED,
    401: Outcome.MISCONFIGURED,
    403: Outcome.MISCONFIGURED,
    404: Outcome.UNKNOWN_PERSON,
    405: Outcome.MISCONFIGURED,
    408: Outcome.TEMPORARY,
    409: Outcome.CONFLICT,
    410: Outcome.REFUSED,
    415: Outcome.MISCONFIGURED,
    422: Outcome.REFUSED,
    425: Outcome.TEMPORARY,
    429: Outcome.TEMPORARY,
    500: Outcome.TEMPORARY,
    502: Outcome.TEMPORARY,
    503: Outcome.TEMPORARY,
    599: Outcome.TEMPORARY,
}


@pytest.mark.parametrize(("status", "outcome"), STATUSES.items())
@pytest.mark.parametrize("path", ["/v1", "/csc", "/dirxml"])
def test_every_status_has_its_meaning(server, idm, path, status, outcome):
    harness = {"/v1": V1Harness, "/csc": CscHarness, "/dirxml": SoapHarness}[path]
    answering(idm, path, status)

    answer = deliver(harness.make(server.address, None))

    assert answer.outcome is outcome
    assert str(status) in answer.message


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("0", timedelta()),
        ("7", timedelta(seconds=7)),
        ("9" * 400, timedelta(days=1)),
        ("Thu, 15 Jan 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Thu, 15 Jan 2026 11:00:00 GMT", timedelta()),
        ("Fri, 15 Jan 9999 11:00:00 GMT", timedelta(days=1)),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
    ],
)
def test_how_long_to_wait_is_seconds_or_a_date(csc, idm, said, after):
    answering(idm, "/csc", 503, Retry_After=said)

    answer = deliver(csc)

    assert (answer.outcome, answer.retry_after) == (Outcome.TEMPORARY, after)


def test_a_refusal_is_not_retried(csc, idm):
    answering(idm, "/csc", 400, Retry_After="5")

    assert deliver(csc).retry_after is None


def test_a_response_of_the_maximum_size_is_read(soap, idm):
    longest = MAX_RESPONSE_BYTES - len(dsml("", "success"))
    outcomes = []
    for length in (longest, longest + 1):
        answering(idm, "/dirxml", 200, dsml("x" * length, "success"))
        outcomes.append(deliver(soap).outcome)

    assert outcomes == [Outcome.STORED, Outcome.MISCONFIGURED]


def test_markup_and_control_characters_in_an_answer_are_plain_text(csc, idm):
    answering(idm, "/csc", 422, json.dumps({"status": "<b>no</b>\n\u202e\x1b[31m" + "z" * 5000}).encode())

    answer = deliver(csc)

    assert answer.message.startswith("<b>no</b> ")
    assert answer.message.isprintable()
    assert answer.message.endswith("…")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"url": "http://idm.example.org/x"}, "url is not https"),
        ({"url": "ftp://idm.example.org/x"}, "url is not https"),
        ({"url": "https://"}, "url is not an address"),
        ({"url": "https://[x"}, "url is not an address"),
        ({"url": "https://idm.example.org:port/"}, "url is not an address"),
        ({"url": "https://idm.example.org/ä"}, "url is not an address"),
        ({"url": "https://idm.example.org/#x"}, "url is not an address"),
        ({"url": "https://me:secret@idm.example.org/"}, "url holds a user or a password"),
        ({"user": "me"}, "user and password belong together"),
        ({"password": "secret"}, "user and password belong together"),
        ({"user": "m:e", "password": "secret"}, "user cannot be sent"),
        ({"user": "me", "password": "secret", "token": "t"}, "two ways to sign in"),
        ({"token": "two words"}, "token cannot be sent"),
        ({"certificate": Path("x.pem")}, "certificate and certificate_key belong together"),
        ({"signing_secrets": ()}, "requests would not be authenticated"),
        ({"signing_secrets": ("secret",)}, "signing_secrets: one is not whsec_"),
        ({"signing_secrets": ("whsec_c2hvcnQ=",)}, "signing_secrets: one is not whsec_"),
        ({"mediator": "https://connect.example"}, "have a use only with"),
        ({"profile": Profile.CSC}, "signing_secrets have no use"),
        ({"profile": Profile.CSC, "signing_secrets": (), **CREDENTIAL}, "mediator is missing"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, sentence):
    usual = {"url": "https://idm.example.org/x", "signing_secrets": (SECRET,)}

    with pytest.raises(ValueError, match=sentence) as refused:
        RestTransfer(**{**usual, **settings})

    assert "secret'" not in str(refused.value)


# --- rest: the format of 2016 -------------------------------------------------------------------------------------

PAIR = (
    '{"identifier":['
    '{"name":"urn:oid:1.3.6.1.4.1.5923.1.1.1.16",'
    '"nameFormat":"urn:oasis:names:tc:SAML:2.0:attrname-format:uri",'
    '"friendlyName":"eduPersonOrcid",'
    '"issuer":"https://orcid.org",'
    '"issueInstant":null,'
    '"mediator":"https://connect.example",'
    '"mediationInstant":1768478400000,'
    '"identifierValue":"%s"},'
    '{"name":"urn:oid:1.3.6.1.4.1.5923.1.1.1.6",'
    '"nameFormat":"urn:oasis:names:tc:SAML:2.0:attrname-format:uri",'
    '"friendlyName":"eduPersonPrincipalName",'
    '"issuer":"https://idp.yliopisto.example/idp/shibboleth",'
    '"issueInstant":null,'
    '"mediator":"https://connect.example",'
    '"mediationInstant":1768478400000,'
    '"identifierValue":"maija@yliopisto.example"}]}'
)


@pytest.mark.parametrize(
    ("what", "form", "value"),
    [
        (LINKED, ValueForm.HTTPS, "https://orcid.org/0000-0000-0000-001X"),
        (LINKED, ValueForm.HTTP, "http://orcid.org/0000-0000-0000-001X"),
        (LINKED, ValueForm.BARE, "0000-0000-0000-001X"),
        (REPLACED, ValueForm.HTTPS, "https://orcid.org/0000-0000-0000-0028"),
        (REMOVED, ValueForm.HTTPS, ""),
    ],
)
def test_the_format_of_2016_is_kept_byte_for_byte(csc, idm, what, form, value):
    deliver(with_settings(csc, value_form=form), what)

    request = asked(idm)
    assert request.body.decode() == PAIR % value
    assert (request.method, request.path) == ("POST", "/csc")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.body))
    assert not [name for name in request.headers if name.startswith("webhook-")]


def test_the_sandbox_and_another_issuer_are_named_as_they_are(csc, idm):
    sandbox = make_news(orcid_id=make_orcid_id(1, Registry.SANDBOX))
    deliver(csc, sandbox)
    first = json.loads(asked(idm).body)["identifier"][0]
    deliver(with_settings(csc, issuer="https://issuer.example"), sandbox)
    second = json.loads(asked(idm).body)["identifier"][0]

    assert (first["issuer"], second["issuer"]) == ("https://sandbox.orcid.org", "https://issuer.example")
    assert first["identifierValue"] == "https://sandbox.orcid.org/0000-0000-0000-001X"


def test_an_organisation_with_another_key_gets_its_own_name(csc, idm):
    deliver(csc, make_news(key="subject-id"))

    account = json.loads(asked(idm).body)["identifier"][1]
    assert account["name"] == "urn:oasis:names:tc:SAML:attribute:subject-id"
    assert account["friendlyName"] == "subject-id"


def test_a_repetition_in_the_format_of_2016_is_the_same_bytes(csc, idm):
    deliver(csc)
    deliver(csc, now=NOON + timedelta(hours=3))

    assert len({each.request.body for each in idm.received}) == 1


def test_a_removal_that_the_format_lacks_is_refused_with_a_message(csc, idm):
    answer = deliver(with_settings(csc, removal=Removal.REFUSE), REMOVED)

    assert answer.outcome is Outcome.REFUSED
    assert "has no removal" in answer.message
    assert not idm.received


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"status":"identities stored"}', (Outcome.STORED, "identities stored")),
        (200, b'{"status":"x","isError":true}', (Outcome.STORED, "x")),
        (200, b'{"status":7}', (Outcome.STORED, "")),
        (200, b"{}", (Outcome.STORED, "")),
        (201, b"", (Outcome.STORED, "")),
        (204, b"", (Outcome.STORED, "")),
        (200, b"[]", (Outcome.STORED, "")),
        (200, b"stored", (Outcome.STORED, "")),
        (200, b"<html><p>Sign in", (Outcome.MISCONFIGURED, "status 200 with a web page instead of JSON")),
        (500, b'{"status":"disk full"}', (Outcome.TEMPORARY, "disk full")),
        (404, b'{"status":"who is that?"}', (Outcome.UNKNOWN_PERSON, "who is that?")),
    ],
)
def test_responses_in_the_format_of_2016_are_understood(csc, idm, status, body, expected):
    answering(idm, "/csc", status, body)

    answer = deliver(csc)

    assert (answer.outcome, answer.message) == expected


# --- rest: our own profile ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (LINKED, {"id": "news-1", "action": "linked", "orcid": FIRST.uri, "previous": None}),
        (REPLACED, {"id": "news-2", "action": "replaced", "orcid": SECOND.uri, "previous": FIRST.uri}),
        (REMOVED, {"id": "news-3", "action": "removed", "orcid": None, "previous": SECOND.uri}),
        (
            make_news(ChangeKind.MOVED, FIRST, previous_account="mm@yliopisto.example"),
            {
                "id": "news-1",
                "action": "moved",
                "orcid": FIRST.uri,
                "previous": None,
                "previous_person": {"attribute": "eppn", "value": "mm@yliopisto.example"},
            },
        ),
        (
            replace(REMOVED, reason=ChangeReason.SUSPENDED),
            {"id": "news-3", "action": "removed", "orcid": None, "previous": SECOND.uri, "reason": "suspended"},
        ),
    ],
)
def test_our_json_has_every_documented_member(v1, idm, what, expected):
    deliver(v1, what)

    request = asked(idm)
    assert json.loads(request.body) == {
        "type": f"orcid.{expected['action']}",
        "timestamp": "2026-01-15T12:00:00Z",
        "data": {
            "reason": None,
            "previous_person": None,
            **expected,
            "organisation": "yliopisto",
            "person": {"attribute": "eppn", "value": MAIJA},
            "registry": "production",
            "time": "2026-01-15T12:00:00Z",
        },
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == what.id


@pytest.mark.parametrize(("what", "late"), [(LINKED, 0), (REPLACED, 5), (REMOVED, 299)])
def test_the_signature_is_that_of_standard_webhooks(v1, idm, what, late):
    deliver(v1, what, now=NOON)

    request = asked(idm)
    with freeze_time(NOON + timedelta(seconds=late)):
        assert Webhook(SECRET).verify(request.body, request.headers) == json.loads(request.body)
        with pytest.raises(WebhookVerificationError):
            Webhook(ANOTHER_SECRET).verify(request.body, request.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(request.body + b" ", request.headers)


def test_an_interface_may_know_us_by_a_password_alone(v1, idm):
    answering(idm, "/v1", 204)

    answer = deliver(with_settings(v1, signing_secrets=(), **CREDENTIAL))

    assert answer.outcome is Outcome.STORED
    assert asked(idm).basic == (USER, PASSWORD)
    assert "webhook-signature" not in asked(idm).headers


def test_while_one_secret_replaces_another_both_sign(server, v1, idm):
    both = with_settings(v1, signing_secrets=(ANOTHER_SECRET, SECRET))

    answer = deliver(both)

    assert answer.outcome is Outcome.STORED
    request = asked(idm)
    with freeze_time(NOON):
        for secret in (SECRET, ANOTHER_SECRET):
            Webhook(secret).verify(request.body, request.headers)


def test_a_receiver_with_another_secret_rejects_the_signature(v1, idm):
    answer = deliver(with_settings(v1, signing_secrets=(ANOTHER_SECRET,)))

    assert answer.outcome is Outcome.MISCONFIGURED
    assert answer.message == "the signature does not match"


def test_an_old_signature_is_rejected(v1, idm):
    answer = deliver(v1, now=NOON - timedelta(minutes=6))

    assert answer.outcome is Outcome.MISCONFIGURED
    assert answer.message == "the time stamp is too old or in the future"


def test_a_repetition_has_the_same_id_and_body_and_its_own_time(v1, idm):
    idm.set_fault("lost")
    deliver(v1)
    idm.clear_fault()
    answer = deliver(v1, now=NOON + timedelta(seconds=9))

    first, second = (each.request for each in idm.received)
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert answer.outcome is Outcome.ALREADY_THERE


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((200, b'{"outcome":"stored"}', "application/json"), Outcome.STORED),
        ((200, b'{"outcome":"already-there"}', "application/json"), Outcome.ALREADY_THERE),
        ((200, b"{}", "application/json"), Outcome.STORED),
        ((202, b"", "application/json"), Outcome.STORED),
        ((204, b"", "application/json"), Outcome.STORED),
        ((200, b"ok", "text/plain"), Outcome.STORED),
        ((200, b"ok", "application/json"), Outcome.STORED),
        ((200, b"<!DOCTYPE html><p>Sign in", "text/plain"), Outcome.MISCONFIGURED),
        ((200, b"ok", "text/html"), Outcome.STORED),
        ((200, b'{"outcome":"already-there"}', "text/html"), Outcome.ALREADY_THERE),
        ((404, b'{"message":"no <html> here"}', "text/html"), Outcome.UNKNOWN_PERSON),
        ((404, b"<html><h1>Not Found", "application/json"), Outcome.MISCONFIGURED),
    ],
)
def test_a_status_of_success_is_success_unless_it_is_a_web_page(v1, idm, answer, outcome):
    answering(idm, "/v1", *answer)

    assert deliver(v1).outcome is outcome


# --- soap ---------------------------------------------------------------------------------------------------------

ENVELOPE = (
    "<?xml version='1.0' encoding='UTF-8'?>\n"
    '<ns0:Envelope xmlns:ns0="http://schemas.xmlsoap.org/soap/envelope/"><ns0:Body>'
    '<modify class-name="User"><association state="associated">maija@yliopisto.example</association>'
    '<modify-attr attr-name="eduPersonOrcid">%s</modify-attr></modify></ns0:Body></ns0:Envelope>'
)
ALL = "<remove-all-values />"
ADD = "<add-value><value>%s</value></add-value>"
REMOVE = "<remove-value><value>%s</value></remove-value>"


@pytest.mark.parametrize(
    ("what", "policy", "inner"),
    [
        (LINKED, Policy.REPLACE, ALL + ADD % FIRST.uri),
        (REPLACED, Policy.REPLACE, ALL + ADD % SECOND.uri),
        (REMOVED, Policy.REPLACE, ALL),
        (LINKED, Policy.KEEP_OTHERS, ADD % FIRST.uri),
        (REPLACED, Policy.KEEP_OTHERS, REMOVE % FIRST.uri + ADD % SECOND.uri),
        (REMOVED, Policy.KEEP_OTHERS, REMOVE % SECOND.uri),
    ],
)
def test_the_vocabulary_of_dirxml_is_as_in_2016(soap, idm, what, policy, inner):
    action = "http://www.novell.com/provisioning/service/receive"
    deliver(with_settings(soap, policy=policy, soap_action=action), what)

    request = asked(idm)
    assert request.body.decode() == ENVELOPE % inner
    assert request.headers["content-type"] == "text/xml; charset=utf-8"
    assert request.headers["soapaction"] == f'"{action}"'
    assert request.basic == (USER, PASSWORD)


def test_names_and_form_of_the_value_are_settings(soap, idm):
    deliver(with_settings(soap, class_name="Person", attribute="orcid", value_form=ValueForm.BARE))

    body = asked(idm).body.decode()
    assert '<modify class-name="Person">' in body
    assert '<modify-attr attr-name="orcid">' in body
    assert "<value>0000-0000-0000-001X</value>" in body


def test_an_account_is_text_in_xml_too(soap, idm):
    strange = 'a<&>"\u00e4@yliopisto.example'
    idm.directory.add(strange)

    answer = deliver(soap, make_news(account=strange))

    assert answer.outcome is Outcome.STORED
    assert idm.get_ids(strange) == {FIRST.bare}


def test_an_account_that_xml_cannot_carry_is_refused_before_anything_is_sent(soap, idm):
    answer = deliver(soap, make_news(account="a\x01@yliopisto.example"))

    assert answer.outcome is Outcome.UNKNOWN_PERSON
    assert not idm.received


def dsml(message="", detail="", type_="other"):
    return (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        '<d:batchResponse xmlns:d="urn:oasis:names:tc:DSML:2:0:core">'
        f'<d:errorResponse requestID="1" type="{type_}"><d:message>{message}</d:message>'
        f"<d:detail>{detail}</d:detail></d:errorResponse></d:batchResponse></Body></Envelope>"
    ).encode()


@pytest.mark.parametrize(
    ("body", "outcome", "message"),
    [
        (dsml("cn=maija", "success", "success"), Outcome.STORED, "cn=maija"),
        (dsml("", "\n  success\n"), Outcome.STORED, ""),
        (dsml("no", "Success"), Outcome.REFUSED, "no"),
        (dsml("no", "unsuccessful"), Outcome.REFUSED, "no"),
        (dsml("no", "", "success"), Outcome.REFUSED, "no"),
        (dsml("", "why"), Outcome.REFUSED, "why"),
        (dsml(), Outcome.REFUSED, "no success, no words"),
        (dsml("NO SUCH OBJECT (maija)"), Outcome.UNKNOWN_PERSON, "NO SUCH OBJECT (maija)"),
        (dsml("it", "is not unique"), Outcome.CONFLICT, "it"),
        (dsml("busy", "", "couldNotConnect"), Outcome.TEMPORARY, "busy"),
        (dsml("busy", "", "gatewayInternalError"), Outcome.TEMPORARY, "busy"),
        (dsml("who?", "", "authenticationFailed"), Outcome.MISCONFIGURED, "who?"),
        (dsml("what?", "", "malformedRequest"), Outcome.MISCONFIGURED, "what?"),
    ],
)
def test_dsml_is_success_only_when_its_detail_says_so(soap, idm, body, outcome, message):
    answering(idm, "/dirxml", 200, body, "text/xml")

    answer = deliver(soap)

    assert (answer.outcome, answer.message) == (outcome, message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"success",
        b"<detail>success</detail>",
        b"<a" * 20000,
        b"<a>" * 9000 + b"</a>" * 9000,
        b'<?xml version="1.0" encoding="no-such-code"?><a/>',
        b'<?xml version="1.0" encoding="utf-32"?><a/>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        dsml("", "success").replace(b"DSML:2:0", b"DSML:9:9"),
        dsml("", "success").replace(b"errorResponse", b"okResponse"),
        dsml("", "success")[:-10],
    ],
)
def test_invalid_xml_is_never_a_success(soap, idm, body):
    answering(idm, "/dirxml", 200, body, "text/xml")

    answer = deliver(soap)

    assert answer.outcome is Outcome.MISCONFIGURED
    assert "instead of a DSML response" in answer.message


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("Server", 500, Outcome.TEMPORARY),
        ("Server.Busy", 500, Outcome.TEMPORARY),
        ("Server", 200, Outcome.TEMPORARY),
        ("Client", 500, Outcome.REFUSED),
        ("Client.Authentication", 500, Outcome.REFUSED),
        ("MustUnderstand", 500, Outcome.MISCONFIGURED),
        ("VersionMismatch", 500, Outcome.MISCONFIGURED),
        ("Client", 401, Outcome.MISCONFIGURED),
        ("Client", 503, Outcome.TEMPORARY),
    ],
)
def test_a_soap_fault_says_whose_fault_it_is(soap, idm, code, status, outcome):
    body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        f"<faultcode>s:{code}</faultcode><faultstring>why &lt;b&gt;</faultstring></s:Fault></s:Body></s:Envelope>"
    )
    answering(idm, "/dirxml", status, body.encode(), "text/xml")

    answer = deliver(soap)

    assert answer.outcome is outcome
    assert answer.message in {"why <b>", f"status {status}"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"policy": Policy.SINGLE}, "not possible with soap"),
        ({"soap_action": '"x"'}, "soap_action is not an address"),
        ({"soap_action": "x\ny"}, "soap_action is not an address"),
        ({"attribute": ""}, "must not be empty"),
        ({"user": "", "password": ""}, "give user and password, token, or certificate"),
    ],
)
def test_settings_of_soap_that_cannot_work_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        SoapTransfer(**{"url": "https://idm.example.org/", **CREDENTIAL, **settings})


# --- scim ---------------------------------------------------------------------------------------------------------

PATH = f"{SCHEMA}:orcid"


def patches(idm):
    """Give what was asked to be patched."""
    return [json.loads(each.request.body) for each in idm.received if each.request.method == "PATCH"]


def operations(idm):
    return [operation for patch in patches(idm) for operation in patch["Operations"]]


def test_a_person_is_found_by_filter_and_patched_for_the_version_that_was_read(scim, idm):
    deliver(scim)

    search, patch = (each.request for each in idm.received)
    assert (search.method, search.path) == ("GET", "/scim/v2/Users")
    assert parse_qs(search.query_string) == {
        "filter": ['userName eq "maija@yliopisto.example"'],
        "attributes": [f"id,meta,userName,{PATH}"],
        "count": ["2"],
    }
    assert (patch.method, patch.path) == ("PATCH", "/scim/v2/Users/p1")
    assert patch.headers["content-type"] == "application/scim+json"
    assert patch.headers["if-match"] == 'W/"1"'
    assert json.loads(patch.body) == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": PATH, "value": FIRST.uri}],
    }


@pytest.mark.parametrize(
    ("settings", "linked", "removed"),
    [
        ({}, {"op": "add", "path": PATH, "value": FIRST.uri}, {"op": "remove", "path": PATH}),
        (
            {"operation": "replace", "value_form": ValueForm.BARE},
            {"op": "replace", "path": PATH, "value": FIRST.bare},
            {"op": "remove", "path": PATH},
        ),
        (
            {"form": "pathless"},
            {"op": "add", "value": {SCHEMA: {"orcid": FIRST.uri}}},
            {"op": "replace", "value": {SCHEMA: {"orcid": None}}},
        ),
    ],
)
def test_operations_are_written_as_the_server_wants_them(scim, idm, settings, linked, removed):
    kinds = {"form": Form, "operation": Operation, "value_form": ValueForm}
    transfer = with_settings(scim, **{name: kinds[name](value) for name, value in settings.items()})
    deliver(transfer)
    deliver(transfer, make_news(ChangeKind.REMOVED, None, FIRST))

    assert operations(idm) == [linked, removed]


def test_quotes_in_an_account_end_no_filter(scim, idm):
    strange = 'a" or userName pr or "\\@yliopisto.example'
    idm.directory.add(strange)

    answer = deliver(scim, make_news(account=strange))

    assert answer.outcome is Outcome.STORED
    assert idm.get_ids(strange) == {FIRST.bare}
    assert not idm.get_ids(MAIJA)


def test_what_is_there_already_is_not_patched(scim, idm):
    idm.directory.add(MAIJA, FIRST.uri)

    answer = deliver(scim)

    assert answer.outcome is Outcome.ALREADY_THERE
    assert not patches(idm)


def test_another_form_of_the_same_id_is_put_right(scim, idm):
    idm.directory.add(MAIJA, ValueForm.HTTP.write(FIRST))

    answer = deliver(scim)

    assert answer.outcome is Outcome.STORED
    assert idm.directory.entry(MAIJA).values == [FIRST.uri]


@pytest.mark.parametrize("there", [THIRD.uri, "something else"])
def test_another_id_is_a_conflict_unless_the_organisation_allows_to_replace_it(scim, idm, there):
    idm.directory.add(MAIJA, there)

    single = deliver(scim)
    before = idm.directory.entry(MAIJA).values
    replacing = deliver(with_settings(scim, policy=Policy.REPLACE))

    assert single.outcome is Outcome.CONFLICT
    assert before == [there]
    assert replacing.outcome is Outcome.STORED
    assert idm.get_ids(MAIJA) == {FIRST.bare}


@pytest.mark.parametrize("policy", [Policy.SINGLE, Policy.REPLACE])
def test_a_removal_deletes_no_other_persons_id(scim, idm, policy):
    idm.directory.add(MAIJA, THIRD.uri)

    answer = deliver(with_settings(scim, policy=policy), REMOVED)

    assert answer.outcome is Outcome.ALREADY_THERE
    assert idm.get_ids(MAIJA) == {THIRD.bare}


def test_two_people_with_one_account_are_a_conflict(scim, idm):
    idm.receivers["/scim/v2/Users"].duplicates.append(idm.directory.entry(AKE))

    answer = deliver(scim)

    assert answer.outcome is Outcome.CONFLICT
    assert not patches(idm)


def test_a_server_that_ignores_the_filter_is_detected(scim, idm):
    idm.directory.remove(MAIJA)
    idm.receivers["/scim/v2/Users"].duplicates.append(idm.directory.entry(AKE))

    answer = deliver(scim)

    assert answer.outcome is Outcome.MISCONFIGURED
    assert "another user" in answer.message
    assert not patches(idm)


@pytest.mark.parametrize(("races", "outcome"), [(1, Outcome.STORED), (2, Outcome.TEMPORARY)])
def test_a_version_conflict_is_retried_once(scim, idm, races, outcome):
    receiver, lost = idm.receivers["/scim/v2/Users"], []

    def racing(request):
        if request.method == "PATCH" and len(lost) < races:
            lost.append(request)
            idm.directory.entry(MAIJA).version += 1
        return receiver(request)

    idm.receivers["/scim/v2/Users"] = racing

    answer = deliver(scim)

    assert answer.outcome is outcome
    assert len(patches(idm)) == 2


@pytest.mark.parametrize(
    ("status", "type_", "outcome"),
    [
        (400, "invalidPath", Outcome.MISCONFIGURED),
        (400, "noTarget", Outcome.MISCONFIGURED),
        (400, "mutability", Outcome.MISCONFIGURED),
        (400, "invalidValue", Outcome.REFUSED),
        (400, "tooMany", Outcome.CONFLICT),
        (400, None, Outcome.REFUSED),
        (404, None, Outcome.UNKNOWN_PERSON),
        (409, "uniqueness", Outcome.CONFLICT),
        (429, None, Outcome.TEMPORARY),
    ],
)
def test_the_servers_own_words_for_an_error_are_understood(scim, idm, status, type_, outcome):
    receiver = idm.receivers["/scim/v2/Users"]
    error = json_response(status, {"detail": "because", **({"scimType": type_} if type_ else {})})
    idm.receivers["/scim/v2/Users"] = lambda asked: error if asked.method == "PATCH" else receiver(asked)

    answer = deliver(scim)

    assert (answer.outcome, answer.message) == (outcome, "because")


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("reset", Outcome.TEMPORARY),
        ("lost", Outcome.TEMPORARY),
        ("cut-headers", Outcome.TEMPORARY),
        ("html", Outcome.MISCONFIGURED),
        ("garbage", Outcome.STORED),
        ("big", Outcome.STORED),
        ("cut", Outcome.STORED),
        ("500", Outcome.TEMPORARY),
    ],
)
def test_a_patch_may_fail_by_itself(scim, idm, how, outcome):
    idm.set_fault(how, "PATCH")
    answer = deliver(scim)
    idm.clear_fault()

    assert answer.outcome is outcome
    assert deliver(scim).delivered
    assert idm.get_ids(MAIJA) == {FIRST.bare}


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"totalResults": "1", "Resources": []},
        {"totalResults": 1, "Resources": [7]},
        {"totalResults": 1, "Resources": [{"userName": MAIJA}]},
        {"totalResults": 1, "Resources": [{"id": "..", "userName": MAIJA}]},
        {"totalResults": 1, "Resources": [{"id": "p1", SCHEMA: {"orcid": ["x", "y"]}}]},
        {"totalResults": "some", "Resources": [{"id": "p1"}]},
        {"totalResults": True, "Resources": []},
    ],
)
def test_an_invalid_list_response_is_misconfigured(scim, idm, listed):
    idm.receivers["/scim/v2/Users"] = lambda _request: json_response(200, listed)

    answer = deliver(scim)

    assert answer.outcome is Outcome.MISCONFIGURED
    assert not patches(idm)


def test_an_address_without_users_is_misconfigured_and_not_an_unknown_person(scim, idm):
    answer = deliver(with_settings(scim, url=scim.url.replace("/scim/v2", "/elsewhere")))

    assert answer.outcome is Outcome.MISCONFIGURED


def test_members_are_found_whatever_their_case(scim, idm):
    person = {"ID": "p1", "username": MAIJA.upper(), SCHEMA.lower(): {"ORCID": FIRST.uri}}
    idm.receivers["/scim/v2/Users"] = lambda _request: json_response(200, {"totalresults": 1, "resources": [person]})

    assert deliver(scim).outcome is Outcome.ALREADY_THERE


def test_the_log_contains_no_personal_data(scim, idm, caplog):
    caplog.set_level(logging.DEBUG)
    idm.set_fault("cut-headers")
    deliver(scim)
    idm.clear_fault()
    deliver(scim)

    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"url": "https://idm.example.org/scim?x=1"}, "url has a query"),
        ({"find_by": 'userName eq "x" or'}, "find_by is not"),
        ({"schema": "orcid"}, "schema is not a URN"),
        ({"attribute": "or cid"}, "schema is not a URN"),
        ({"policy": Policy.KEEP_OTHERS}, "not possible with scim"),
    ],
)
def test_settings_of_scim_that_cannot_work_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        ScimTransfer(**{"url": "https://idm.example.org/scim/v2", "token": "t", **settings})


# --- file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path):
    return tmp_path


def written(spool):
    """Give the text of the one file there."""
    [path] = spool.iterdir()
    return path.read_bytes().decode()


def test_csv_has_a_header_and_everything_in_quotes(spool):
    deliver(FileTransfer(directory=spool), replace(REPLACED, reason=ChangeReason.DEPRECATED))

    assert written(spool) == (
        '"id","action","organisation","attribute","account","previous_account","orcid","previous","registry","time","reason"\r\n'
        '"news-2","replaced","yliopisto","eppn","maija@yliopisto.example","",'
        '"https://orcid.org/0000-0000-0000-0028","https://orcid.org/0000-0000-0000-001X","production",'
        '"2026-01-15T12:00:00Z","deprecated"\r\n'
    )


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_accounts_are_neutralised_as_formulas(spool, first):
    account = f'{first}cmd|" /c calc"!A1'
    deliver(FileTransfer(directory=spool), make_news(account=account))

    [_, row] = csv.reader(written(spool).splitlines(keepends=True))
    assert row[4] == f"'{account}"


def test_a_line_of_json_is_the_record_that_an_interface_gets(spool, v1, idm):
    deliver(FileTransfer(directory=spool, format=Format.JSONL))
    deliver(v1)

    line = written(spool)
    assert line.count("\n") == 1
    assert json.loads(line) == json.loads(asked(idm).body)["data"]


def ldif(spool, **settings):
    words = {"dn": "uid={user},ou=people,dc=example,dc=org", **settings}
    return FileTransfer(directory=spool, format=Format.LDIF, **words)


@pytest.mark.parametrize(
    ("what", "settings", "steps"),
    [
        (LINKED, {}, f"replace: eduPersonOrcid\neduPersonOrcid: {FIRST.uri}\n-\n"),
        (REMOVED, {}, "replace: eduPersonOrcid\n-\n"),
        (
            LINKED,
            {"object_class": "eduPerson", "attribute": "orcid", "value_form": ValueForm.BARE},
            f"add: objectClass\nobjectClass: eduPerson\n-\nreplace: orcid\norcid: {FIRST.bare}\n-\n",
        ),
        (
            REPLACED,
            {"policy": Policy.KEEP_OTHERS},
            "delete: {0}\n{0}: {1}\n-\nadd: {0}\n{0}: {2}\n-\n".format("eduPersonOrcid", FIRST.uri, SECOND.uri),
        ),
        (REMOVED, {"policy": Policy.KEEP_OTHERS}, f"delete: eduPersonOrcid\neduPersonOrcid: {SECOND.uri}\n-\n"),
    ],
)
def test_ldif_is_a_change_record_to_be_applied(spool, what, settings, steps):
    deliver(ldif(spool, **settings), what)

    entry = f"version: 1\n# {what.id}\ndn: uid=maija,ou=people,dc=example,dc=org\nchangetype: modify\n"
    assert written(spool) == f"{entry}{steps}\n"


def test_ldif_of_a_moved_link_removes_the_id_from_the_entry_before(spool):
    moved = make_news(ChangeKind.MOVED, FIRST, previous_account="mm@yliopisto.example")
    deliver(ldif(spool, policy=Policy.KEEP_OTHERS), moved)

    assert written(spool) == (
        "version: 1\n# news-1\n"
        "dn: uid=mm,ou=people,dc=example,dc=org\nchangetype: modify\n"
        f"delete: eduPersonOrcid\neduPersonOrcid: {FIRST.uri}\n-\n\n"
        "dn: uid=maija,ou=people,dc=example,dc=org\nchangetype: modify\n"
        f"add: eduPersonOrcid\neduPersonOrcid: {FIRST.uri}\n-\n\n"
    )


@pytest.mark.parametrize(
    ("account", "dn"),
    [
        ("maija,ou=x@example.org", "uid=maija\\2cou\\3dx,ou=people,dc=example,dc=org"),
        ("#a\\b+c@example.org", "uid=\\23a\\5cb\\2bc,ou=people,dc=example,dc=org"),
        ("a b@example.org", "uid=a b,ou=people,dc=example,dc=org"),
        ("no-scope", "uid=no-scope,ou=people,dc=example,dc=org"),
        ("{scope}@example.org", "uid={scope},ou=people,dc=example,dc=org"),
        ("päivi@example.org", "uid=päivi,ou=people,dc=example,dc=org"),
        ("x" * 200, "uid=" + "x" * 200 + ",ou=people,dc=example,dc=org"),
    ],
)
def test_whatever_the_account_the_entry_is_named_right(spool, account, dn):
    deliver(ldif(spool), make_news(account=account))

    text = written(spool)
    assert max(len(line) for line in text.splitlines()) <= 76
    assert text.isascii()
    line = text.replace("\n ", "").splitlines()[2]
    name, _, value = line.partition(":")
    told = base64.b64decode(value[2:]).decode() if value.startswith(":") else value[1:]
    assert (name, told) == ("dn", dn)


def test_files_sort_by_the_number_of_the_change_whatever_the_clock_said(spool):
    transfer = FileTransfer(directory=spool, format=Format.JSONL)
    times = {9: NOON, 10: NOON - timedelta(hours=1), 100: NOON - timedelta(microseconds=1)}
    for number, at in times.items():
        deliver(transfer, make_news(name=f"z/{999 - number}", at=at, number=number))

    names = sorted(path.name for path in spool.iterdir())
    assert [json.loads((spool / name).read_text())["id"] for name in names] == ["z/990", "z/989", "z/899"]


def test_a_file_is_written_atomically(spool, monkeypatch):
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _number: seen.append([path.name for path in spool.glob("[!.]*")]))
        deliver(FileTransfer(directory=spool))

    before, after = seen
    assert before == []
    assert after == ["000000000001-news-1.csv"]


def test_a_full_disk_leaves_no_partial_file(spool, monkeypatch):
    def full(_number):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        answer = deliver(FileTransfer(directory=spool))

    assert answer.outcome is Outcome.TEMPORARY
    assert answer.message == "cannot write into the directory: no space left on device"
    assert not list(spool.iterdir())


def test_a_file_is_for_those_whom_the_mode_names(spool):
    deliver(FileTransfer(directory=spool, mode="600"))

    [path] = spool.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_not_written_again(spool):
    transfer = FileTransfer(directory=spool)
    deliver(transfer)
    [path] = spool.iterdir()
    before = path.stat()

    answer = deliver(transfer)

    assert answer.outcome is Outcome.ALREADY_THERE
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_with_other_content_is_replaced(spool):
    transfer = FileTransfer(directory=spool)
    deliver(transfer)
    [path] = spool.iterdir()
    path.write_bytes(b'"id"')

    answer = deliver(transfer)

    assert answer.outcome is Outcome.STORED
    assert written(spool).startswith('"id","action"')


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mode": "rw-r-----"}, "mode is not"),
        ({"policy": Policy.SINGLE}, "not possible with file"),
        ({"dn": "uid={user}"}, "have a use only with"),
        ({"format": Format.LDIF}, "dn is missing"),
        ({"format": Format.LDIF, "dn": "uid=maija"}, "dn is missing"),
        ({"format": Format.LDIF, "dn": "uid={uid},o={account}"}, "other placeholders"),
        ({"format": Format.LDIF, "dn": "uid={user}", "attribute": ""}, "attribute must not be empty"),
    ],
)
def test_settings_of_files_that_cannot_work_are_refused(tmp_path, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        FileTransfer(directory=tmp_path, **settings)
