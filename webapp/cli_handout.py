"""`orcid-connect handout`: complete files for Identity Providers, for our own Service Provider and for other services.

What differs from place to place comes from the configuration; the files themselves are those of `shibboleth/`.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec
from urllib.parse import parse_qs, urlencode, urlsplit

import click

from shibboleth.consumer import Consumer, consumer_files
from shibboleth.handout import CannotFill, Handed
from shibboleth.idp import (
    GUARDED,
    Account,
    Form,
    Release,
    Source,
    Version,
    Wanted,
    account_of,
    idp_files,
    ldap_filter,
)
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation
from shibboleth.sp import FEDERATIONS, Front, sp_files
from webapp.cli_common import (
    Failed,
    configuration,
    in_words,
    must_keep_links,
    organisation_argument,
    organisation_of,
    safe,
)
from webapp.config import Config
from webapp.config_service import FrontKind
from webapp.config_values import loopback

SECRET, OPEN = 0o600, 0o644
REPLICAS = "/var/lib/orcid-replica"
"""Where the operator's page has replicas sent to, on the Identity Provider's machine."""

_PEM = re.compile(r"\s*-+BEGIN CERTIFICATE-+\s([A-Za-z0-9+/=\s]+)-+END CERTIFICATE-+\s*", re.ASCII)
_FILE = re.compile(r"/[A-Za-z0-9._/-]+", re.ASCII)
_SERVER = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(:(?P<port>[0-9]+))?/(?P<dbname>[A-Za-z0-9._-]+)", re.ASCII)

P = ParamSpec("P")

_output = click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files into this directory, instead of showing them.",
)


@click.group()
def handout() -> None:
    """Give out files that are filled in: for Identity Providers, for our own front, for other services."""


def _filled(function: Callable[P, None]) -> Callable[P, None]:
    """Say what cannot be filled in."""

    @functools.wraps(function)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except CannotFill as error:
            raise Failed(safe(f"it cannot be filled in: {error}")) from None

    return spoken


def _hand_out(files: Iterable[Handed], directory: Path | None) -> None:
    """Show files, or write them where nothing else is in their place."""
    handed = list(files)
    if directory is None:
        click.echo("\n".join(f"{f'===== {each.path} ':=<100}\n\n{each.text}" for each in handed), nl=False)
        return
    places = {each: directory / each.path for each in handed}
    try:
        taken = [place for each, place in places.items() if _is_another(place, each.text)]
        if taken:
            listed = ", ".join(map(str, taken))
            raise Failed(f"something else is there already, and nothing was written: {listed}")
        for each, place in places.items():
            _write(place, each)
            click.echo(f"{'secret' if each.secret else 'file':<8}{place}")
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None


def _is_another(place: Path, text: str) -> bool:
    if place.is_symlink():
        return True
    return place.exists() and (not place.is_file() or place.read_bytes() != text.encode())


def _write(place: Path, handed: Handed) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    mode = SECRET if handed.secret else OPEN
    if not place.exists():
        place.touch(mode, exist_ok=False)
        place.write_text(handed.text, "utf-8")
    place.chmod(mode)


# --- For our own front --------------------------------------------------------------------------------------------


@handout.command()
@click.option(
    "--federation",
    metavar="NAME",
    type=click.Choice([*FEDERATIONS]),
    help="haka or haka-test; by itself, haka-test with the sandbox and haka with the production registry.",
)
@click.option("--hostname", metavar="NAME", help="Our public name on this machine; by itself, that of public_url.")
@click.option("--entity-id", metavar="URI", help="Our entityID; by itself, public_url and /shibboleth.")
@click.option("--metadata", metavar="URL", help="The federation's metadata, where it is elsewhere by now.")
@click.option("--discovery", metavar="URL", help="Its discovery service, where it is elsewhere by now.")
@click.option(
    "--metadata-certificate",
    metavar="FILE",
    default="/etc/shibboleth/federation.pem",
    show_default=True,
    help="The certificate that signs the metadata.",
)
@click.option(
    "--tls-certificate",
    metavar="FILE",
    default="/etc/ssl/certs/orcid-connect.pem",
    show_default=True,
    help="The certificate of our name, with its chain.",
)
@click.option(
    "--tls-key",
    metavar="FILE",
    default="/etc/ssl/private/orcid-connect.key",
    show_default=True,
    help="Its key.",
)
@click.option("--http-port", metavar="PORT", default="80", show_default=True, help="Where Apache answers without TLS.")
@click.option("--support-contact", metavar="ADDRESS", help="An e-mail address, where contact is a page.")
@click.option(
    "--user", metavar="NAME", default="orcid-connect", show_default=True, help="The system account that runs it."
)
@click.option(
    "--keys",
    metavar="DIR",
    default="/etc/shibboleth",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the Service Provider's certificates are; with them, sp-metadata.xml comes too.",
)
@click.option("--connector-only", is_flag=True, help="For a machine with the connector alone.")
@_output
@click.pass_obj
@in_words
@_filled
def sp(path: Path, /, output: Path | None, keys: Path, *, connector_only: bool, **said: str) -> None:
    """Give out the files of our own Service Provider and of Apache, and what the federation's registry asks.

    The paths below DIR are those on the machine. With front = "proxy" the proof of the front is among them.
    """
    config = configuration(path)
    front = Front.CONNECTOR if connector_only else Front(config.service.front.value)
    certificates = _certificates(keys)
    values = {**_of_sp(config, said), **_proof(config, shown=output is None), **certificates}
    _hand_out(sp_files(front, values, with_keys=bool(certificates)), output)
    if not certificates and front is not Front.CONNECTOR:
        click.echo(f"no certificates in {keys} yet: sp-metadata.xml comes when shib-keygen has made them", err=True)


def _of_sp(config: Config, said: Mapping[str, str]) -> dict[str, str]:
    url = urlsplit(config.service.public_url)
    usual = "haka" if config.service.registry is Registry.PRODUCTION else "haka-test"
    federation = FEDERATIONS[said["federation"] or usual]
    return {
        "NAME": config.service.name,
        "HOSTNAME": said["hostname"] or url.hostname or "",
        "BASE_URL": config.service.public_url,
        "HTTPS_PORT": str(url.port or 443),
        "HTTP_PORT": said["http_port"],
        "TLS_CERTIFICATE": said["tls_certificate"],
        "TLS_KEY": said["tls_key"],
        "ENTITY_ID": said["entity_id"] or sp_entity_id(config),
        "DISCOVERY_URL": said["discovery"] or federation.discovery,
        "METADATA_URL": said["metadata"] or federation.metadata,
        "METADATA_CERTIFICATE": said["metadata_certificate"],
        "SUPPORT_CONTACT": _mail(said["support_contact"] or config.service.contact),
        "PRIVACY_URL": config.service.privacy_url or "none yet: privacy_url in the configuration",
        "SYSTEM_USER": said["user"],
        **_places(config),
    }


def _mail(contact: str) -> str:
    if contact.startswith("https:"):
        raise Failed("contact is a page, and the Service Provider shows an e-mail address: say it by --support-contact")
    return contact


def _places(config: Config) -> dict[str, str]:
    """Give where things are on this machine."""
    places = {
        "CONFIG": str(config.path.absolute()),
        "ETC": str(config.path.absolute().parent),
        "VENV": sys.prefix,
        "VAR": "/var/lib/orcid-connect",
    }
    if config.service.front is FrontKind.PROXY:
        places["RUN"] = _directory_of_sockets(config)
    return places


def _directory_of_sockets(config: Config) -> str:
    web, connector = Path(config.listen.unix or ""), Path(config.connector.unix or "")
    if (web.name, connector.name) != ("web.sock", "connector.sock") or web.parent != connector.parent:
        mend = 'for example unix = "/run/orcid-connect/web.sock", and /run/orcid-connect/connector.sock for the other'
        raise Failed(f"[listen] and [connector] are to be web.sock and connector.sock of one directory: {mend}")
    return str(web.parent)


def _proof(config: Config, *, shown: bool) -> dict[str, str]:
    """Give the proof of the front to a file that only its owner may read, and to no terminal."""
    proof = config.service.front_proof
    if proof is None:
        return {}
    return {"FRONT_PROOF": f"PUT-THE-PROOF-HERE-({proof.source})" if shown else proof.reveal()}


def _certificates(directory: Path) -> dict[str, str]:
    """Give the Service Provider's certificates, each in one line; none where one of them is missing."""
    names = {"SIGNING_CERTIFICATE": "sp-signing-cert.pem", "ENCRYPTION_CERTIFICATE": "sp-encrypt-cert.pem"}
    try:
        return {name: _certificate(directory / file) for name, file in names.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None


def _certificate(path: Path) -> str:
    found = _PEM.fullmatch(path.read_text("ascii", "replace"))
    if found is None:
        raise Failed(f"{path} is not one certificate (PEM)")
    return re.sub(r"\s", "", found[1])


# --- For other services -------------------------------------------------------------------------------------------


@handout.command()
@click.option(
    "--for",
    "kind",
    metavar="KIND",
    required=True,
    type=click.Choice([each.value for each in Consumer]),
    help="By what it takes sign-ins in: shibboleth, simplesamlphp, satosa or oidc.",
)
@_output
@click.pass_obj
@in_words
@_filled
def consumer(path: Path, /, kind: str, output: Path | None) -> None:
    """Give out what another service adds to read the iD that organisations release, with a README.txt."""
    _hand_out(consumer_files(Consumer(kind), configuration(path).service.registry), output)


# --- For an organisation's Identity Provider ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says."""

    version: Version
    source: Source
    release: Release
    person: str | None
    authority: str | None
    database: str | None


@handout.command()
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
    type=click.Choice([each.value for each in Source]),
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
@_output
@click.pass_obj
@in_words
@_filled
def idp(path: Path, /, name: str, output: Path | None, **said: str | None) -> None:
    """Give out what an organisation's Identity Provider needs to release iDs, with a README.txt that says how.

    The secret is not in it: the files say where it has to be put.
    """
    asked = _Asked(
        Version(str(said["version"])),
        Source(str(said["source"])),
        Release(str(said["release"])),
        said["person"],
        said["authority"],
        said["database"],
    )
    config = configuration(path)
    _hand_out(_for_idp(config, organisation_of(config, name), asked), output)


def _for_idp(config: Config, organisation: Organisation, asked: _Asked) -> tuple[Handed, ...]:
    also, values = _SOURCES[asked.source](config, organisation, asked)
    account = account_of(asked.person or _usual_person(organisation), organisation.scopes)
    wanted = Wanted(asked.version, asked.source, account, asked.release, also | {config.service.registry.value})
    return idp_files(wanted, {**_about(config, organisation, account), **values})


def _usual_person(organisation: Organisation) -> str:
    if len(organisation.scopes) > 1:
        each = ", ".join(f"principal@{scope}" for scope in sorted(organisation.scopes))
        raise Failed(
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
        "TRY_PRINCIPAL": f"maija@{scope}" if account.form is Form.PRINCIPAL else "maija",
        "ORCID_HOST": host,
        "ORCID_HOST_PATTERN": host.replace(".", "[.]"),
    }


def sp_entity_id(config: Config) -> str:
    """Give the usual entityID of our own Service Provider."""
    return f"{config.service.public_url}/shibboleth"


_Found = tuple[frozenset[str], Mapping[str, str]]


def _from_http(config: Config, organisation: Organisation, asked: _Asked) -> _Found:
    credentials = config.credentials[organisation.entity_id]
    must_keep_links(config, organisation)
    if not credentials:
        mend = "add [connector] to its file, with tokens, or with user and password"
        raise Failed(f"{organisation.id} has no credential for the connector; {mend}")
    kind = "bearer" if credentials.tokens else "basic"
    return _with_authority(asked, {kind, GUARDED}, {})


def _with_authority(asked: _Asked, words: set[str], values: dict[str, str]) -> _Found:
    if asked.authority is None:
        return frozenset(words), values
    return frozenset({*words, "ca"}), {**values, "CA": asked.authority}


# By SQL: from PostgreSQL, or from a replica


def _from_sql(config: Config, organisation: Organisation, asked: _Asked) -> _Found:
    must_keep_links(config, organisation)
    place = asked.database or _database_of(config, organisation)
    if _FILE.fullmatch(place):
        url = f"jdbc:sqlite:file:{place}?mode=ro&immutable=1"
        return frozenset({"sqlite", "open"}), {"DATABASE": place, "JDBC_URL": url}
    server = _SERVER.fullmatch(place)
    if not server:
        raise Failed("--database is HOST[:PORT]/NAME of PostgreSQL, or the absolute path of a replica")
    role = f"idp_{organisation.id}"
    values = {
        "ROLE": role,
        "JDBC_URL": f"jdbc:postgresql://{place}?{urlencode(_jdbc(asked.authority))}",
        "PSQL": _psql(server, role, asked.authority),
    }
    return frozenset({"postgresql", GUARDED}), values


def _database_of(config: Config, organisation: Organisation) -> str:
    """Give where the organisation's Identity Provider finds the database, as far as the configuration tells."""
    parts = urlsplit(config.store.url)
    if parts.scheme == "sqlite":
        return f"{REPLICAS}/{organisation.id}.db"
    if not parts.hostname or loopback(parts.hostname) or "host" in parse_qs(parts.query):
        example = f"--database db.example.org{parts.path}, or --database {REPLICAS}/{organisation.id}.db"
        raise Failed(f"store.url names a database on this machine; say how it is reached from there: {example}")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname}{port}{parts.path}"


