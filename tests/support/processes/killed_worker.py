"""A process that forks web servers or workers which kill themselves.

Each does so at a chosen step.

    python -m tests.support.processes.killed_worker web|worker|records STORE_URL IDM_URL ORCID_URL

It reads a number and a word for each process from standard input, and writes the port (0 for a worker) and process id,
and `dead` at the end of the process. At its n-th step the process kills itself (SIGKILL); 0 means never. With the word
`now` the web server delivers at once, with `later` it leaves deliveries to the workers. Imports happen once, in the
parent.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import waitress

from demo.idm.app import SECRET
from resolver_connector.delivery.dispatcher import Dispatcher
from resolver_connector.delivery.settings import WorkerSettings
from resolver_connector.delivery.worker import Job, Worker
from resolver_connector.orcid import revocation
from resolver_connector.orcid.revocation import Revoker
from resolver_connector.transfers.rest import RestTransfer
from sql.repositories.delivery.deliveries import DeliveryRepository
from sql.repositories.orcid.tokens import OrcidTokenRepository
from sql.store import Store, open_store
from tests.support.affiliation import NAME as RECORDS
from tests.support.affiliation import make_tokens, make_transfer
from tests.support.delivery import ORGANISATIONS, LogRecorder
from tests.support.factories import UNIVERSITY
from tests.support.service import compile_templates, make_orcid_client, make_revocation_queue, make_web_app
from tests.support.store_faults import FailingEngine
from webapp.app import make_app
from webapp.pages.context import no_delivery

SETTINGS = WorkerSettings(
    interactive_timeout=2.5,
    interactive_try_timeout=2.0,
    try_timeout=2.0,
    lease_duration=timedelta(seconds=3),
    poll_interval=0.02,
    max_workers=3,
    max_workers_per_transfer=3,
)
NAME = "idm"
TOKEN_KEYS = ("k" * 43 + "=",)


class StepCounter:
    """Counts steps, and kills the process at the last one."""

    def __init__(self, last):
        self._left = last
        self._lock = threading.Lock()

    def step(self):
        """Count one step."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class KillingEngine(FailingEngine):
    """An engine whose process kills itself at a chosen step.

    Steps are those of transactions, and single statements.
    """

    def __init__(self, engine, counter):
        super().__init__(engine)
        self.step = counter.step

    def execute(self, query, **values):
        self.step()
        answer = self._engine.execute(query, **values)
        self.step()
        return answer

    def fetch_one(self, query, **values):
        if query not in {"consume_attempt", "claim_revocation"}:
            return self._engine.fetch_one(query, **values)
        self.step()
        answer = self._engine.fetch_one(query, **values)
        self.step()
        return answer


class KillingStore(Store):
    """A store with steps at claims and at results of deliveries."""

    def __init__(self, url, counter):
        engine = open_store(url).engine
        super().__init__(KillingEngine(engine, counter))
        self.deliveries = KillingDeliveries(self.engine, counter)
        self.orcid_tokens = KillingTokens(self.engine, engine)


class KillingDeliveries(DeliveryRepository):
    """A delivery repository with a step after deliveries were claimed."""

    def __init__(self, engine, counter):
        super().__init__(engine)
        self._counter = counter

    def claim(self, *arguments, **words):
        claimed = super().claim(*arguments, **words)
        if claimed:
            self._counter.step()
        return claimed


class KillingTokens(OrcidTokenRepository):
    """A repository of tokens without a step while one is stored.

    A process that is killed between ORCID's answer and this commit leaves a pair that nobody knows.
    """

    def __init__(self, killing_engine, engine):
        super().__init__(killing_engine)
        self._certain = OrcidTokenRepository(engine)

    def add(self, token, attempt_id, now):
        self._certain.add(token, attempt_id, now)


