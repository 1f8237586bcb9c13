"""A role on PostgreSQL for one organisation's Identity Provider, which sees that organisation's rows and no others.

Row-level security holds it to them: a policy names the role, the organisation and the registry. The service itself
owns the tables, and whoever owns a table is not held by its policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from shibboleth.orcid_id import Registry
from sql.engines.postgres import Postgres
from sql.store import Store

SCRIPTS = Path(__file__).parent / "roles"
MOST_CONNECTIONS = 20
"""For each role: an Identity Provider's pool, on two machines."""
OLDEST = 15
"""Before it, a view could not ask with the rights of whoever reads it."""
_LONGEST_NAME = 63

_FACTS = """
select current_setting('server_version_num')::int / 10000 as version,
    current_database() as database,
    pg_namespace.nspname as schema,
    pg_get_userbyid(pg_class.relowner) as owner,
    pg_has_role(current_user, pg_class.relowner, 'usage') as ours,
    exists (select 1 from pg_roles where rolname = %(name)s) as made
from pg_class
join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where pg_class.oid = 'links'::regclass
"""


class RoleNotChanged(Exception):
    """The role could not be made, changed or dropped, and nothing was; the text says why."""


class RolePermissionDenied(RoleNotChanged):
    """The service's own role may not do this, and the database's administrator may."""


@dataclass(frozen=True, slots=True)
class IdpRole:
    """Who may read what."""

    name: str
    organisation: str
    """entityID."""
    registry: Registry

    @classmethod
    def of(cls, organisation_id: str, entity_id: str, registry: Registry) -> IdpRole:
        """Give the role of an organisation. Raises RoleNotChanged."""
        name = f"idp_{organisation_id}"
        if len(name) > _LONGEST_NAME:
            # PostgreSQL would cut it, and two organisations could end up with one role
            raise RoleNotChanged(f"the role would be called {name}, and a role's name has at most 63 characters")
        return cls(name, entity_id, registry)


@dataclass(frozen=True, slots=True)
class IdpRoleManager:
    """Makes and drops a role, or says how: in SQL that the database's administrator runs."""

    role: IdpRole
    _connection: psycopg.Connection[Any]
    _facts: dict[str, Any]

    @property
    def exists(self) -> bool:
        """Whether the role is there already."""
        return bool(self._facts["made"])

    def create_sql(self, password: str | None) -> str:
        """Give the SQL that makes the role, or sets all right that belongs to it; without a password it keeps its own.

        The password is not in it: what the server keeps of it is, which tells nobody what it was.
        """
        verifier = None if password is None else self._verifier(password)
        template = "" if verifier is None else "alter role {role} password {verifier};"
        setting = sql.SQL(template).format(role=self._identifier, verifier=sql.Literal(verifier))
        return self._filled("make.sql", password=setting)

    def drop_sql(self) -> str:
        """Give the SQL that takes everything from the role, and then the role away."""
        return self._filled("drop.sql")

    def run(self, script: str) -> None:
        """Run such SQL. Raises RolePermissionDenied and RoleNotChanged."""
        try:
            self._connection.execute(script.encode(), prepare=False)
        except psycopg.errors.InsufficientPrivilege:
            raise RolePermissionDenied("the service's own database role may not do this") from None
        except psycopg.errors.DependentObjectsStillExist:
            text = "may not sign in any more and sees nothing here; another database still grants it something"
            raise RoleNotChanged(f"the role {self.role.name} {text}") from None
        except psycopg.errors.RaiseException as error:
            raise RoleNotChanged(str(error.diag.message_primary)) from None
        finally:
            self._connection.rollback()

    @property
    def _identifier(self) -> sql.Identifier:
        return sql.Identifier(self.role.name)

    def _verifier(self, password: str) -> str:
        words = password.encode(), self.role.name.encode(), b"scram-sha-256"
        return self._connection.pgconn.encrypt_password(*words).decode()

    def _filled(self, name: str, **more: sql.Composable) -> str:
        schema = self._facts["schema"]
        values = {
            "role": self._identifier,
            "name": sql.Literal(self.role.name),
            "organisation": sql.Literal(self.role.organisation),
            "registry": sql.Literal(self.role.registry.value),
            "connections": sql.Literal(MOST_CONNECTIONS),
            "database": sql.Identifier(self._facts["database"]),
            "owner": sql.Identifier(self._facts["owner"]),
            "schema": sql.Identifier(schema),
            "links": sql.Identifier(schema, "links"),
            "view": sql.Identifier(schema, "idp_release"),
        }
        return sql.SQL(_script(name)).format(**values, **more).as_string(self._connection)


@cache
def _script(name: str) -> str:
    return (SCRIPTS / name).read_text(encoding="utf-8")


@contextmanager
def manage_role(store: Store, role: IdpRole) -> Iterator[IdpRoleManager]:
    """Give who makes and drops this role. Raises RoleNotChanged where the database is not one for roles."""
    if not isinstance(store.engine, Postgres):
        raise RoleNotChanged("a file has no roles")
    with store.engine.maintenance() as connection:
        facts = dict(connection.execute(_FACTS, {"name": role.name}).fetchall()[0])
        if facts["version"] < OLDEST:
            raise RoleNotChanged(f"this needs PostgreSQL {OLDEST} or newer, and the server is {facts['version']}")
        if not facts["ours"]:
            # It would be held to the policies, and find nothing any more
            raise RoleNotChanged("the service's own database role does not own the table links")
        yield IdpRoleManager(role, connection, facts)
