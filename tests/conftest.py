"""What all tests share: a closed network, and a store on each engine."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import os
import signal
import socket
import sys

import freezegun
import hypothesis
import pytest

from resolver_connector.transfers import installed
from sql.migrate import migrate
from sql.store import open_store
from tests.support.database import TABLES, make_sqlite
from tests.support.factories import NOON
from tests.support.postgres import Server

SCHEMA_FINGERPRINT = """
select
    (select count(*) from pg_class where relnamespace = 'public'::regnamespace),
    (select count(*) from pg_proc where pronamespace = 'public'::regnamespace),
    (select array_agg(name order by name) from schema_migrations)
"""


# A shell that starts tests in the background ignores SIGINT for them, and so would each process that they start
signal.signal(signal.SIGINT, signal.default_int_handler)

# The threads of a connection pool cannot end while their clock stands still
freezegun.configure(extend_ignore_list=["psycopg_pool"])

# The same examples in every run: what passes here passes elsewhere, and coverage does not depend on chance.
# HYPOTHESIS_PROFILE=random looks for others.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.register_profile("random")
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


class NetworkAccessBlocked(RuntimeError):
    """A test reached for an address that is not this machine's own."""


def _is_loopback(address):
    if not isinstance(address, tuple):
        return True
    host = address[0]
    return host in {"", "localhost"} or ((host[:1].isdigit() or ":" in host) and ipaddress.ip_address(host).is_loopback)


SHARED = ("stack", "service", "gallery_language")
"""Parameters that are costly to make, and that tests of several files or few tests of one have in common."""


def _group(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    shared = [f"{name} {parameters[name]}" for name in SHARED if name in parameters]
    return " ".join(shared) or item.nodeid.partition("::")[0]


def pytest_itemcollected(item):
    """Let one process run the tests of a file, or those that share something costly, with `--dist loadgroup`."""
    item.add_marker(pytest.mark.xdist_group(_group(item)))


@pytest.fixture(scope="session", autouse=True)
def closed_network():
    """Nothing leaves this machine while it is tested."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(original):
        def ours_only(self, address):
            if not _is_loopback(address):
                raise NetworkAccessBlocked(address)
            return original(self, address)

        return ours_only

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        yield


@pytest.fixture(scope="session", autouse=True)
def entry_points_are_read_once():
    """Read the entry points of installed packages once; that is most of the time that it takes to load a configuration.

    A test that puts a package onto the path has it read.
    """
    path, found = [*sys.path], {}

    def entry_points(*, group):
        if sys.path != path:
            return importlib.metadata.entry_points(group=group)
        if group not in found:
            found[group] = importlib.metadata.entry_points(group=group)
        return found[group]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installed, "entry_points", entry_points)
        yield


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server, with a migrated database to copy from."""
    server = Server()
    try:
        assert server.make_database() == "test_1"
        store = open_store(server.url("test_1"))
        migrate(store.engine, NOON)
        store.close()
        with server.connect("test_1") as connection:
            server.schema_fingerprint = connection.execute(SCHEMA_FINGERPRINT).fetchone()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request, tmp_path):
    """Where a database is that nothing has been done to, on each engine."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/links.db"
    server = request.getfixturevalue("postgres")
    return server.url(server.make_database())


@pytest.fixture
def migrated_postgres(postgres):
    """Where a migrated and empty database of PostgreSQL is; used again as long as nobody changed its making."""
    name = (
        postgres.reusable_databases.pop() if postgres.reusable_databases else postgres.make_database(template="test_1")
    )
    yield postgres.url(name)
    with postgres.connect(name) as connection:
        connection.execute("set statement_timeout = 2000")
        if connection.execute(SCHEMA_FINGERPRINT).fetchone() == postgres.schema_fingerprint:
            connection.execute(";".join(f"delete from {table}" for table in TABLES))
            postgres.reusable_databases.append(name)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """Where a migrated and empty store is, on each engine."""
    if request.param == "postgres":
        return request.getfixturevalue("migrated_postgres")
    return make_sqlite(tmp_path)


@pytest.fixture
def store(store_url):
    """A migrated and empty store, on each engine; patient, since tests share the machine."""
    store = open_store(store_url, timeout=5.0)
    yield store
    store.close()