class KillingRevoker:
    """A client of ORCID with a step before a pair is revoked and after it."""

    def __init__(self, counter):
        self._revoker = Revoker()
        self._fuse = counter

    def revoke(self, *arguments):
        self._fuse.step()
        result = self._revoker.revoke(*arguments)
        self._fuse.step()
        return result


class KillingApi:
    """ORCID's member API with a step before and after each request."""

    def __init__(self, api, counter):
        self._api = api
        self._counter = counter

    def request(self, *arguments):
        self._counter.step()
        answer = self._api.request(*arguments)
        self._counter.step()
        return answer


class KillingTransfer:
    """A transfer with a step before a change is sent and after it has arrived."""

    kind = "rest"

    def __init__(self, url, counter):
        self._transfer = RestTransfer(url=url, signing_secrets=(SECRET,))
        self._counter = counter

    def deliver(self, message, *, now, timeout):
        self._counter.step()
        answer = self._transfer.deliver(message, now=now, timeout=timeout)
        self._counter.step()
        return answer


def now():
    return datetime.now(UTC)


def make_dispatcher(store, idm_url, counter):
    """Build a dispatcher whose transfer counts steps."""
    transfers = {UNIVERSITY: {NAME: KillingTransfer(idm_url, counter)}}
    return Dispatcher(store, ORGANISATIONS, transfers, LogRecorder(), now, settings=SETTINGS)


def serve(listener, store_url, idm_url, orcid_url, counter, *, at_once):
    """Run a web server."""
    store = KillingStore(store_url, counter)
    deliver_now = make_dispatcher(store, idm_url, counter).deliver_now if at_once else no_delivery
    client = make_orcid_client(orcid_url)
    app = make_app(make_web_app(store, client, now, transfers=[NAME], deliver_now=deliver_now, token_keys=TOKEN_KEYS))

    def with_attributes(environ, start_response):
        attributes = {"eppn": environ.get("HTTP_X_EPPN", ""), "Shib-Identity-Provider": environ.get("HTTP_X_IDP", "")}
        return app(environ | attributes, start_response)

    waitress.serve(with_attributes, sockets=[listener], threads=2, _quiet=True)


def start_until(kind, urls, line, listener):
    """Run the web server or worker that a line of input describes."""
    (store_url, idm_url, orcid_url), (last, word) = urls, line.split()
    counter = StepCounter(int(last))
    if kind == "web":
        serve(listener, store_url, idm_url, orcid_url, counter, at_once=word == "now")
        return
    store = KillingStore(store_url, counter)
    if kind == "records":
        tokens = make_tokens(store, orcid_url)
        transfer = make_transfer(store, tokens, orcid_url, now)
        transfer = replace(transfer, api=KillingApi(transfer.api, counter))
        dispatcher = Dispatcher(
            store, ORGANISATIONS, {UNIVERSITY: {RECORDS: transfer}}, LogRecorder(), now, settings=SETTINGS
        )
        known = {"clients": tokens.clients}
    else:
        dispatcher, known = make_dispatcher(store, idm_url, counter), {}
    client, words = make_orcid_client(orcid_url), {"revoker": KillingRevoker(counter), "report": LogRecorder(), **known}
    queue = make_revocation_queue(store, client, TOKEN_KEYS, now, **words)
    Worker(dispatcher, [Job("orcid-tokens", lambda _now: queue.run())], LogRecorder(), now).run()


def _write_line(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(kind, *urls):
    """Fork a process for each line of input."""
    # Shorter than the test's patience
    revocation.LEASE, revocation.CLIENT_PAUSE = timedelta(seconds=3), 0.1
    # What the processes need is imported and compiled once, before the forks
    open_store(urls[0])
    if kind == "web":
        compile_templates()
    for line in sys.stdin:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            child = os.fork()
            if child == 0:
                start_until(kind, urls, line, listener)
            _write_line(f"{listener.getsockname()[1]} {child}")
        os.waitpid(child, 0)
        _write_line("dead")


if __name__ == "__main__":
    main(*sys.argv[1:])
