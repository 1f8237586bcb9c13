"""What an Identity Provider's role on PostgreSQL sees, and what it does not: tried by trying."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest
from psycopg import errors

from sql.idp_role import MAX_CONNECTIONS
from tests.support.database_roles import LIISA, MAIJA, MATTI, TRIAL, RoleDatabase, link
from tests.support.factories import POLYTECHNIC, UNIVERSITY, make_orcid_id


@pytest.fixture(scope="module")
def tried(postgres, tmp_path_factory):
    """The shared place once for all that is tried in vain."""
    place = RoleDatabase(postgres, tmp_path_factory.mktemp("tried"))
    link(place.store)
    place.make()
    place.administer("analyze")
    yield place
    place.remove()


# What it is for


def test_a_role_sees_the_rows_of_its_own_organisation(tried):
    everything = 'select account, "eduPersonOrcid" from idp_release order by account'

    assert tried.ask(everything) == [(MAIJA, make_orcid_id(1, TRIAL).uri), (MATTI, make_orcid_id(2, TRIAL).uri)]
    assert tried.ask(everything, "idp_amk-1") == [(LIISA, make_orcid_id(1, TRIAL).uri)]
    assert tried.ask(everything, "idp_empty") == []


def test_an_orcid_id_of_the_other_registry_is_not_released(tried):
    assert tried.ask("select * from idp_release where account = 'real@yliopisto.example'") == []
    assert tried.ask("select distinct registry from idp_release") == [("sandbox",)]


def test_the_role_comes_with_limits_for_a_client_that_means_well(tried):
    with tried.sign_in() as connection:
        shown = {
            name: connection.execute(f"show {name}").fetchone()[0]
            for name in ("statement_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only")
        }

    assert shown == {
        "statement_timeout": "5s",
        "idle_in_transaction_session_timeout": "10s",
        "default_transaction_read_only": "on",
    }


def test_a_role_has_so_many_connections_and_no_more(tried):
    with ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(tried.sign_in("idp_empty"))

        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            tried.sign_in("idp_empty")


# What it is not for

REFUSED = {
    "another table": "select * from attempts",
    "the changes": "select * from changes",
    "the audit": "select * from events",
    "the whole of the table": "select * from links",
    "a column that is not released": "select consent_at from links",
    "a row": "select links from links",
    "inserting": "insert into links (id) values ('x')",
    "inserting into the view": "insert into idp_release (organisation, account) values ('o', 'a')",
    "updating": "update links set orcid = '0000-0002-1825-0097'",
    "updating the view": "update idp_release set account = 'x'",
    "deleting": "delete from links",
    "deleting from the view": "delete from idp_release",
    "truncating": "truncate links",
    "locking": "begin; lock table links in access share mode",
    "holding rows": "select orcid from links for update",
    "becoming the service": "set role {service}",
    "becoming the service for the session": "set session authorization {service}",
    "becoming the administrator": "set role postgres",
    "becoming another role": 'set role "idp_amk-1"',
    "another policy": "create policy all_of_them on links using (true)",
    "no policies": "alter table links disable row level security",
    "another view option": "alter view idp_release set (security_invoker = false)",
    "a table": "create table mine (id int)",
    "a temporary table": "create temporary table mine (id int)",
    "a function": "create function mine() returns int language sql as 'select 1'",
    "a temporary function": "create function pg_temp.mine() returns int language sql as 'select 1'",
    "a schema": "create schema mine",
    "an operator": "create operator public.=== (leftarg = text, rightarg = text, function = texteq)",
    "a large object": "select lo_create(0)",
    "a large object with something in it": "select lo_from_bytea(0, 'x')",
    "the lock by which the service migrates": "select pg_advisory_lock(1869768548)",
    "the lock by which the service delivers": "select pg_try_advisory_xact_lock(1869768549)",
    "a role": "create role mine",
    "a database": "create database mine",
    "an extension": "create extension file_fdw",
    "copying the table": "copy links to stdout",
    "copying to a file": "copy (select orcid from links) to '/tmp/orcid-connect-copy'",
    "copying to a program": "copy (select orcid from links) to program 'cat'",
    "reading a file": "select pg_read_file('/etc/passwd')",
    "listing a directory": "select pg_ls_dir('.')",
    "passwords": "select * from pg_authid",
    "statistics": "select * from pg_statistic",
    "ending other sessions": (
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{service}'"
    ),
    "a foreign server": "select * from dblink('', '') as t (id int)",
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_role_may_not(tried, what):
    statement = REFUSED[what].format(service=tried.service)
    tried.store.links.count(UNIVERSITY)
    with tried.sign_in() as connection:
        connection.execute("set default_transaction_read_only = off; set row_security = on")

        with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedFunction)):
            connection.execute(statement).fetchall()


NOT_SEEN = {
    "the view": "select * from idp_release where account = '{liisa}'",
    "the other organisation": "select * from idp_release where organisation = '{other}'",
    "a union": "select account from idp_release union all select person_key from links",
    "a join": "select b.person_key from links a full join links b on a.orcid = b.orcid",
    "a subquery": "select (select string_agg(person_key, ' ') from links)",
    "an aggregate": "select count(*), max(person_key), min(person_key) from links",
    "no policies for the session": "set row_security = off; select person_key from links",
    "what ended": "select person_key from links where ended_at is not null",
    "an error": "select person_key from links where (person_key || 'x')::int = 1",
    "an error in the view": "select account from idp_release where 1 / (length(account) - {length}) > 0",
    "an error with a regular expression": "select 1 from idp_release where account ~ repeat('(', length(account))",
    "an error in the order": "select account from idp_release order by (account || 'x')::int",
    "what the planner gathered": "select most_common_vals, histogram_bounds from pg_stats where tablename = 'links'",
    "more of what the planner gathered": "select * from pg_stats_ext_exprs",
    "what others run": "select query from pg_stat_activity",
    "an explained question": "explain (analyze, verbose) select * from links where orcid = '{orcid}'",
    "functions": "select prosrc from pg_proc where pronamespace = 'public'::regnamespace",
    "a cursor": "declare c cursor with hold for select person_key from links; fetch all from c",
    "another system": "select xmlagg(xmlelement(name p, person_key))::text from links",
    "what a query as XML tells": "select query_to_xml('select person_key from links', true, false, '')::text",
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_SEEN)
def test_a_role_never_sees_another_organisations_people(tried, what):
    words = {"liisa": LIISA, "other": POLYTECHNIC, "length": len(LIISA), "orcid": make_orcid_id(1, TRIAL).bare}
    # A person of the other organisation, as the service asks about them, at the same time
    tried.store.links.get(POLYTECHNIC, LIISA)
    told = ""

    with tried.sign_in() as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(NOT_SEEN[what].format(**words))
            while True:
                told += str(cursor.fetchall() if cursor.description else "")
                if not cursor.nextset():
                    break
        except psycopg.Error as error:
            told += str(error)

    for secret in ("liisa", "real@", "gone@"):
        assert secret not in told.replace(f"'{LIISA}'", "")
    assert POLYTECHNIC not in told.replace(f"'{POLYTECHNIC}'", "")


@pytest.mark.parametrize("what", ["an error", "an error in the view", "an error in the order"])
def test_a_leaky_expression_has_nothing_to_leak_where_there_are_no_rows(tried, what):
    text = NOT_SEEN[what].format(length=len(LIISA))

    assert tried.ask(text, "idp_empty") == []


def test_a_copy_holds_the_roles_own_rows(tried):
    with (
        tried.sign_in() as connection,
        connection.cursor() as cursor,
        cursor.copy("copy (select person_key from links order by 1) to stdout") as copy,
    ):
        assert list(copy.rows()) == [(MAIJA,), (MATTI,)]


def test_a_role_can_hold_no_lock_of_the_services(tried):
    held = tried.ask(
        "select oid::regprocedure::text from pg_proc where proname ~ 'advisory.*lock' and proname !~ 'unlock'"
        " and has_function_privilege(oid, 'execute')"
    )

    assert held == []


def test_the_service_sees_everything_as_before(tried):
    with psycopg.connect(tried.url) as connection:
        assert connection.execute("select row_security_active('links')").fetchone() == (False,)
        plan = "\n".join(
            line
            for (line,) in connection.execute(
                "explain (costs off) select orcid from links where organisation = 'o' and person_key = 'p'"
                " and ended_at is null"
            )
        )

    assert tried.store.links.count(UNIVERSITY) == 4
    assert tried.store.links.count("amk-1") == 1
    assert "sandbox" not in plan
