"""The commands of docs/operator.md by which an operator backs up, restores, compares and removes are run as they stand.

The account, the init system and the directories of a Debian system are stood in for: `runuser` runs what it is given,
`systemctl` notes what it is told, and `/var`, `/etc` and `/root` lie below a directory of the test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest

from shibboleth.orcid_id import Registry
from sql.store import open_store
from tests.support.configuration import write, write_secret
from tests.support.docs import DOCS, ROOT, blocks, under
from tests.support.factories import make_link, make_orcid_id
from webapp.config.loader import load

UNIVERSITY = "example-org"
PAGE = (DOCS / "operator.md").read_text(encoding="utf-8")
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
        self.config = directory / "etc/orcid-connect/orcid-connect.toml"
        self.environ = {
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "NOTES": str(self.notes),
            "PYTHONPATH": str(ROOT),
            "ORCID_CONNECT_CONFIG": str(self.config),
            **environ,
        }
        for place in ("bin", "root", "var/lib/orcid-connect", "var/backups/orcid-connect"):
            (directory / place).mkdir(parents=True)
        for name, script in STAND_INS.items():
            write(directory / "bin" / name, f"#!/bin/sh\n{script}").chmod(0o755)

    def configure(self, url=None, **secrets):
        """Install the example of the page, with another store where one is named."""
        service = self.here((DOCS / "operator/orcid-connect.toml").read_text("utf-8"))
        if url is not None:
            service = re.sub(
                r"^url = .*$", f'url = "{url}"\npassword = "file:secrets/store-password"', service, flags=re.MULTILINE
            )
        write(self.config, service)
        organisation = (DOCS / "operator/organisations/example-org.toml").read_text("utf-8")
        write(self.config.parent / "organisations/example-org.toml", organisation)
        for name in ("orcid-client-secret", "example-org.token"):
            write_secret(self.config.parent / "secrets" / name, name + "x" * 32)
        for name, secret in secrets.items():
            write_secret(self.config.parent / "secrets" / name.replace("_", "-"), secret)
        self.run("orcid-connect migrate")

    def here(self, text):
        """Give a text in which the system's directories are this place's."""
        return re.sub(r"(?<![\w.])/(?=(?:var|etc|root)/)", f"{self.directory}/", text)

    def follow(self, heading, kind="sh", fails=0):
        """Run the commands under a heading of the page, and give what they say."""
        (commands,) = blocks(under(PAGE, heading), kind)
        return self.run(self.here(commands), fails)

    def run(self, commands, fails=0):
        done = subprocess.run(
            ["bash", "-c", commands], env=self.environ, cwd="/", capture_output=True, text=True, check=False
        )
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


@pytest.fixture
def on_sqlite(tmp_path):
    machine = Machine(tmp_path)
    machine.configure()
    return machine


@pytest.fixture
def on_postgres(tmp_path, postgres):
    environ = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": "postgres",
        "PGPASSWORD": postgres.password,
    }
    machine = Machine(tmp_path, **environ)
    machine.environ["PATH"] = machine.environ["PATH"].replace(":", f":{postgres.binaries}:", 1)
    try:
        machine.follow("PostgreSQL", "sh postgresql")
        machine.run("""psql -qc "alter role \\"orcid-connect\\" password 'geh/eim@1'" """)
        machine.configure(
            f"postgresql://orcid-connect@127.0.0.1:{postgres.port}/orcid_connect", store_password="geh/eim@1"
        )
        yield machine
    finally:
        machine.run(
            "psql -Atc \"select datname from pg_database where datname = 'orcid_connect' or datname like 'aside-%'\" |"
            'while read -r name; do dropdb --force "$name"; done; dropuser --if-exists orcid-connect'
        )


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def machine(request):
    return request.getfixturevalue(request.param)


ASIDE = {
    "SQLite": "sqlite3 /var/lib/orcid-connect/aside-*/links.db \"select count(*) from changes where kind = 'linked'\"",
    "PostgreSQL": 'psql -At -d "$(psql -Atc "select datname from pg_database where datname like \'aside-%\'")" '
    "-c \"select count(*) from changes where kind = 'linked'\"",
}
"""How many links were made in the database that was put aside."""

KINDS = {"on_sqlite": ("SQLite", "sh"), "on_postgres": ("PostgreSQL", "sh postgresql")}


@pytest.fixture
def words(request):
    """The name of the engine on the page, and the kind of its blocks."""
    return KINDS[request.node.callspec.params["machine"]]


def link(store, account, number):
    make_link(store, account, make_orcid_id(number, Registry.SANDBOX), UNIVERSITY)


def people_link(machine):
    with machine.store() as store:
        link(store, "maija@example.org", 1)
        link(store, "åke@example.org", 2)
        link(store, "o'hara@example.org", 3)
        link(store, "maija@example.org", 4)


def test_a_backup_made_during_linkings_can_be_restored(machine, words):
    engine, kind = words
    people_link(machine)
    before = machine.kept()
    with machine.store() as serving:
        serving.check_schema()
        machine.follow(f"Back up {engine}", kind)
        link(serving, "matti@example.org", 5)
        serving.links.remove(UNIVERSITY, "maija@example.org", "person", "", before[0][0].linked_at)

    said = machine.follow(f"Restore {engine}", kind)

    assert machine.kept() == before
    assert "All checks passed" in said
    assert machine.notes.read_text() == "stop apache2\nstart apache2\n"
    assert machine.run(machine.here(ASIDE[engine])).strip() == "4", "what there was is put aside"


def test_a_role_of_an_identity_provider_outlives_the_restoring_of_a_backup(on_postgres, postgres):
    people_link(on_postgres)
    password = on_postgres.directory / "var/lib/orcid-connect/example-org.password"
    making = "A role in PostgreSQL"

    def rows():
        place = {"host": "127.0.0.1", "port": postgres.port, "dbname": "orcid_connect"}
        with psycopg.connect(user="idp_example-org", password=password.read_text().strip(), **place) as connection:
            return connection.execute("select account from idp_release order by account").fetchall()

    try:
        on_postgres.follow(making, "sh postgresql")
        seen = rows()
        on_postgres.follow("Back up PostgreSQL", "sh postgresql")
        on_postgres.follow("Restore PostgreSQL", "sh postgresql")

        assert seen == rows() == [("maija@example.org",), ("o'hara@example.org",), ("åke@example.org",)]
        (commands,) = blocks(under(PAGE, making), "sh postgresql")
        on_postgres.run(on_postgres.here(re.sub(r"--generate \S+", "", commands)))
        assert seen == rows()
        assert len(on_postgres.kept()[0]) == 3
    finally:
        on_postgres.run(
            "for name in $(psql -Atc \"select datname from pg_database where datname = 'orcid_connect'"
            ' or datname like \'aside-%\'"); do psql -qd "$name" -c \'drop owned by "idp_example-org"\'; done;'
            "dropuser idp_example-org"
        )


def test_comparing_with_a_backup_shows_a_changed_audit_log(on_sqlite):
    people_link(on_sqlite)
    on_sqlite.follow("Back up SQLite")
    on_sqlite.run(
        on_sqlite.here(
            "sqlite3 /var/lib/orcid-connect/links.db \"update events set kind = 'removed' where number = 2\""
        )
    )

    said = on_sqlite.follow("If the audit does not hold")

    differing = [line.split()[:6:5] for line in said.splitlines() if line.startswith(("< 2", "> 2"))]
    assert differing == [["<", "linked"], [">", "removed"]]
    assert "event 2 was changed" in said
    assert list(on_sqlite.directory.glob("**/compare.*")) == []


def test_an_organisation_that_leaves_has_no_links_and_keeps_its_audit(on_sqlite):
    people_link(on_sqlite)

    on_sqlite.follow("Remove an organisation")

    links, changes, events = on_sqlite.kept()
    assert links == []
    assert [change.kind for change in changes][-3:] == ["removed"] * 3
    assert {event.facts["reason"] for event in events[-3:]} == {"the organisation has left"}
