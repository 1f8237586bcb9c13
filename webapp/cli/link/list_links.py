"""`orcid-connect link list`: all links of an organisation, as they come, however many there are."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from shibboleth.organisation import Organisation
from sql.records import Link
from webapp.cli.common import (
    configuration,
    in_words,
    json_option,
    organisation_argument,
    organisation_of,
    ready_store,
)

COLUMNS = ("account", "orcid", "authenticated_at", "source")
"""Those that `orcid-connect import` reads."""


@click.command(name="list")
@organisation_argument
@click.option("--accounts", is_flag=True, help="Only the accounts, each on a line of its own.")
@json_option
@click.pass_obj
@in_words
def list_links(path: Path, name: str, *, accounts: bool, as_json: bool) -> None:
    """List the links of an organisation, as CSV unless told otherwise."""
    if accounts and as_json:
        raise click.UsageError("--accounts and --json do not go together.")
    config = configuration(path)
    organisation = organisation_of(config, name)
    with ready_store(config) as store:
        links = store.links.list_current(organisation.entity_id)
        if as_json:
            _as_json(organisation, links)
        elif accounts:
            sys.stdout.writelines(f"{link.account}\n" for link in links)
        else:
            _as_csv(links)


def _as_csv(links: Iterable[Link]) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(_cells(link) for link in links)


def _cells(link: Link) -> tuple[str, ...]:
    return link.account, link.orcid_id.uri, (link.authenticated_at or link.linked_at).isoformat(), link.source


def _as_json(organisation: Organisation, links: Iterable[Link]) -> None:
    """Write one JSON text, a link on each of its lines: nobody has to hold it whole, neither here nor there."""
    sys.stdout.write('{"links": [')
    for number, link in enumerate(links):
        sys.stdout.write(",\n" if number else "\n")
        json.dump(link_json(organisation, link), sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n]}\n")


def link_json(organisation: Organisation, link: Link) -> dict[str, Any]:
    """Tell a machine about a link."""
    return {
        "organisation": organisation.id,
        "entity_id": organisation.entity_id,
        "account": link.account,
        "orcid": link.orcid_id.uri,
        "linked_at": link.linked_at.isoformat(),
        "consent": {
            "version": link.consent.version,
            "language": link.consent.language,
            "at": link.consent.at.isoformat(),
        },
        "release": link.release and {"state": link.release.state, "at": link.release.at.isoformat()},
    }
