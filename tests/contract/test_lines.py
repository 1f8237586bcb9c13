"""Kept connections to an HTTP server: what is sent, when one is used again, and what is no answer."""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from itertools import chain

import pytest

from tests.private_ca import PrivateCa
from webapp.lines import Lines, NoAnswer, Patience

PATIENCE = Patience(connect=2, read=1)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each connection's requests with what is next on its list, and hangs up where that is none.

    An answer may come in pieces, as slowly as they are given.
    """

    def __init__(self, context, answers):
        self.asked = []
        self._answers = answers
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with suppress(OSError):
            for answers in self._answers:
                connection, _ = self._listener.accept()
                with connection, self._secured(connection) as secured:
                    self._answer(secured, answers)

    def _secured(self, connection):
        return self._context.wrap_socket(connection, server_side=True) if self._context else connection

    def _answer(self, connection, answers):
        taken = []
        self.asked.append(taken)
        for answer in answers:
            request = connection.recv(65536)
            if not request:
                return
            taken.append(request)
            for piece in [answer] if isinstance(answer, bytes) else answer:
                connection.sendall(piece)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def answering(*answers, context=None, patience=PATIENCE):
    """Give a server with the answers for one connection after the other, and lines to it."""
    server = Server(context, answers)
    try:
        scheme = "https" if context else "http"
        yield server, Lines(f"{scheme}://127.0.0.1:{server.port}/orcid/", patience)
    finally:
        server.close()


def test_a_request_goes_out_whole_and_to_the_servers_own_path():
    with answering([OK]) as (server, lines):
        answer = lines.send("POST", "/oauth/token", {"Accept": "application/json"}, b"a=b")

    assert answer == (200, b"ok")
    ((request,),) = server.asked
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /orcid/oauth/token HTTP/1.1"
    assert set(head.split(b"\r\n")[1:]) == {
        b"Host: 127.0.0.1:%d" % server.port,
        b"Accept: application/json",
        b"Accept-Encoding: identity",
        b"Content-Length: 3",
    }
    assert body == b"a=b"


def test_a_connection_is_used_again():
    with answering([OK, OK]) as (server, lines):
        assert lines.send("GET", "/", {}) == lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [2]


def test_a_connection_that_the_server_has_closed_is_replaced_before_anything_is_sent():
    with answering([OK], [OK]) as (server, lines):
        lines.send("GET", "/", {})
        while lines._idle[0].is_connected:
            pass
        assert lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [1, 1]


def test_a_connection_that_the_server_will_close_is_not_kept():
    closing = b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy"
    with answering([closing], [OK]) as (server, lines):
        assert lines.send("GET", "/", {}) == (503, b"busy")
        assert lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [1, 1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "cannot be reached (it hung up)"),
        (b"SSH-2.0-OpenSSH\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "cannot be reached (it hung up)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", "cannot be reached (it hung up)"),
    ],
)
def test_an_answer_by_halves_is_none_and_its_connection_is_not_used_again(answer, reason):
    with answering([answer], [OK]) as (_, lines):
        with pytest.raises(NoAnswer) as raised:
            lines.send("GET", "/", {})
        assert lines.send("GET", "/", {}) == (200, b"ok")

    assert raised.value.reason == reason


def test_an_answer_in_pieces_is_one():
    pieces = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
    with answering([pieces, OK]) as (_, lines):
        assert lines.send("GET", "/", {}) == lines.send("GET", "/", {}) == (200, b"ok")


def test_an_answer_without_a_length_lasts_until_the_server_hangs_up():
    with answering([b"HTTP/1.1 200 OK\r\n\r\nok"], [OK]) as (server, lines):
        assert lines.send("GET", "/", {}) == lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [1, 1]


def test_an_interim_answer_is_followed_by_the_answer():
    with answering([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, OK]) as (server, lines):
        assert lines.send("GET", "/", {}) == lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [2]


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"HTTP/1.1 200", b"\0", b"x"])
def test_what_comes_behind_an_answer_is_not_that_to_the_next_request(more):
    with answering([OK + more], [OK]) as (server, lines):
        assert lines.send("GET", "/", {}) == lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [1, 1]


@pytest.mark.parametrize("secured", [False, True])
def test_a_request_larger_than_the_wire_takes_goes_out_whole(tmp_path, monkeypatch, secured):
    ca = PrivateCa(tmp_path)
    monkeypatch.setattr("certifi.where", lambda: str(ca.certificate))
    sent, taken = b"x" * 8_000_000, []

    def slowly():
        connection, _ = listener.accept()
        with ca.context().wrap_socket(connection, server_side=True) if secured else connection as wire:
            time.sleep(0.2)
            while sum(map(len, taken)) < len(sent):
                taken.append(wire.recv(65536))
            wire.sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=slowly)
        thread.start()
        lines = Lines(f"http{'s' * secured}://127.0.0.1:{listener.getsockname()[1]}", Patience(5, 5))
        assert lines.send("POST", "/", {}, sent) == (200, b"ok")
        thread.join()

    assert b"".join(taken).endswith(sent[:1000])


def test_silence_is_no_answer():
    with answering([b"HTTP/1.1 200 OK\r\n", b""]) as (_, lines), pytest.raises(NoAnswer, match="no answer in time"):
        lines.send("GET", "/", {})


def dripping(*pieces, then=b"", every=0.05, times=200):
    """Give pieces and then the same one again and again, each after a moment: far longer than anybody waits."""
    yield from pieces
    for _ in range(times):
        time.sleep(every)
        yield then


DRIPS = {
    "status": lambda: dripping(b"HTTP/1.1 200 O", then=b"K"),
    "head": lambda: dripping(b"HTTP/1.1 200 OK\r\n", then=b"X-Slow: yes\r\n", times=90),
    "one line of the head": lambda: dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", then=b"y"),
    "continue": lambda: dripping(then=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": lambda: dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", then=b"o"),
    "chunks": lambda: dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", then=b"1\r\no\r\n"),
}


@pytest.mark.parametrize("where", DRIPS)
def test_an_answer_that_drips_ends_by_the_deadline_wherever_it_drips(where):
    with answering([DRIPS[where]()], patience=Patience(connect=0.3, read=0.3)) as (_, lines):
        begun = time.monotonic()
        with pytest.raises(NoAnswer) as raised:
            lines.send("GET", "/", {})
        took = time.monotonic() - begun

    assert raised.value.reason == "the answer takes too long to come"
    assert 0.5 < took < 1.5


def test_a_connection_whose_answer_came_late_is_used_again():
    late = dripping(b"HTTP/1.1 200 OK\r\n", then=b"X-Slow: yes\r\n", every=0.1, times=8)
    patience = Patience(connect=0.5, read=1)
    with answering([chain(late, [b"Content-Length: 2\r\n\r\nok"]), OK], patience=patience) as (server, lines):
        assert lines.send("GET", "/", {}) == lines.send("GET", "/", {}) == (200, b"ok")

    assert [len(requests) for requests in server.asked] == [2]


def test_a_server_with_a_certificate_of_nobody_we_trust_is_sent_nothing(tmp_path):
    with answering([OK], context=PrivateCa(tmp_path).context()) as (server, lines), pytest.raises(NoAnswer) as raised:
        lines.send("POST", "/oauth/token", {}, b"client_secret=x")

    assert raised.value.reason == "cannot be reached (SSLCertVerificationError)"
    assert server.asked == []


def test_a_server_that_is_trusted_is_asked_over_tls(tmp_path, monkeypatch):
    ca = PrivateCa(tmp_path)
    monkeypatch.setattr("certifi.where", lambda: str(ca.certificate))
    with answering([OK], context=ca.context()) as (_, lines):
        assert lines.send("GET", "/", {}) == (200, b"ok")


def test_a_trusted_certificate_for_another_name_is_not_enough(tmp_path, monkeypatch):
    ca = PrivateCa(tmp_path)
    monkeypatch.setattr("certifi.where", lambda: str(ca.certificate))
    with answering([OK], context=ca.context("wrong-name")) as (server, lines), pytest.raises(NoAnswer):
        lines.send("POST", "/oauth/token", {}, b"client_secret=x")

    assert server.asked == []
