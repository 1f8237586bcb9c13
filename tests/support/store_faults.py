"""A store engine that fails at a chosen step of a transaction.

It raises an exception or kills the process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager

from sql.store import Store, open_store
from tests.support.factories import NOON, answered, make_consent, make_orcid_id


class InjectedFailure(Exception):
    """The injected failure."""


class FailingEngine:
    """Delegates to an engine and calls `then` at one step of its transactions.

    Steps are counted from 1: before and after the transaction opens, each statement, and the commit.
    """

    def __init__(self, engine, at=0, then=None):
        self._engine = engine
        self._at = at
        self._then = then
        self.steps = 0

    def step(self):
        self.steps += 1
        if self.steps == self._at:
            self._then()

    def __getattr__(self, name):
        return getattr(self._engine, name)

    @contextmanager
    def transaction(self, **words):
        if words.get("exclusive"):
            with self._engine.transaction(**words) as session:
                yield session
            return
        self.step()
        with self._engine.transaction(**words) as session:
            self.step()
            yield FailingSession(session, self.step)
            self.step()
        self.step()


class FailingSession:
    """Runs the statements of a transaction, with a step before and after each."""

    def __init__(self, session, step):
        self._session = session
        self._step = step

    def __getattr__(self, name):
        def stepping(*arguments, **values):
            self._step()
            answer = getattr(self._session, name)(*arguments, **values)
            self._step()
            return answer

        return stepping


class SlowEngine(FailingEngine):
    """Waits before each commit for the next of `delays`, in seconds."""

    def __init__(self, engine, delays):
        super().__init__(engine)
        self._delays = iter(delays)

    @contextmanager
    def transaction(self, **words):
        with self._engine.transaction(**words) as session:
            yield session
            if not words.get("exclusive"):
                time.sleep(next(self._delays))


def make_failing_store(store, at, then):
    """Return a store on the same engine that calls `then` at a step."""
    return Store(FailingEngine(store.engine, at, then))


class _HookedEngine(FailingEngine):
    """Calls `then` once, after the rows of one query were read."""

    def __init__(self, engine, query, then):
        super().__init__(engine)
        self._query = query
        self._then = then

    def fetch_all(self, query, **values):
        rows = self._engine.fetch_all(query, **values)
        if query == self._query and self._then:
            then, self._then = self._then, None
            then()
        return rows


def make_store_with_hook(store, query, then):
    """Return a store that calls `then` once, after a query.

    The query runs outside transactions, on the same engine.
    """
    return Store(_HookedEngine(store.engine, query, then))


def fail():
    """Raise InjectedFailure."""
    raise InjectedFailure


def kill():
    """Kill this process (SIGKILL)."""
    os.kill(os.getpid(), signal.SIGKILL)


def replace_link(store, person_key, number):
    """Replace a person's iD by that of the next number."""
    attempt = answered(store, person_key, make_orcid_id(number), id=f"attempt of {person_key}")
    store.links.add(
        attempt, "", make_consent(), make_orcid_id(number - 1), NOON, link_id=f"second link of {person_key}"
    )


def steps_to_replace(store):
    """Return the number of steps of replacing a link."""
    counting = make_failing_store(store, 0, None)
    replace_link(counting, "counted", 2)
    return counting.engine.steps


def _kill_at_each_step(url, steps):
    for step in range(1, steps + 1):
        child = os.fork()
        if child == 0:
            store = make_failing_store(open_store(url), step, kill)
            replace_link(store, f"person {step}", 2 * step + 100)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            raise SystemExit(f"step {step} ended otherwise: {status}")


if __name__ == "__main__":
    _kill_at_each_step(sys.argv[1], int(sys.argv[2]))
