"""Calls that may not return: their caller returns at the deadline, and their threads are limited."""

import socket
import threading
import time

import pytest

from shibboleth.deadline import BoundedThreads, Deadline, Saturated, shut_down


def fail():
    raise LookupError("a reason")


def test_what_a_call_returns_or_raises_comes_back():
    threads = BoundedThreads(1)

    assert threads.run(lambda: 7, Deadline(5)) == 7
    with pytest.raises(LookupError, match="a reason"):
        threads.run(fail, Deadline(5))
    assert threads.run(lambda: 8, Deadline(5)) == 8


@pytest.mark.parametrize("registers", [True, False])
def test_a_call_that_hangs_is_left_at_the_deadline_and_counts_until_it_ends(registers):
    threads, deadline, released, told = BoundedThreads(1), Deadline(0.1), threading.Event(), []
    if registers:
        deadline.when_passed(lambda: told.append("passed"))

    with pytest.raises(TimeoutError):
        threads.run(lambda: released.wait(5), deadline)
    with pytest.raises(Saturated) as raised:
        threads.run(lambda: 7, Deadline(5))

    assert (raised.value.running, told) == (1, ["passed"] * registers)
    released.set()
    for _ in range(100):
        try:
            assert threads.run(lambda: 7, Deadline(5)) == 7
        except Saturated:
            time.sleep(0.01)
        else:
            return
    pytest.fail("the thread is still counted")


def test_nothing_is_called_after_the_deadline():
    deadline, called = Deadline(0), []

    with pytest.raises(TimeoutError):
        BoundedThreads(1).run(lambda: called.append(1), deadline)

    assert (called, deadline.passed, deadline.left) == ([], True, 0.001)


def test_a_system_without_threads_takes_no_place(monkeypatch):
    threads = BoundedThreads(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda _self: (_ for _ in ()).throw(RuntimeError("no thread")))
        with pytest.raises(RuntimeError, match="no thread"):
            threads.run(lambda: 7, Deadline(5))

    assert threads.run(lambda: 7, Deadline(5)) == 7


def test_equal_limits_are_equal():
    assert BoundedThreads(2) == BoundedThreads(2) != BoundedThreads(3)


def test_a_connection_that_is_shut_down_is_at_its_end_and_stays_open():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        shut_down(ours)

        assert (ours.recv(1), theirs.recv(1)) == (b"", b"")
        assert ours.fileno() >= 0

    shut_down(ours)
