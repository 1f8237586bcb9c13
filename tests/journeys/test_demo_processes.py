"""Whoever ends the demonstration has ended all of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest
import requests

from tests.support.processes.demo import READY, children_of, is_running, read_startup_output, start

SOON = 10.0


@pytest.fixture
def started(tmp_path):
    """A demonstration of one's own, to be ended by the test."""
    process = start("--port", "0", scratch=tmp_path)
    words = read_startup_output(process)
    yield process, words
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=SOON)


def gone(numbers):
    """Whether none of these processes is left, soon."""
    deadline = time.monotonic() + SOON
    while any(is_running(each) for each in numbers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_ctrl_c_ends_every_process_and_leaves_nothing_behind(started, tmp_path):
    process, words = started
    children = children_of(process)
    assert READY.search(words)
    assert len(children) == 3
    assert len(list(tmp_path.iterdir())) == 1

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SOON)

    assert process.returncode == 0
    assert output == ""
    assert gone(children)
    assert list(tmp_path.iterdir()) == []


def test_a_demonstration_that_is_killed_takes_its_processes_along(started):
    process, _ = started
    children = children_of(process)

    process.kill()

    assert len(children) == 3
    assert gone(children)


def test_a_process_that_ends_by_itself_ends_the_demonstration_and_is_named(started):
    process, _ = started
    first, *others = children_of(process)

    os.kill(first, signal.SIGKILL)
    output, _ = process.communicate(timeout=SOON)

    assert process.returncode == 1
    assert "orcid-connect serve ended" in output
    assert gone(others)


def test_a_port_that_is_taken_is_named_with_the_way_out():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        process = start("--port", str(port))
        output, _ = process.communicate(timeout=SOON)

    assert process.returncode == 1
    assert output == f"Port {port} is in use; choose another one: make demo PORT=9000\n"


def test_the_words_hold_a_line_that_asks_as_an_organisation_does(demo):
    authorization, address = re.search(r"curl -H 'Authorization: (.+)' (\S+)", demo.words).groups()

    answer = requests.get(address, headers={"Authorization": authorization}, timeout=5)

    assert address == f"{demo.base_url}/v1/people/maija%40pohjoinen.example"
    assert answer.json() == {"eduPersonOrcid": []}
    assert requests.get(address, timeout=5).status_code == 401
