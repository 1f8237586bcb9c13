"""The commands of the operator's pages that back up, restore, compare and remove are run as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil

import psycopg
import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from resolver_connector.orcid.sealing import TokenPair, TokenSealer
from shibboleth.orcid_id import Registry
from sql.records import OrcidToken
from tests.support.configuration import write
from tests.support.docs import OPERATOR_PAGES, blocks, under
from tests.support.factories import (
    CLIENT_ID,
    NOON,
    answered,
    make_client,
    make_consent,
    make_link,
    make_orcid_id,
    make_organisation,
)
from tests.support.operator_machine import TOKEN_KEY, UNIVERSITY, Machine
from tests.support.postgres import Server
from tests.support.service import ask

TOKEN = "t" * 40
CREDENTIALS = Credentials([(Bearer(TOKEN), make_client(make_organisation(UNIVERSITY)))])
SEALER, PAIR = TokenSealer([TOKEN_KEY]), TokenPair("an-access-token", "a-refresh-token")


@pytest.fixture
def on_sqlite(tmp_path):
    machine = Machine(tmp_path)
    machine.configure()
    return machine


def machine_on(directory, server):
    """Follow the page on a server of PostgreSQL."""
    environ = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": server.password,
        "PGDATA": str(server.data),
    }
    machine = Machine(directory, **environ)
    machine.environ["PATH"] = machine.environ["PATH"].replace(":", f":{server.binaries}:", 1)
    machine.follow("PostgreSQL", "sh postgresql")
    machine.run("""psql -qc "alter role \\"orcid-connect\\" password 'geh/eim@1'" """)
    machine.configure(f"postgresql://orcid-connect@127.0.0.1:{server.port}/orcid_connect", store_password="geh/eim@1")
    return machine


@pytest.fixture
def on_postgres(tmp_path, postgres):
    machine = None
    try:
        machine = machine_on(tmp_path, postgres)
        yield machine
    finally:
        if machine:
            machine.run(
                'psql -Atc "select datname from pg_database'
                " where datname = 'orcid_connect' or datname like 'aside-%'\" |"
                'while read -r name; do dropdb --force "$name"; done; dropuser --if-exists orcid-connect'
            )


DEBIANS_POSTGRESQL = {
    "runuser": '[ "$2" = postgres ] && [ "$(id -u)" = 0 ] && exec /usr/sbin/runuser "$@"\nshift 3\nexec "$@"\n',
    "systemctl": '[ "$2" = apache2 ] || exec runuser -u postgres -- pg_ctl "$1" -w -s -m fast -l "$PGDATA/../log"\n',
    "install": 'if [ "$(id -u)" != 0 ]; then shift 5; set -- -d "$@"; fi\nexec /usr/bin/install "$@"\n',
}
"""As STAND_INS, for a PostgreSQL that is laid out as Debian does: the files are its account's."""


@pytest.fixture
def archiving():
    """A machine with a PostgreSQL of its own that archives its log."""
    server = Server()
    try:
        server.stop()
        data = server.directory / "var/lib/postgresql/15/main"
        settings = server.directory / "etc/postgresql/15/main/conf.d"
        for each in (data.parent, settings):
            each.mkdir(parents=True)
        server.data.rename(data)
        server.data.symlink_to(data)
        if os.getuid() == 0:
            shutil.chown(data.parent, "postgres", "postgres")
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"include_dir = '{settings}'\n")
        server.start()
        machine = machine_on(server.directory, server)
        for name, script in DEBIANS_POSTGRESQL.items():
            write(server.directory / "bin" / name, f"#!/bin/sh\n{script}").chmod(0o755)
        machine.follow("Archive PostgreSQL", "sh archive")
        yield machine
    finally:
        server.remove()


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


