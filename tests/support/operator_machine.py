"""A machine on which commands of the operator's pages are run.

The account, the init system and the directories of a Debian system are stood in for: `runuser` runs what it is given,
`systemctl` notes what it is told, and `/var`, `/etc`, `/opt` and `/root` lie below a directory of the test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

from cryptography.fernet import Fernet

from sql.store import open_store
from tests.support.configuration import write, write_secret
from tests.support.docs import OPERATOR_PAGES, ROOT, blocks, under
from tests.support.init import add_example, run_init
from webapp.config.loader import load

UNIVERSITY = "example-org"
TOKEN_KEY = Fernet.generate_key().decode()
STAND_INS = {
    "runuser": 'shift 3\nexec "$@"\n',
    "systemctl": 'echo "$*" >> "$NOTES"\n',
    "install": '[ "$1" = -g ] && shift 2\nexec /usr/bin/install "$@"\n',
    "orcid-connect": f'exec {sys.executable} -m webapp "$@"\n',
}


class Machine:
    """A place where the page was followed up to the database."""

    def __init__(self, directory, **environ):
        self.directory = directory
        self.notes = directory / "notes"
        self.working_directory = "/"
        self.config = directory / "etc/orcid-connect/orcid-connect.toml"
        self.environ = {
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "NOTES": str(self.notes),
            "PYTHONPATH": str(ROOT),
            "ORCID_CONNECT_CONFIG": str(self.config),
            **environ,
        }
        for place in ("bin", "root", "var/lib/orcid-connect", "var/backups/orcid-connect"):
            (directory / place).mkdir(parents=True, exist_ok=True)
        for name, script in STAND_INS.items():
            write(directory / "bin" / name, f"#!/bin/sh\n{script}").chmod(0o755)

    def configure(self, url=None, **secrets):
        """Install the files of a new service, with another store where one is named."""
        shutil.copytree(run_init(self.directory / "new") / "etc/orcid-connect", self.config.parent, dirs_exist_ok=True)
        service = self.here(self.config.read_text("utf-8"))
        if url is not None:
            service = re.sub(
                r"^url = .*$", f'url = "{url}"\npassword = "file:secrets/store-password"', service, flags=re.MULTILINE
            )
        write(self.config, service)
        write_secret(self.config.parent / "secrets/orcid-client-secret", "x" * 32)
        for name, secret in {**secrets, "orcid_token_key": TOKEN_KEY}.items():
            write_secret(self.config.parent / "secrets" / name.replace("_", "-"), secret)
        if not (self.config.parent / "organisations/example-org.toml").exists():
            add_example(self.config.parent)
        self.run("orcid-connect migrate")

    def here(self, text):
        """Give a text in which the system's directories are this place's."""
        return re.sub(r"(?<![\w.])/(?=(?:var|etc|opt|root)/)", f"{self.directory}/", text)

    def commands(self, heading, kind="sh"):
        """Give the commands under a heading of the pages."""
        (commands,) = blocks(under(OPERATOR_PAGES, heading), kind)
        return self.here(commands)

    def follow(self, heading, kind="sh", fails=0):
        """Run the commands under a heading of the pages, and give what they say."""
        return self.run(self.commands(heading, kind), fails)

    def run(self, commands, fails=0):
        options = {"env": self.environ, "cwd": self.working_directory, "capture_output": True, "text": True}
        done = subprocess.run(["bash", "-c", commands], check=False, **options)
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def store(self):
        store = open_store(load(self.config, {}).store.reveal())
        yield store
        store.close()

    def kept(self):
        """Everything that the store promises to keep."""
        with self.store() as store:
            assert store.audit.verify(UNIVERSITY) == []
            return (
                [*store.links.list_current(UNIVERSITY)],
                store.changes.list_after(UNIVERSITY, 0, 100),
                [*store.audit.list_events(UNIVERSITY)],
            )
