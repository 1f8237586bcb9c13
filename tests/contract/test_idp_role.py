"""`orcid-connect idp-role`: roles come, are set right and go, and the service goes on."""

from __future__ import annotations

import logging
import stat

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors

from sql import idp_role
from sql.migrate import migrate
from sql.store import open_store
from tests.support.configuration import store_section, write_configuration, write_secret
from tests.support.database import attest_many
from tests.support.database_roles import MAIJA, SECRET, TRIAL, RoleDatabase, link
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from webapp.cli.main import main


@pytest.fixture
def place(postgres, tmp_path):
    place = RoleDatabase(postgres, tmp_path)
    yield place
    place.remove()


def test_the_query_of_a_login_uses_the_index(place):
    everybody = ((f"person-{n}@yliopisto.example", make_orcid_id(n, TRIAL)) for n in range(1, 3000))
    attest_many(place.store, place.url, everybody)
    place.make("yliopisto")

    explained = 'explain (costs off) select "eduPersonOrcid" from idp_release where account = %s'
    plan = "\n".join(line for (line,) in place.ask(explained, values=("person-77@yliopisto.example",)))

    assert "(person_key = 'person-77@yliopisto.example'::text)" in plan.partition("Index Cond:")[2].partition("\n")[0]
    assert "Seq Scan" not in plan


def test_the_service_can_write_meanwhile(place):
    place.make()

    link(place.store)

    assert place.store.links.orcid_ids(UNIVERSITY, MAIJA) == [make_orcid_id(1, TRIAL)]
    assert place.store.audit.verify(UNIVERSITY) == []
    assert migrate(place.store.engine, NOON) == []
    place.store.vacuum(NOON)
    assert place.store.links.count(UNIVERSITY) == 4


def test_changes_of_links_are_visible_at_once(place):
    place.make("yliopisto")
    count = "select count(*) from idp_release"

    assert place.ask(count) == [(0,)]
    make_link(place.store, MAIJA, make_orcid_id(1, TRIAL))
    assert place.ask(count) == [(1,)]
    place.store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    assert place.ask(count) == [(0,)]


# The command


def test_a_password_is_neither_printed_nor_logged(place, caplog):
    caplog.set_level(logging.DEBUG)
    code, script = place.run("yliopisto", "--password", "file:secrets/idp", "--sql")

    assert code == 0
    assert "SCRAM-SHA-256$" in script
    assert SECRET not in script + caplog.text


def test_without_the_right_to_make_roles_the_statements_are_printed(place):
    code, output = place.run("yliopisto", "--password", "file:secrets/idp")

    assert code == 1
    assert "the service's own database role may not do this; let the database administrator run the SQL" in output
    assert place.roles() == []
    assert place.store.links.count(UNIVERSITY) == 0


def test_a_service_that_may_make_roles_makes_them_itself(place):
    place.administer(f"alter role {place.service} createrole")
    link(place.store)

    assert place.run("yliopisto", "--password", "file:secrets/idp") == (
        0,
        "idp_yliopisto can read the iDs of yliopisto; it has the given password\n",
    )

    assert len(place.ask("select * from idp_release")) == 2
    assert place.run("yliopisto") == (0, "idp_yliopisto can read the iDs of yliopisto; its password is unchanged\n")
    assert len(place.ask("select * from idp_release")) == 2
    assert place.run("yliopisto", "--drop") == (0, "idp_yliopisto does not exist any more\n")
    assert place.run("yliopisto", "--drop") == (0, "idp_yliopisto does not exist any more\n")
    assert place.roles() == []


def test_a_generated_password_is_in_a_file_readable_by_its_owner_alone(place):
    file = place.directory / "password"
    code, script = place.run("yliopisto", "--generate", str(file), "--sql")
    place.psql(script)

    password = file.read_text().strip()
    assert code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(password) == 64
    assert password not in script
    with place.sign_in(password=password) as connection:
        assert connection.execute("select current_user").fetchone() == ("idp_yliopisto",)


def test_a_generated_password_is_removed_after_a_failure(place):
    file = place.directory / "password"

    code, _ = place.run("yliopisto", "--generate", str(file))

    assert code == 1
    assert not file.exists()


def test_an_existing_file_is_not_overwritten_with_a_password(place):
    file = place.directory / "password"
    file.write_text("mine")

    code, output = place.run("yliopisto", "--generate", str(file), "--sql")

    assert code == 1
    assert output == f"orcid-connect: {file}: File exists; --generate creates a new file\n"
    assert file.read_text() == "mine"


def test_a_new_password_replaces_the_old_one(place):
    place.make("yliopisto")
    write_secret(place.directory / "secrets/new", "new-" + "n" * 32)

    place.psql(place.run("yliopisto", "--password", "file:secrets/new", "--sql")[1])

    place.sign_in(password="new-" + "n" * 32).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        place.sign_in()


def test_without_a_password_a_role_keeps_it_and_gets_missing_rights(place):
    link(place.store)
    place.make("yliopisto")
    place.administer(
        "revoke all on idp_release from idp_yliopisto",
        "alter view idp_release reset (security_invoker)",
        "drop policy idp_yliopisto on links",
        f"grant temporary on database {place.database} to public",
    )

    place.psql(place.run("yliopisto", "--sql")[1])

    assert len(place.ask("select * from idp_release")) == 2
    with place.sign_in() as connection:
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("create temporary table mine (id int)")


