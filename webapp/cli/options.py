"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

MAX_REASON_LENGTH = 200

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
organisation_argument = click.argument("name", metavar="ORGANISATION")
account_argument = click.argument("account", metavar="ACCOUNT")


def reason_option(help_text: str) -> Callable[[Any], Any]:
    """Return the decorator for the required option `--reason`."""
    return click.option("--reason", required=True, callback=_validate_reason, help=help_text)


def _validate_reason(_context: click.Context, _parameter: click.Parameter, reason: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON_LENGTH or not reason.isprintable():
        raise click.BadParameter(f"must be one line of at most {MAX_REASON_LENGTH} characters.")
    return reason


def require_yes(*, yes: bool, as_json: bool) -> None:
    """Reject `--json` without `--yes`: a program cannot answer the question.

    Raises:
        click.UsageError: If only `as_json` is set.
    """
    if as_json and not yes:
        raise click.UsageError("--json does not ask for confirmation, so it requires --yes.")


def accept_dash_values(command: click.Command) -> None:
    """Let arguments of all commands of a tree begin with `-`.

    Accounts and file names may. Text that is no option of the command is taken as an argument, without `--` before it
    too. These commands have no `-h`, which Click would find in `-hanna@example.org`. A command whose only argument is
    an organisation rejects unknown options as usual.
    """
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            accept_dash_values(subcommand)
    elif any(isinstance(each, click.Argument) and each.name != "name" for each in command.params):
        command.context_settings.update(ignore_unknown_options=True, help_option_names=["--help"])
