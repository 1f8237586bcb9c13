"""The demonstration as a process, and what can be observed of it."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import requests

from sql.store import open_store

ROOT = Path(__file__).parents[3]
READY = re.compile(r"The demonstration is ready: (http://127\.0\.0\.1:\d+)/")
ACCOUNTS = {"maija": "pohjoinen", "hanako": "pohjoinen", "ake": "saaristo", "piia": "saaristo"}
TOKEN = re.compile(r'name="token" value="([^"]+)"')
SHOWN = re.compile(r'name="shown" value="([^"]+)"')


class Demo:
    """A running demonstration, with control of its simulated parts."""

    def __init__(self, process, words, directory, url=None):
        self.process = process
        self.words = words
        self.base_url = READY.search(words)[1]
        self.directory = directory
        self.url = url or f"sqlite://{directory}/links.db"
        self.config = directory / "orcid-connect.toml"

    def get_released_id(self, account, organisation, **holder):
        """Look up a person in the connector as an IdP does.

        `holder` are further parameters of the query, such as `stable_id`.
        """
        secret = (self.directory / "secrets" / organisation).read_text().strip()
        given = (
            {"auth": (organisation, secret)}
            if organisation == "saaristo"
            else {"headers": {"Authorization": f"Bearer {secret}"}}
        )
        answer = requests.get(f"{self.base_url}/v1/people/{quote(account, safe='')}", holder, timeout=60, **given)
        answer.raise_for_status()
        return answer.json()["eduPersonOrcid"]

    def arm_fault(self, place, fault, **more):
        """Arm a fault of the ORCID simulator for its next request."""
        self.post_orcid_admin("faults", place=place, fault=fault, **more)

    def post_orcid_admin(self, what, **said):
        """Send a command to the ORCID simulator's `/admin`."""
        requests.post(f"{self.base_url}/orcid/admin/{what}", json=said, timeout=60).raise_for_status()

    def set_register_fault(self, fault=""):
        """Set the fault of the university's identity management; empty clears it."""
        requests.post(f"{self.base_url}/identity-management/", {"fault": fault}, timeout=60).raise_for_status()

    def reset(self):
        """Remove all links and attempts, clear faults and reset the ORCID simulator."""
        self.set_register_fault()
        with self.database() as database:
            database.execute("delete from attempts")
        self.post_orcid_admin("reset")
        for account, organisation in ACCOUNTS.items():
            if self.get_released_id(f"{account}@{organisation}.example", organisation):
                self._unlink(account)
        self._deliver_what_waits()

    def _deliver_what_waits(self):
        # A delivery that waits for its next try would delay those of the next journey
        with self.database() as database:
            database.execute("update circuit_breakers set open_until = null, consecutive_failures = 0")
            database.execute("update deliveries set next_try_at = queued_at where state = 'waiting'")
            until = time.monotonic() + 60
            while database.execute("select count(*) from deliveries where state = 'waiting'").fetchone()[0]:
                assert time.monotonic() < until, "deliveries of an earlier journey are still waiting"
                time.sleep(0.1)

    def _unlink(self, account):
        with requests.Session() as visit:
            page = visit.post(
                f"{self.base_url}/identity-provider", {"person": account, "target": "/me/remove"}, timeout=60
            )
            form = {"token": TOKEN.search(page.text)[1], "shown": SHOWN.search(page.text)[1]}
            visit.post(f"{self.base_url}/me/remove", form, timeout=60).raise_for_status()

    @contextmanager
    def database(self):
        """Yield a connection to the database, past the service."""
        path = self.url.removeprefix("sqlite://")
        if path == self.url:
            with psycopg.connect(self.url, autocommit=True) as connection:
                yield connection
        else:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                yield connection

    def count_linkings(self, account, organisation):
        """Return how often a person has been linked, by the audit log."""
        with self.store() as store:
            events = store.audit.list_events(organisation, account)
            return [each.kind for each in events].count("linked")

    @contextmanager
    def store(self):
        """Yield the store."""
        store = open_store(self.url)
        try:
            yield store
        finally:
            store.close()

    def change_person(self, person="", **released):
        """Change what an organisation releases about a person.

        Without a person, undo all changes.
        """
        form = {"person": person, **released}
        requests.post(f"{self.base_url}/identity-provider/people", form, timeout=60).raise_for_status()


def start(*arguments, scratch=None, **environment):
    """Start the demonstration without waiting for it.

    Temporary files go below `scratch`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **({"TMPDIR": str(scratch)} if scratch else {}), **environment},
        start_new_session=True,
    )


def read_startup_output(process):
    """Read its output until it is ready or ends."""
    words = ""
    for line in process.stdout:
        words += line
        if "Ctrl-C" in line:
            break
    return words


@contextmanager
def running_demo(directory, url=None):
    """Yield a running demonstration, and stop it with Ctrl-C.

    `url` is that of an empty PostgreSQL database, with a password; without it the database is an SQLite file.
    """
    arguments, environment = ["--port", "0", "--keep", str(directory)], {}
    if url is not None:
        password = urlsplit(url).password
        arguments += ["--database", url.replace(f":{password}@", "@", 1)]
        environment["PGPASSWORD"] = password
    process = start(*arguments, **environment)
    try:
        yield Demo(process, read_startup_output(process), directory, url)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@contextmanager
def running_server(configuration):
    """Yield the address of one more `orcid-connect serve` with a configuration."""
    command = [sys.executable, "-m", "webapp", "--config", str(configuration), "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()


def children_of(process):
    """Return the process ids of a process's children."""
    return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(number):
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False
