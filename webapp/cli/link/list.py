"""`orcid-connect link list`: the current links of an organisation, streamed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from resolver_connector.attested.listing import csv_lines
from shibboleth.organisation import Organisation
from sql.records import Link
from webapp.cli.context import find_organisation, load_config, open_store
from webapp.cli.errors import handle_errors
from webapp.cli.options import json_option, organisation_argument


@click.command(name="list")
@organisation_argument
@click.option("--accounts", is_flag=True, help="Print only the accounts, one on each line.")
@json_option
@click.pass_obj
@handle_errors
def list_links(path: Path, name: str, *, accounts: bool, as_json: bool) -> None:
    """List the current links of an organisation as CSV."""
    if accounts and as_json:
        raise click.UsageError("--accounts and --json exclude each other.")
    config = load_config(path)
    organisation = find_organisation(config, name)
    with open_store(config) as store:
        links = store.links.list_current(organisation.id)
        if as_json:
            # One JSON text with a link on each line, so that neither side needs all of it in memory
            sys.stdout.write('{"links": [')
            for number, link in enumerate(links):
                sys.stdout.write(",\n" if number else "\n")
                json.dump(link_json(organisation, link), sys.stdout, ensure_ascii=False)
            sys.stdout.write("\n]}\n")
        elif accounts:
            sys.stdout.writelines(f"{link.account}\n" for link in links)
        else:
            sys.stdout.writelines(csv_lines(links))


def link_json(organisation: Organisation, link: Link) -> dict[str, Any]:
    """Return the JSON object for a link."""
    return {
        "organisation": organisation.id,
        "account": link.account,
        "orcid": link.orcid_id.uri,
        "linked_at": link.linked_at.isoformat(),
        "source": link.source,
        "authenticated_at": (link.authenticated_at or link.linked_at).isoformat(),
        "consent": link.agreement
        and {
            "version": link.agreement.version,
            "language": link.agreement.language,
            "at": link.agreement.at.isoformat(),
        },
        "record": link.record
        and {
            "state": link.record.state,
            "since": link.record.since.isoformat(),
            "checked_at": link.record.checked_at.isoformat(),
            "primary": link.record.primary and link.record.primary.uri,
        },
        "suspended_at": link.suspended_at and link.suspended_at.isoformat(),
        "release": link.release and {"state": link.release.state, "at": link.release.at.isoformat()},
    }
