"""Answers that take turns in one thread: whoever waits lets others be answered, and goes on when it can."""

import os
import socket
import threading
import time
import types
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from sql.waits import IN_PLACE, READABLE, WRITABLE, Places
from webapp import turns as module
from webapp.turns import Turns

SOON = 5


class Hub:
    """The thread that answers, without a server around it."""

    accepting = False

    def __init__(self):
        self.turns = Turns()
        self.pull_trigger = None
        self.readiness = []
        self._asked, self._asks = socket.socketpair()
        self._acts = SimpleQueue()
        self.ended = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.do(lambda: "ready")

    def _run(self):
        try:
            self.turns.run(self, {self._asked.fileno(): self})
        except RuntimeError as error:
            self.ended.set_exception(error)

    def readable(self):
        return True

    def writable(self):
        return False

    def handle_read_event(self):
        self._asked.recv(1)
        act, answered = self._acts.get()
        self.readiness.append(self.turns.mine)

        def answer():
            try:
                answered.set_result(act())
            except Exception as error:  # noqa: BLE001 - as above
                answered.set_exception(error)

        self.turns.answer(answer)

    def begin(self, act):
        """Have it answer something, and give what will come of it."""
        answered = Future()
        self._acts.put((act, answered))
        self._asks.send(b"!")
        return answered

    def do(self, act):
        """Have it answer something, and wait for that."""
        return self.begin(act).result(SOON)

    def close(self):
        self.turns.end()
        self._thread.join(SOON)
        self.turns.ended(SOON)
        self._asked.close()
        self._asks.close()


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def wire():
    """Two ends."""
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def test_who_waits_for_a_file_lets_others_be_answered(hub, wire):
    waiting = hub.begin(lambda: hub.turns.until(wire[0].fileno(), READABLE, SOON))

    assert hub.do(lambda: "answered") == "answered"
    assert not waiting.done()
    wire[1].send(b"!")
    assert waiting.result(SOON) is True


def test_a_file_that_can_be_used_is_not_waited_for_long(hub, wire):
    assert hub.do(lambda: hub.turns.until(wire[0].fileno(), WRITABLE, SOON)) is True


def test_a_wait_ends_when_its_time_does(hub, wire):
    begun = time.monotonic()

    assert hub.do(lambda: hub.turns.until(wire[0].fileno(), READABLE, 0.1)) is False
    assert 0.1 <= time.monotonic() - begun < 1


def test_each_of_many_waits_ends_in_its_own_time(hub, wire):
    later = hub.begin(lambda: hub.turns.until(wire[0].fileno(), READABLE, 0.3))
    sooner = hub.begin(lambda: hub.turns.until(wire[1].fileno(), READABLE, 0.1))

    assert (sooner.result(SOON), later.done()) == (False, False)
    assert later.result(SOON) is False


def test_what_cannot_be_watched_is_done_by_a_helper(hub):
    where = hub.do(lambda: (threading.get_ident(), hub.turns.aside(threading.get_ident), threading.get_ident()))

    assert where[0] == where[2] != where[1]


def test_while_a_helper_works_others_are_answered(hub):
    go_on = threading.Event()
    waiting = hub.begin(lambda: hub.turns.aside(lambda: go_on.wait(SOON)))

    assert hub.do(lambda: "answered") == "answered"
    go_on.set()
    assert waiting.result(SOON) is True


@pytest.mark.parametrize("way", ["aside", "afar"])
def test_who_asks_somebody_far_away_keeps_nobody_from_the_disk(hub, monkeypatch, way):
    go_on = threading.Event()
    for helpers in (hub.turns._helpers, hub.turns._messengers):
        monkeypatch.setattr(helpers, "_most", 1)
    other = {"aside": hub.turns.afar, "afar": hub.turns.aside}[way]
    waiting = [hub.begin(lambda: other(lambda: go_on.wait(SOON))) for _ in range(3)]

    assert hub.do(lambda: getattr(hub.turns, way)(lambda: "done")) == "done"
    go_on.set()
    assert [each.result(SOON) for each in waiting] == [True] * 3


