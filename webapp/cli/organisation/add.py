"""`orcid-connect organisation add`: add an organisation of the federation."""

from __future__ import annotations

import io
import secrets
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from resolver_connector.credentials import Right
from shibboleth.handout.idp import Release, SourceKind, Version
from shibboleth.handout.render import RenderedFile
from shibboleth.metadata import InvalidMetadata
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Stage, State
from webapp.cli.context import load_service_file, utc_now
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.handout.idp import idp_handout
from webapp.cli.handout.output import NewFiles, federation_of, handle_template_errors
from webapp.cli.handout.sources import SourceOptions
from webapp.cli.organisation.files import load_with, organisation_file, own_command, reload_command
from webapp.cli.output import printable
from webapp.config import validators
from webapp.config.errors import InvalidSetting, to_toml
from webapp.config.loader import DISABLED, ORGANISATION_ID, Config
from webapp.config.service import ServiceFile
from webapp.config.texts import LANGUAGES
from webapp.i18n.catalogues import SOURCE

IDP_CREDENTIAL = "idp"
"""The name of the credential of the Identity Provider."""


@dataclass(frozen=True, slots=True)
class _Described:
    """What the metadata or the options say of an organisation.

    As far as its file can have it.
    """

    entity_ids: tuple[str, ...]
    names: dict[str, str]
    scopes: tuple[str, ...]
    help: str = ""
    contacts: tuple[tuple[str, str, str], ...] = ()
    """Kind, name and address of each, as text."""
    valid_until: str = ""
    left_out: tuple[str, ...] = ()
    """Scopes that a file cannot have."""


