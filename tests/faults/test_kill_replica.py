"""Whoever is killed while writing a replica leaves the old one or the new one, and nothing that stops the next."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from random import Random

import pytest

from shibboleth.orcid_id import Registry
from sql.replica import Replica, write_replica
from tests.support.database import attest_many
from tests.support.docs import ROOT
from tests.support.factories import NOON, UNIVERSITY, make_orcid_id

PEOPLE = 5_000
KILLS = 10
SEED = int(os.environ.get("SEED", "1"))
WRITING = """
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from shibboleth.orcid_id import Registry
from sql.replica import write_replica
from sql.store import open_store
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        store = open_store(sys.argv[1])
        print(os.getpid(), flush=True)
        while True:
            write_replica(store, sys.argv[2], Registry.PRODUCTION, Path(sys.argv[3]), datetime.now(UTC))
    os.waitpid(child, 0)
    print("dead", flush=True)
"""
"""Forks for each line of input a process that writes one replica after the other, and waits for its end."""


@pytest.fixture
def crowd(store, store_url):
    """A store with so many links that a replica takes a while."""
    everybody = ((f"person-{n}@yliopisto.example", make_orcid_id(n)) for n in range(1, PEOPLE + 1))
    attest_many(store, store_url, everybody)
    return store


def test_a_killed_writer_never_leaves_half_a_replica(crowd, store_url, tmp_path):
    path, chance = tmp_path / "replica.db", Random(SEED)
    write_replica(crowd, UNIVERSITY, Registry.PRODUCTION, path, NOON)
    halves = 0

    words = [sys.executable, "-c", WRITING, store_url, UNIVERSITY, str(path)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        for _ in range(KILLS):
            parent.stdin.write("\n")
            parent.stdin.flush()
            writer = int(parent.stdout.readline())
            time.sleep(chance.uniform(0, 0.3))
            os.kill(writer, signal.SIGKILL)
            assert parent.stdout.readline() == "dead\n"
            halves += path.with_name(".replica.db.new").exists()
            with Replica(path) as there, closing(sqlite3.connect(path)) as file:
                assert there.rows == PEOPLE
                assert file.execute("select count(*) from idp_release").fetchone() == (PEOPLE,)
                assert file.execute("pragma integrity_check").fetchone() == ("ok",)

    assert halves, "nobody was killed in the middle of it"
    assert write_replica(crowd, UNIVERSITY, Registry.PRODUCTION, path, NOON) == PEOPLE
    assert [each.name for each in tmp_path.glob("*replica*")] == ["replica.db"]
