"""The demonstration ends with all its processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest
import requests

from tests.support.processes.demo import READY, children_of, is_running, read_startup_output, start

SOON = 60.0


@pytest.fixture
def started(tmp_path):
    """A demonstration of this test's own."""
    process = start("--port", "0", scratch=tmp_path)
    words = read_startup_output(process)
    yield process, words
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=SOON)


def have_ended(numbers):
    """Wait for these processes to end; return whether all have."""
    deadline = time.monotonic() + SOON
    while any(is_running(each) for each in numbers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_ctrl_c_ends_every_process_and_deletes_all_files(started, tmp_path):
    process, words = started
    children = children_of(process)
    assert READY.search(words)
    assert len(children) == 3
    assert len(list(tmp_path.iterdir())) == 1

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SOON)

    assert process.returncode == 0
    assert output == ""
    assert have_ended(children)
    assert list(tmp_path.iterdir()) == []


def test_killing_the_demonstration_ends_its_processes(started):
    process, _ = started
    children = children_of(process)

    process.kill()

    assert len(children) == 3
    assert have_ended(children)


def test_the_demonstration_ends_with_any_of_its_processes_and_names_it(started):
    process, _ = started
    first, *others = children_of(process)

    os.kill(first, signal.SIGKILL)
    output, _ = process.communicate(timeout=SOON)

    assert process.returncode == 1
    assert "orcid-connect serve ended" in output
    assert have_ended(others)


def test_a_port_in_use_is_reported():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        process = start("--port", str(port))
        output, _ = process.communicate(timeout=SOON)

    assert process.returncode == 1
    assert output == f"Port {port} is in use; choose another one: make demo PORT=9000\n"


def test_the_startup_text_has_a_working_look_up_command(demo):
    authorization, address = re.search(r"curl -H 'Authorization: (.+)' (\S+)", demo.words).groups()

    answer = requests.get(address, headers={"Authorization": authorization}, timeout=60)

    assert address == f"{demo.base_url}/v1/people/maija%40pohjoinen.example"
    assert answer.json() == {"eduPersonOrcid": []}
    assert requests.get(address, timeout=60).status_code == 401
