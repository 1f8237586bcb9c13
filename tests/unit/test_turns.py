"""Threads that take turns: one works at a time, and whoever waits lets others work."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from webapp.turns import Turns


@pytest.fixture
def turns():
    return Turns()


def test_one_works_at_a_time(turns):
    at_work, most = [], []

    def work(_number):
        for _ in range(50):
            turns.come_back()
            at_work.append(1)
            most.append(len(at_work))
            time.sleep(0)
            at_work.pop()
            turns.leave()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))

    assert max(most) == 1


def test_who_waits_lets_others_work(turns):
    seen = []

    def other():
        turns.come_back()
        seen.append("other")
        turns.leave()

    turns.come_back()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(0.05)
    seen.append("one")
    with turns.waiting():
        thread.join(5)
    seen.append("one again")

    assert (seen, turns.mine) == (["one", "other", "one again"], True)


def test_waiting_means_nothing_to_a_thread_that_has_no_turn(turns):
    with turns.waiting(), turns.waiting():
        assert not turns.mine

    assert not turns.mine


def test_whoever_waits_within_waiting_comes_back_once(turns):
    turns.come_back()
    with turns.waiting():
        with turns.waiting():
            assert not turns.mine
        assert not turns.mine

    assert turns.mine


def test_what_goes_wrong_while_waiting_is_told_with_the_turn_in_hand(turns):
    turns.come_back()

    with pytest.raises(TimeoutError), turns.waiting():
        raise TimeoutError

    assert turns.mine


def test_those_who_come_back_work_in_the_order_in_which_they_came(turns):
    seen = []

    def come_back(number):
        turns.come_back()
        seen.append(number)
        turns.leave()

    turns.come_back()
    threads = [threading.Thread(target=come_back, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    turns.leave()
    for thread in threads:
        thread.join(5)

    assert seen == [0, 1, 2, 3, 4]


def test_whoever_comes_back_is_not_kept_out_by_one_who_never_rests_for_long(turns):
    ended, seen = threading.Event(), []

    def busy():
        while not ended.is_set():
            turns.come_back()
            time.sleep(0.002)
            turns.leave()

    thread = threading.Thread(target=busy)
    thread.start()
    for _ in range(20):
        begun = time.monotonic()
        turns.come_back()
        seen.append(time.monotonic() - begun)
        turns.leave()
    ended.set()
    thread.join(5)

    assert max(seen) < 1
