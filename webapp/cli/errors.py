"""Exit codes and error messages of the commands."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, ParamSpec

import click

from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from webapp.cli.output import pluralize
from webapp.config.errors import Misconfigured, SettingProblem

EXIT_FAILURE = 1
"""A check or an operation failed, or something was not found."""
EXIT_CONFIGURATION = 2
"""The configuration is invalid; Click uses the same code for usage errors."""

P = ParamSpec("P")


class CommandError(click.ClickException):
    """A command failed with exit code 1.

    The message is shown on standard error.
    """

    exit_code = EXIT_FAILURE

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to standard error."""
        click.echo(f"orcid-connect: {self.message}", file=file, err=True)


def handle_errors(function: Callable[P, None]) -> Callable[P, None]:
    """Turn errors of the configuration and the database into messages.

    The command then ends with the exit code of the error.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Misconfigured as error:
            click.echo(format_problems(error.problems), err=True)
            sys.exit(EXIT_CONFIGURATION)
        except (SchemaBehind, SchemaAhead, MigrationChanged, StoreUnavailable) as error:
            raise CommandError(str(error)) from None

    return wrapper


def format_problems(problems: Sequence[SettingProblem]) -> str:
    """Format the errors of a configuration, grouped by file."""
    lines = [f"The configuration has {pluralize(len(problems), 'error', 'errors')}."]
    file = ""
    for problem in problems:
        if problem.file != file:
            file = problem.file
            lines += ["", file]
        lines += [
            f"  {problem.key}: {problem.text}" if problem.key else f"  {problem.text}",
            f"    → {problem.fix}",
        ]
    return "\n".join(lines)
