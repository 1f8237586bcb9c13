"""`orcid-connect handout idp`: files for an organisation's Identity Provider."""

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
    parse_stable_id_attribute,
)
from shibboleth.handout.render import RenderedFile
from shibboleth.organisation import Organisation
from webapp.cli.context import find_organisation, load_config
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.handout.output import handle_template_errors, output_option, sp_entity_id, write_files
from webapp.cli.handout.sources import SOURCES, SourceOptions
from webapp.cli.options import organisation_argument
from webapp.config.loader import Config


@click.command()
@organisation_argument
@click.option(
    "--version",
    metavar="VERSION",
    required=True,
    type=click.Choice([each.value for each in Version]),
    help="The version of the organisation's Shibboleth Identity Provider: 3.4, 4 or 5.",
)
@click.option(
    "--source",
    metavar="SOURCE",
    required=True,
    type=click.Choice([each.value for each in SourceKind]),
    help="Where it reads ORCID iDs: http (the connector), sql (a database) or ldap (its own directory).",
)
@click.option(
    "--person",
    metavar="FORM",
    help="How it derives a person's account: principal, principal@SCOPE, attribute:ID or attribute:CONNECTOR/ID.",
)
@click.option(
    "--stable-id",
    "stable_id",
    metavar="FORM",
    help="With http and sql: the stable id that a look-up names, as attribute:ID or attribute:CONNECTOR/ID.",
)
@click.option(
    "--release-to",
    "release",
    metavar="WHOM",
    default=Release.ASKING.value,
    show_default=True,
    type=click.Choice([each.value for each in Release]),
    help="To which services it releases ORCID iDs: asking (those whose metadata requests them) or all.",
)
@click.option(
    "--ca",
    "authority",
    metavar="FILE",
    help="The path on its machine of the CA certificate (PEM) of the server it reads from.",
)
@click.option(
    "--database",
    metavar="PLACE",
    help="With sql: HOST[:PORT]/NAME of PostgreSQL, or the path of a replica, as its machine sees them.",
)
@click.option(
    "--entity-id",
    "entity_id",
    metavar="ENTITYID",
    help="Which of the organisation's Identity Providers it is for, if it has several.",
)
@click.option(
    "--credential",
    metavar="NAME",
    help="With http: the name of its credential, which has the right read alone; default: the first such one.",
)
@output_option
@click.pass_obj
@handle_errors
@handle_template_errors
def idp(path: Path, /, name: str, output: Path | None, **options: str | None) -> None:
    """Generate the files with which an IdP releases ORCID iDs.

    A README.txt explains them.

    They contain no secret, and say where to put it.
    """
    source_options = SourceOptions(
        Version(str(options["version"])),
        SourceKind(str(options["source"])),
        Release(str(options["release"])),
        options["person"],
        options["authority"],
        options["database"],
        options["credential"],
        options["stable_id"],
    )
    config = load_config(path)
    organisation = find_organisation(config, name)
    entity_id = _entity_id(organisation, options["entity_id"])
    write_files(idp_handout(config, organisation, entity_id, source_options), output)


def _entity_id(organisation: Organisation, wanted: str | None) -> str:
    known = organisation.entity_ids
    if wanted is None and len(known) > 1:
        fix = f"choose one with --entity-id: {', '.join(known)}"
        raise CommandError(f"{organisation.id} has several Identity Providers; {fix}")
    if wanted is not None and wanted not in known:
        raise CommandError(f"--entity-id is not one of {organisation.id}; known: {', '.join(known)}")
    return wanted or known[0]


def idp_handout(
    config: Config, organisation: Organisation, entity_id: str, options: SourceOptions
) -> tuple[RenderedFile, ...]:
    """Render the files for one of an organisation's Identity Providers.

    Raises:
        CommandError: If the configuration and the options do not fit.
        TemplateError: If a value is not allowed in a file.
    """
    conditions, values = SOURCES[options.source](config, organisation, options)
    account = parse_account(options.person or _default_person(organisation), organisation.scopes)
    without = "withhold-without" if organisation.needs_stable_id else "release-without"
    idp_options = IdpOptions(
        options.version,
        options.source,
        account,
        options.release,
        conditions | {config.service.registry.value, without},
        _stable_id(organisation, options),
    )
    return idp_files(idp_options, {**_values(config, organisation, account), "ENTITY_ID": entity_id, **values})


def _stable_id(organisation: Organisation, options: SourceOptions) -> Account | None:
    by_look_up = options.source is not SourceKind.LDAP
    if options.stable_id is None:
        if organisation.needs_stable_id and by_look_up:
            raise CommandError(f'{organisation.id} has stable_id_missing = "withhold"; add --stable-id attribute:ID')
        return None
    if not by_look_up:
        raise CommandError("--stable-id is for http and sql; a directory has no other holder's iD after the removal")
    if not organisation.stable_id:
        raise CommandError(f'{organisation.id} has no stable id; add stable_id = "subject-id" to its file')
    return parse_stable_id_attribute(options.stable_id, organisation.scopes)


def _default_person(organisation: Organisation) -> str:
    if len(organisation.scopes) > 1:
        each = ", ".join(f"principal@{scope}" for scope in sorted(organisation.scopes))
        raise CommandError(
            f"{organisation.id} has several scopes; choose one with --person: {each}, principal or attribute:ID"
        )
    return f"principal@{min(organisation.scopes)}"


def _values(config: Config, organisation: Organisation, account: Account) -> dict[str, str]:
    scope = account.scope or min(organisation.scopes)
    host = config.service.registry.host
    return {
        "NAME": organisation.name("en"),
        "SERVICE": config.service.name,
        "URL": config.service.public_url,
        "SP_ENTITY_ID": sp_entity_id(config),
        "KEY": organisation.key,
        "STABLE_ID": organisation.stable_id or organisation.key,
        "SCOPES": ", ".join(sorted(organisation.scopes)),
        "FIRST_SCOPE": scope,
        "FIRST_SCOPE_AT": f"@{scope}",
        "TRY_PRINCIPAL": f"maija@{scope}" if account.form is AccountForm.PRINCIPAL else "maija",
        "ORCID_HOST": host,
        "ORCID_HOST_PATTERN": host.replace(".", "[.]"),
    }
