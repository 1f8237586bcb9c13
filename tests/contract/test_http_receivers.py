"""Responses of receivers are read liberally (RFC 9110): however they are framed, labelled or written."""

import codecs
import gzip
import json
import threading

import pytest

from demo.idm.scim import SCHEMA
from resolver_connector.transfers.base import Outcome
from tests.support.factories import NOON
from tests.support.transfers.harness import (
    FIRST,
    LINKED,
    MAIJA,
    SECOND,
    CscHarness,
    ScimHarness,
    SoapHarness,
    V1Harness,
    make_change,
    with_settings,
)
from tests.support.transfers.raw_http import raw_server

OK = b"HTTP/1.1 200 OK\r\n"


def send(stand, *responses, timeout=10, what=LINKED, stays_open=False, **settings):
    """Deliver to a server that sends these octets; give the result and the requests."""
    with raw_server(*responses, stays_open=stays_open) as (address, requests):
        result = with_settings(stand.make(address, None), **settings).deliver(what, now=NOON, timeout=timeout)
    return result, requests


def framed(body, kind="application/json", status="200 OK", more=""):
    """Write a response as it should be."""
    body = body if isinstance(body, bytes) else body.encode()
    label = f"Content-Type: {kind}\r\n" if kind else ""
    return f"HTTP/1.1 {status}\r\n{label}{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


SUCCESSES = {
    "no body and no length": OK + b"\r\n",
    "a body and no length": OK + b"\r\nstored",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "lines without carriage return": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no content, with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nOK",
    "reset content": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "a status of its own": b"HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n",
    "a shorter body than its length": OK + b"Content-Length: 20\r\n\r\nOK",
    "no body in spite of its length": OK + b"Content-Length: 20\r\n\r\n",
    "a longer body than its length": OK + b"Content-Length: 2\r\n\r\nOK and more",
    "equal lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nOK",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "chunks without an end": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n",
    "chunks that are none": OK + b"Transfer-Encoding: chunked\r\n\r\nOK",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + framed(""),
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + framed(""),
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + framed(""),
    "JSON that is none": framed("stored"),
    "JSON of no length": framed(""),
    "half of JSON": framed('{"outcome":'),
    "JSON of many levels": framed("[" * 10_000),
    "a list": framed("[]"),
    "octets": framed(b"\xff\xfe\xfd\x00", "application/octet-stream"),
    "no label": framed("stored", ""),
    "a label that is none": framed("stored", "???; charset=???"),
    "a charset that is none": framed("stored", "text/plain; charset=no-such"),
    "a web page by its label alone": framed("stored", "text/html"),
    "a word in HTML": framed("<p>stored</p>", "text/html"),
    "JSON about web pages": framed('{"message": "<html>"}', "text/html"),
    "packed by its label alone": framed("stored", more="Content-Encoding: gzip\r\n"),
    "packed": framed(gzip.compress(b"stored"), more="Content-Encoding: gzip\r\n"),
    "more than is read": framed(b"All work and no play. " * 10_000, "text/plain"),
}


@pytest.mark.parametrize("stand", [V1Harness, CscHarness])
@pytest.mark.parametrize("name", SUCCESSES)
def test_a_success_status_is_a_success_with_any_body(stand, name):
    result, requests = send(stand, SUCCESSES[name])

    assert result.outcome is Outcome.STORED
    assert len(requests) == 1


def test_a_success_without_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("resolver_connector.transfers.http.BODY_TIMEOUT", 0.3)

    with raw_server(OK + b"\r\nstored", stays_open=True) as (address, _):
        before = set(threading.enumerate())
        result = V1Harness.make(address, None).deliver(LINKED, now=NOON, timeout=60)

        assert result.outcome is Outcome.STORED
        # A thread that still reads would read from the next connection with the same descriptor
        for thread in set(threading.enumerate()) - before:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-", b"\x00\r\n\r\n"])
def test_a_response_without_complete_headers_is_no_success(response):
    assert send(V1Harness, response)[0].outcome is Outcome.TEMPORARY


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain", ""])
@pytest.mark.parametrize(
    "page",
    [
        b"<!doctype html><h1>Sign in",
        b"\xef\xbb\xbf \r\n<!DOCTYPE HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'><p>",
        b"<?xml version='1.0'?><!-- 1 --> <!-- 2 --><html xmlns='http://www.w3.org/1999/xhtml'>",
        b"<HTML><BODY>",
        b"<head><meta http-equiv=refresh content='0; url=/login'></head>",
        "<!doctype html><h1>Kirjaudu sisään".encode("utf-16"),
        b"<title>Portal</title>",
    ],
)
@pytest.mark.parametrize("stand", [V1Harness, CscHarness, SoapHarness, ScimHarness])
def test_a_web_page_by_its_content_is_no_success(stand, page, kind):
    result, _ = send(stand, framed(page, kind))

    assert (result.outcome, "a web page" in result.message) == (Outcome.MISCONFIGURED, True)


