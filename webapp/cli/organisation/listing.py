"""`orcid-connect organisation list` and `show`: what the files say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from webapp.cli.context import find_organisation, load_config
from webapp.cli.errors import handle_errors
from webapp.cli.options import json_option, organisation_argument
from webapp.cli.output import format_table, print_json, printable
from webapp.config.loader import Config
from webapp.config.organisation import OrganisationSettings

_MISCONFIGURED, _DISABLED = "misconfigured", "disabled"


@click.command(name="list")
@json_option
@click.pass_obj
@handle_errors
def list_organisations(path: Path, *, as_json: bool) -> None:
    """List the organisations: state, stage and name.

    The state of one that is left out is misconfigured or disabled.
    """
    config = load_config(path)
    rows = sorted(_rows(config))
    if as_json:
        print_json({"organisations": [dict(zip(("id", "state", "stage", "name"), row, strict=True)) for row in rows]})
    else:
        click.echo(format_table([("ID", "STATE", "STAGE", "NAME"), *rows]))


def _rows(config: Config) -> Iterator[tuple[str, str, str, str]]:
    for one in config.organisations:
        yield one.id, one.state, one.stage, printable(one.name("en"))
    for name in config.misconfigured:
        yield name, _MISCONFIGURED, "", ""
    for name in config.disabled:
        yield name, _DISABLED, "", ""


@click.command()
@organisation_argument
@json_option
@click.pass_obj
@handle_errors
def show(path: Path, name: str, *, as_json: bool) -> None:
    """Show the settings of an organisation, without any secret."""
    config = load_config(path)
    facts = _facts(config.organisation_settings[find_organisation(config, name).id])
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        for number, line in enumerate(value if isinstance(value, list) else [value]):
            title = "" if number else key.replace("_", " ")
            click.echo(f"{title:<18}{printable(_as_text(line))}".rstrip())


def _facts(settings: OrganisationSettings) -> dict[str, Any]:
    organisation = settings.organisation
    return {
        "id": organisation.id,
        "state": organisation.state,
        "stage": organisation.stage,
        "names": [{"language": code, "name": name} for code, name in organisation.names.items()],
        "entity_ids": [*organisation.entity_ids],
        "former_entity_ids": [*organisation.former_entity_ids],
        "scopes": sorted(organisation.scopes),
        "key": organisation.key,
        "stable_id": organisation.stable_id,
        "keep": settings.keep,
        "help": organisation.help,
        "test_accounts": [*settings.test_accounts],
        "pilot": [*settings.pilot.people, *settings.pilot.entitlements],
        "administrators": [*settings.administrators.people, *settings.administrators.entitlements],
        "credentials": [{"name": each.name, "rights": " ".join(each.rights)} for each in settings.credentials],
        "transfers": [{"name": name, "kind": each.kind} for name, each in settings.transfers.items()],
        "orcid_client": settings.orcid.client_id if settings.orcid else "",
    }


def _as_text(value: Any) -> str:
    return "  ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
