"""A replica is a whole file with what one organisation releases, or it is the one that was there before."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from threading import Thread

import psycopg
import pytest

from shibboleth.orcid_id import Registry
from sql import replica as module
from sql.engines.base import queries
from sql.errors import StoreUnavailable
from sql.replica import NotAReplica, Replica, ReplicaNotWritten, write_replica
from sql.store import open_store
from tests.support.database import attest_many, opened
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_link, make_orcid_id

MAIJA, MATTI, OSKAR = "maija@yliopisto.example", "matti@yliopisto.example", "åke@yliopisto.example"
TRUE, TRIAL = Registry.PRODUCTION, Registry.SANDBOX


@pytest.fixture
def path(tmp_path):
    """Where the replica goes: a directory with nothing else in it."""
    directory = tmp_path / "to the idp #1"
    directory.mkdir()
    return directory / "replica?.db"


@pytest.fixture
def people(store):
    """A store with links of two organisations, in either registry, and some that ended."""
    make_link(store, MATTI, make_orcid_id(2))
    make_link(store, MAIJA, make_orcid_id(1))
    make_link(store, MAIJA, make_orcid_id(3))
    make_link(store, OSKAR, make_orcid_id(4))
    make_link(store, "gone@yliopisto.example", make_orcid_id(5))
    store.links.remove(UNIVERSITY, "gone@yliopisto.example", "person", "asked to", NOON)
    make_link(store, "trial@yliopisto.example", make_orcid_id(6, TRIAL))
    make_link(store, "liisa@amk.example", make_orcid_id(1), POLYTECHNIC)
    return store


def asked(path, text='select account, "eduPersonOrcid" from idp_release'):
    """Ask the file as an Identity Provider would, which knows nothing of this program."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute(text).fetchall()


# The view


