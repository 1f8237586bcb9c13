"""kill -9 of a process that stores a list of attested iDs: whole transactions are there, and nothing else.

`make test` kills twenty, and `make soak` five hundred (KILLS); SEED makes another history.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

from tests.support.docs import ROOT
from tests.support.factories import UNIVERSITY
from tests.support.processes.killed_import import PEOPLE, orcid_ids

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", "20260115"))
STEPS = 90
"""Steps of the transactions of one list, at most."""


def test_a_list_whose_process_is_killed_is_whole_up_to_a_transaction_and_can_be_sent_again(store, store_url):
    rng, dead, done = random.Random(SEED), 0, 0
    command = [sys.executable, "-m", "tests.support.processes.killed_import", store_url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(step):
            process.stdin.write(f"{step} {done % 2 + 1}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        while dead < KILLS:
            answer = run(rng.randint(1, STEPS))
            assert answer in {"dead", "done"}
            dead += answer == "dead"
            _must_be_whole(store)
            # As its sender does
            if answer == "done" or rng.random() < 0.5:
                assert run(0) == "done"
                links = store.links.list_current(UNIVERSITY)
                assert [each.orcid_id for each in links] == orcid_ids(done % 2 + 1)
                done += 1
        process.stdin.close()
    assert done > KILLS / 5


def _must_be_whole(store):
    changes, events = store.changes.last_number(UNIVERSITY), list(store.audit.list_events(UNIVERSITY))
    assert store.audit.verify(UNIVERSITY) == store.audit.compare_with_links(UNIVERSITY) == []
    assert len(events) == changes == sum(1 for _ in store.deliveries.list_waiting(UNIVERSITY))
    assert store.links.count(UNIVERSITY) in {0, 3, 6, len(PEOPLE)}
