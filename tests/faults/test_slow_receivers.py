"""Receivers that are slow, or say nothing: each delivery ends in time, and nobody else's waits for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from demo.idm.app import SECRET, TOKEN, Idm
from demo.idm.server import serve
from resolver_connector.delivery.dispatcher import Dispatcher
from resolver_connector.delivery.settings import WorkerSettings
from resolver_connector.delivery.worker import Worker
from resolver_connector.transfers.base import THREADS_OF_A_TRANSFER, Outcome
from resolver_connector.transfers.ldap import LdapTransfer
from resolver_connector.transfers.rest import RestTransfer
from resolver_connector.transfers.scim import ScimTransfer
from resolver_connector.transfers.soap import SoapTransfer
from sql.records import DeliveryState
from tests.support.delivery import ORGANISATIONS, LogRecorder, Running, eventually
from tests.support.factories import POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id
from tests.support.transfers.harness import FIRST, LINKED, MAIJA
from tests.support.transfers.ldap import forward_to, send_endlessly, send_slowly, serve_connections, settings
from tests.support.transfers.slapd import PEOPLE, Slapd

SECONDS = 1.0
"""For a delivery to a receiver that does not answer in any time."""
AT_MOST = SECONDS + 0.7
"""With a little for a machine that has other things to do."""
AKE = "ake@yliopisto.example"


class Receiver:
    """A process that receives changes, and can be made to fail or stopped."""

    def __init__(self):
        command = [sys.executable, "-m", "demo.idm", "--port", "0", "--account", MAIJA, "--account", AKE]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip().rstrip("/")

    def fails(self, how):
        """Fail in this way of `demo.idm.faults`; with none, no more."""
        requests.post(f"{self.address}/", data={"fault": how}, timeout=10, allow_redirects=False)

    def end(self):
        self.process.kill()
        self.process.communicate()


def transfers(address):
    """Give a transfer of each kind that speaks HTTP."""
    return {
        "rest": RestTransfer(url=f"{address}/v1", signing_secrets=(SECRET,)),
        "soap": SoapTransfer(url=f"{address}/dirxml", token=TOKEN),
        "scim": ScimTransfer(url=f"{address}/scim/v2", token=TOKEN),
    }


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.end()


@pytest.fixture(scope="module")
def slapd():
    slapd = Slapd()
    yield slapd
    slapd.remove()


def stop(process):
    """Stop a process: the system still accepts connections in its name, and nothing is read or said."""
    os.kill(process.pid, signal.SIGSTOP)
    threads = Path(f"/proc/{process.pid}/task")
    eventually(lambda: {each.read_text().rpartition(")")[2].split()[0] for each in threads.glob("*/stat")} == {"T"})


@contextmanager
def stopped(process):
    """Stop a process for a while."""
    stop(process)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def timed(transfer, seconds=SECONDS):
    """Deliver, and give what came of it and after how many seconds."""
    begun = time.monotonic()
    answer = transfer.deliver(LINKED, now=datetime.now(UTC), timeout=seconds)
    return answer, time.monotonic() - begun


@pytest.mark.parametrize("kind", ["rest", "soap", "scim"])
@pytest.mark.parametrize("how", ["hang", "drip", "slow"])
def test_a_receiver_that_answers_slowly_or_never_is_given_up_in_time(receiver, kind, how):
    receiver.fails(how)

    try:
        answer, took = timed(transfers(receiver.address)[kind])
    finally:
        receiver.fails("")

    expected = (Outcome.TEMPORARY, "no answer in time")
    if (kind, how) == ("rest", "slow"):  # the status code is there at once, and says it
        expected = (Outcome.STORED, "")
    assert (answer.outcome, answer.message) == expected
    assert took < AT_MOST


@pytest.mark.parametrize("kind", ["rest", "soap", "scim"])
def test_a_receiver_that_accepts_and_says_nothing_is_given_up_in_time(receiver, kind):
    with stopped(receiver.process):
        answer, took = timed(transfers(receiver.address)[kind])

    assert answer.outcome is Outcome.TEMPORARY
    assert took < AT_MOST


def test_who_never_answers_holds_a_bounded_number_of_threads(receiver):
    transfer = transfers(receiver.address)["rest"]
    receiver.fails("drip")

    try:
        with ThreadPoolExecutor(THREADS_OF_A_TRANSFER) as callers:
            list(callers.map(timed, [transfer] * THREADS_OF_A_TRANSFER))
        before = threading.active_count()
        answer, took = timed(transfer)
        other, _ = timed(transfers(receiver.address)["soap"])
        after = threading.active_count()
    finally:
        receiver.fails("")

    assert answer.outcome is Outcome.TEMPORARY
    assert answer.message == "32 earlier tries still wait for its answer"
    assert took < SECONDS / 2
    assert other.message == "no answer in time"
    assert after <= before + 1
    eventually(lambda: timed(transfer)[0].delivered)


@pytest.fixture
def slow_names(monkeypatch):
    """Have the system take longer to look up a name than a delivery may take; nothing can cut that short."""
    look_up = socket.getaddrinfo

    def slowly(*arguments, **words):
        time.sleep(1.5 * SECONDS)
        return look_up(*arguments, **words)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)


@pytest.mark.parametrize("kind", ["rest", "soap", "scim"])
def test_nothing_is_written_once_the_time_is_over(slow_names, kind):
    idm = Idm([MAIJA, AKE])
    with serve(idm) as server:
        before = threading.active_count()
        answer, took = timed(transfers(server.address)[kind])
        eventually(lambda: threading.active_count() <= before)

    assert answer.outcome is Outcome.TEMPORARY
    assert took < AT_MOST
    assert not [each for each in idm.received if each.request.method != "GET"]
    assert idm.get_ids(MAIJA) == set()


# A directory


def test_no_password_is_said_to_a_directory_once_the_time_is_over(slow_names):
    heard = []

    def listens(connection, ended):
        heard.append(connection.recv(65536))

    before = threading.active_count()
    with serve_connections(listens) as port:
        one = LdapTransfer(
            url=f"ldap://127.0.0.1:{port}", base=PEOPLE, bind_dn="cn=x", password="words", start_tls=False
        )
        answer, took = timed(one)
        eventually(lambda: threading.active_count() <= before + 1)

    assert answer.outcome is Outcome.TEMPORARY
    assert took < AT_MOST
    assert b"words" not in b"".join(heard)


def ways(slapd, base):
    """Give a transfer for each way in which a directory is reached."""
    return {
        "ldap": settings(slapd, base=base, start_tls=False),
        "StartTLS": settings(slapd, base=base),
        "ldaps": settings(slapd, base=base, url=slapd.tls_url),
    }


@pytest.mark.parametrize("way", ["ldap", "StartTLS", "ldaps"])
def test_a_directory_that_is_stopped_is_given_up_in_time_and_served_afterwards(slapd, way):
    base = slapd.make_branch()
    dn = slapd.add_person(base)
    transfer = ways(slapd, base)[way]

    with stopped(slapd.process):
        answer, took = timed(transfer)

    assert answer.outcome is Outcome.TEMPORARY
    assert took < AT_MOST
    assert slapd.values(dn) == set()
    assert timed(transfer, 20)[0].outcome is Outcome.STORED


def test_a_directory_that_is_stopped_before_it_writes_is_given_up_in_time(slapd):
    base = slapd.make_branch()
    slapd.add_person(base)

    with serve_connections(forward_to(slapd.port, lambda: stop(slapd.process))) as port:
        try:
            answer, took = timed(settings(slapd, base=base, url=f"ldap://127.0.0.1:{port}", start_tls=False))
        finally:
            os.kill(slapd.process.pid, signal.SIGCONT)

    assert answer.outcome is Outcome.TEMPORARY
    assert took < AT_MOST


@pytest.mark.parametrize("behaviour", [send_slowly, send_endlessly], ids=lambda each: each.__name__)
def test_a_directory_that_never_comes_to_an_end_is_hung_up_on(slapd, behaviour):
    before = threading.active_count()

    with serve_connections(behaviour) as port:
        answer, took = timed(settings(slapd, url=f"ldap://127.0.0.1:{port}", start_tls=False))
        eventually(lambda: threading.active_count() == before + 1)

    assert answer.outcome is Outcome.TEMPORARY
    assert took < AT_MOST


def test_each_server_of_a_directory_has_its_share_of_the_time(slapd):
    base = slapd.make_branch()
    dn = slapd.add_person(base)

    with serve_connections(send_slowly) as port:
        url = f"ldap://127.0.0.1:{port} ldap://127.0.0.1:1 {slapd.url}"
        answer, took = timed(settings(slapd, base=base, url=url), 3 * SECONDS)

    assert answer.outcome is Outcome.STORED
    assert took < 3 * AT_MOST
    assert slapd.values(dn) == {FIRST.uri}


# Everybody else


def test_the_dead_receivers_of_some_organisations_do_not_delay_another(store, receiver, slapd):
    dead = {
        f"dead-{number}": RestTransfer(url=f"{receiver.address}/v1", signing_secrets=(SECRET,)) for number in range(5)
    }
    dead["directory"] = settings(slapd, base=PEOPLE)
    start_until = Receiver()
    for number in range(1, 9):
        make_link(store, f"person{number}@yliopisto.example", make_orcid_id(number), transfers=list(dead))
    ways = {UNIVERSITY: dead, POLYTECHNIC: {"live": transfers(start_until.address)["rest"]}}

    def now():
        return datetime.now(UTC)

    worker = Worker(Dispatcher(store, ORGANISATIONS, ways, LogRecorder(), now), [], LogRecorder(), now)

    def under_way():
        return [each for each in store.deliveries.list_waiting(UNIVERSITY) if each.lease_expires_at]

    def delivered():
        return [each.state for each in store.deliveries.list_for_person(POLYTECHNIC, MAIJA)] == [DeliveryState.DONE]

    try:
        with stopped(receiver.process), stopped(slapd.process), Running(worker):
            # As many as the worker begins at once, for each of the dead
            limits = WorkerSettings()
            most = min(limits.max_workers, limits.max_workers_per_transfer * len(dead))
            eventually(lambda: len(under_way()) == most)
            make_link(store, MAIJA, make_orcid_id(99), POLYTECHNIC, transfers=["live"])
            begun = time.monotonic()
            eventually(delivered)
            took = time.monotonic() - begun
            # What is under way then ends by itself, and not by the end of its time
            for process in (receiver.process, slapd.process):
                os.kill(process.pid, signal.SIGCONT)
    finally:
        start_until.end()

    assert took < 5