def test_a_machine_without_room_for_a_thread_is_told_and_nothing_is_done_later(hub, monkeypatch):
    done = []

    def no_room(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(module.threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError, match="new thread"):
            hub.do(lambda: hub.turns.aside(lambda: done.append("late")))

    assert hub.do(lambda: hub.turns.aside(lambda: "done")) == "done"
    with monkeypatch.context() as patched:
        patched.setattr(module.threading.Thread, "start", no_room)
        errands = [hub.begin(lambda: hub.turns.aside(lambda: "by those there are")) for _ in range(5)]
        assert [each.result(SOON) for each in errands] == ["by those there are"] * 5
    assert done == []


def test_a_pause_lets_others_be_answered(hub):
    pausing = hub.begin(lambda: hub.turns.pause(0.2))

    assert hub.do(lambda: "answered") == "answered"
    assert not pausing.done()
    assert pausing.result(SOON) is None


def test_only_so_many_answers_are_under_way(hub, monkeypatch):
    monkeypatch.setattr(module, "MOST_ANSWERS", 2)
    go_on = threading.Event()

    ready = []
    for _ in range(3):
        hub.begin(lambda: hub.turns.aside(lambda: go_on.wait(SOON)))
        time.sleep(0.05)
        ready.append(hub.readiness[-1])
    go_on.set()

    assert ready == [True, True, False]


def test_what_goes_wrong_aside_goes_wrong_where_it_was_asked_for(hub):
    with pytest.raises(ZeroDivisionError):
        hub.do(lambda: hub.turns.aside(lambda: 1 // 0))


def test_a_helper_is_kept_for_the_next_errand(hub):
    helpers = {hub.do(lambda: hub.turns.aside(threading.get_ident)) for _ in range(20)}

    assert len(helpers) <= 2


def test_more_errands_than_helpers_are_all_done(hub, monkeypatch):
    monkeypatch.setattr(hub.turns._helpers, "_most", 2)

    all_of_them = [hub.begin(lambda: hub.turns.aside(lambda: time.sleep(0.01))) for _ in range(20)]

    assert [each.result(SOON) for each in all_of_them] == [None] * 20


def test_a_place_is_one_answers_at_a_time(hub):
    places, at_work, most = Places(1, hub.turns), [], []

    def work():
        assert places.take(SOON)
        at_work.append(1)
        most.append(len(at_work))
        hub.turns.aside(lambda: time.sleep(0.001))
        at_work.pop()
        places.give_back()

    for each in [hub.begin(work) for _ in range(50)]:
        each.result(SOON)

    assert (max(most), len(most)) == (1, 50)


def test_answers_get_a_place_in_the_order_in_which_they_came(hub):
    places, seen = Places(1, hub.turns), []

    def work(number):
        assert places.take(SOON)
        hub.turns.aside(lambda: time.sleep(0.005))
        seen.append(number)
        places.give_back()

    for each in [hub.begin(lambda number=number: work(number)) for number in range(10)]:
        each.result(SOON)

    assert seen == list(range(10))


def test_answers_and_threads_share_the_places(hub):
    places, at_work, most = Places(2, hub.turns), [], []

    def work():
        for _ in range(20):
            assert places.take(SOON)
            at_work.append(1)
            most.append(len(at_work))
            hub.turns.aside(lambda: time.sleep(0.0005))
            at_work.pop()
            places.give_back()

    with ThreadPoolExecutor(6) as threads:
        elsewhere = [threads.submit(work) for _ in range(6)]
        for each in [hub.begin(work) for _ in range(6)] + elsewhere:
            each.result(4 * SOON)

    assert (max(most), len(most)) == (2, 240)


def test_who_gives_a_place_back_does_not_take_it_again_before_those_who_wait(hub):
    places, seen = Places(1, hub.turns), []

    def work(number):
        for _ in range(3):
            assert places.take(SOON)
            hub.turns.aside(lambda: time.sleep(0.002))
            seen.append(number)
            places.give_back()

    for each in [hub.begin(lambda number=number: work(number)) for number in range(5)]:
        each.result(SOON)

    assert seen == [*range(5)] * 3


def test_an_answer_that_gets_no_place_in_time_is_told(hub):
    places = Places(1, hub.turns)
    assert places.take(0)

    assert hub.do(lambda: places.take(0.1)) is False
    places.give_back()
    assert hub.do(lambda: places.take(0)) is True


def test_a_place_given_back_just_as_time_ends_is_not_lost():
    places = Places(1, IN_PLACE)
    assert places.take(0)

    class Late:
        """Is called in time and hears it too late."""

        waiter = staticmethod(lambda _seconds: Late())

        def wait(self):
            places.give_back()
            return False

        def call(self):
            pass

    places._waits = Late

    assert places.take(1) is True


def test_a_place_given_back_late_is_not_lost_on_one_who_has_gone(hub):
    places = Places(1, hub.turns)
    assert places.take(0)
    assert hub.do(lambda: places.take(0.05)) is False
    patient = hub.begin(lambda: places.take(SOON))

    places.give_back()

    assert patient.result(SOON) is True


def test_outside_of_an_answer_one_waits_in_place(wire):
    turns = Turns()
    places = Places(1, turns)

    assert turns.until(wire[0].fileno(), READABLE, 0.01) is False
    assert turns.until(wire[0].fileno(), WRITABLE, 0.01) is True
    assert turns.aside(threading.get_ident) == threading.get_ident()
    assert (places.take(0.01), places.take(0.01)) == (True, False)
    places.give_back()
    assert places.take(0.01) is True
    assert turns.mine is False


def test_waiting_in_place_is_the_same_to_whoever_waits(wire):
    places = Places(1, IN_PLACE)

    assert IN_PLACE.until(wire[0].fileno(), READABLE, 0.01) is False
    assert IN_PLACE.until(wire[0].fileno(), WRITABLE, 0.01) is True
    assert IN_PLACE.aside(lambda: "done") == "done"
    assert (places.take(0.01), places.take(0.01)) == (True, False)


def test_what_waits_is_given_time_when_all_is_to_end(hub):
    answered = hub.begin(lambda: hub.turns.aside(lambda: time.sleep(0.2)))
    hub.do(lambda: None)

    hub.turns.end()

    assert answered.result(SOON) is None


def test_what_waits_for_longer_does_not_keep_all_from_ending(hub):
    go_on = threading.Event()
    answered = hub.begin(lambda: hub.turns.aside(lambda: go_on.wait(SOON)))
    hub.do(lambda: None)
    begun = time.monotonic()

    hub.turns.end()

    assert (hub.turns.ended(0.2), answered.done()) == (False, False)
    assert time.monotonic() - begun < 2
    go_on.set()
    assert hub.turns.ended(SOON)


def test_who_is_interrupted_while_the_thread_starts_ends_well(monkeypatch):
    turns = Turns()

    def interrupted(_thread):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module.threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            turns.run(types.SimpleNamespace(), {})

    assert turns.ended(SOON)


def test_if_the_thread_that_answers_ends_whoever_runs_it_is_told(hub):
    def leave():
        raise SystemExit("nobody here knows why")

    hub.begin(leave)

    with pytest.raises(RuntimeError, match="before its time") as told:
        hub.ended.result(SOON)
    assert isinstance(told.value.__cause__, SystemExit)


def test_the_bell_is_rung_for_who_watches_alone(hub, monkeypatch):
    rung = []
    ring = os.eventfd_write
    monkeypatch.setattr(module.os, "eventfd_write", lambda *words: rung.append(words) or ring(*words))

    hub.do(lambda: [hub.pull_trigger() for _ in range(10)])
    while_it_worked = len(rung)
    time.sleep(0.05)
    hub.pull_trigger()

    assert (while_it_worked, len(rung)) == (0, 1)
