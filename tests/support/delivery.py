"""A worker's world in this process: receivers that behave as told, a log that is kept, and time that stands still."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

from resolver_connector.delivery.worker import Deliverer, WorkerSettings
from resolver_connector.transfers.base import DeliveryResult, Outcome
from shibboleth.organisation import Organisations
from tests.support.factories import POLYTECHNIC, UNIVERSITY, make_organisation

STORED = DeliveryResult(Outcome.STORED)
AWAY = DeliveryResult(Outcome.TEMPORARY, "Closed for today")
PATIENCE = 20
ORGANISATIONS = Organisations.of([make_organisation(), make_organisation(POLYTECHNIC)])


@dataclass
class Idm:
    """A transfer that leads to a list; it answers as it is told to, and may keep whoever comes waiting."""

    kind = "list"

    answer: DeliveryResult = STORED
    got: list = field(default_factory=list)
    """What was sent, whatever was answered."""
    open: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    """How many are being kept waiting."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self):
        self.open.set()

    def deliver(self, news, *, now, seconds):
        with self.lock:
            self.got.append(news)
            self.at_once += 1
        assert self.open.wait(PATIENCE)
        with self.lock:
            self.at_once -= 1
        return self.answer

    def accounts(self):
        return [news.account for news in self.got]

    def kinds(self):
        return [news.kind.value for news in self.got]


class Broken:
    """A transfer with a bug."""

    kind = "broken"

    def deliver(self, news, *, now, seconds):
        raise ZeroDivisionError(news.account)


@dataclass
class Kept:
    """A log."""

    lines: list = field(default_factory=list)
    bugs: list = field(default_factory=list)

    def __call__(self, word, /, **facts):
        self.lines.append((word, facts))

    def exception(self, error):
        self.bugs.append(error)

    def words(self):
        return [word for word, _ in self.lines]


def deliverer(store, transfers, clock, report=None, chores=(), **pace):
    """Give a deliverer; the transfers are the university's, by name."""
    quick = {"at_once": PATIENCE, "poll": 0.02, "away": 0.02, "rest": timedelta(minutes=1)}
    return Deliverer(
        store,
        ORGANISATIONS,
        {UNIVERSITY: transfers},
        report or Kept(),
        clock,
        chores=chores,
        pace=WorkerSettings(**{**quick, **pace}),
        chance=lambda: 0.5,
    )


def eventually(holds):
    """Wait until something holds, for it must before long."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


class Running:
    """A worker in a thread of its own."""

    def __init__(self, worker):
        self.worker = worker
        self.thread = threading.Thread(target=worker.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.worker.stop()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
