"""The command line: `orcid-connect`. Exit codes: 0 all is well, 1 something is not, 2 usage or configuration."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click

from shibboleth.attributes import fold
from shibboleth.organisation import Organisation, Stage
from sql.errors import LinkChanged
from sql.importing import Imported
from sql.migrate import migrate as bring_up_to_date
from sql.records import Event, Link, ReleaseState
from sql.store import Store
from webapp import check as checking
from webapp.cli_common import (
    MISCONFIGURED,
    WRONG,
    Failed,
    account_argument,
    aligned,
    configuration,
    counted,
    in_words,
    json_option,
    moment,
    now,
    one_line,
    organisation_argument,
    organisation_of,
    print_json,
    problems_told,
    ready_store,
    safe,
    serve_until_told,
    store_of,
)
from webapp.cli_connector import connector
from webapp.cli_erase import erase
from webapp.cli_handout import handout
from webapp.cli_idp_role import idp_role
from webapp.cli_link_list import link_json, list_links
from webapp.cli_replica import replica
from webapp.config import Config
from webapp.config_errors import Misconfigured, Problem
from webapp.config_files import DEFAULT_PATH, PATH_VARIABLE
from webapp.config_service import FrontKind
from webapp.finding import Finding, Level
from webapp.importing import Links, Unreadable, source_of
from webapp.log import quoted, set_up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    envvar=PATH_VARIABLE,
    default=DEFAULT_PATH,
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="The configuration file.",
)
@click.version_option(package_name="orcid-connect", message="orcid-connect %(version)s")
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """Tie ORCID iDs to accounts at home organisations.

    ORGANISATION is the id of an organisation, which is the name of its file without .toml, or its entityID.
    ACCOUNT is what its Identity Provider calls a person, for example maija@example.org.
    """
    set_up("text", once=True)
    context.obj = path


# --- Serving ------------------------------------------------------------------------------------------------------


@main.command()
@click.pass_obj
@in_words
def serve(path: Path) -> None:
    """Serve the pages where people link their ORCID iD.

    For front = "proxy", with Apache before it; with front = "variables" the pages run inside Apache, under mod_wsgi.
    """
    from webapp.app import quick  # noqa: PLC0415 - only who serves pages pays for loading them
    from webapp.turns import Turns  # noqa: PLC0415 - as above
    from webapp.wsgi import make_web  # noqa: PLC0415 - as above

    config = configuration(path)
    if config.service.front is FrontKind.VARIABLES:
        text = 'is "variables", which only mod_wsgi can set: behind orcid-connect serve nobody would be signed in'
        mend = 'let Apache run the pages (docs/operator.md), or write front = "proxy" and a front_proof'
        raise Misconfigured([Problem(str(path), "service.front", text, mend)])
    turns = Turns()
    with ready_store(config, turns.waiting) as store:
        application = make_web(config, store, waiting=turns.waiting)
        serve_until_told(application, config, config.listen, at_once=quick, turns=turns)


main.add_command(connector)


@main.command()
@click.pass_obj
@in_words
def authority(path: Path) -> None:
    """Serve the attribute authority, which services of the federation ask by SAML. An option."""
    from webapp.wsgi import NoAuthority, make_authority  # noqa: PLC0415 - only who serves it pays for loading it

    config = configuration(path)
    with ready_store(config) as store:
        try:
            application = make_authority(config, store)
        except (NoAuthority, ValueError) as error:
            raise Failed(f"no attribute authority: {error}") from None
        serve_until_told(application, config, config.authority)


@main.command()
@click.option("--once", is_flag=True, help="Deliver what is due, and end.")
@click.option("--dry-run", is_flag=True, help="Send nothing; say what is owed to whom.")
@click.option("--retry", metavar="ORGANISATION", help="Let what was given up, or waits for later, be due now; and end.")
@click.option("--transfer", metavar="NAME", help="With --retry: only what this transfer is owed.")
@click.pass_obj
@in_words
def deliver(path: Path, *, once: bool, dry_run: bool, retry: str | None, transfer: str | None) -> None:
    """Take changes to the organisations' own identity management.

    Runs until SIGTERM or Ctrl-C; then what is on its way is let end. Several may run, on several machines.
    """
    if transfer and not retry:
        raise click.UsageError("--transfer goes with --retry.")
    config = configuration(path)
    with ready_store(config) as store:
        if retry:
            _retry(config, store, retry, transfer)
        elif dry_run:
            _would_deliver(config, store)
        else:
            _deliver(config, store, once=once)


def _deliver(config: Config, store: Store, *, once: bool) -> None:
    from webapp.wsgi import make_deliverer  # noqa: PLC0415 - only who delivers pays for loading the transfers

    set_up(config.service.log)
    deliverer = make_deliverer(config, store)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _signal, _frame: deliverer.stop())
    if once:
        told = deliverer.once()
        click.echo(", ".join(f"{word} {count}" for word, count in sorted(told.items())) or "nothing is due")
        sys.exit(WRONG if told - Counter(delivered=told["delivered"]) else 0)
    click.echo(f"delivering for {counted(len(config.organisations), 'organisation', 'organisations')}")
    deliverer.run()


def _would_deliver(config: Config, store: Store) -> None:
    counts: Counter[str] = Counter()
    for organisation in config.organisations:
        for one in store.waiting(organisation.entity_id):
            counts[f"{organisation.id} {one.transfer}"] += 1
            account = safe(one.change.account) if one.change else "-"
            tried = f", after {counted(one.attempts, 'try', 'tries')}: {one.outcome}" if one.outcome else ""
            due = f"due {moment(one.next_at)}{tried}"
            click.echo(f"{organisation.id}  {one.transfer}  {one.kind}  {account}  {due}")
    click.echo(f"{counted(counts.total(), 'delivery is', 'deliveries are')} owed")
    click.echo("".join(f"  {where}: {count}\n" for where, count in sorted(counts.items())), nl=False)


def _retry(config: Config, store: Store, name: str, transfer: str | None) -> None:
    organisation = organisation_of(config, name)
    known = [each.transfer for each in store.breakers(organisation.entity_id)]
    if transfer is not None and transfer not in known:
        raise Failed(f"{organisation.id} was never owed anything by a transfer called {safe(transfer)}")
    again = store.retry(organisation.entity_id, transfer, now())
    sooner = store.hurry(organisation.entity_id, transfer, now())
    for each in known:
        if transfer in {None, each}:
            store.note_success(organisation.entity_id, each)
    click.echo(f"{counted(again, 'delivery was', 'deliveries were')} taken up again, {sooner} made due now")


# --- Looking after it ---------------------------------------------------------------------------------------------


@main.command()
@json_option
@click.pass_obj
@in_words
def migrate(path: Path, *, as_json: bool) -> None:
    """Bring the database up to this release; harmless when it is."""
    with store_of(configuration(path)) as store:
        applied = bring_up_to_date(store.engine, now())
    if as_json:
        print_json({"applied": applied})
    else:
        click.echo("\n".join(f"applied {name}" for name in applied) or "the database is up to date")


@main.command()
@click.option("--orcid", is_flag=True, help="Also ask ORCID whether it is there.")
@json_option
@click.pass_obj
def check(path: Path, *, orcid: bool, as_json: bool) -> None:
    """Look at configuration, store and audit, and say what to mend.

    Exit code 2 when the configuration cannot be used, 1 when something else needs mending. Writes nothing.
    """
    try:
        config = configuration(path)
        with store_of(config) as store:
            found = list(checking.look(config, store, now()))
    except Misconfigured as error:
        _refuse(error, as_json=as_json)
    if orcid:
        found.append(checking.ask_orcid(config))
    wrong = sum(one.level is Level.WRONG for one in found)
    if as_json:
        print_json({"ok": not wrong, "problems": [], "findings": [_finding_json(one) for one in found]})
    else:
        click.echo(_found(found))
        click.echo(
            "\n" + (f"{counted(wrong, 'thing needs', 'things need')} mending." if wrong else "Nothing is wrong.")
        )
    sys.exit(WRONG if wrong else 0)


def _refuse(error: Misconfigured, *, as_json: bool) -> NoReturn:
    if as_json:
        problems = [{"file": p.file, "key": p.key, "text": p.text, "mend": p.mend} for p in error.problems]
        print_json({"ok": False, "problems": problems, "findings": []})
    else:
        click.echo(problems_told(error.problems))
    sys.exit(MISCONFIGURED)


def _found(findings: Iterable[Finding]) -> str:
    lines = []
    for one in findings:
        lines.append(f"{one.level:<8} {one.about:<14} {one.text}")
        lines += [f"{'':<8} {'':<14} → {one.mend}"] if one.mend else []
    return "\n".join(lines)


def _finding_json(one: Finding) -> dict[str, Any]:
    return {"level": one.level, "about": one.about, "text": one.text, "mend": one.mend, "facts": dict(one.facts)}


# --- Links and history --------------------------------------------------------------------------------------------


@main.group()
def link() -> None:
    """Look at links, or remove one."""


@link.command()
@organisation_argument
@account_argument
@json_option
@click.pass_obj
@in_words
def show(path: Path, name: str, account: str, *, as_json: bool) -> None:
    """Show the ORCID iD that a person has linked. Exit code 1 when there is none."""
    config = configuration(path)
    organisation = organisation_of(config, name)
    with ready_store(config) as store:
        found = store.link_of(organisation.entity_id, fold(account))
    if as_json:
        print_json({"link": None if found is None else link_json(organisation, found)})
        sys.exit(WRONG if found is None else 0)
    if found is None:
        raise Failed(_no_link(organisation, account))
    click.echo(aligned(_link_rows(organisation, found)))


@link.command()
@organisation_argument
@account_argument
@click.option("--reason", required=True, help="Why, in one line: it is kept in the audit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
@in_words
def remove(  # noqa: PLR0913 - one for each word on the command line
    path: Path, name: str, account: str, *, reason: str, yes: bool, as_json: bool
) -> None:
    """Remove a person's link, as the operator. Exit code 1 when there is none."""
    reason = one_line(reason)
    if as_json and not yes:
        raise click.UsageError("--json asks nothing, so it needs --yes.")
    config = configuration(path)
    organisation = organisation_of(config, name)
    with ready_store(config) as store:
        found = store.link_of(organisation.entity_id, fold(account))
        if found is not None and not yes:
            click.echo(aligned(_link_rows(organisation, found)) + "\n")
            click.confirm("Remove this link?", abort=True)
        removed = found if found is not None and _unlinked(config, store, found, reason) else None
    if as_json:
        print_json({"removed": None if removed is None else link_json(organisation, removed)})
        sys.exit(WRONG if removed is None else 0)
    if removed is None:
        raise Failed(_no_link(organisation, account))
    click.echo(f"removed {removed.orcid_id} from {safe(removed.account)}; the organisation will learn of it")


