"""`orcid-connect idp-role`: a role on PostgreSQL with which an Identity Provider reads its own organisation's rows."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shibboleth.organisation import Organisation
from webapp.cli.common import (
    CommandError,
    configuration,
    in_words,
    must_keep_links,
    organisation_argument,
    organisation_of,
    ready_store,
)
from webapp.config import values
from webapp.config.errors import InvalidSetting
from webapp.config.loader import Config
from webapp.config.secret import resolve

if TYPE_CHECKING:
    from sql.idp_role import IdpRoleManager

_BYTES = 32
_ADMINISTRATOR = (
    "let the database's administrator do it: the same command with --sql, "
    "| runuser -u postgres -- psql -X -v ON_ERROR_STOP=1 -d DATABASE"
)


@click.command(name="idp-role")
@organisation_argument
@click.option("--password", "reference", metavar="REFERENCE", help="The role's password: file:/path or env:NAME.")
@click.option(
    "--generate",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Make a password up, and write it into this new file, for its owner alone.",
)
@click.option("--drop", is_flag=True, help="Take everything from the role, and the role away.")
@click.option("--sql", "as_sql", is_flag=True, help="Do nothing; print the SQL for the database's administrator.")
@click.pass_obj
@in_words
def idp_role(  # noqa: PLR0913 - one for each word on the command line
    path: Path, name: str, *, reference: str | None, file: Path | None, drop: bool, as_sql: bool
) -> None:
    """Let an Identity Provider read its organisation's ORCID iDs, and nothing else, from PostgreSQL.

    The role is called idp_ and the organisation's id. Twice is the same as once; with a password the role gets a new
    one, and without it keeps its own.
    """
    if bool(reference) + bool(file) + drop > 1:
        raise click.UsageError("--password, --generate and --drop do not go together.")
    config = configuration(path)
    organisation = organisation_of(config, name)
    with _keeper(config, organisation) as keeper:
        if drop:
            _do(keeper, keeper.drop_sql(), f"{keeper.role.name} is not there any more", as_sql=as_sql)
            return
        must_keep_links(config, organisation)
        with _password(config, reference, file) as password:
            if password is None and not keeper.exists:
                raise CommandError(
                    f"{keeper.role.name} would be new: give it a password, with --password or --generate"
                )
            told = f"{keeper.role.name} reads what {organisation.id} releases; " + _about(password, file)
            _do(keeper, keeper.create_sql(password), told, as_sql=as_sql)


@contextmanager
def _keeper(config: Config, organisation: Organisation) -> Iterator[IdpRoleManager]:
    if not config.store.url.startswith("postgresql:"):
        raise CommandError(f"a file has no roles; write a replica: orcid-connect replica {organisation.id} FILE")
    with ready_store(config) as store:
        from sql.idp_role import IdpRole, RoleNotChanged, RolePermissionDenied, manage_role  # noqa: PLC0415 - needs PostgreSQL's driver

        try:
            role = IdpRole.of(organisation.id, organisation.entity_id, config.service.registry)
            with manage_role(store, role) as keeper:
                yield keeper
        except RolePermissionDenied as error:
            raise CommandError(f"{error}; {_ADMINISTRATOR}") from None
        except RoleNotChanged as error:
            raise CommandError(str(error)) from None


@contextmanager
def _password(config: Config, reference: str | None, file: Path | None) -> Iterator[str | None]:
    """Give the password that was asked for; one that was made up goes again if it came to nothing."""
    if reference is not None:
        yield _referred(config, reference)
    elif file is not None:
        made_up = secrets.token_hex(_BYTES)
        _write(file, made_up)
        try:
            yield made_up
        except BaseException:
            file.unlink()
            raise
    else:
        yield None


def _referred(config: Config, reference: str) -> str:
    try:
        return values.strong(resolve(reference, config.path.parent, os.environ).reveal())
    except InvalidSetting as error:
        raise CommandError(f"--password {error.text}; {error.mend}") from None


def _write(file: Path, password: str) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{password}\n")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}; --generate makes a new file") from None


def _about(password: str | None, file: Path | None) -> str:
    if password is None:
        return "its password is what it was"
    return f"its password is in {file}" if file else "it has the password that was given"


def _do(keeper: IdpRoleManager, script: str, told: str, *, as_sql: bool) -> None:
    if as_sql:
        click.echo(script, nl=False)
        return
    keeper.run(script)
    click.echo(told)