def test_a_new_role_needs_a_password(place):
    code, output = place.run("yliopisto", "--sql")

    assert code == 1
    assert "idp_yliopisto does not exist yet: add --password or --generate" in output


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NO_SUCH_THING", "refers to an environment variable that is not set"),
        ("hunter2", "must be a reference"),
        ("file:secrets/weak", "fewer than 32 characters"),
    ],
)
def test_an_unusable_password_is_reported(place, reference, said):
    write_secret(place.directory / "secrets/weak", "weak")

    code, output = place.run("yliopisto", "--password", reference, "--sql")

    assert code == 1
    assert said in output


def test_a_dropped_role_leaves_nothing_behind(place):
    link(place.store)
    place.make()
    with place.sign_in() as connection:
        place.psql(place.run("yliopisto", "--drop", "--sql")[1])

        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("select * from idp_release")
    assert "idp_yliopisto" not in place.roles()
    assert len(place.ask("select * from idp_release", "idp_amk-1")) == 1


def test_a_role_that_another_database_still_knows_may_do_nothing_here(place):
    place.administer(f"alter role {place.service} createrole")
    place.make("yliopisto")
    with place.server.connect() as elsewhere:
        elsewhere.execute("grant create on schema public to idp_yliopisto")
    try:
        code, output = place.run("yliopisto", "--drop")

        assert code == 1
        assert "may not sign in any more and sees nothing here; another database still grants it something" in output
        with pytest.raises(psycopg.OperationalError):
            place.sign_in()
    finally:
        with place.server.connect() as elsewhere:
            elsewhere.execute("revoke create on schema public from idp_yliopisto")


@pytest.mark.parametrize(
    "more",
    [
        "create role idp_yliopisto superuser",
        "create role idp_yliopisto bypassrls",
        "create role idp_yliopisto in role pg_read_all_data",
        "create role idp_yliopisto; create table owned (id int); alter table owned owner to idp_yliopisto",
    ],
)
def test_a_role_that_may_do_more_is_not_taken(place, more):
    place.administer(f"alter role {place.service} createrole", more)

    code, output = place.run("yliopisto", "--password", "file:secrets/idp")

    assert code == 1
    assert "the role idp_yliopisto is there already, and may do more than read its rows" in output
    assert place.administer("select count(*) from pg_policies")[0].rownumber is not None
    place.administer("drop table if exists owned")


def test_a_service_that_does_not_own_its_tables_makes_no_role(place, tmp_path):
    place.administer(f"create role guest_{place.service} login password 'guest'")
    try:
        place.administer(f"grant select on schema_migrations, links to guest_{place.service}")
        url = place.url.replace(f"{place.service}:service", f"guest_{place.service}:guest")
        config = write_configuration(tmp_path / "guest", store=store_section(tmp_path / "guest", url))

        code, output = place.run("yliopisto", "--drop", config=config)

        assert code == 1
        assert "the service's own database role does not own the table links" in output
    finally:
        place.administer(f"drop owned by guest_{place.service}", f"drop role guest_{place.service}")


def test_an_unsupported_server_version_is_reported(place, monkeypatch):
    monkeypatch.setattr(idp_role, "MINIMUM_VERSION", 99)

    code, output = place.run("yliopisto", "--drop")

    assert code == 1
    assert "this needs PostgreSQL 99 or newer, and the server is 1" in output


def test_a_name_that_postgresql_would_cut_is_refused(tmp_path, place):
    name = "u" * 60
    config = write_configuration(
        tmp_path / "long", store=store_section(tmp_path / "long", place.url), organisations={name: None}
    )

    code, output = place.run(name, "--drop", config=config)

    assert code == 1
    assert f"the role would be called idp_{name}, and a role's name has at most 63 characters" in output


def test_an_organisation_of_which_nothing_is_kept_has_no_role(tmp_path, place):
    manage_role = {
        "keep": "nothing",
        "credential": None,
        "transfer": [{"name": "idm", "kind": "file", "directory": str(tmp_path)}],
    }
    config = write_configuration(
        tmp_path / "nothing",
        store=store_section(tmp_path / "nothing", place.url),
        organisations={"yliopisto": manage_role},
    )

    code, output = place.run("yliopisto", "--sql", config=config)

    assert code == 1
    assert 'yliopisto has keep = "nothing"' in output


def test_a_file_has_no_roles(tmp_path):
    config = write_configuration(tmp_path)
    result = CliRunner().invoke(main, ["--config", str(config), "idp-role", "yliopisto", "--drop"])

    assert result.exit_code == 1
    assert "SQLite has no roles; write a replica: orcid-connect replica yliopisto FILE" in result.output
    role = idp_role.IdpRole.of("yliopisto", TRIAL)
    with pytest.raises(idp_role.RoleNotChanged), idp_role.manage_role(open_store(f"sqlite://{tmp_path}/x.db"), role):
        pass


def test_contradictory_options_are_a_usage_error(place):
    assert place.run("yliopisto", "--drop", "--password", "file:secrets/idp")[0] == 2
