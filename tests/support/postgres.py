"""A real PostgreSQL server for the tests.

Debian's, on loopback, in a temporary directory.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.support.ports import free_port
from tests.support.processes.demo import is_running

PACKAGE = "postgresql-15"
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "fsync": "off",
    "max_connections": 100,
    "shared_buffers": "'32MB'",
    "lc_messages": "'C'",
}
WHEN_ORPHANED = """
read -r _
first=$(head -n 1 "$0/data/postmaster.pid") && kill -QUIT "$first" && kill -CONT "$first" && sleep 2
rm -rf "$0"
"""
"""Shell commands that wait for the end of the tests, and then end a server that was left behind."""


def binaries():
    """Return the directory of the newest installed PostgreSQL server."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found:
        raise RuntimeError(f"these tests need a PostgreSQL server; run: apt-get install {PACKAGE}")
    return max(found, key=lambda path: int(path.parent.name))


def children_of(process):
    """Return the process ids of a process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(path.parent.name))
    return found


class Server:
    """A PostgreSQL server that can be stopped and started.

    `url(name)` is the URL of a database.

    `reusable_databases` holds names of databases that a later test can use again.

    `settings` are laid over those of `SETTINGS`, as they stand in postgresql.conf.
    """

    def __init__(self, **settings):
        self.settings = SETTINGS | settings
        self.binaries = binaries()
        self.directory = Path(tempfile.mkdtemp(prefix="orcid-connect-postgres-"))
        self.data = self.directory / "data"
        self.password = secrets.token_hex(16)
        self.port = free_port()
        self._count = 0
        self.reusable_databases = []
        self.schema_fingerprint = None
        # A run of tests may be killed: its end closes the pipe, whatever ended it
        self._guard = subprocess.Popen(
            ["sh", "-c", WHEN_ORPHANED, self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.make()
            self.start()
        except BaseException:
            self.remove()
            raise

    def run(self, program, *arguments):
        """Run one of PostgreSQL's programs on the server's data.

        Raises:
            RuntimeError: If it fails.
        """
        # PostgreSQL refuses to run as root
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        command = [*become, str(self.binaries / program), "-D", str(self.data), *arguments]
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed:\n{done.stdout.decode(errors='replace')}\n{self._log()}")

    def _log(self):
        log = self.directory / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def make(self):
        """Make the data of a new server."""
        words = self.directory / "password"
        words.write_text(self.password)
        if os.getuid() == 0:
            for path in (self.directory, words):
                shutil.chown(path, "postgres", "postgres")
        self.run(
            "initdb",
            "--username=postgres",
            "--auth=md5",  # SCRAM takes both sides some milliseconds a connection
            f"--pwfile={words}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        self.configure(self.settings)

    def configure(self, settings):
        """Add settings to its file, for the next start."""
        own = {"port": self.port, "unix_socket_directories": f"'{self.directory}'"}
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = {value}\n" for name, value in (settings | own).items())

    def start(self):
        """Start it and wait until it answers."""
        self.run("pg_ctl", "start", "-w", "-s", "-l", str(self.directory / "log"))

    def stop(self):
        """Stop it as a crash would: now, without asking its clients."""
        self.run("pg_ctl", "stop", "-w", "-s", "-m", "immediate")

    def kill(self):
        """End all of its processes at once, as a power failure would."""
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        processes = self._processes()
        # Stopped first, so that no process sees another one end
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)
        while any(is_running(each) for each in processes):
            time.sleep(0.01)
        (self.data / "postmaster.pid").unlink()
        # Its shared memory, which the next start would remove
        subprocess.run(["ipcrm", "-m", lines[6].split()[1]], check=False, stderr=subprocess.DEVNULL)

    def _processes(self):
        """Give the server's first process and then its children."""
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        return [first, *children_of(first)]

    def signal(self, number):
        """Send a signal to the server's first process and to its children."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    @contextmanager
    def silent(self):
        """Keep all of the server's processes stopped.

        It takes connections and says nothing.
        """
        # Twice, for a child that came while the first round was on its way
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def remove(self):
        """Stop it and leave nothing behind."""
        if (self.data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.directory)
        self._guard.communicate()

    def url(self, database="postgres"):
        """Where a database of this server is."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database):
        """Return the URL of a database by the server's Unix socket."""
        return f"postgresql://postgres:{self.password}@/{database}?host={self.directory}&port={self.port}"

    def connect(self, database="postgres"):
        """Give a connection beside the store's own, to look and to disturb."""
        return psycopg.connect(self.url(database), autocommit=True)

    def make_database(self, template="template1"):
        """Make a database and give its name."""
        self._count += 1
        name = f"test_{self._count}"
        with self.connect() as connection:
            connection.execute(f"create database {name} template {template} strategy file_copy")
        return name
