"""`connector --processes`: several processes at one address, looked after by a parent."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.test_serving import ask, configuration, start


@contextmanager
def several(path, number=3):
    """Give a connector of several processes that is ready, and the address it named."""
    process = start(path, "connector", "--processes", str(number))
    try:
        said = process.stdout.readline()
        assert said.startswith("listening on "), process.stderr.read()
        yield process, said.removeprefix("listening on ").strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["port", "unix"])
def path(request, tmp_path):
    """A configuration that listens at a port, or at a socket."""
    place = {"port": 0} if request.param == "port" else {"unix": str(tmp_path / "app.sock")}
    return configuration(tmp_path, connector=place)


@contextmanager
def asleep(pids):
    """Stop processes, until each of their threads stands still; and let them go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: all(states_of(pid) == {"T"} for pid in pids))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def states_of(pid):
    """The states of a process's threads, as `ps` writes them."""
    return {each.read_text().rpartition(") ")[2][0] for each in Path(f"/proc/{pid}/task").glob("*/stat")}


def workers_of(process):
    return {int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


def eventually(condition, seconds=10):
    """Wait until something holds, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def gone(pid):
    """Tell whether a process is no more; one that nobody has buried yet is no more, either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except FileNotFoundError:
        return True


def test_so_many_processes_answer_at_one_address(path):
    with several(path) as (process, address):
        assert len(workers_of(process)) == 3
        assert {ask(address).status for _ in range(20)} == {200}


def test_each_of_them_answers(path):
    with several(path) as (process, address):
        for survivor in workers_of(process):
            with asleep(workers_of(process) - {survivor}):
                assert ask(address).status == 200


def test_one_that_dies_is_started_anew_and_the_log_says_so(path):
    with several(path) as (process, address):
        (victim, *_) = before = sorted(workers_of(process))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers_of(process) - {victim}) == 3)

        assert len(workers_of(process) - set(before)) == 1
        assert ask(address).status == 200
        process.terminate()
        assert f"worker-died pid={victim} status=-9 " in process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_with_their_parent_when_it_is_told_to(path, number):
    with several(path) as (process, _):
        workers = workers_of(process)
        process.send_signal(number)

        assert process.wait(15) == 0
        assert all(gone(each) for each in workers)
        assert process.stderr.read() == ""


def test_all_end_when_their_parent_is_killed(path):
    with several(path) as (process, _):
        workers = workers_of(process)
        process.kill()

        eventually(lambda: all(gone(each) for each in workers))


def test_the_socket_goes_with_the_last(tmp_path):
    place = tmp_path / "app.sock"

    with several(configuration(tmp_path, connector={"unix": str(place)})) as (process, _):
        process.terminate()
        process.wait(15)

    assert not place.exists()


SCARCE = """
import errno, os, signal
from webapp import log, workers

fork, begun = os.fork, []

def scarce():
    begun.append(True)
    if len(begun) in {REFUSED}:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()

def work():
    while True:
        signal.pause()

os.fork, workers.PAUSE, workers.REST = scarce, 0, 0.05
log.set_up("text")
workers.keep_working(2, work=work, ready=lambda: print("ready", flush=True))
"""
"""A parent whose machine has no room for another process at some of its tries."""


@contextmanager
def scarce(*refused):
    """Give a parent of two whose tries to start one fail at these times."""
    words = [sys.executable, "-c", SCARCE.replace("{REFUSED}", str(set(refused)))]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_where_the_machine_has_no_room_for_another_it_is_tried_again_and_the_log_says_so():
    with scarce(3, 4, 5) as process:
        (victim, survivor) = workers_of(process)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers_of(process) - {victim}) == 2)

        assert survivor in workers_of(process)
        process.terminate()
        said = process.stderr.read()
        assert said.count('worker-not-started reason="Resource temporarily unavailable"') == 3


def test_one_that_cannot_be_started_at_the_beginning_comes_later():
    with scarce(2) as process:
        eventually(lambda: len(workers_of(process)) == 2)

        process.terminate()
        assert process.wait(15) == 0
