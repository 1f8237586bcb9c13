"""`orcid-connect idp-role`: manage an IdP's PostgreSQL role."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shibboleth.organisation import Organisation
from webapp.cli.context import find_organisation, load_config, open_store, require_kept_links
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.config import validators
from webapp.config.errors import InvalidSetting
from webapp.config.loader import Config
from webapp.config.secret import resolve

if TYPE_CHECKING:
    from sql.idp_role import IdpRoleManager

_PASSWORD_BYTES = 32
_ADMINISTRATOR_FIX = (
    "let the database administrator run the SQL of the same command with --sql: "
    "| runuser -u postgres -- psql -X -v ON_ERROR_STOP=1 -d DATABASE"
)


@click.command(name="idp-role")
@organisation_argument
@click.option(
    "--password", "reference", metavar="REFERENCE", help="A reference to the role's password: file:/path or env:NAME."
)
@click.option(
    "--generate",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Generate a password and write it to this new file, which only its owner may read.",
)
@click.option("--drop", is_flag=True, help="Revoke the role's privileges and drop it.")
@click.option("--sql", "as_sql", is_flag=True, help="Change nothing; print the SQL for the database administrator.")
@click.pass_obj
@handle_errors
def idp_role(  # noqa: PLR0913 - one parameter for each option
    path: Path, name: str, *, reference: str | None, file: Path | None, drop: bool, as_sql: bool
) -> None:
    """Create, update or drop the PostgreSQL role of an IdP.

    The IdP reads its ORCID iDs with this role.

    The role is named idp_ and the organisation's id. It can be run again: without --password and --generate an
    existing role keeps its password.
    """
    if bool(reference) + bool(file) + drop > 1:
        raise click.UsageError("--password, --generate and --drop exclude each other.")
    config = load_config(path)
    organisation = find_organisation(config, name)
    with _manage_role(config, organisation) as manager:
        if drop:
            _execute(manager, manager.drop_sql(), f"{manager.role.name} does not exist any more", as_sql=as_sql)
            return
        require_kept_links(config, organisation)
        with _password(config, reference, file) as password:
            if password is None and not manager.exists:
                raise CommandError(f"{manager.role.name} does not exist yet: add --password or --generate")
            if password is None:
                source = "its password is unchanged"
            else:
                source = f"its password is in {file}" if file else "it has the given password"
            message = f"{manager.role.name} can read the iDs of {organisation.id}; {source}"
            _execute(manager, manager.create_sql(password), message, as_sql=as_sql)


@contextmanager
def _manage_role(config: Config, organisation: Organisation) -> Iterator[IdpRoleManager]:
    if not config.store.url.startswith("postgresql:"):
        raise CommandError(f"SQLite has no roles; write a replica: orcid-connect replica {organisation.id} FILE")
    with open_store(config) as store:
        from sql.idp_role import IdpRole, RoleNotChanged, RolePermissionDenied, manage_role  # noqa: PLC0415 - needs PostgreSQL's driver

        try:
            role = IdpRole.of(organisation.id, config.service.registry)
            with manage_role(store, role) as manager:
                yield manager
        except RolePermissionDenied as error:
            raise CommandError(f"{error}; {_ADMINISTRATOR_FIX}") from None
        except RoleNotChanged as error:
            raise CommandError(str(error)) from None


@contextmanager
def _password(config: Config, reference: str | None, file: Path | None) -> Iterator[str | None]:
    # A generated password is deleted if the role could not be changed
    if reference is not None:
        try:
            yield validators.strong_secret(resolve(reference, config.path.parent, os.environ).reveal())
        except InvalidSetting as error:
            raise CommandError(f"--password {error.text}; {error.fix}") from None
    elif file is not None:
        generated = secrets.token_hex(_PASSWORD_BYTES)
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                opened.write(f"{generated}\n")
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}; --generate creates a new file") from None
        try:
            yield generated
        except BaseException:
            file.unlink()
            raise
    else:
        yield None


def _execute(manager: IdpRoleManager, script: str, message: str, *, as_sql: bool) -> None:
    if as_sql:
        click.echo(script, nl=False)
        return
    manager.run(script)
    click.echo(message)
