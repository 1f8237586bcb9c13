"""Our parser reads any head as waitress does, a plain one at once, and none slowly."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from webapp.heads import Parser
from webapp.serving import LARGEST_BODY, LARGEST_HEAD

ADJUSTMENTS = Adjustments(ident=None, max_request_header_size=LARGEST_HEAD, max_request_body_size=LARGEST_BODY)

READ = (
    *("completed", "empty", "headers_finished", "headers", "first_line", "command", "request_uri", "version"),
    *("path", "query", "fragment", "url_scheme", "proxy_scheme", "proxy_netloc"),
    *("expect_continue", "chunked", "content_length"),
)


def found(parser):
    """Everything that somebody who answers a request may ask about it."""
    state = {name: getattr(parser, name, "is not known") for name in READ}
    state["connection_close"] = bool(parser.connection_close)
    state["error"] = parser.error and (type(parser.error), parser.error.body)
    state["body"] = parser.get_body_stream().read()
    parser.close()
    return state


def read(parser_class, pieces):
    """Read what comes on a connection as waitress's channel does, and give what was found in each request."""
    parsers = []
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if not parsers or parsers[-1].completed:
                    parsers.append(parser_class(ADJUSTMENTS))
                rest = rest[parsers[-1].received(rest) :]
    except Exception as error:  # noqa: BLE001 - what waitress does not catch has to be the same as well
        return [found(parser) for parser in parsers], repr(error)
    return [found(parser) for parser in parsers], None


NASTY = (
    *("\r\n", "\n", "\r", "\r\n\r\n", "\r\n ", "\r\n\t", "\0", "\t", " ", "  ", "\x0b", "\x1c", "\x7f", "\x85", "\xa0"),
    *("é", "ÿ", ":", ": ", " : ", "_", "-", "#", "?", "//", "%", "%2F", "%e4", "%00", "\\", "[", "]", "@", ";", ","),
    *("http://", "HTTP/1.1", "A: b\r\n", "a: c\r\n", "A_: d\r\n", "Content-Length: 3\r\n", "Connection: close\r\n"),
)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PRI", "get", "Get", "M-SEARCH", "A_B", "!", "", "GÉT", "GET ")
TARGETS = (
    *("/", "//", "a", "orcid", "?", "#", "=", "&", "%2F", "%2f", "%C3%A4", "%00", "%0D%0A", "%", "%z", "é", "*"),
    *("http://", "x.example", ":", ":80", "@", "[", "]", "[::1]", ";", "..", "\\", '"', "~", "!", " ", "\t", "\0"),
)
VERSIONS = (" HTTP/1.0", " HTTP/1.1", " HTTP/2.0", " HTTP/1.10", " http/1.1", " HTTP/1.1 ", " HTTP/1.1\t", "")
NAMES = (
    *("Host", "Cookie", "cookie", "COOKIE", "X-Forwarded-For", "Connection", "connection", "Content-Length"),
    *("content-length", "CONTENT-LENGTH", "Content_Length", "Transfer-Encoding", "transfer-encoding", "Expect", "Te"),
    *("-", "9", "X.Y", "X_Y", "X-Y", "!", "~", "", "é", "X Y", "X:", " X", "Content-Length "),
)
COLONS = (":", " : ", " :", ":\t", ":  ", ": \t", "", " ")
TELLING = ("Content-Length", "Connection", "Transfer-Encoding", "Expect")
VALUES = (
    *("", "a", "a b", "a  b", "a\tb", "a ", "a\t", " a", "é", "a, b", ":", "a: b", "\0", "\x7f", "\x85", "\xa0"),
    *("close ", "close, te", "100-continue", "100-Continue", "chunked", "Chunked", "chunked, chunked", "gzip, chunked"),
    *("identity", ",", "x,", "+3", "-3", "3 ", "3, 3", "3x", "0x3", "³", "٣".encode().decode("latin-1"), "9" * 5000),
)
CONNECTIONS = ("close", "Close", "CLOSE", "keep-alive", "Keep-Alive", "upgrade", "")
LENGTHS = (
    *("0", "00", "3", "03", "6", "0" * 8 + "3", "0" * 9 + "3", "9" * 9, "9" * 10),
    *(str(LARGEST_BODY - 1), str(LARGEST_BODY)),
)
BODIES = ("", "abc", "abcdef", "\r\n", "3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\nA: b\r\n\r\n", "3;a\r\nabcd", "z\r\n")

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)
octets = st.text(st.characters(max_codepoint=0xFF), max_size=12)


