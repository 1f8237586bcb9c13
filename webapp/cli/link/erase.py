"""`orcid-connect link erase`: everything about a person goes, for whoever asks the operator and not the page."""

from __future__ import annotations

from pathlib import Path

import click

from shibboleth.attributes import fold
from webapp.cli.common import (
    CommandError,
    account_argument,
    configuration,
    in_words,
    json_option,
    must_not_ask,
    now,
    one_line,
    organisation_argument,
    organisation_of,
    print_json,
    ready_store,
    safe,
)


@click.command()
@organisation_argument
@account_argument
@click.option("--reason", required=True, help="Why, in one line: it is kept until all is erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
@in_words
def erase(path: Path, name: str, account: str, *, reason: str, yes: bool, as_json: bool) -> None:  # noqa: PLR0913 - one for each word on the command line
    """End a person's link and erase everything about them. Exit code 1 when there is nothing.

    Where the organisation has to learn of a removal first, the worker erases the rest as soon as it has.
    """
    reason = one_line(reason)
    must_not_ask(yes=yes, as_json=as_json)
    config = configuration(path)
    organisation = organisation_of(config, name)
    if not yes:
        click.confirm(f"Erase everything about {safe(account)} at {organisation.id}? It cannot be undone", abort=True)
    settings = config.organisation_settings[organisation.entity_id]
    with ready_store(config) as store:
        place = organisation.entity_id, fold(account)
        erased = store.erasures.erase(
            *place, "operator", reason, now(), transfers=tuple(settings.transfers), uses_feed=settings.uses_connector
        )
    if as_json:
        print_json({"anything": erased.found, "removed": erased.removal is not None, "done": erased.finished})
    if not erased.found:
        raise CommandError(f"nothing is stored about {safe(account)} at {organisation.id}")
    if not as_json:
        rest = "" if erased.finished else "; the rest goes as soon as the organisation has learnt of the removal"
        click.echo(f"erased what was stored about {safe(account)}{rest}")
