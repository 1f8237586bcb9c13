"""An answer is what waitress makes of it, but for order and spelling of its headers; a plain one goes out at once."""

import io
import socket
from contextlib import closing
from types import SimpleNamespace

import pytest
from waitress import task
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask

from webapp.serving import LARGEST_BODY, LARGEST_HEAD, Channel

ADJUSTMENTS = Adjustments(ident=None, max_request_header_size=LARGEST_HEAD, max_request_body_size=LARGEST_BODY)
NOON = 1_790_000_000.75
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"


class Recording(Channel):
    """A connection that notes what is sent on it, each time that something is."""

    def __init__(self, application, wire):
        self.sends = []
        server = SimpleNamespace(
            application=application,
            adj=ADJUSTMENTS,
            effective_port=80,
            server_name="connect.example",
            active_channels={},
            add_task=lambda _channel: None,
            pull_trigger=lambda: None,
        )
        super().__init__(server, wire, ("127.0.0.1", 1), ADJUSTMENTS, map={})

    def send(self, data, *, do_close=True):
        self.sends.append(bytes(data))
        return len(data)


class Waitress(Recording):
    """The same, but with nothing of ours on the way."""

    parser_class = HTTPRequestParser
    task_class = WSGITask


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch):
    """Whatever is answered is answered in the same moment."""
    monkeypatch.setattr(task, "time", SimpleNamespace(time=lambda: NOON))


def served(channel_class, application, *requests):
    """Answer what comes on one connection, and give what was sent and whether that was the last of it."""
    here, there = socket.socketpair()
    with closing(here), closing(there):
        channel = channel_class(application, here)
        for request in requests:
            channel.received(request)
            while channel.requests:
                channel.service()
        channel.del_channel(channel._map)
        return channel.sends, channel.close_when_flushed


def sorted_out(sends):
    """Give status line, headers but for order and spelling, and body of an answer."""
    head, _, body = b"".join(sends).partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    # What has the same name stays in its order
    return status, sorted(fields, key=lambda field: field[0]), body


def says(status, headers, *pieces):
    """Give an application that always says the same."""

    def application(_environ, start_response):
        start_response(status, list(headers))
        return list(pieces)

    return application


def writes(_environ, start_response):
    write = start_response("200 OK", [("Content-Length", "6")])
    write(b"whole ")
    return [b"more"]


def thinks_again(_environ, start_response):
    start_response("200 OK", [("Content-Length", "4"), ("X-First", "x")])
    start_response("500 Internal Server Error", [("Content-Length", "5")], (ValueError, ValueError(), None))
    return [b"wrong"]


