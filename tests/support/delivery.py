"""A worker in this process, with simulated receivers.

It has a recorded log and a fixed clock.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from resolver_connector.delivery.dispatcher import Dispatcher
from resolver_connector.delivery.settings import WorkerSettings
from resolver_connector.delivery.worker import Worker
from resolver_connector.transfers.base import DeliveryResult, Outcome
from shibboleth.organisation import Organisations
from tests.support.factories import POLYTECHNIC, UNIVERSITY, make_organisation

STORED = DeliveryResult(Outcome.STORED)
AWAY = DeliveryResult(Outcome.TEMPORARY, "Closed for today")
PATIENCE = 60
ORGANISATIONS = Organisations.of([make_organisation(), make_organisation(POLYTECHNIC)])


@dataclass
class Idm:
    """A transfer that leads to a list.

    It returns the given results, and can delay them.
    """

    kind = "list"
    removal_probe = None
    writes_moves = False

    answer: DeliveryResult = STORED
    got: list = field(default_factory=list)
    """What was sent, whatever was answered."""
    open: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    """How many are being kept waiting."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self):
        self.open.set()

    def deliver(self, message, *, now, timeout):
        with self.lock:
            self.got.append(message)
            self.waiting += 1
        assert self.open.wait(PATIENCE)
        with self.lock:
            self.waiting -= 1
        return self.answer

    def accounts(self):
        return [message.account for message in self.got]

    def kinds(self):
        return [message.kind.value for message in self.got]


class Broken:
    """A transfer with a bug."""

    kind = "broken"

    def deliver(self, message, *, now, timeout):
        raise ZeroDivisionError(message.account)


@dataclass
class LogRecorder:
    """A log."""

    lines: list = field(default_factory=list)
    bugs: list = field(default_factory=list)

    def __call__(self, word, /, **facts):
        self.lines.append((word, facts))

    def exception(self, error):
        self.bugs.append(error)

    def words(self):
        return [word for word, _ in self.lines]


class UniqueRegister:
    """A receiver in which accounts and iDs are paired uniquely.

    An account has at most one iD, and an iD at most one account.

    It removes no iD but the one that a message names.
    """

    kind = "test"
    removal_probe = None
    writes_moves = False

    def __init__(self):
        self.holds = {}
        self.told = []
        self.away = False
        self.loses_answers = False

    def deliver(self, message, *, now, timeout):
        if self.away:
            return DeliveryResult(Outcome.TEMPORARY, "away")
        self.told.append((message.kind.value, message.account))
        there = self.holds.get(message.account)
        if message.orcid_id is None:
            if there == message.previous:
                self.holds.pop(message.account, None)
        elif there not in {None, message.previous, message.orcid_id}:
            return DeliveryResult(Outcome.CONFLICT, "the account has another iD")
        elif message.orcid_id in {orcid_id for account, orcid_id in self.holds.items() if account != message.account}:
            return DeliveryResult(Outcome.CONFLICT, "another account has the iD")
        else:
            self.holds[message.account] = message.orcid_id
        return DeliveryResult(Outcome.TEMPORARY, "lost") if self.loses_answers else DeliveryResult(Outcome.STORED)


def make_dispatcher(store, transfers, clock, report=None, **settings):
    """Make a dispatcher; the transfers are the university's, by name."""
    quick = {"interactive_timeout": PATIENCE, "poll_interval": 0.02, "error_interval": 0.02}
    return Dispatcher(
        store,
        ORGANISATIONS,
        {UNIVERSITY: transfers},
        report or LogRecorder(),
        clock,
        settings=WorkerSettings(**{**quick, **settings}),
        random=lambda: 0.5,
    )


def make_worker(store, transfers, clock, report=None, jobs=(), **settings):
    """Make a worker; the transfers are the university's, by name."""
    report = report or LogRecorder()
    return Worker(make_dispatcher(store, transfers, clock, report, **settings), jobs, report, clock)


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