def _parse_names(_context: click.Context, _parameter: click.Parameter, texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        code, _, name = text.partition("=")
        if code not in LANGUAGES or code in found or not _is_valid(validators.single_line, name):
            raise click.BadParameter(f"must be LANGUAGE=TEXT, once for each language: {', '.join(LANGUAGES)}.")
        found[code] = name
    if found:
        found.setdefault(SOURCE, next(iter(found.values())))
    return found


def _parse_credential(
    _context: click.Context, _parameter: click.Parameter, texts: Sequence[str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {IDP_CREDENTIAL: [Right.READ.value]}
    for text in texts:
        name, _, rights = text.partition("=")
        if not ORGANISATION_ID.fullmatch(name) or name in found or not rights:
            raise click.BadParameter(f"must be NAME=RIGHT[,RIGHT], with another name than {', '.join(found)}.")
        try:
            found[name] = [validators.one_of(right.strip(), tuple(Right)) for right in rights.split(",")]
        except InvalidSetting as error:
            raise click.BadParameter(f"{error.text}.") from None
    return found


@click.command()
@click.argument("name", metavar="ID")
@click.option(
    "--metadata",
    "place",
    metavar="SOURCE",
    help="The federation's signed metadata: a file, or an https address; default: that of [service_provider].",
)
@click.option(
    "--entity-id",
    "entity_ids",
    metavar="ENTITYID",
    required=True,
    multiple=True,
    help="The entityID of its Identity Provider in the metadata; may be repeated.",
)
@click.option(
    "--scope",
    "scopes",
    metavar="DOMAIN",
    multiple=True,
    help="Without metadata: a scope of its people's identifiers; may be repeated.",
)
@click.option(
    "--name",
    "names",
    metavar="LANGUAGE=TEXT",
    multiple=True,
    callback=_parse_names,
    help="Without metadata: its name in a language, as in en=Example; may be repeated.",
)
@click.option(
    "--certificate",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The federation's certificate (PEM); default: [service_provider] metadata_certificate.",
)
@click.option(
    "--state",
    metavar="STATE",
    default=State.HIDDEN.value,
    show_default=True,
    type=click.Choice([State.HIDDEN.value, State.OPEN.value]),
    help="Who may link: hidden (test accounts) or open (all).",
)
@click.option(
    "--test-account", "test_accounts", metavar="ACCOUNT", multiple=True, help="A test account; may be repeated."
)
@click.option(
    "--credential",
    "credentials",
    metavar="NAME=RIGHT[,RIGHT]",
    multiple=True,
    callback=_parse_credential,
    help="A further credential, for a system that is not the Identity Provider; may be repeated.",
)
@click.option(
    "--idp-version",
    metavar="VERSION",
    default=Version.V5.value,
    show_default=True,
    type=click.Choice([*(each.value for each in Version), "none"]),
    help="The version of its Shibboleth Identity Provider: 3.4, 4 or 5; none for other software.",
)
@click.option("--person", metavar="FORM", help="How its Identity Provider derives a person's account: see handout idp.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the archive for its Identity Provider is written; default: ID-idp.tar.gz.",
)
@click.pass_obj
@handle_errors
@handle_template_errors
def add(  # noqa: PLR0913 - one argument for each option
    path: Path,
    name: str,
    *,
    place: str | None,
    entity_ids: tuple[str, ...],
    scopes: tuple[str, ...],
    names: dict[str, str],
    certificate: Path | None,
    state: str,
    test_accounts: tuple[str, ...],
    credentials: dict[str, list[str]],
    idp_version: str,
    person: str | None,
    output: Path | None,
) -> None:
    """Connect an organisation.

    Write its file, its credentials and the archive for its Identity Provider, and show what to send to whom.

    Scopes, names and contacts are read from the federation's metadata, or given by --scope and --name. If anything
    fails, nothing is written. No file is overwritten.
    """
    # The connector's command does not load the pages, nor what verifies signatures
    from webapp.cli.organisation.source import read_certificate, read_source  # noqa: PLC0415

    target, archive = organisation_file(path, name), (output or Path(f"{name}-idp.tar.gz")).absolute()
    service = load_service_file(path)
    tokens = {credential: path.parent / "secrets" / f"{name}-{credential}" for credential in credentials}
    new = [target, *tokens.values(), *([archive] if idp_version != "none" else [])]
    for each in (*new, target.with_name(target.name + DISABLED)):
        if each.exists() or each.is_symlink():
            raise CommandError(f"{each} exists, and is not overwritten; nothing was written")
    entity_ids = tuple(dict.fromkeys(entity_ids))
    if scopes or names:
        if place or certificate or not (scopes and names):
            raise click.UsageError("Write --scope and --name without --metadata and --certificate, and both of them.")
        described = _Described(entity_ids, names, tuple(dict.fromkeys(map(str.lower, scopes))))
    else:
        place = place or federation_of(service).metadata
        pem = read_certificate(certificate or Path(service.service_provider.metadata_certificate))
        described = _describe(read_source(place), pem, entity_ids)
    _require_own_scope(test_accounts, described)
    text = _organisation_file(described, service, name, state, test_accounts, credentials)
    with NewFiles() as files:
        for each in tokens.values():
            files.write_secret(each, f"{secrets.token_urlsafe(32)}\n".encode())
        # Readable by the same users as the service's own file
        like = path.stat()
        files.write(target, text.encode(), mode=stat.S_IMODE(like.st_mode) & 0o664, group=like.st_gid)
        config = load_with(path, name)
        if idp_version != "none":
            version = Version(idp_version)
            files.write(archive, _archive(name, _handouts(config, name, version, person)))
        files.keep()
    for each in new:
        click.echo(f"{'secret' if each in tokens.values() else 'file':<8}{each}")
    if place:
        _print_described(described)
    see = own_command(
        config, "check", "--organisation", name, *(["--metadata", place] if place and "://" in place else [])
    )
    steps = [
        *(
            ["Ask a person whom you know there whether the contacts are right; anyone may name some."]
            * bool(described.contacts)
        ),
        *([f"Send {archive} by e-mail to the technical contact. It has no secret."] * (archive in new)),
        *(
            f"Send the content of {each} to one person, by telephone or in an encrypted message."
            for each in tokens.values()
        ),
        f"Add what the organisation needs besides to {target}: docs/settings.md has all settings.",
        f"Check the files, and let the services read them:\n{own_command(config, 'check')}\n{reload_command(config)}",
        f"Look at each step, from the metadata to the release:\n{see}",
        f"Let a test person sign in at {config.service.public_url}/o/{name}; docs/piloting.md says what follows.",
    ]
    click.echo("\nNow:")
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. " + step.replace("\n", "\n       "))


def _require_own_scope(accounts: Sequence[str], described: _Described) -> None:
    for account in accounts:
        if account.rpartition("@")[2].lower() not in described.scopes:
            scopes = ", ".join(described.scopes)
            raise CommandError(
                printable(f"--test-account {account}: scopes of the organisation are {scopes}; nothing was written")
            )


def _describe(data: bytes, pem: str, entity_ids: tuple[str, ...]) -> _Described:
    from shibboleth.federation_metadata import read_identity_provider  # noqa: PLC0415 - signxml and lxml are large

    try:
        found = [read_identity_provider(data, pem, each, utc_now()) for each in entity_ids]
    except InvalidMetadata as error:
        raise CommandError(f"the metadata cannot be used: {error}; nothing was written") from None
    first = found[0]
    names = {
        code: name
        for code, name in first.names.items()
        if code in LANGUAGES and _is_valid(validators.single_line, name)
    }
    if not names:
        raise CommandError(f"the metadata has no name of it in {', '.join(LANGUAGES)}; nothing was written")
    names.setdefault(SOURCE, next(iter(names.values())))
    scopes = dict.fromkeys(scope.lower() for one in found for scope in one.scopes)
    valid = tuple(scope for scope in scopes if _is_valid(validators.scope, scope))
    patterns = [pattern for one in found for pattern in one.pattern_scopes]
    if not valid:
        raise CommandError("the metadata has no scope of it that is a domain name; nothing was written")
    contacts = [(each.kind, each.name, each.address) for one in found for each in one.contacts]
    support = [address for kind, _, address in contacts if kind == "support" and _is_valid(validators.mailbox, address)]
    return _Described(
        entity_ids,
        names,
        valid,
        next(iter(support), ""),
        tuple(dict.fromkeys(contacts)),
        min(filter(None, (one.valid_until for one in found)), default=""),
        (*(scope for scope in scopes if scope not in valid), *patterns),
    )


def _is_valid(validate: Callable[[str], str], text: str) -> bool:
    try:
        return validate(text) == text
    except InvalidSetting:
        return False


def _organisation_file(  # noqa: PLR0913, PLR0917 - all that the file says
    described: _Described,
    service: ServiceFile,
    name: str,
    state: str,
    test_accounts: Sequence[str],
    credentials: dict[str, list[str]],
) -> str:
    top = {
        "entity_ids": described.entity_ids,
        "scopes": described.scopes,
        "stage": (Stage.TEST if service.service.registry is Registry.SANDBOX else Stage.PRODUCTION).value,
        "state": state,
        **({"test_accounts": test_accounts} if test_accounts else {}),
        **({"help": described.help} if described.help else {}),
    }
    # English first, then as the settings are documented
    lines = [f"{key} = {to_toml(value)}" for key, value in top.items()]
    lines += [
        "",
        "[name]",
        *(f"{code} = {to_toml(described.names[code])}" for code in LANGUAGES if code in described.names),
    ]
    for credential, rights in credentials.items():
        reference = to_toml(f"file:secrets/{name}-{credential}")
        lines += [
            "",
            "[[credential]]",
            f"name = {to_toml(credential)}",
            f"rights = {to_toml(rights)}",
            f"token = {reference}",
        ]
    return "\n".join([*lines, ""])


def _handouts(config: Config, name: str, version: Version, person: str | None) -> Iterator[RenderedFile]:
    (organisation,) = (one for one in config.organisations if one.id == name)
    options = SourceOptions(version, SourceKind.HTTP, Release.ASKING, person, None, None, IDP_CREDENTIAL, None)
    for number, entity_id in enumerate(organisation.entity_ids, 1):
        folder = f"idp-{number}/" if len(organisation.entity_ids) > 1 else ""
        for each in idp_handout(config, organisation, entity_id, options):
            yield RenderedFile(folder + each.path, each.text, each.secret)


def _archive(name: str, files: Iterator[RenderedFile]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for each in files:
            content, info = each.text.encode(), tarfile.TarInfo(f"{name}/{each.path}")
            info.size, info.mode, info.mtime = len(content), 0o600 if each.secret else 0o644, int(utc_now().timestamp())
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def _print_described(described: _Described) -> None:
    until = f"valid until {described.valid_until}" if described.valid_until else "which does not expire"
    names = "; ".join(f"{code} {name}" for code, name in described.names.items())
    click.echo()
    click.echo(printable(f"From the signed metadata, {until}:"))
    for title, value in (
        ("names", names),
        ("scopes", ", ".join(described.scopes)),
        ("left out", ", ".join(described.left_out)),
    ):
        if value:
            click.echo(f"  {title:<10}{printable(value)}")
    for kind, person, address in described.contacts:
        click.echo(printable(f"  {'contact':<10}{kind or 'unknown'}: {person or 'without a name'}, {address}"))