def one(first, *more):
    """Give one of these, whichever kind it is of."""
    return st.one_of(first, *(each if isinstance(each, st.SearchStrategy) else st.sampled_from(each) for each in more))


usual_targets = st.lists(st.sampled_from([each for each in TARGETS if re.fullmatch('[!"$-~]+', each)])).map("".join)
usual_firsts = st.builds("{} /{} HTTP/1.1\r\n".format, st.sampled_from(["GET", "POST", "HEAD"]), usual_targets)
made_up = st.lists(st.sampled_from(TARGETS), max_size=6).map("".join)
odd_targets = one(made_up, made_up.map("/".__add__), octets)
firsts = one(
    usual_firsts,
    st.builds("{} /{} HTTP/1.1\r\n".format, one(octets, METHODS), visible),
    st.builds("GET {} HTTP/1.1\r\n".format, odd_targets),
    st.builds("GET /{}\r\n".format, st.sampled_from(VERSIONS)),
    st.builds("{} {}{}\r\n".format, one(octets, METHODS), odd_targets, one(octets, VERSIONS)),
)
usual_fields = one(
    st.builds("X-{}: {}\r\n".format, st.integers(0, 99), visible),
    st.builds("{}: {}\r\n".format, st.sampled_from(["Connection", "connection"]), st.sampled_from(CONNECTIONS)),
    st.builds("{}: {}\r\n".format, st.sampled_from(["Content-Length", "content-length"]), st.sampled_from(LENGTHS)),
)
odd_fields = one(
    usual_fields,
    st.sampled_from(["Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Content-Length: 3\r\n"]),
    st.builds("{}: x\r\n".format, one(octets, NAMES)),
    st.builds("X{}x\r\n".format, one(octets, COLONS)),
    st.builds("X: {}\r\n".format, octets),
    st.builds("X: {}\r\n".format, st.sampled_from(VALUES)),
    st.builds("{}{}{}\r\n".format, st.sampled_from(NAMES), st.sampled_from(COLONS), st.sampled_from(VALUES)),
    st.builds("{}: {}\r\n".format, st.sampled_from(TELLING), st.sampled_from(VALUES + LENGTHS)),
)
each_once = st.lists(usual_fields, max_size=4, unique_by=lambda field: field.partition(":")[0].lower()).map("".join)
long_fields = st.integers(LARGEST_HEAD - 60, LARGEST_HEAD).map("x".__mul__).map("X: {}\r\n".format)
usual_heads = st.builds("{}{}\r\n".format, usual_firsts, each_once)
odd_heads = one(
    st.builds("{}{}\r\n".format, firsts, each_once),
    st.builds("{}{}{}\r\n".format, usual_firsts, odd_fields, each_once),
    st.builds("{}{}\r\n".format, firsts, st.lists(odd_fields, max_size=4).map("".join)),
    # Long ones seldom, for they take their time
    st.integers(0, 9).flatmap(
        lambda number: st.builds("{}{}\r\n".format, usual_firsts, odd_fields if number < 9 else long_fields)
    ),
)


@st.composite
def mutated(draw):
    """Give a head that would be plain, if somebody had not changed a few octets."""
    head = draw(usual_heads)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(head)))
        head = head[:at] + draw(st.sampled_from(NASTY)) + head[at + draw(st.integers(0, 2)) :]
    return head


before = one(st.just(""), ["\r\n", "\r\n\r\n", "\n", " ", "\r\n\r\n\r\n"])
requests = st.builds("{}{}{}".format, before, one(usual_heads, mutated(), odd_heads), st.sampled_from(BODIES))


@st.composite
def arriving(draw):
    """Give what comes on a connection, in pieces."""
    said = "".join(draw(st.lists(requests, min_size=1, max_size=2))).encode("latin-1")
    cuts = sorted(draw(st.lists(st.integers(0, len(said)), max_size=3)))
    return [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]


@settings(max_examples=1000, deadline=None)
@given(arriving())
def test_any_head_is_read_as_waitress_reads_it(pieces):
    ours, our_error = read(Parser, pieces)
    theirs, their_error = read(HTTPRequestParser, pieces)

    assert (ours, our_error) == (theirs, their_error)


class LeftToWaitress(Exception):
    """A head was not read at once."""


@pytest.fixture
def at_once_or_not(monkeypatch):
    """Whatever is left to waitress says so."""

    def left(_parser, _head):
        raise LeftToWaitress

    monkeypatch.setattr(HTTPRequestParser, "parse_header", left)