def _unlinked(config: Config, store: Store, found: Link, reason: str) -> bool:
    """End just the link that was shown."""
    place, transfers = (found.organisation, found.person_key), tuple(config.transfers[found.organisation])
    try:
        return store.unlink(*place, "operator", reason, now(), found.orcid_id, transfers) is not None
    except LinkChanged:
        raise Failed("the person has linked another iD meanwhile; nothing was removed. Look with: link show") from None


@main.command()
@organisation_argument
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option(
    "--limit",
    metavar="NUMBER",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many lines at most, the newest ones.",
)
@json_option
@click.pass_obj
@in_words
def history(path: Path, name: str, account: str | None, *, limit: int, as_json: bool) -> None:
    """Show the audit of an organisation or of one person, and whether its chain is sound (exit code 1 if not)."""
    config = configuration(path)
    organisation = organisation_of(config, name)
    key = None if account is None else fold(account)
    with ready_store(config) as store:
        events = list(store.events(organisation.entity_id, key, newest_first=True, limit=limit))[::-1]
        audit = checking.audit_of(store, organisation)
    if as_json:
        print_json({"events": [_event_json(one) for one in events], **audit.facts})
    else:
        click.echo(aligned(_event_row(one) for one in events) or "no event")
        click.echo("\n" + audit.text)
    sys.exit(WRONG if audit.level is Level.WRONG else 0)