def thinks_again_and_says_less(_environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    start_response("500 Internal Server Error", [("X-Second", "x")], (ValueError, ValueError(), None))
    return [b"wrong"]


def fails(_environ, _start_response):
    raise ValueError


def fails_in_the_middle(_environ, start_response):
    start_response("200 OK", [("Content-Length", "8")])
    yield b"half"
    raise ValueError


def fails_at_the_end(_environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    yield b"all "
    raise ValueError


def tells_what_it_was_asked(environ, start_response):
    asked = [f"{name}={environ[name]}" for name in sorted(environ) if isinstance(environ[name], str)]
    body = "\n".join([*asked, environ["wsgi.input"].read().decode()]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def hands_over(status, headers, content):
    """Give an application that leaves a file to the server."""

    def application(environ, start_response):
        start_response(status, list(headers))
        return environ["wsgi.file_wrapper"](io.BytesIO(content))

    return application


LENGTH = ("Content-Length", "5")
PLAIN = {
    "a page": says("200 OK", [("Content-Type", "text/html; charset=utf-8"), LENGTH], b"maija"),
    "a length in small letters": says("200 OK", [("content-length", "5"), ("etag", '"x"')], b"maija"),
    "somewhere else": says("303 See Other", [("Location", "https://orcid.example/"), ("Content-Length", "0")]),
    "an empty piece": says("200 OK", [("Content-Length", "0")], b""),
    "an empty piece before all of it": says("200 OK", [LENGTH], b"", b"maija"),
    "two cookies": says("200 OK", [("Set-Cookie", "b=1"), LENGTH, ("set-cookie", "a=2")], b"maija"),
    "a header of latin-1": says("200 OK", [("X-Name", "Åke"), LENGTH], b"maija"),
    "an empty header": says("200 OK", [("X-Name", ""), LENGTH], b"maija"),
    "a status without words": says("404 ", [LENGTH], b"maija"),
    "two lengths": says("200 OK", [("Content-Length", "9"), LENGTH], b"maija"),
    "octets of another kind": says("200 OK", [LENGTH], bytearray(b"maija")),
    "a view of octets": says("200 OK", [LENGTH], memoryview(b"maija")),
    "an empty file": hands_over("200 OK", [("Content-Length", "0")], b""),
    "what it was asked": tells_what_it_was_asked,
    "another answer than it began": thinks_again,
    "an error after all of it": fails_at_the_end,
}
OTHER = {
    "no content": says("204 No Content", []),
    "no content, of no length": says("204 No Content", [("Content-Length", "0")]),
    "no content, with a body": says("204 No Content", [LENGTH], b"maija"),
    "not modified": says("304 Not Modified", [("ETag", '"x"')]),
    "not modified, with the length of what it was": says("304 Not Modified", [LENGTH]),
    "not modified, with a body": says("304 Not Modified", [LENGTH], b"maija"),
    "early hints": says("103 Early Hints", [LENGTH], b"maija"),
    "no length": says("200 OK", [("Content-Type", "text/plain")], b"maija"),
    "no length and several pieces": says("200 OK", [], b"mai", b"ja"),
    "no length and no body": says("200 OK", []),
    "several pieces": says("200 OK", [LENGTH], b"mai", b"ja"),
    "less than it says": says("200 OK", [LENGTH], b"mai"),
    "nothing of what it says": says("200 OK", [LENGTH]),
    "more than it says": says("200 OK", [LENGTH], b"maija and ville"),
    "all that it says and more": says("200 OK", [LENGTH], b"maija", b" and ville"),
    "all that it says twice": says("200 OK", [LENGTH], b"maija", b"ville"),
    "nothing and then something": says("200 OK", [("Content-Length", "0")], b"", b"ville"),
    "a length below zero": says("200 OK", [("Content-Length", "-1")], b"maija"),
    "no number for a length": says("200 OK", [("Content-Length", "five")], b"maija"),
    "a date of its own": says("200 OK", [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), LENGTH], b"maija"),
    "a date in small letters": says("200 OK", [("date", "Thu, 01 Jan 1970 00:00:00 GMT"), LENGTH], b"maija"),
    "an empty date": says("200 OK", [("Date", ""), LENGTH], b"maija"),
    "a server of its own": says("200 OK", [("Server", "x"), LENGTH], b"maija"),
    "a server in capitals": says("200 OK", [("SERVER", "x"), LENGTH], b"maija"),
    "what is not an application's to say": says("200 OK", [("Connection", "close"), LENGTH], b"maija"),
    "what no header can hold": says("200 OK", [("X-Name", "мария"), LENGTH], b"maija"),
    "two headers in one": says("200 OK", [("X-Name", "a\r\nX-Other: b"), LENGTH], b"maija"),
    "a file": hands_over("200 OK", [LENGTH], b"maija"),
    "a file of no length": hands_over("200 OK", [], b"maija"),
    "a file that is longer than it says": hands_over("200 OK", [LENGTH], b"maija and ville"),
    "what it wrote itself": writes,
    "less than it began with": thinks_again_and_says_less,
    "an error": fails,
    "an error in the middle": fails_in_the_middle,
}
REQUESTS = {
    "HTTP 1.1": b"GET /x?y=%20 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP 1.1, kept": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n",
    "HTTP 1.1, the last": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HTTP 1.1, the last, in capitals": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: CLOSE\r\n\r\n",
    "HTTP 1.1, the last of several words": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\n\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD, the last": b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a form": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b",
    "a form in chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n",
    "HTTP 1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP 1.0, kept": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HTTP 2.0": b"GET / HTTP/2.0\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "no request": b"GET\r\n\r\n",
}
AT_ONCE = [name for name, request in REQUESTS.items() if b" HTTP/1.1\r\n" in request]
APPLICATIONS = PLAIN | OTHER


@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("said", APPLICATIONS)
def test_an_answer_is_what_waitress_makes_of_it(caplog, said, asked):
    ours, ours_is_last = served(Recording, APPLICATIONS[said], REQUESTS[asked])
    our_log = [record.getMessage() for record in caplog.records]
    caplog.clear()
    theirs, theirs_is_last = served(Waitress, APPLICATIONS[said], REQUESTS[asked])

    assert sorted_out(ours) == sorted_out(theirs)
    assert ours_is_last == theirs_is_last
    assert our_log == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("asked", AT_ONCE)
@pytest.mark.parametrize("said", PLAIN)
def test_a_plain_answer_goes_out_in_one_send(said, asked):
    sends, _ = served(Recording, PLAIN[said], REQUESTS[asked])

    assert len(sends) == 1


def test_the_head_of_a_plain_answer_is_as_the_application_says_it_and_dated():
    sends, last = served(Recording, PLAIN["two cookies"], REQUESTS["HTTP 1.1"])

    assert sends == [
        b"HTTP/1.1 200 OK\r\nSet-Cookie: b=1\r\nContent-Length: 5\r\nset-cookie: a=2\r\n"
        b"Date: " + DATE.encode() + b"\r\n\r\nmaija"
    ]
    assert not last


def test_the_date_of_a_plain_answer_is_that_of_its_second(monkeypatch):
    dates = []
    for moment in (NOON, NOON + 0.2, NOON + 0.3):
        monkeypatch.setattr(task, "time", SimpleNamespace(time=lambda moment=moment: moment))
        sends, _ = served(Recording, PLAIN["a page"], REQUESTS["HTTP 1.1"])
        dates.append(dict(sorted_out(sends)[1])["date"])

    assert dates == [DATE, DATE, DATE.replace("13:20", "13:21")]


def test_a_large_plain_answer_is_whole():
    body = bytes(range(256)) * 4_000
    sends, _ = served(Recording, says("200 OK", [("Content-Length", str(len(body)))], body), REQUESTS["HTTP 1.1"])

    assert sorted_out(sends)[2] == body


@pytest.mark.parametrize("together", [True, False])
def test_a_connection_goes_on_after_a_plain_answer(together):
    asked = [REQUESTS["HTTP 1.1"], REQUESTS["a form"], REQUESTS["HTTP 1.1, the last"], REQUESTS["HTTP 1.1"]]

    sends, last = served(Recording, tells_what_it_was_asked, *([b"".join(asked)] if together else asked))

    assert [b"CONTENT_LENGTH=3" in each for each in sends] == [False, True, False]
    assert last