def _jdbc(authority: str | None) -> dict[str, str]:
    # Without sslrootcert the driver looks for a file at home; this factory asks the authorities that Java knows
    trust = {"sslrootcert": authority} if authority else {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
    return {"sslmode": "verify-full", **trust, "loginTimeout": "2", "connectTimeout": "2", "socketTimeout": "3"}


def _psql(server: re.Match[str], role: str, authority: str | None) -> str:
    trust = authority or "/etc/ssl/certs/ca-certificates.crt"
    said = {**server.groupdict(), "user": role, "sslmode": "verify-full", "sslrootcert": trust}
    return " ".join(f"{key}={_in_psql(value)}" for key, value in said.items() if value)


def _in_psql(value: str) -> str:
    """Write a value as libpq reads it (PostgreSQL's manual, 34.1.1.1)."""
    if re.fullmatch(r"[^\s'\\]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


# From the organisation's own directory


def _from_ldap(config: Config, organisation: Organisation, asked: _Asked) -> _Found:
    transfers = [each for each in config.transfers[organisation.entity_id].values() if each.kind == Source.LDAP]
    if not transfers:
        mend = "docs/settings.md says how to write one"
        raise Failed(f"{organisation.id} has no transfer of kind ldap that could put iDs into its directory; {mend}")
    ldap = transfers[0]
    if ldap.value_form != "https":
        raise Failed(f'its transfer writes value_form = "{ldap.value_form}", and only "https" may be released')
    servers = ldap.url.split()
    words, values = _with_authority(asked, {"open"}, {})
    if asked.authority is None and ldap.ca_file:
        words |= {"usual-ca"}
    words |= {"named" if ldap.attribute == "eduPersonOrcid" else "renamed"}
    scope = min(organisation.scopes)
    maija = {"{account}": f"maija@{scope}", "{user}": "maija", "{scope}": scope}
    return words, {
        **values,
        "LDAP_URL": ldap.url,
        "LDAP_SERVER": servers[0],
        "START_TLS": str(ldap.start_tls and not servers[0].startswith("ldaps:")).lower(),
        "BASE": ldap.base,
        "LDAP_ATTRIBUTE": ldap.attribute,
        "FILTER": ldap_filter(ldap.filter),
        "FILTER_OF_MAIJA": re.sub(r"\{\w+\}", lambda found: maija[found[0]], ldap.filter),
    }


_SOURCES: Mapping[Source, Callable[[Config, Organisation, _Asked], _Found]] = {
    Source.HTTP: _from_http,
    Source.SQL: _from_sql,
    Source.LDAP: _from_ldap,
}
"""What each source needs of the configuration: words for the templates, and values."""
