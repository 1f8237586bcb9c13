"""`orcid-connect organisation merge` and `rekey`: move all links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from resolver_connector.csv_file import InvalidCsvFile, read_csv
from shibboleth.attributes import fold
from shibboleth.characters import is_visible
from shibboleth.organisation import Organisation
from shibboleth.person import MAX_ACCOUNT_LENGTH
from sql.records import Link, LinkSummary
from sql.repositories.organisations import AccountMapping, AlreadyMerged, MoveConflict, MoveResult
from sql.store import Store
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.options import organisation_argument
from webapp.cli.output import pluralize, printable
from webapp.config.errors import Misconfigured
from webapp.config.loader import Config

COLUMNS = ("old", "new")
"""The columns of the file that maps accounts, as of `link move`."""

_map_option = click.option(
    "--map",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A CSV file with the columns old and new, and a line for each link.",
)
_scope_option = click.option(
    "--scope",
    "scopes",
    metavar="OLD=NEW",
    multiple=True,
    help="Replace the scope of accounts; other scopes stay. May be repeated.",
)
_yes_option = click.option("--yes", is_flag=True, help="Do it, if there is no conflict.")


@click.command()
@click.argument("name", metavar="FROM INTO", nargs=2)
@_map_option
@_scope_option
@_yes_option
@click.pass_obj
@handle_errors
def merge(path: Path, name: tuple[str, str], *, file: Path | None, scopes: Sequence[str], yes: bool) -> None:
    """Move all links of one organisation to another one.

    Without --yes, only show what would happen.
    Exit code 1 if there is a conflict; then nothing is moved.
    """
    from webapp.wiring.orcid import make_orcid_clients  # noqa: PLC0415 - the connector's command does not need it

    config = load_config(path)
    from_id, target = name[0], find_organisation(config, name[1])
    if from_id == target.id:
        raise click.UsageError("FROM and INTO are the same organisation; see: orcid-connect organisation rekey.")
    mapping = _account_mapping(target, file, scopes)
    with open_store(config) as store:
        _require_known(config, store, from_id)

        def move(*, dry_run: bool) -> MoveResult:
            return store.organisations.merge(
                from_id,
                target.id,
                mapping,
                utc_now(),
                key_attribute=target.key,
                from_transfers=_transfers(config, from_id),
                into_transfers=_transfers(config, target.id),
                orcid_clients=make_orcid_clients(config).ids_for(target.id),
                report=_print_conflict,
                dry_run=dry_run,
            )

        try:
            result = _run(move, yes=yes)
        except AlreadyMerged:
            raise CommandError(f"{target.id} was merged into another organisation itself") from None
    done = "moved" if result.written else "would move"
    click.echo(f"{pluralize(result.moved, 'link', 'links')} {done} from {from_id} to {target.id}")
    if result.already_there:
        click.echo(f"{result.already_there} already there, with the same ORCID iD; the old link ends")
    if not result.written:
        click.echo("nothing was changed yet: add --yes to merge")
        return
    click.echo(
        f"The credentials of {from_id} are refused now.\n"
        f"Then wait until `orcid-connect deliver --dry-run` lists no delivery of {from_id};\n"
        f"move its entityIDs to entity_ids in {target.id}.toml, delete {from_id}.toml, and restart."
    )


@click.command()
@organisation_argument
@_map_option
@_scope_option
@_yes_option
@click.pass_obj
@handle_errors
def rekey(path: Path, name: str, *, file: Path | None, scopes: Sequence[str], yes: bool) -> None:
    """Give the links of an organisation new accounts, which were renamed.

    Without --yes, only show what would happen.
    Exit code 1 if there is a conflict; then nothing is changed.
    """
    config = load_config(path)
    one = find_organisation(config, name)
    mapping = _account_mapping(one, file, scopes)
    with open_store(config) as store:

        def move(*, dry_run: bool) -> MoveResult:
            return store.organisations.rekey(
                one.id,
                mapping,
                utc_now(),
                key_attribute=one.key,
                transfers=_transfers(config, one.id),
                report=_print_conflict,
                dry_run=dry_run,
            )

        result = _run(move, yes=yes)
    done = "have" if result.written else "would have"
    click.echo(f"{pluralize(result.moved, 'link', 'links')} of {one.id} {done} another account")
    if not result.written:
        click.echo("nothing was changed yet: add --yes")


def _require_known(config: Config, store: Store, organisation_id: str) -> None:
    if organisation_id in config.misconfigured:
        # Its transfers are not known, to which the removals are delivered
        raise Misconfigured(config.misconfigured[organisation_id].problems)
    # One without a file may have links: its file was deleted or renamed
    known = {one.id for one in config.organisations} | {one.id for one in store.organisations.list_stored()}
    if organisation_id not in known:
        raise CommandError(f"unknown organisation {printable(organisation_id)}; FROM is the id of an organisation")


def _transfers(config: Config, organisation_id: str) -> tuple[str, ...]:
    return tuple(config.transfers.get(organisation_id, ()))


def _run(move: Callable[..., MoveResult], *, yes: bool) -> MoveResult:
    result: MoveResult = move(dry_run=not yes)
    if result.conflicts:
        raise CommandError(f"{pluralize(result.conflicts, 'conflict', 'conflicts')}; nothing was changed")
    return result


def _print_conflict(link: Link | LinkSummary, account: str, reason: MoveConflict) -> None:
    arrow = f" -> {printable(account)}" if account else ""
    click.echo(f"{printable(link.account)}{arrow}: {reason}")


def _account_mapping(target: Organisation, file: Path | None, scopes: Sequence[str]) -> AccountMapping:
    if file is not None and scopes:
        raise click.UsageError("--map and --scope exclude each other.")
    accounts = None if file is None else _read_map(file)
    new_scopes = dict(map(_parse_scope, scopes))

    def new_account(account: str) -> str | MoveConflict:
        user, _, scope = account.rpartition("@")
        new = f"{user}@{new_scopes.get(scope.lower(), scope)}" if accounts is None else accounts.get(fold(account))
        if new is None:
            return MoveConflict.NOT_MAPPED
        return new if target.has_scope(new.rpartition("@")[2]) else MoveConflict.FOREIGN_SCOPE

    return new_account


def _parse_scope(text: str) -> tuple[str, str]:
    old, separator, new = text.strip().lower().partition("=")
    if not (old and separator and new):
        raise click.BadParameter("must be OLD=NEW, as in old.example=example.org.", param_hint="--scope")
    return old, new


def _read_map(file: Path) -> dict[str, str]:
    accounts: dict[str, str] = {}
    lines: dict[str, int] = {}
    try:
        for row in read_csv(file, COLUMNS, COLUMNS):
            if row.error:
                raise CommandError(f"{file}: line {row.line}: {row.error}")
            account, new = (row.cells[name] for name in COLUMNS)
            if not _is_account(account) or not _is_account(new):
                raise CommandError(
                    f"{file}: line {row.line}: both must be accounts with a scope, as in maija@example.org"
                )
            for seen in (account, new):
                _require_once(file, lines, seen, "" if seen is account else "new ", row.line)
            accounts[fold(account)] = new
    except InvalidCsvFile as error:
        raise CommandError(f"{file}: {error}") from None
    return accounts


def _require_once(file: Path, lines: dict[str, int], account: str, kind: str, line: int) -> None:
    first = lines.setdefault(f"{kind}{fold(account)}", line)
    if first != line:
        raise CommandError(f"{file}: line {line}: the {kind}account is the same as in line {first}")


def _is_account(text: str) -> bool:
    user, _, scope = text.rpartition("@")
    return bool(user and scope) and "@" not in user and len(text) <= MAX_ACCOUNT_LENGTH and is_visible(text)