def test_white_space_without_end_is_read_in_time():
    result, _ = send(V1Harness, framed(b" " * 60_000 + b"<!--" * 900, "text/html"))

    assert result.outcome is Outcome.STORED


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"message": "tallessa: ä€"}', "application/json"),
        (codecs.BOM_UTF8 + '{"message": "tallessa: ä€"}'.encode(), "application/json"),
        ('{"message": "tallessa: ä€"}'.encode("utf-16"), "application/json"),
        ('{"message": "tallessa: ä€"}'.encode("utf-16-le"), "application/json"),
        ('{"message": "tallessa: ä€"}'.encode("iso-8859-15"), 'application/json; Charset="ISO-8859-15"'),
        ('{"message": "tallessa: ä€"}', "application/json; charset=iso-8859-1"),
        ('{"message": "tallessa: ä€"}', "text/html"),
        ('{"message": "tallessa: ä€"}', ""),
    ],
)
def test_words_in_json_are_read_in_any_charset(body, kind):
    assert send(V1Harness, framed(body, kind))[0].message == "tallessa: ä€"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("ei käy", "text/plain"),
        ("ei käy".encode("iso-8859-1"), "text/plain; charset=ISO-8859-1"),
        ("ei käy".encode("cp1252"), "text/plain"),
        ("ei käy".encode("utf-16-be"), "text/plain;charset=utf-16be"),
        (codecs.BOM_UTF8 + "ei käy".encode(), "text/plain; charset=us-ascii"),
        ("ei käy", "TEXT/PLAIN ; charset=no-such"),
    ],
)
def test_words_in_plain_text_are_read_in_any_charset(body, kind):
    result, _ = send(V1Harness, framed(body, kind, "422 No"))

    assert (result.outcome, result.message) == (Outcome.REFUSED, "ei käy")


@pytest.mark.parametrize("charset", ["utf-7", "punycode", "unicode_escape", "cp037", "hz"])
def test_a_charset_that_no_receiver_needs_is_read_as_utf_8(charset):
    body = "ei käy ~{VPND~} +AGE- \\x41".encode()

    result, _ = send(V1Harness, framed(body + b" \xff", f"text/plain; charset={charset}", "422 No"))

    assert result.message == body.decode() + " \N{REPLACEMENT CHARACTER}"


# --- SOAP ---------------------------------------------------------------------------------------------------------

DSML = (
    '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
    '<d:batchResponse xmlns:d="urn:oasis:names:tc:DSML:2:0:core"><d:errorResponse>'
    "<d:message>käy</d:message><d:detail>success</d:detail></d:errorResponse></d:batchResponse></Body></Envelope>"
)
PARTS = (
    b"--b\r\nContent-Type: text/plain\r\nContent-ID: <other>\r\n\r\n<detail>no</detail>\r\n"
    b'--b\r\nContent-Type: application/xop+xml; charset=UTF-8; type="text/xml"\r\nContent-ID: <root>\r\n'
    b"Content-Transfer-Encoding: binary\r\n\r\n" + DSML.encode() + b"\r\n--b--\r\n"
)
QUOTED = (
    b"preamble\r\n--b\r\nContent-Type: text/xml; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b"\r\n" + DSML.replace("=", "=3D").replace("ä", "=E4").encode() + b"\r\n"
)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (DSML, "text/xml; charset=utf-8"),
        (DSML, "text/html"),
        (DSML, "application/soap+xml"),
        (DSML, ""),
        ("\r\n" + DSML, "text/xml"),
        (codecs.BOM_UTF8 + DSML.encode(), "text/xml"),
        (DSML.encode("utf-16"), "text/xml"),
        (DSML.encode("iso-8859-1"), "text/xml; charset=ISO-8859-1"),
        (('<?xml version="1.0" encoding="iso-8859-1"?>' + DSML).encode("iso-8859-1"), "text/xml"),
        ('<?xml version="1.0" encoding="utf-16"?>' + DSML, "text/xml; charset=utf-8"),
        (PARTS, 'multipart/related; boundary=b; type="application/xop+xml"; start="<root>"'),
        (QUOTED, 'Multipart/Related; type="text/xml"; boundary="b"'),
    ],
)
def test_soap_is_read_in_any_charset_and_packing(body, kind):
    result, _ = send(SoapHarness, framed(body, kind))

    assert (result.outcome, result.message) == (Outcome.STORED, "käy")


