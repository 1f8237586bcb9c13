"""`orcid-connect handout idp`: what an organisation's Identity Provider needs to release iDs."""

from __future__ import annotations

from pathlib import Path

import click

from shibboleth.handout.idp import (
    Account,
    AccountForm,
    IdpOptions,
    Release,
    SourceKind,
    Version,
    idp_files,
    parse_account,
)
from shibboleth.handout.render import RenderedFile
from shibboleth.organisation import Organisation
from webapp.cli.common import CommandError, configuration, in_words, organisation_argument, organisation_of
from webapp.cli.handout.output import filled, hand_out, output_option, sp_entity_id
from webapp.cli.handout.source import SOURCES, SourceOptions
from webapp.config.loader import Config


@click.command()
@organisation_argument
@click.option(
    "--version",
    metavar="VERSION",
    required=True,
    type=click.Choice([each.value for each in Version]),
    help="Of the organisation's Shibboleth Identity Provider: 3.4, 4 or 5.",
)
@click.option(
    "--source",
    metavar="SOURCE",
    required=True,
    type=click.Choice([each.value for each in SourceKind]),
    help="Where it gets the iDs: http from the connector, sql from a database, ldap from its own directory.",
)
@click.option(
    "--person",
    metavar="FORM",
    help="What it knows a person's account from: principal, principal@SCOPE, attribute:ID or attribute:CONNECTOR/ID.",
)
@click.option(
    "--release-to",
    "release",
    metavar="WHOM",
    default=Release.ASKING.value,
    show_default=True,
    type=click.Choice([each.value for each in Release]),
    help="Whom it gives iDs to: asking, the services whose metadata asks for them, or all.",
)
@click.option(
    "--ca",
    "authority",
    metavar="FILE",
    help="The file over there with the authority (PEM) of the server that is asked.",
)
@click.option(
    "--database",
    metavar="PLACE",
    help="With sql: HOST[:PORT]/NAME of PostgreSQL, or the path of a replica, as seen from there.",
)
@output_option
@click.pass_obj
@in_words
@filled
def idp(path: Path, /, name: str, output: Path | None, **said: str | None) -> None:
    """Give out what an organisation's Identity Provider needs to release iDs, with a README.txt that says how.

    The secret is not in it: the files say where it has to be put.
    """
    asked = SourceOptions(
        Version(str(said["version"])),
        SourceKind(str(said["source"])),
        Release(str(said["release"])),
        said["person"],
        said["authority"],
        said["database"],
    )
    config = configuration(path)
    hand_out(_for_idp(config, organisation_of(config, name), asked), output)


def _for_idp(config: Config, organisation: Organisation, asked: SourceOptions) -> tuple[RenderedFile, ...]:
    conditions, values = SOURCES[asked.source](config, organisation, asked)
    account = parse_account(asked.person or _usual_person(organisation), organisation.scopes)
    options = IdpOptions(
        asked.version, asked.source, account, asked.release, conditions | {config.service.registry.value}
    )
    return idp_files(options, {**_about(config, organisation, account), **values})


def _usual_person(organisation: Organisation) -> str:
    if len(organisation.scopes) > 1:
        each = ", ".join(f"principal@{scope}" for scope in sorted(organisation.scopes))
        raise CommandError(
            f"{organisation.id} has several scopes; say which with --person: {each}, principal or attribute:ID"
        )
    return f"principal@{min(organisation.scopes)}"


def _about(config: Config, organisation: Organisation, account: Account) -> dict[str, str]:
    scope = account.scope or min(organisation.scopes)
    host = config.service.registry.host
    return {
        "NAME": organisation.name("en"),
        "ENTITY_ID": organisation.entity_id,
        "SERVICE": config.service.name,
        "URL": config.service.public_url,
        "SP_ENTITY_ID": sp_entity_id(config),
        "KEY": organisation.key,
        "SCOPES": ", ".join(sorted(organisation.scopes)),
        "FIRST_SCOPE": scope,
        "FIRST_SCOPE_AT": f"@{scope}",
        "TRY_PRINCIPAL": f"maija@{scope}" if account.form is AccountForm.PRINCIPAL else "maija",
        "ORCID_HOST": host,
        "ORCID_HOST_PATTERN": host.replace(".", "[.]"),
    }