@main.command(name="import")
@organisation_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--attested-by", metavar="TEXT", help="The system where people authenticated these iDs, if no column says."
)
@click.option("--yes", is_flag=True, help="Import them, if no line is rejected.")
@click.pass_obj
@in_words
def import_(path: Path, name: str, file: Path, *, attested_by: str | None, yes: bool) -> None:
    """Take in links that an organisation attests, from a CSV file; without --yes only say what would come of it.

    Exit code 1 when a line is rejected; then nothing is imported.
    """
    config = configuration(path)
    organisation = organisation_of(config, name)
    try:
        source = source_of(file, attested_by)
        links = Links(file, organisation, config.service.registry, source, now())
        with ready_store(config) as store:
            found = _imported(config, store, links, dry_run=True)
            if yes and not found.rejected:
                found = _imported(config, store, links, dry_run=False)
    except Unreadable as error:
        raise Failed(f"{file}: {error}") from None
    click.echo(f"{found.linked} new, {found.unchanged} linked already, {found.rejected} rejected; from {safe(source)}")
    if found.rejected:
        raise Failed("nothing was imported: mend or remove the rejected lines")
    click.echo("imported" if found.written else "nothing was imported yet: run it again with --yes")


def _imported(config: Config, store: Store, links: Links, *, dry_run: bool) -> Imported:
    rejected = 0

    def reject(line: int, reason: str) -> None:
        nonlocal rejected
        rejected += 1
        if dry_run:
            click.echo(f"line {line}: {reason}")
        else:
            # It was sound a moment ago: the file is being written to
            raise Unreadable(f"line {line}: {reason}")

    transfers = tuple(config.transfers[links.organisation.entity_id])
    label = "looking at it" if dry_run else "importing"
    size = _size(links.path)
    with click.progressbar(length=size, label=label, file=sys.stderr, update_min_steps=size // 1000 + 1) as bar:
        imported = store.import_links(
            links.organisation.entity_id,
            links.attested(reject, bar.update),
            links.source,
            links.now,
            links.now,
            transfers=transfers,
            reject=lambda row, reason: reject(row.line, reason),
            dry_run=dry_run,
        )
    return replace(imported, rejected=rejected)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None


@main.group()
def transfer() -> None:
    """Try the ways to an organisation's own identity management."""


@transfer.command(name="test")
@organisation_argument
@click.option("--transfer", "only", metavar="NAME", help="Only this transfer.")
@click.option("--account", metavar="ACCOUNT", help="A test account over there; without it, one that is made up.")
@click.option("--yes", is_flag=True, help="Also where the organisation is in production.")
@click.pass_obj
@in_words
def test_transfer(path: Path, name: str, *, only: str | None, account: str | None, yes: bool) -> None:
    """Link, replace and remove the iD of a made-up person over there, and say what came of it.

    Exit code 1 when something failed. Nothing is written here.
    """
    config = configuration(path)
    organisation = organisation_of(config, name)
    if organisation.stage is Stage.PRODUCTION and not yes:
        raise Failed(f"{organisation.id} is in production, where made-up iDs have no place; --yes sends them anyway")
    failed = sum(
        _tried(organisation, called, each, account) for called, each in _transfers_of(config, organisation, only)
    )
    click.echo(f"{counted(failed, 'step', 'steps')} failed." if failed else "All is well.")
    sys.exit(WRONG if failed else 0)


def _transfers_of(config: Config, organisation: Organisation, only: str | None) -> list[tuple[str, Any]]:
    known = config.transfers[organisation.entity_id]
    if not known:
        raise Failed(f"{organisation.id} has no transfer; docs/settings.md says how to write one")
    if only is not None and only not in known:
        raise Failed(f"{organisation.id} has no transfer called {safe(only)}; it has: {', '.join(known)}")
    return [(called, each) for called, each in known.items() if only in {None, called}]


def _tried(organisation: Organisation, name: str, transfer: Any, account: str | None) -> int:
    """Try one transfer, say what came of each step, and give how many failed."""
    from resolver_connector.trial import made_up_account, play  # noqa: PLC0415 - only this command needs it

    account = account or made_up_account(organisation)
    click.echo(f"{organisation.id}, {name} ({transfer.kind}), as {safe(account)}")
    failed = 0
    for step in play(transfer, organisation, account, now):
        failed += step.failed
        said = f'{step.answer.outcome}: "{safe(step.answer.message)}"' if step.answer else "not tried"
        told = said.removesuffix(': ""')
        click.echo(f"  {'ok' if step.ok else 'failed' if step.failed else '-':<8}{step.name:<12}{told}")
        if step.mend:
            click.echo(f"{'':<22}→ {step.mend}")
    click.echo()
    return failed


main.add_command(idp_role)
link.add_command(erase)
main.add_command(replica)
link.add_command(list_links)
main.add_command(handout)


# --- How links and events are shown -------------------------------------------------------------------------------


def _no_link(organisation: Organisation, account: str) -> str:
    text = f"{safe(account)} has no link at {organisation.id}"
    if organisation.owns(account.rpartition("@")[2]):
        return text
    return f"{text}; its accounts end in {', '.join('@' + scope for scope in sorted(organisation.scopes))}"


def _link_rows(organisation: Organisation, found: Link) -> list[tuple[str, str]]:
    return [
        ("organisation", f"{organisation.id}, {organisation.name('en')}"),
        ("account", safe(found.account)),
        ("ORCID iD", found.orcid_id.uri),
        ("linked", moment(found.linked_at)),
        ("consent", f"version {found.consent.version}, {found.consent.language}, {moment(found.consent.at)}"),
        ("release", _release_words(found)),
    ]


_RELEASE_WORDS = {
    ReleaseState.SEEN: "seen",
    ReleaseState.OTHER: "the person came with another iD",
    ReleaseState.MISSING: "the person came without the iD",
}


def _release_words(found: Link) -> str:
    if found.release is None:
        return "not seen yet"
    return f"{_RELEASE_WORDS[found.release.state]}, first {moment(found.release.at)}"


def _event_row(one: Event) -> tuple[str, ...]:
    facts = " ".join(f"{key}={quoted(value)}" for key, value in one.facts.items())
    return (str(one.number), moment(one.at), one.kind, one.actor, safe(one.person_key or "-"), facts)


def _event_json(one: Event) -> dict[str, Any]:
    return {
        "number": one.number,
        "at": one.at.isoformat(),
        "kind": one.kind,
        "actor": one.actor,
        "person": one.person_key,
        "facts": dict(one.facts),
        "hash": one.hash,
    }