def test_soap_without_a_length_and_packed_is_read():
    unframed = OK + b"Content-Type: text/xml\r\n\r\n" + DSML.encode()
    packed = framed(gzip.compress(DSML.encode()), "text/xml", more="Content-Encoding: gzip\r\n")

    assert [send(SoapHarness, each)[0].outcome for each in (unframed, packed)] == [Outcome.STORED, Outcome.STORED]


def test_nested_multipart_is_no_bug():
    parts = b"".join(b"--%x\r\nContent-Type:multipart/a;boundary=%x\r\n\r\n" % (at, at + 1) for at in range(600))

    result, _ = send(SoapHarness, framed(parts, "multipart/related; boundary=0"))

    assert result.outcome is Outcome.MISCONFIGURED


def test_an_interrupted_soap_response_is_temporary():
    result, _ = send(SoapHarness, framed(DSML, "text/xml")[:-20])

    assert result.outcome is Outcome.TEMPORARY


def fault_11(code, prefix="s", namespace="http://schemas.xmlsoap.org/soap/envelope/"):
    return (
        f'<{prefix}:Envelope xmlns:{prefix}="{namespace}"><{prefix}:Body><{prefix}:Fault><faultcode>{code}</faultcode>'
        f"<faultstring>why</faultstring></{prefix}:Fault></{prefix}:Body></{prefix}:Envelope>"
    )


def fault_12(code):
    return (
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code>'
        f"<e:Value>{code}</e:Value><e:Subcode><e:Value>e:Other</e:Value></e:Subcode></e:Code>"
        '<e:Reason><e:Text xml:lang="en">why</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>'
    )


@pytest.mark.parametrize(
    ("fault", "status", "outcome"),
    [
        (fault_11("s:Server"), "500 Error", Outcome.TEMPORARY),
        (fault_11("Server"), "200 OK", Outcome.TEMPORARY),
        (fault_11("soapenv:Server.userException", "soapenv"), "500 Error", Outcome.TEMPORARY),
        (fault_11(" SOAP-ENV:CLIENT ", "SOAP-ENV"), "500 Error", Outcome.REFUSED),
        (fault_11("client", namespace="urn:other"), "400 Bad Request", Outcome.REFUSED),
        (fault_11("s:MustUnderstand"), "500 Error", Outcome.MISCONFIGURED),
        (fault_12("e:Sender"), "400 Bad Request", Outcome.REFUSED),
        (fault_12("e:Receiver"), "500 Error", Outcome.TEMPORARY),
        (fault_12("e:Receiver"), "200 OK", Outcome.TEMPORARY),
        (fault_12("e:VersionMismatch"), "500 Error", Outcome.MISCONFIGURED),
        (fault_11("s:Server").replace("faultcode", "s:FaultCode"), "500 Error", Outcome.TEMPORARY),
    ],
)
def test_a_fault_is_read_in_any_spelling(fault, status, outcome):
    result, _ = send(SoapHarness, framed(fault, "application/soap+xml", status))

    assert (result.outcome, result.message) == (outcome, "why")


# --- SCIM ---------------------------------------------------------------------------------------------------------


def listed(user=None, **members):
    """Write a list of one user."""
    found = {"id": "p1", "userName": MAIJA, **(user or {})}
    return framed(json.dumps({"totalResults": 1, "Resources": [found], **members}), "application/scim+json")


PATCHED = framed("", "", "204 No Content")


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (listed(), "/Users/p1"),
        (listed({"id": 17}), "/Users/17"),
        (listed({"id": 17.0}), "/Users/17"),
        (listed({"id": ["p1"]}), "/Users/p1"),
        (listed(totalResults="1"), "/Users/p1"),
        (listed(totalResults=1.0), "/Users/p1"),
        (listed(totalResults=None), "/Users/p1"),
        (listed(Resources={"id": "p2", "userName": [MAIJA]}), "/Users/p2"),
        (listed({SCHEMA: [{"orcid": []}]}), "/Users/p1"),
        (listed({SCHEMA: {"orcid": [SECOND.uri]}}), "/Users/p1"),
        (listed({SCHEMA: {"orcid": {"value": SECOND.uri}}}), "/Users/p1"),
        (framed(codecs.BOM_UTF8 + listed().partition(b"\r\n\r\n")[2]), "/Users/p1"),
        (listed().replace(b"application/scim+json", b"text/html"), "/Users/p1"),
    ],
)
def test_a_user_is_read_from_any_types(found, path):
    result, requests = send(ScimHarness, found, PATCHED, policy="replace")

    assert result.outcome is Outcome.STORED
    assert requests[1][0].split()[:2] == [b"PATCH", b"/scim/v2" + path.encode()]


