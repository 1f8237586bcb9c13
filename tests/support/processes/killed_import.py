"""A process that bears others, each of which stores a list of attested iDs.

    python -m tests.support.processes.killed_import STORE_URL

Reads from standard input, for each one wanted, two numbers: the step of a transaction at which it kills itself
(SIGKILL), 0 for never, and which of two lists it stores. It answers with `dead` or `done`. Each life is a fork.
"""

from __future__ import annotations

import os
import signal
import sys

from sql.repositories import attested_links
from sql.repositories.attested_links import AttestedLink, AttestedLinkRepository
from sql.repositories.base import Attester
from sql.store import open_store
from tests.support.factories import NOON, UNIVERSITY, make_orcid_id
from tests.support.store_faults import FailingEngine

PEOPLE = [f"person{number}@yliopisto.example" for number in range(7)]


def orcid_ids(which):
    """Give the iD of each person in a list."""
    return [make_orcid_id(1000 * which + number) for number in range(len(PEOPLE))]


def _store_list(url, step, which):
    attested_links.BATCH_SIZE = 3
    engine = FailingEngine(open_store(url).engine, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
    rows = (
        AttestedLink(line, person, person, orcid_id, NOON, "CRIS")
        for line, (person, orcid_id) in enumerate(zip(PEOPLE, orcid_ids(which), strict=True), 1)
    )
    results = AttestedLinkRepository(engine).add(
        UNIVERSITY, rows, "organisation", NOON, system=Attester(None, ("idm",))
    )
    if {each.outcome for each in results} - {"linked", "replaced", "unchanged"}:
        os._exit(1)


def main(url):
    """Bear one after the other."""
    for line in sys.stdin:
        step, which = map(int, line.split())
        child = os.fork()
        if child == 0:
            _store_list(url, step, which)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write({0: "done\n", signal.SIGKILL: "dead\n"}.get(status, f"{status}\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