class FeedReader:
    """An organisation's program that reads the feed and keeps its cursor."""

    def __init__(self):
        self.cursor = None

    def fetch(self, store):
        """Fetch what is new; give the action of each account's change, or the status of an error."""
        connector = Connector(store, CREDENTIALS, Registry.SANDBOX, lambda: NOON)
        place = "/v1/changes" + (f"?cursor={self.cursor}" if self.cursor else "")
        answer = ask(connector, place, HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
        connector.lookup.close()
        if answer.status != 200:
            self.cursor = None
            return answer.status
        body = json.loads(answer.body)
        self.cursor = body["next_cursor"]
        return {each["person"]["value"]: each["action"] for each in body["changes"]}


def link_with_tokens(store, account):
    """Link a person whose tokens of ORCID are kept sealed."""
    attempt = answered(store, account, make_orcid_id(9, Registry.SANDBOX), UNIVERSITY)
    sealed = SEALER.seal("pair", PAIR)
    store.orcid_tokens.add(OrcidToken("pair", UNIVERSITY, CLIENT_ID, "", NOON, None, sealed=sealed), attempt.id, NOON)
    store.links.add(attempt, "", make_consent(), None, NOON, "link-of-pair", ())


def opened_tokens(store):
    """Open the tokens of that link which it still needs."""
    return [SEALER.open(each.id, each.sealed) for each in store.orcid_tokens.list_for_link("link-of-pair")]


class Drill:
    """Links before and after a backup, with two readers of the feed: one that has read all before it, one all after."""

    def __init__(self, machine):
        self.machine = machine
        self.early, self.late = FeedReader(), FeedReader()

    def before_backup(self):
        people_link(self.machine)
        with self.machine.store() as store:
            link_with_tokens(store, "pia@example.org")
            self.early.fetch(store)
        self.kept = self.machine.kept()

    def after_backup(self):
        with self.machine.store() as store:
            link(store, "matti@example.org", 5)
            for account in ("maija@example.org", "pia@example.org"):
                store.links.remove(UNIVERSITY, account, "person", "", NOON)
            self.late.fetch(store)
            assert opened_tokens(store) == []

    def check_restored(self):
        """Check that everything is as at the backup, and what readers of the feed see then."""
        assert self.machine.kept() == self.kept
        with self.machine.store() as store:
            assert opened_tokens(store) == [PAIR]
            # Its number was another change's, which the late reader has seen
            link(store, "veera@example.org", 6)
            assert self.early.fetch(store) == {"veera@example.org": "linked"}
            assert self.late.fetch(store) == 410
            restored = (
                "maija@example.org",
                "o'hara@example.org",
                "pia@example.org",
                "veera@example.org",
                "åke@example.org",
            )
            assert self.late.fetch(store) == dict.fromkeys(restored, "linked")
            assert store.audit.verify(UNIVERSITY) == []


def test_a_restore_gives_back_what_was_backed_up_and_readers_notice(machine, words):
    engine, kind = words
    drill = Drill(machine)
    drill.before_backup()
    with machine.store() as serving:
        serving.check_schema()
        machine.follow(f"Back up {engine}", kind)
    drill.after_backup()

    said = machine.follow(f"Restore {engine}", kind)

    drill.check_restored()
    assert "All checks passed" in said
    assert machine.notes.read_text() == "stop apache2\nstart apache2\n"
    assert machine.run(machine.here(ASIDE[engine])).strip() == "5", "what there was is moved aside"


def test_postgresql_is_restored_as_it_was_at_a_time_and_then_without_its_disk(archiving):
    drill = Drill(archiving)
    archiving.follow("Archive PostgreSQL", "sh base")
    drill.before_backup()
    time = archiving.run("psql -Atc 'select clock_timestamp()'").strip()
    drill.after_backup()

    commands = archiving.commands("Restore PostgreSQL as it was at a time", "sh recovery")
    said = archiving.run(f"recovery_time='{time}'\n{commands}")

    drill.check_restored()
    assert "All checks passed" in said

    archiving.follow("Archive PostgreSQL", "sh base")
    people_link(archiving)
    kept = archiving.kept()

    # To a time after the last change, from base backup and archive alone
    without_disk = "".join(line for line in commands.splitlines(keepends=True) if "pg_wal" not in line)
    archiving.run(f"recovery_time='2100-01-01'\n{without_disk}[ $? = 0 ]", fails=1)
    log = (archiving.directory / "var/lib/postgresql/15/log").read_text()
    start = "systemctl start postgresql@15-main\n"
    said = archiving.run(
        f"(\nsed -i /recovery_target_time/d {archiving.directory}/etc/postgresql/15/main/conf.d/recovery.conf\n"
        + start
        + without_disk.partition(start)[2]
    )

    assert "recovery ended before configured recovery target was reached" in log
    assert archiving.kept() == kept
    assert "All checks passed" in said


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
        (commands,) = blocks(under(OPERATOR_PAGES, making), "sh postgresql")
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
