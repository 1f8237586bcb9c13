"""A PostgreSQL role for one organisation's IdP, which reads only its iDs.

Row-level security enforces it: a policy names the role, the organisation and the registry. The service's own role owns
the tables, and policies do not apply to a table's owner.
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
MAX_CONNECTIONS = 20
"""Of each role: enough for the pools of an Identity Provider on two machines."""
MINIMUM_VERSION = 15
"""The first version with `security_invoker` views, which read with the rights of the caller."""
_LONGEST_NAME = 63

_FACTS = """
select current_setting('server_version_num')::int / 10000 as version,
    current_database() as database,
    pg_namespace.nspname as schema,
    pg_get_userbyid(pg_class.relowner) as owner,
    pg_has_role(current_user, pg_class.relowner, 'usage') as owns_tables,
    exists (select 1 from pg_roles where rolname = %(name)s) as role_exists
from pg_class
join pg_namespace on pg_namespace.oid = pg_class.relnamespace
where pg_class.oid = 'links'::regclass
"""


class RoleNotChanged(Exception):
    """The role could not be created, changed or dropped, and nothing was changed.

    The message has the reason.
    """


class RolePermissionDenied(RoleNotChanged):
    """The service's own database role lacks a permission."""


@dataclass(frozen=True, slots=True)
class IdpRole:
    """A role, and the organisation and registry whose iDs it can read."""

    name: str
    organisation: str
    """Its id."""
    registry: Registry

    @classmethod
    def of(cls, organisation_id: str, registry: Registry) -> IdpRole:
        """Return the role of an organisation.

        Raises:
            RoleNotChanged: If its name would be too long for PostgreSQL.
        """
        name = f"idp_{organisation_id}"
        if len(name) > _LONGEST_NAME:
            # PostgreSQL would truncate it, and two organisations could get the same role
            raise RoleNotChanged(f"the role would be called {name}, and a role's name has at most 63 characters")
        return cls(name, organisation_id, registry)


@dataclass(frozen=True, slots=True)
class IdpRoleManager:
    """Creates and drops a role, or returns the SQL for an administrator."""

    role: IdpRole
    _connection: psycopg.Connection[Any]
    _facts: dict[str, Any]

    @property
    def exists(self) -> bool:
        """Return whether the role exists."""
        return bool(self._facts["role_exists"])

    def create_sql(self, password: str | None) -> str:
        """Return SQL that creates the role, or restores its rights if it exists.

        Args:
            password: The new password; None keeps the present one. The SQL contains its SCRAM verifier only.
        """
        verifier = None if password is None else self._verifier(password)
        template = "" if verifier is None else "alter role {role} password {verifier};"
        setting = sql.SQL(template).format(role=self._identifier, verifier=sql.Literal(verifier))
        return self._filled("make.sql", password=setting)

    def drop_sql(self) -> str:
        """Return SQL that revokes the role's rights and drops it."""
        return self._filled("drop.sql")

    def run(self, script: str) -> None:
        """Run SQL of `create_sql` or `drop_sql`.

        Raises:
            RolePermissionDenied: If the service's role lacks a permission.
            RoleNotChanged: If it failed for another reason.
        """
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
            "connections": sql.Literal(MAX_CONNECTIONS),
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
    """Yield the manager of a role.

    Raises:
        RoleNotChanged: If the database is not PostgreSQL, is too old, or has tables of another owner.
    """
    if not isinstance(store.engine, Postgres):
        raise RoleNotChanged("an SQLite file has no roles")
    with store.engine.maintenance() as connection:
        facts = dict(connection.execute(_FACTS, {"name": role.name}).fetchall()[0])
        if facts["version"] < MINIMUM_VERSION:
            raise RoleNotChanged(
                f"this needs PostgreSQL {MINIMUM_VERSION} or newer, and the server is {facts['version']}"
            )
        if not facts["owns_tables"]:
            # The policies would apply to it, so that it would find no rows
            raise RoleNotChanged("the service's own database role does not own the table links")
        yield IdpRoleManager(role, connection, facts)
