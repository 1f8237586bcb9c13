"""A database with roles for Identity Providers.

It is owned by the service's role, which is no administrator.
"""

from __future__ import annotations

import subprocess

import psycopg
from click.testing import CliRunner

from shibboleth.orcid_id import Registry
from sql.migrate import migrate
from sql.records import RecordState
from sql.store import open_store
from tests.support.configuration import store_section, write_configuration, write_secret
from tests.support.factories import NOON, POLYTECHNIC_IDP, UNIVERSITY, make_link, make_orcid_id
from webapp.cli.main import main

MAIJA, MATTI = "maija@yliopisto.example", "matti@yliopisto.example"
LIISA = "liisa@amk.example"
TRIAL = Registry.SANDBOX
SECRET = "idp-password-" + "p" * 32
ORGANISATIONS = {
    "yliopisto": None,
    "amk-1": {"entity_ids": POLYTECHNIC_IDP, "scopes": ["amk.example"], "credential": None},
    "empty": {"entity_ids": "https://idp.empty.example/", "scopes": ["empty.example"], "credential": None},
}


class RoleDatabase:
    """A database for tests of the roles that `idp-role` manages."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        self.database = server.make_database(template="template0")
        self.service = f"service_{self.database}"
        self.administer(
            f"create role {self.service} login password 'service'",
            f"alter database {self.database} owner to {self.service}",
        )
        self.url = f"postgresql://{self.service}:service@127.0.0.1:{server.port}/{self.database}"
        self.store = open_store(self.url)
        migrate(self.store.engine, NOON)
        self.config = write_configuration(
            directory, store=store_section(directory, self.url), organisations=ORGANISATIONS
        )
        write_secret(directory / "secrets/idp", SECRET)

    def administer(self, *statements):
        with self.server.connect(self.database) as connection:
            return [connection.execute(each) for each in statements]

    def run(self, *words, config=None):
        result = CliRunner().invoke(main, ["--config", str(config or self.config), "idp-role", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def make(self, *organisations):
        for each in organisations or ("yliopisto", "amk-1", "empty"):
            code, script = self.run(each, "--password", "file:secrets/idp", "--sql")
            assert code == 0, script
            self.psql(script)

    def psql(self, script):
        """Run SQL as the database's administrator would, through psql."""
        words = [self.server.binaries / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.server.url(self.database)]
        done = subprocess.run(words, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def sign_in(self, role="idp_yliopisto", password=SECRET):
        place = {"host": "127.0.0.1", "port": self.server.port, "dbname": self.database}
        return psycopg.connect(user=role, password=password, autocommit=True, **place)

    def ask(self, text, role="idp_yliopisto", values=()):
        with self.sign_in(role) as connection:
            return connection.execute(text, values).fetchall()

    def roles(self):
        with self.server.connect() as connection:
            return [name for (name,) in connection.execute(r"select rolname from pg_roles where rolname like 'idp\_%'")]

    def remove(self):
        self.store.close()
        names = [*self.roles(), self.service]
        with self.server.connect() as connection:
            connection.execute(f"drop database {self.database} with (force)")
            for name in names:
                connection.execute(f'drop role "{name}"')


def link(store):
    make_link(store, MAIJA, make_orcid_id(1, TRIAL))
    make_link(store, MATTI, make_orcid_id(2, TRIAL))
    make_link(store, "real@yliopisto.example", make_orcid_id(3))
    make_link(store, "gone@yliopisto.example", make_orcid_id(4, TRIAL))
    store.links.remove(UNIVERSITY, "gone@yliopisto.example", "person", "asked to", NOON)
    make_link(store, "locked@yliopisto.example", make_orcid_id(5, TRIAL))
    (locked,) = store.record_statuses.save(make_orcid_id(5, TRIAL), RecordState.LOCKED, None, NOON)
    store.record_statuses.suspend(locked, NOON)
    make_link(store, LIISA, make_orcid_id(1, TRIAL), "amk-1")