@pytest.mark.parametrize("held", [[FIRST.uri], {"value": FIRST.uri}, [{"value": FIRST.uri, "primary": True}]])
def test_a_single_value_in_a_list_is_the_value(held):
    result, requests = send(ScimHarness, listed({SCHEMA: {"orcid": held}}))

    assert (result.outcome, len(requests)) == (Outcome.ALREADY_THERE, 1)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (listed({"id": "\ud800"}), Outcome.MISCONFIGURED),
        (listed({"id": True}), Outcome.MISCONFIGURED),
        (listed(totalResults="9" * 5000), Outcome.CONFLICT),
        (listed(totalResults=1e300), Outcome.CONFLICT),
        (listed(totalResults="1x"), Outcome.MISCONFIGURED),
        (listed(totalResults="007"), Outcome.CONFLICT),
        (listed(totalResults=" 01 "), Outcome.STORED),
    ],
)
def test_odd_numbers_and_ids_are_no_bug(found, outcome):
    assert send(ScimHarness, found, PATCHED)[0].outcome is outcome


def test_no_count_and_no_users_is_no_list():
    assert send(ScimHarness, framed('{"Resources": []}'))[0].outcome is Outcome.MISCONFIGURED
    assert send(ScimHarness, framed('{"totalResults": "0"}'))[0].outcome is Outcome.UNKNOWN_PERSON


@pytest.mark.parametrize("body", ["", "stored", "[]", '{"id": ', '{"schemas": []}'])
@pytest.mark.parametrize("kind", ["application/scim+json", "text/html", ""])
def test_a_patch_with_any_body_is_a_success(body, kind):
    assert send(ScimHarness, listed(), framed(body, kind))[0].outcome is Outcome.STORED


@pytest.mark.parametrize(
    ("version", "condition"),
    [
        ('W/"3694"', b'W/"3694"'),
        ('"3694"', b'"3694"'),
        ("3694", b'"3694"'),
        (3694, b'"3694"'),
        ('w/"3694"', b'W/"3694"'),
        ("W/3694", b'W/"3694"'),
        (["3694"], None),
        ('"36\n94"', None),
        ("", None),
    ],
)
def test_a_version_is_a_condition_in_any_spelling(version, condition):
    result, requests = send(ScimHarness, listed({"meta": {"version": version}}), PATCHED)

    lines = dict(line.split(b": ", 1) for line in requests[1][0].split(b"\r\n")[1:])
    assert (result.outcome, lines.get(b"If-Match")) == (Outcome.STORED, condition)


def test_a_server_that_does_not_accept_its_own_version_is_asked_without_it():
    found, failed = listed({"meta": {"version": 'W/"1"'}}), framed("", "", "412 Precondition Failed")

    result, requests = send(ScimHarness, found, failed, found, PATCHED)

    assert result.outcome is Outcome.STORED
    assert [b"If-Match" in head for head, _ in requests] == [False, True, False, False]


@pytest.mark.parametrize(
    ("find_by", "user"),
    [
        ("userName", {"userName": "ake@yliopisto.example"}),
        ("emails.value", {"emails": [{"value": "ake@yliopisto.example"}]}),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", {"userName": "ake@yliopisto.example"}),
        ("urn:x:2.0:User:account", {"urn:x:2.0:User": {"account": "ake@yliopisto.example"}}),
    ],
)
def test_a_server_that_ignores_the_filter_is_detected(find_by, user):
    result, requests = send(ScimHarness, listed(user), PATCHED, find_by=find_by)

    assert (result.outcome, len(requests)) == (Outcome.MISCONFIGURED, 1)


def test_accounts_are_compared_in_their_folded_form():
    composed, decomposed = "PÄIVI@yliopisto.example", "pa\u0308ivi@yliopisto.example"

    result, _ = send(ScimHarness, listed({"userName": decomposed}), PATCHED, what=make_change(account=composed))

    assert result.outcome is Outcome.STORED
