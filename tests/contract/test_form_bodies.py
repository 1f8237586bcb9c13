"""Forms are read and refused alike however their bodies are framed, under waitress and granian and behind mod_wsgi."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes.form_server import application
from tests.support.processes.raw_client import connected, sent
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app, serve_app
from webapp.app import make_app
from webapp.pages.request import FormTooLarge, IncompleteForm, read_form

FORM = "token=abc&agree=yes"
READ = {"token": "abc", "agree": "yes"}
LARGE = "token=" + "x" * 17_000
CHUNKED = "Transfer-Encoding: chunked\r\n"


def chunks(*pieces, extension="", trailer=""):
    return "".join(f"{len(each):x}{extension}\r\n{each}\r\n" for each in pieces) + f"0\r\n{trailer}\r\n"


FRAMED = {
    "a length": (f"Content-Length: {len(FORM)}\r\n", FORM, READ),
    "a length with zeros before it": (f"Content-Length: 00{len(FORM)}\r\n", FORM, READ),
    "a length of 0": ("Content-Length: 0\r\n", "", {}),
    "no length": ("", "", {}),
    "a length shorter than what is sent": ("Content-Length: 9\r\n", FORM, {"token": "abc"}),
    "a length that is too large": (f"Content-Length: {len(LARGE)}\r\n", LARGE, "FormTooLarge"),
    "one chunk": (CHUNKED, chunks(FORM), READ),
    "a chunk for each character": (CHUNKED, chunks(*FORM), READ),
    "chunks with extensions and a trailer": (CHUNKED, chunks(FORM, extension=";a=b", trailer="X: y\r\n"), READ),
    "no chunk": (CHUNKED, chunks(), {}),
    "chunks that are too large": (CHUNKED, chunks(LARGE), "FormTooLarge"),
    "many chunks that are too large": (CHUNKED, chunks(*[LARGE[:999]] * 18), "FormTooLarge"),
    "a field that comes twice": (CHUNKED, chunks("token=a&", "token=b"), "RepeatedParameter"),
}


@contextmanager
def granian():
    port = free_port()
    program = Path(sys.executable).with_name("granian")
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--factory", "--no-log"]
    words = [program, *options, "tests.support.processes.form_server:make_application"]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}) as server:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    with closing(connected(port)):
                        break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


@pytest.fixture(scope="module", params=["waitress", "granian"])
def port(request):
    if request.param == "granian":
        with granian() as port:
            yield port
        return
    with serve_app(application) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize("name", FRAMED)
def test_a_form_is_read_or_refused_alike_however_it_is_framed(port, name):
    headers, body, expected = FRAMED[name]

    assert json.loads(sent(port, "/", "POST", f"Host: x\r\n{headers}", body)[2]) == expected


# What mod_wsgi hands on; tests/system asks it itself


class Broken:
    def read(self, _size):
        raise OSError("Apache/mod_wsgi request data read error")


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"CONTENT_LENGTH": "20", "wsgi.input": io.BytesIO(FORM.encode())}, IncompleteForm),
        ({"CONTENT_LENGTH": "9", "wsgi.input": Broken()}, IncompleteForm),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Broken()}, IncompleteForm),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked", "wsgi.input": io.BytesIO(FORM.encode())}, IncompleteForm),
        ({"CONTENT_LENGTH": "-1"}, IncompleteForm),
        ({"CONTENT_LENGTH": "+2"}, IncompleteForm),
        ({"CONTENT_LENGTH": "1 2"}, IncompleteForm),
        ({"CONTENT_LENGTH": "\u0663"}, IncompleteForm),
        ({"CONTENT_LENGTH": "16385", "wsgi.input": Broken()}, FormTooLarge),
        ({"CONTENT_LENGTH": "9" * 5000, "wsgi.input": Broken()}, FormTooLarge),
        ({"HTTP_TRANSFER_ENCODING": "Chunked", "wsgi.input": io.BytesIO(LARGE.encode())}, FormTooLarge),
    ],
)
def test_an_incomplete_form_is_refused(environ, error):
    with pytest.raises(error):
        read_form({"REQUEST_METHOD": "POST", **environ})


def test_a_chunked_form_is_read():
    class Pieces(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    environ = {"REQUEST_METHOD": "POST", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Pieces(FORM.encode())}

    assert read_form(environ) == READ


@pytest.mark.parametrize("cut", [1, 5])
def test_an_interrupted_form_is_not_logged_as_a_bug(store, cut):
    maija = WebClient(make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())))
    token = maija.token()

    page = maija.post("/me/start", {"token": token}, CONTENT_LENGTH=str(len(token) + 6 + cut))

    assert (page.status, page.title) == (400, "The form did not arrive complete")
