"""What the commands of `orcid-connect` share: how they find their configuration and store, and how they speak."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ParamSpec

import click

from shibboleth.organisation import Organisation
from sql.errors import InvalidUrl, MigrationChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from sql.store import Store, open_store
from webapp.cli import server as serving
from webapp.config.errors import Misconfigured, SettingProblem, nearest
from webapp.config.listen import Listener
from webapp.config.loader import Config, load
from webapp.log import configure_logging

WRONG = 1
MISCONFIGURED = 2
LONGEST_REASON = 200
_LONGEST_SHOWN = 200

P = ParamSpec("P")

_STORE_ERRORS = (SchemaBehind, SchemaAhead, MigrationChanged, StoreUnavailable)

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for a machine.")
organisation_argument = click.argument("name", metavar="ORGANISATION")
account_argument = click.argument("account", metavar="ACCOUNT")


def accept_dash_values(command: click.Command) -> None:
    """Let the commands of a tree take values that begin with `-`, as accounts and the names of files may.

    What is no option of the command is a value, also without `--` before it. `-h` is none there: it would be found in
    `-hanna@example.org`. A command that takes nothing but an organisation goes on to refuse unknown options by name.
    """
    if isinstance(command, click.Group):
        for each in command.commands.values():
            accept_dash_values(each)
    elif any(isinstance(each, click.Argument) and each.name != "name" for each in command.params):
        command.context_settings.update(ignore_unknown_options=True, help_option_names=["--help"])


class CommandError(click.ClickException):
    """Something is not well, in a sentence; exit code 1."""

    exit_code = WRONG

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on standard error."""
        click.echo(f"orcid-connect: {self.message}", file=file, err=True)


def in_words(function: Callable[P, None]) -> Callable[P, None]:
    """Turn what may well go wrong into a sentence and an exit code."""

    @functools.wraps(function)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Misconfigured as error:
            click.echo(problems_told(error.problems), err=True)
            sys.exit(MISCONFIGURED)
        except _STORE_ERRORS as error:
            raise CommandError(str(error)) from None

    return spoken


def configuration(path: Path) -> Config:
    """Read the configuration. Raises Misconfigured."""
    return load(path, os.environ)


@contextmanager
def store_of(config: Config) -> Iterator[Store]:
    """Give the store, whatever state it is in."""
    try:
        store = open_store(config.store.reveal(), timeout=config.store.busy_timeout)
    except InvalidUrl as error:
        mend = "docs/settings.md shows how it is written"
        raise Misconfigured([SettingProblem(str(config.path), "store.url", str(error), mend)]) from None
    try:
        yield store
    finally:
        store.close()


@contextmanager
def ready_store(config: Config) -> Iterator[Store]:
    """Give the store, as this release needs it."""
    with store_of(config) as store:
        store.check_schema()
        yield store


def serve_until_told(application: Any, config: Config, listener: Listener) -> None:
    """Serve an application, and say where, until SIGTERM or Ctrl-C."""
    configure_logging(config.service.log)
    try:
        serving.serve(application, listener, lambda where: click.echo(f"listening on {where}"))
    except serving.CannotListen as error:
        raise CommandError(str(error)) from None


def now() -> datetime:
    """Tell the time: commands are an edge, where the clock is asked."""
    return datetime.now(UTC)


def organisation_of(config: Config, name: str) -> Organisation:
    """Give the organisation of this id or entityID. Raises Failed."""
    known = {one.id: one for one in config.organisations} | {one.entity_id: one for one in config.organisations}
    if name in known:
        return known[name]
    meant = nearest(name, known)
    hint = f"did you mean {meant}?" if meant else "connected: " + ", ".join(one.id for one in config.organisations)
    raise CommandError(f"no organisation is called {safe(name)}; {hint}")


def must_keep_links(config: Config, organisation: Organisation) -> None:
    """Raise Failed where nothing is kept of an organisation's links, so that nothing could be given to it."""
    if not config.organisation_settings[organisation.entity_id].keeps_links:
        raise CommandError(f'{organisation.id} has keep = "nothing": there are no ORCID iDs here that it could release')


def problems_told(problems: Sequence[SettingProblem]) -> str:
    """Say what is wrong with a configuration, file by file."""
    lines = [f"The configuration has {counted(len(problems), 'problem', 'problems')}."]
    file = ""
    for one in problems:
        if one.file != file:
            file = one.file
            lines += ["", file]
        lines += [f"  {one.key}: {one.text}" if one.key else f"  {one.text}", f"    → {one.mend}"]
    return "\n".join(lines)


def local_time(at: datetime) -> str:
    """Write a time as a person reads it."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Write rows as a table whose columns line up."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def counted(number: int, one: str, several: str) -> str:
    """Write a number and what it counts."""
    return f"{number} {one if number == 1 else several}"


def safe(text: str) -> str:
    """Show outside text on a terminal without letting it steer the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)[:_LONGEST_SHOWN]


def must_not_ask(*, yes: bool, as_json: bool) -> None:
    """Raise UsageError where a machine would be asked whether it is sure."""
    if as_json and not yes:
        raise click.UsageError("--json asks nothing, so it needs --yes.")


def one_line(reason: str) -> str:
    """Read a reason for the audit."""
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise click.BadParameter(f"say why, in one line of at most {LONGEST_REASON} characters.", param_hint="--reason")
    return reason


def print_json(value: Mapping[str, Any]) -> None:
    """Answer a machine."""
    click.echo(json.dumps(value, indent=2))