def view(url, text, values=()):
    """Ask the view beside the store; `?` stands for a value."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as file:
            return file.execute(text, values).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(text.replace("?", "%s"), values).fetchall()


def test_the_view_has_one_row_for_each_orcid_id_that_holds(people, store_url):
    found = view(store_url, 'select organisation, registry, account, "eduPersonOrcid" from idp_release')

    assert sorted(found) == sorted([
        (UNIVERSITY, "production", MAIJA, make_orcid_id(3).uri),
        (UNIVERSITY, "production", MATTI, make_orcid_id(2).uri),
        (UNIVERSITY, "production", OSKAR, make_orcid_id(4).uri),
        (UNIVERSITY, "sandbox", "trial@yliopisto.example", make_orcid_id(6, TRIAL).uri),
        (POLYTECHNIC, "production", "liisa@amk.example", make_orcid_id(1).uri),
    ])  # fmt: skip


def test_the_views_columns_are_called_as_the_attribute_is(people, store_url):
    if store_url.startswith("sqlite"):
        with closing(sqlite3.connect(store_url.removeprefix("sqlite://"))) as file:
            names = [column[0] for column in file.execute("select * from idp_release").description]
    else:
        with psycopg.connect(store_url) as connection:
            names = [column.name for column in connection.execute("select * from idp_release").description]

    assert names == ["organisation", "registry", "account", "eduPersonOrcid", "account_issued_at", "stable_id"]


def test_the_view_has_no_null_values(people, store_url):
    empty = "coalesce(account, '') = '' or coalesce(\"eduPersonOrcid\", '') = ''"

    assert view(store_url, f"select count(*) from idp_release where {empty}") == [(0,)]


QUESTION = 'select "eduPersonOrcid" from idp_release where organisation = ? and account = ?'


def test_a_query_for_one_person_uses_the_index(store, store_url):
    everybody = ((f"person-{n}@yliopisto.example", make_orcid_id(n)) for n in range(1, 3000))
    attest_many(store, store_url, everybody)
    how = "explain query plan" if store_url.startswith("sqlite") else "explain (costs off)"

    plan = " ".join(
        str(row) for row in view(store_url, f"{how} {QUESTION}", (UNIVERSITY, "person-5@yliopisto.example"))
    )

    in_sqlite = r"\((?:organisation=\? AND person_key|person_key=\? AND organisation)=\?\)"
    by_both = rf"{in_sqlite}|Index Cond: \(\(\w+ = .*?\) AND \(\w+ = "
    assert re.search(by_both, plan)
    assert "scan" not in plan.lower().replace("index scan", "")


# Writing


def test_a_replica_holds_what_its_organisation_releases_and_nothing_else(people, path):
    count = write_replica(people, UNIVERSITY, TRUE, path, NOON)

    assert count == 3
    assert asked(path) == [(MAIJA, make_orcid_id(3).uri), (MATTI, make_orcid_id(2).uri), (OSKAR, make_orcid_id(4).uri)]
    assert asked(path, "select * from about") == [("2026-01-15T12:00:00.000000Z", UNIVERSITY, "production", 3)]
    assert asked(path, "select name from sqlite_schema order by name") == [("about",), ("idp_release",)]
    assert POLYTECHNIC.encode() not in path.read_bytes()


def test_a_sandbox_orcid_id_is_in_the_replica_of_a_sandbox_service_alone(people, path):
    assert write_replica(people, UNIVERSITY, TRIAL, path, NOON) == 1

    assert asked(path) == [("trial@yliopisto.example", "https://sandbox.orcid.org/0000-0000-0000-0060")]


def test_an_organisation_without_links_has_an_empty_replica(store, path):
    assert write_replica(store, UNIVERSITY, TRUE, path, NOON) == 0

    assert asked(path) == []
    assert asked(path, 'select "rows" from about') == [(0,)]


def test_the_columns_of_a_replica_are_called_as_the_attribute_is(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    with closing(sqlite3.connect(path)) as file:
        names = [column[0] for column in file.execute("select * from idp_release").description]

    assert names == ["account", "eduPersonOrcid", "account_issued_at", "stable_id", "held_on"]


def test_a_replica_is_one_file_that_needs_no_other(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert asked(path, "pragma journal_mode") == [("delete",)]
    assert asked(path, "pragma integrity_check") == [("ok",)]


def test_the_same_links_make_the_same_bytes(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    first = path.read_bytes()

    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    assert path.read_bytes() == first


def test_a_replica_is_for_its_owner_and_its_group(people, path):
    for umask in (0o077, 0o000):
        before = os.umask(umask)
        try:
            write_replica(people, UNIVERSITY, TRUE, path, NOON)
        finally:
            os.umask(before)

        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_open_readers_keep_the_old_replica(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    with Replica(path) as old, closing(sqlite3.connect(path)) as reader:
        people.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
        write_replica(people, UNIVERSITY, TRUE, path, NOON + timedelta(hours=1))

        assert old.orcid_of(MAIJA) == [make_orcid_id(3)]
        assert reader.execute("select count(*) from idp_release").fetchone() == (3,)
    with Replica(path) as new:
        assert new.orcid_of(MAIJA) == []


def test_what_is_linked_meanwhile_waits_for_the_next_replica(people, path, monkeypatch):
    every = people.engine.stream

    def reading(*words, **values):
        make_link(people, "late@yliopisto.example", make_orcid_id(20))
        return every(*words, **values)

    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    with people.engine.stream("list_released_orcid_ids", organisation=UNIVERSITY, registry="production") as rows:
        first = next(rows)["account"]
        other = Thread(target=make_link, args=(people, "zoe@yliopisto.example", make_orcid_id(21)))
        other.start()
        other.join()
        assert [first, *(row["account"] for row in rows)] == [MAIJA, MATTI, OSKAR]
    monkeypatch.setattr(people.engine, "stream", reading)

    assert write_replica(people, UNIVERSITY, TRUE, path, NOON) == 5


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_replica_is_read_without_a_join_whatever_statistics_the_server_has(store, store_url):
    text = re.sub(r":(\w+)", r"%(\1)s", queries()["list_released_orcid_ids"])

    with opened(store_url) as connection:
        found = connection.execute(f"explain (costs off) {text}", {"organisation": "o", "registry": "production"})
        plan = "\n".join(line for (line,) in found)

    assert "links" in plan
    assert not re.search(r"Join|Nested Loop", plan)


@pytest.mark.parametrize("registry", [each.value for each in Registry])
def test_the_rows_of_a_replica_are_those_of_the_view(people, store_url, registry):
    with people.engine.stream("list_released_orcid_ids", organisation=UNIVERSITY, registry=registry) as rows:
        found = [(row["account"], row["eduPersonOrcid"], row["account_issued_at"], row["stable_id"]) for row in rows]

    with opened(store_url) as connection:
        view = connection.execute(
            'select account, "eduPersonOrcid", account_issued_at, stable_id from idp_release'
            f" where organisation = '{UNIVERSITY}' and registry = '{registry}' order by account"
        ).fetchall()
    assert found == [tuple(row) for row in view]
    assert found


def test_an_unknown_organisation_has_no_rows(store, path):
    with store.engine.stream("list_released_orcid_ids", organisation="\0", registry="production") as rows:
        assert list(rows) == []


# What is refused

MARKED = f"pragma application_id = {module.APPLICATION_ID}"


def something_else(path, kind):
    """Put something at the path that is no replica of the university."""
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(path.parent / "elsewhere.db")
    elif kind == "text":
        path.write_text("Dear diary, " * 1000)
    elif kind == "empty":
        path.touch()
    else:
        with closing(sqlite3.connect(path)) as file:
            file.executescript(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("directory", "what is there already is not a file"),
        ("link", "what is there already is not a file"),
        ("text", "what is there already is not a replica: the file is not an SQLite database"),
        ("empty", "what is there already is not a replica: it is another database"),
        ("create table links (id text)", "what is there already is not a replica: it is another database"),
        (
            f"{MARKED}; create table about (made_at, organisation, registry, rows)",
            "what is there already is not a replica: it is another database",
        ),
        (
            MARKED,
            "what is there already is not a replica: it is another database",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_replica_is_not_replaced(store, path, kind, said):
    something_else(path, kind)
    before = path.lstat()

    with pytest.raises(ReplicaNotWritten, match=f"^{re.escape(said)}$"):
        write_replica(store, UNIVERSITY, TRUE, path, NOON)

    # Not the time of the last reading: to tell what is there, it has to be read
    after = path.lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_replica_of_another_organisation_is_not_replaced(people, path):
    write_replica(people, POLYTECHNIC, TRUE, path, NOON)

    with pytest.raises(ReplicaNotWritten, match=f"^what is there already is the replica of {POLYTECHNIC}$"):
        write_replica(people, UNIVERSITY, TRUE, path, NOON)

    assert asked(path) == [("liisa@amk.example", make_orcid_id(1).uri)]


def test_a_missing_directory_is_reported(store, path):
    with pytest.raises(ReplicaNotWritten, match=r"^its directory does not exist$"):
        write_replica(store, UNIVERSITY, TRUE, path.parent / "nowhere" / "replica.db", NOON)


def test_a_file_in_place_of_the_directory_is_reported(store, path):
    path.touch()

    with pytest.raises(ReplicaNotWritten, match=r"^Not a directory$"):
        write_replica(store, UNIVERSITY, TRUE, path / "replica.db", NOON)


def left_as_it_was(path):
    """Tell whether the first replica of the three people is there, and nothing beside it."""
    with Replica(path) as there:
        return there.made_at == NOON and there.rows == 3 and [*path.parent.iterdir()] == [path]


def test_a_full_disk_is_reported_and_the_old_replica_stays(people, path, monkeypatch):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    monkeypatch.setattr(module, "_MAKE", f"pragma max_page_count = 2;{module._MAKE}")

    with pytest.raises(ReplicaNotWritten, match=r"^the disk is full$"):
        write_replica(people, UNIVERSITY, TRUE, path, NOON + timedelta(hours=1))

    assert left_as_it_was(path)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "this user may not write there"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_late_disk_error_is_reported_and_the_old_replica_stays(people, path, monkeypatch, number, said):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    def fail(_file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ReplicaNotWritten, match=f"^{said}$"):
        write_replica(people, UNIVERSITY, TRUE, path, NOON + timedelta(hours=1))

    assert left_as_it_was(path)


def test_an_unavailable_database_is_reported_and_the_old_replica_stays(people, path, tmp_path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    for url in (f"sqlite://{tmp_path}/nowhere.db", "postgresql://nobody@127.0.0.1:1/nothing"):
        away = open_store(url, timeout=0.2)

        with pytest.raises(StoreUnavailable):
            write_replica(away, UNIVERSITY, TRUE, path, NOON + timedelta(hours=1))

        assert left_as_it_was(path)
        away.close()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_server_that_goes_away_meanwhile_is_not_taken_for_the_replicas_disk(people, store_url):
    with people.engine.stream("list_released_orcid_ids", organisation=UNIVERSITY, registry="production") as rows:
        with psycopg.connect(store_url, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )

        with pytest.raises(StoreUnavailable, match="the database server is starting or stopping"):
            list(rows)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_file_that_fails_meanwhile_is_not_taken_for_the_replicas_disk(people, store_url):
    with people.engine.stream("list_released_orcid_ids", organisation=UNIVERSITY, registry="production") as rows:
        with closing(sqlite3.connect(store_url.removeprefix("sqlite://"))) as other:
            other.execute("drop table links")

        with pytest.raises(StoreUnavailable, match="orcid-connect check"):
            list(rows)


# Two at once, and what the dead left


def test_of_two_that_write_at_once_one_is_told(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(ReplicaNotWritten, match=r"^another process is writing it$"):
            write_replica(people, UNIVERSITY, TRUE, path, NOON + timedelta(hours=1))

        assert draft.exists(), "the other's draft is left to the other"
    with Replica(path) as there:
        assert there.made_at == NOON


@pytest.mark.parametrize("again", [False, True])
def test_a_draft_that_became_the_replica_meanwhile_is_not_written_to(people, path, monkeypatch, again):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    draft = path.with_name(f".{path.name}.new")
    flock = fcntl.flock

    def late(file, how):
        draft.replace(path)
        if again:
            draft.touch()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    draft.write_bytes(path.read_bytes())
    with pytest.raises(ReplicaNotWritten, match=r"^another process is writing it$"):
        write_replica(people, UNIVERSITY, TRUE, path, NOON + timedelta(hours=1))

    with Replica(path) as there:
        assert there.rows == 3


def test_a_draft_left_by_a_killed_process_is_taken_over(people, path):
    path.with_name(f".{path.name}.new").write_bytes(b"half of it" * 5000)

    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    assert left_as_it_was(path)


# Reading


def test_a_replica_says_what_it_is(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    with Replica(path) as there:
        assert (there.organisation, there.registry, there.made_at, there.rows) == (UNIVERSITY, TRUE, NOON, 3)


def test_a_replica_answers_as_the_store_does(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)

    with Replica(path) as there:
        for account in (MAIJA, MATTI, OSKAR, "nobody@yliopisto.example", "liisa@amk.example", "", "\0", "\ud800"):
            assert there.orcid_of(account) == people.links.orcid_ids(UNIVERSITY, account)


def test_threads_share_a_replica(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    found = []

    with Replica(path) as there:
        threads = [Thread(target=lambda: found.extend(there.orcid_of(MAIJA) for _ in range(200))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [[make_orcid_id(3)]] * 800


def test_a_replica_can_be_read_where_nothing_can_be_written(people, path):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    path.chmod(0o400)
    path.parent.chmod(0o500)

    with Replica(path) as there:
        assert there.orcid_of(MAIJA) == [make_orcid_id(3)]

    path.parent.chmod(0o700)
    assert [*path.parent.iterdir()] == [path]


def test_a_file_that_is_not_there_is_no_replica(path):
    with pytest.raises(NotAReplica, match=r"^the file cannot be opened$"):
        Replica(path)


@pytest.mark.parametrize("harm", ["update idp_release set \"eduPersonOrcid\" = 'x'", "drop table idp_release"])
def test_a_modified_replica_returns_no_wrong_id(people, path, harm):
    write_replica(people, UNIVERSITY, TRUE, path, NOON)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(harm)

    with Replica(path) as there, pytest.raises(StoreUnavailable, match=r"^the replica is damaged$"):
        there.orcid_of(MAIJA)
