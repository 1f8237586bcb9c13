"""`orcid-connect link`: one person's link, shown or removed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from sql.errors import LinkChanged
from sql.records import Link, ReleaseState
from sql.store import Store
from webapp.cli.common import (
    WRONG,
    CommandError,
    account_argument,
    aligned,
    configuration,
    in_words,
    json_option,
    local_time,
    must_not_ask,
    now,
    one_line,
    organisation_argument,
    organisation_of,
    print_json,
    ready_store,
    safe,
)
from webapp.cli.link.list_links import link_json
from webapp.config.loader import Config


@click.group()
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
        found = store.links.get(organisation.entity_id, fold(account))
    if as_json:
        print_json({"link": None if found is None else link_json(organisation, found)})
        sys.exit(WRONG if found is None else 0)
    if found is None:
        raise CommandError(_no_link(organisation, account))
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
    must_not_ask(yes=yes, as_json=as_json)
    config = configuration(path)
    organisation = organisation_of(config, name)
    with ready_store(config) as store:
        found = store.links.get(organisation.entity_id, fold(account))
        if found is not None and not yes:
            click.echo(aligned(_link_rows(organisation, found)) + "\n")
            click.confirm("Remove this link?", abort=True)
        removed = found if found is not None and _unlinked(config, store, found, reason) else None
    if as_json:
        print_json({"removed": None if removed is None else link_json(organisation, removed)})
        sys.exit(WRONG if removed is None else 0)
    if removed is None:
        raise CommandError(_no_link(organisation, account))
    click.echo(f"removed {removed.orcid_id} from {safe(removed.account)}; the organisation will learn of it")


def _unlinked(config: Config, store: Store, found: Link, reason: str) -> bool:
    """End just the link that was shown."""
    place, transfers = (found.organisation, found.person_key), tuple(config.transfers[found.organisation])
    try:
        return store.links.remove(*place, "operator", reason, now(), found.orcid_id, transfers) is not None
    except LinkChanged:
        raise CommandError(
            "the person has linked another iD meanwhile; nothing was removed. Look with: link show"
        ) from None


def _no_link(organisation: Organisation, account: str) -> str:
    text = f"{safe(account)} has no link at {organisation.id}"
    if organisation.has_scope(account.rpartition("@")[2]):
        return text
    return f"{text}; its accounts end in {', '.join('@' + scope for scope in sorted(organisation.scopes))}"


def _link_rows(organisation: Organisation, found: Link) -> list[tuple[str, str]]:
    return [
        ("organisation", f"{organisation.id}, {organisation.name('en')}"),
        ("account", safe(found.account)),
        ("ORCID iD", found.orcid_id.uri),
        ("linked", local_time(found.linked_at)),
        ("consent", f"version {found.consent.version}, {found.consent.language}, {local_time(found.consent.at)}"),
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
    return f"{_RELEASE_WORDS[found.release.state]}, first {local_time(found.release.at)}"
