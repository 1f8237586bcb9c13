"""A PostgreSQL primary with a streaming standby."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager

from tests.support.postgres import Server

REPLICATION = {
    "wal_level": "replica",
    "max_wal_senders": 5,
    "hot_standby": "on",
    # In its own directory, where a killed server leaves nothing in /dev/shm
    "dynamic_shared_memory_type": "mmap",
}
NAME = "standby"
PARAMETERS = {"target_session_attrs": "read-write"}
"""What the URL says unless told: connections go to the server that accepts writes."""
PATIENCE = 30.0
"""Seconds until a standby that does not follow is given up."""


class Standby(Server):
    """A streaming standby of another server of the tests, on the same machine."""

    def __init__(self, primary, name=NAME):
        self.primary, self.name = primary, name
        super().__init__(**primary.settings)

    def make(self):
        """Copy the data of the primary.

        A replication slot keeps the log until the standby has it.
        """
        self.password = self.primary.password
        source = f"{self.primary.url('')}?application_name={self.name}"
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self.run(
            "pg_basebackup",
            f"--dbname={source}",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--create-slot",
            f"--slot={self.name}",
            "--checkpoint=fast",
            "--no-sync",
        )
        self.configure({})

    def promote(self):
        """Make it a primary and wait until it accepts writes."""
        self.run("pg_ctl", "promote", "-w", "-s")


class Cluster:
    """A primary and a synchronous standby.

    `url` names both hosts; libpq connects to the one that accepts writes.
    """

    def __init__(self):
        self.primary = Server(**REPLICATION)
        try:
            self.standby = Standby(self.primary)
            self._replicate_synchronously()
        except BaseException:
            self.primary.remove()
            raise

    def _replicate_synchronously(self):
        with self.primary.connect() as connection:
            connection.execute(f"alter system set synchronous_standby_names = 'FIRST 1 ({NAME})'")
            # A commit is reported when a look-up on the standby finds it
            connection.execute("alter system set synchronous_commit = 'remote_apply'")
            connection.execute("select pg_reload_conf()")
            end = time.monotonic() + PATIENCE
            while connection.execute("select sync_state from pg_stat_replication").fetchall() != [("sync",)]:
                if time.monotonic() > end:
                    raise RuntimeError("the standby does not follow the primary")
                time.sleep(0.05)

    def url(self, database, **parameters):
        """Return the URL of a database of whichever server accepts writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        options = "&".join(f"{name}={value}" for name, value in (PARAMETERS | parameters).items())
        return f"postgresql://postgres:{self.primary.password}@{hosts}/{database}?{options}"

    def kill_primary(self):
        """End all processes of the primary at once."""
        self.primary.kill()

    def promote_standby(self):
        """Make the standby the primary, as Patroni or an operator does."""
        self.standby.promote()

    def remove(self):
        """End both servers and leave nothing behind."""
        self.standby.remove()
        self.primary.remove()


@contextmanager
def running_cluster():
    """Yield a primary and a synchronous standby."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.remove()