APACHE = (
    "Host: connect.example\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    "Accept-Language: fi-FI,fi;q=0.8,en;q=0.5\r\n"
    "Cookie: _shibsession_64656661=_0b2c; orcid-connect=a.b-c_d\r\n"
    "Shib-Affiliation: member%40yliopisto.example;staff%40yliopisto.example\r\n"
    "Shib-Orcid: \r\n"
    "X-Forwarded-Proto: https\r\n"
    "X-Forwarded-For: 2001:db8::1\r\n"
    "X-Forwarded-Host: connect.example\r\n"
    "X-Forwarded-Server: connect.example\r\n"
)
PLAIN = {
    "a page": f"GET / HTTP/1.1\r\n{APACHE}Connection: Keep-Alive\r\n\r\n",
    "a return from ORCID": f"GET /orcid/return?code=a%2Bb&state=c HTTP/1.1\r\n{APACHE}\r\n",
    "a form": f"POST /link HTTP/1.1\r\n{APACHE}Content-Type: text/plain\r\nContent-Length: 3\r\n\r\na=b",
    "a form without fields": f"POST /link HTTP/1.1\r\n{APACHE}Content-Length: 0\r\n\r\n",
    "the last of a connection": f"GET / HTTP/1.1\r\n{APACHE}Connection: close\r\n\r\n",
    "a person in a path": f"GET /v1/people/maija%40yliopisto.example HTTP/1.1\r\n{APACHE}\r\n",
    "no headers": "HEAD /x HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("head", PLAIN.values(), ids=PLAIN)
def test_a_plain_head_is_read_at_once(at_once_or_not, head):
    parser = Parser(ADJUSTMENTS)

    assert parser.received(head.encode()) == len(head.partition("\r\n\r\n")[0] + "\r\n\r\n")
    assert (parser.error, parser.version) == (None, "1.1")


@pytest.mark.parametrize("head", PLAIN.values(), ids=PLAIN)
def test_a_plain_head_says_what_waitress_finds_in_it(head):
    for pieces in ([head.encode()], [head[:9].encode(), head[9:].encode()], [b"\r\n" + head.encode()]):
        assert read(Parser, pieces) == read(HTTPRequestParser, pieces)


NOT_PLAIN = {
    "HTTP/1.0": "GET / HTTP/1.0\r\n",
    "HTTP/2.0": "GET / HTTP/2.0\r\n",
    "no version": "GET /\r\n",
    "a version in small letters": "GET / http/1.1\r\n",
    "a method in small letters": "get / HTTP/1.1\r\n",
    "a method that is not a word": "M-SEARCH / HTTP/1.1\r\n",
    "no target": "GET HTTP/1.1\r\n",
    "no absolute path": "OPTIONS * HTTP/1.1\r\n",
    "two slashes": "GET //x.example/ HTTP/1.1\r\n",
    "an address": "GET http://x.example/ HTTP/1.1\r\n",
    "a fragment": "GET /#x HTTP/1.1\r\n",
    "a fragment after a query": "GET /?a#x HTTP/1.1\r\n",
    "a tab in the target": "GET /a\tb HTTP/1.1\r\n",
    "a space in the target": "GET /a b HTTP/1.1\r\n",
    "NUL in the target": "GET /\0 HTTP/1.1\r\n",
    "DEL in the target": "GET /\x7f HTTP/1.1\r\n",
    "no ASCII in the target": "GET /é HTTP/1.1\r\n",
    "two spaces": "GET  / HTTP/1.1\r\n",
    "a space after the version": "GET / HTTP/1.1 \r\n",
    "a bare LF after the version": "GET / HTTP/1.1\nA: b\r\n",
    "a bare CR in the first line": "GET /\r HTTP/1.1\r\n",
    "no ASCII in a value": "GET / HTTP/1.1\r\nA: é\r\n",
    "no ASCII in a name": "GET / HTTP/1.1\r\né: a\r\n",
    "a tab in a value": "GET / HTTP/1.1\r\nA: b\tc\r\n",
    "NUL in a value": "GET / HTTP/1.1\r\nA: b\0c\r\n",
    "a value with DEL": "GET / HTTP/1.1\r\nA: b\x7f\r\n",
    "no space after the colon": "GET / HTTP/1.1\r\nA:b\r\n",
    "a tab after the colon": "GET / HTTP/1.1\r\nA:\tb\r\n",
    "two spaces after the colon": "GET / HTTP/1.1\r\nA:  b\r\n",
    "a space before the colon": "GET / HTTP/1.1\r\nA : b\r\n",
    "a space after a value": "GET / HTTP/1.1\r\nA: b \r\n",
    "no colon": "GET / HTTP/1.1\r\nA\r\n",
    "no name": "GET / HTTP/1.1\r\n: b\r\n",
    "an underscore in a name": "GET / HTTP/1.1\r\nA_B: c\r\n",
    "an underscore and a hyphen": "GET / HTTP/1.1\r\nA-B: c\r\nA_B: d\r\n",
    "a dot in a name": "GET / HTTP/1.1\r\nA.B: c\r\n",
    "a header twice": "GET / HTTP/1.1\r\nA: b\r\nA: c\r\n",
    "a header in two spellings": "GET / HTTP/1.1\r\nA: b\r\na: c\r\n",
    "a header on two lines": "GET / HTTP/1.1\r\nA: b\r\n c\r\n",
    "a header on two lines with a tab": "GET / HTTP/1.1\r\nA: b\r\n\tc: d\r\n",
    "a space before the first header": "GET / HTTP/1.1\r\n A: b\r\n",
    "a bare LF after a header": "GET / HTTP/1.1\r\nA: b\nC: d\r\n",
    "a bare CR after a header": "GET / HTTP/1.1\r\nA: b\rC: d\r\n",
    "a CR too many": "GET / HTTP/1.1\r\nA: b\r\r\n",
    "Transfer-Encoding": "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding in small letters": "POST / HTTP/1.1\r\ntransfer-encoding: \r\n",
    "Transfer-Encoding and a length": "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    "Expect": "POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n",
    "an empty length": "POST / HTTP/1.1\r\nContent-Length: \r\n",
    "a length with a sign": "POST / HTTP/1.1\r\nContent-Length: +3\r\n",
    "a length below zero": "POST / HTTP/1.1\r\nContent-Length: -3\r\n",
    "a length of two words": "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n",
    "a length in hex": "POST / HTTP/1.1\r\nContent-Length: 0x3\r\n",
    "a length of a gigabyte": "POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n",
    "two lengths": "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n",
    "two lengths that differ in spelling": "POST / HTTP/1.1\r\nContent-Length: 3\r\nCONTENT-LENGTH: 4\r\n",
}


@pytest.mark.parametrize("head", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_is_left_to_waitress(at_once_or_not, head):
    parser = Parser(ADJUSTMENTS)

    with pytest.raises(LeftToWaitress):
        parser.received(f"{head}Host: x\r\n\r\n".encode("latin-1"))

    assert parser.headers == {}
    assert set(vars(parser)) == {"headers", "adj", "header_bytes_received"}


@pytest.mark.parametrize("head", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_is_read_as_waitress_reads_it(head):
    pieces = [f"{head}Host: x\r\n\r\nabc".encode("latin-1")]

    assert read(Parser, pieces) == read(HTTPRequestParser, pieces)


@pytest.mark.parametrize("octets", [LARGEST_HEAD - 1, LARGEST_HEAD, LARGEST_HEAD + 1])
def test_a_head_is_too_large_where_waitress_says_so(octets):
    start, end = b"GET / HTTP/1.1\r\nX: ", b"\r\n\r\n"
    head = start + b"x" * (octets - len(start) - len(end)) + end

    ours, _ = read(Parser, [head])
    assert (ours, _) == read(HTTPRequestParser, [head])
    assert bool(ours[0]["error"]) == (octets >= LARGEST_HEAD)


@pytest.mark.parametrize("octets", [LARGEST_BODY - 1, LARGEST_BODY, LARGEST_BODY + 1])
def test_a_body_is_too_large_where_waitress_says_so(octets):
    pieces = [f"POST / HTTP/1.1\r\nContent-Length: {octets}\r\n\r\n".encode(), b"x" * octets]

    assert read(Parser, pieces) == read(HTTPRequestParser, pieces)


LONG = {
    "letters": "X: " + "x" * 20_000 + "\t.",
    "letters without a name": "x" * 20_000,
    "hyphens": "X: " + "-" * 20_000 + "\t.",
    "spaces": "X: x" + " " * 20_000,
    "names in a value": "X: " + "x: " * 6_500 + "\t.",
    "names without values": "X\n" * 10_000,
    "lines as long as Apache lets through": "\r\n".join(f"X-{number}: {'x' * 8_000}\t." for number in range(2)),
}


@pytest.mark.parametrize("lines", LONG.values(), ids=LONG)
def test_no_head_takes_long(lines):
    head = f"GET / HTTP/1.1\r\n{lines}\r\n\r\n".encode()
    parser = Parser(ADJUSTMENTS)

    begun = time.thread_time()
    parser.received(head)

    assert time.thread_time() - begun < 0.1
