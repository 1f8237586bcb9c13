"""The sources from which an IdP can read iDs.

Each source has conditions of the templates, and values for their placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from resolver_connector.credentials import Right
from shibboleth.handout.idp import WITH_SECRET, Release, SourceKind, Version, ldap_filter
from shibboleth.organisation import Organisation
from webapp.cli.context import require_kept_links
from webapp.cli.errors import CommandError
from webapp.cli.output import printable
from webapp.config.access import CredentialSettings
from webapp.config.loader import Config
from webapp.config.validators import is_loopback

REPLICAS = "/var/lib/orcid-replica"
"""The directory for replicas on the Identity Provider's machine, as docs/operator/run.md sets it up."""
_FILE = re.compile(r"/[A-Za-z0-9._/-]+", re.ASCII)
_CA_FILE = re.compile(r"/[^'\"\\]+")
_SERVER = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(:(?P<port>[0-9]+))?/(?P<dbname>[A-Za-z0-9._-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The options of `orcid-connect handout idp`."""

    version: Version
    source: SourceKind
    release: Release
    person: str | None
    ca_file: str | None
    database: str | None
    credential: str | None
    """The name of a credential of the organisation; None takes its first read-only one."""
    stable_id: str | None


SourceResult = tuple[frozenset[str], Mapping[str, str]]
"""Conditions of the templates, and the values that are filled in."""


def _http_source(config: Config, organisation: Organisation, options: SourceOptions) -> SourceResult:
    require_kept_links(config, organisation)
    known = config.organisation_settings[organisation.id].credentials
    credential = _idp_credential(organisation, known, options.credential)
    return _with_ca(options, {credential.scheme, WITH_SECRET}, {"CREDENTIAL": credential.name})


def _idp_credential(
    organisation: Organisation, known: Sequence[CredentialSettings], name: str | None
) -> CredentialSettings:
    # The files lie on the Identity Provider's machine: their readers must be able to look iDs up and nothing more
    fix = f'add a [[credential]] with rights = ["read"] to organisations/{organisation.id}.toml'
    if not known:
        raise CommandError(f"{organisation.id} has no credential for the connector; {fix}")
    by_name = {each.name: each for each in known}
    if name is not None and name not in by_name:
        raise CommandError(f"{organisation.id} has no credential {printable(name)}; its are: {', '.join(by_name)}")
    for each in known if name is None else [by_name[name]]:
        if set(each.rights) == {Right.READ}:
            return each
    if name is None:
        raise CommandError(f"{organisation.id} has no credential with the right read alone; {fix}")
    rights = " ".join(by_name[name].rights)
    raise CommandError(f"the credential {name} has the rights {rights}; an Identity Provider needs read alone; {fix}")


def _with_ca(options: SourceOptions, conditions: set[str], values: dict[str, str]) -> SourceResult:
    if options.ca_file is None:
        return frozenset({*conditions, "public-ca"}), values
    if not _CA_FILE.fullmatch(options.ca_file):
        raise CommandError(
            "--ca is an absolute path on the Identity Provider's machine, without quotes and backslashes"
        )
    return frozenset({*conditions, "ca"}), {**values, "CA": options.ca_file}


def _sql_source(config: Config, organisation: Organisation, options: SourceOptions) -> SourceResult:
    require_kept_links(config, organisation)
    location = options.database or _default_database(config, organisation)
    if _FILE.fullmatch(location):
        url = f"jdbc:sqlite:file:{location}?mode=ro&immutable=1"
        return frozenset({"sqlite", "open"}), {"DATABASE": location, "JDBC_URL": url}
    server = _SERVER.fullmatch(location)
    if not server:
        raise CommandError("--database is HOST[:PORT]/NAME of PostgreSQL, or the absolute path of a replica")
    role = f"idp_{organisation.id}"
    values = {
        "ROLE": role,
        "JDBC_URL": f"jdbc:postgresql://{location}?{urlencode(_jdbc_options(options.ca_file))}",
        "PSQL": _psql_options(server, role, options.ca_file),
    }
    return _with_ca(options, {"postgresql", WITH_SECRET}, values)


def _default_database(config: Config, organisation: Organisation) -> str:
    """Return where the IdP's machine finds the database, if known."""
    parts = urlsplit(config.store.url)
    if parts.scheme == "sqlite":
        return f"{REPLICAS}/{organisation.id}.db"
    if not parts.hostname or is_loopback(parts.hostname) or "host" in parse_qs(parts.query):
        example = f"--database db.example.org{parts.path}, or --database {REPLICAS}/{organisation.id}.db"
        raise CommandError(
            f"store.url names a database on this machine; name its address for the Identity Provider: {example}"
        )
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname}{port}{parts.path}"


def _jdbc_options(ca_file: str | None) -> dict[str, str]:
    # Without sslrootcert the driver looks for a file in the home directory; this factory uses Java's own CAs.
    # socketTimeout, because after a query time-out the driver would still wait for the cancellation
    trust = {"sslrootcert": ca_file} if ca_file else {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
    return {"sslmode": "verify-full", **trust, "loginTimeout": "2", "connectTimeout": "2", "socketTimeout": "3"}


def _psql_options(server: re.Match[str], role: str, ca_file: str | None) -> str:
    trust = ca_file or "/etc/ssl/certs/ca-certificates.crt"
    options = {**server.groupdict(), "user": role, "sslmode": "verify-full", "sslrootcert": trust}
    return " ".join(f"{key}={_quote_libpq(value)}" for key, value in options.items() if value)


def _quote_libpq(value: str) -> str:
    """Quote a value of a libpq connection string (PostgreSQL 34.1.1.1)."""
    if re.fullmatch(r"[^\s'\\]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _ldap_source(config: Config, organisation: Organisation, options: SourceOptions) -> SourceResult:
    settings = config.organisation_settings[organisation.id]
    transfers = [each for each in settings.transfers.values() if each.kind == SourceKind.LDAP]
    if not transfers:
        fix = "see [[transfer]] in docs/settings.md"
        raise CommandError(f"{organisation.id} has no transfer of kind ldap that writes iDs to its directory; {fix}")
    ldap = transfers[0]
    if ldap.value_form != "https":
        raise CommandError(f'its transfer writes value_form = "{ldap.value_form}", and only "https" may be released')
    servers = ldap.url.split()
    conditions, values = _with_ca(options, {"open"}, {})
    if options.ca_file is None and ldap.ca_file:
        conditions |= {"usual-ca"}
    conditions |= {"named" if ldap.attribute == "eduPersonOrcid" else "renamed"}
    scope = min(organisation.scopes)
    maija = {"{account}": f"maija@{scope}", "{user}": "maija", "{scope}": scope}
    return conditions, {
        **values,
        "LDAP_URL": ldap.url,
        "LDAP_SERVER": servers[0],
        "START_TLS": str(ldap.start_tls and not servers[0].startswith("ldaps:")).lower(),
        "BASE": ldap.base,
        "LDAP_ATTRIBUTE": ldap.attribute,
        "FILTER": ldap_filter(ldap.filter),
        "FILTER_OF_MAIJA": re.sub(r"\{\w+\}", lambda found: maija[found[0]], ldap.filter),
    }


SOURCES: Mapping[SourceKind, Callable[[Config, Organisation, SourceOptions], SourceResult]] = {
    SourceKind.HTTP: _http_source,
    SourceKind.SQL: _sql_source,
    SourceKind.LDAP: _ldap_source,
}
"""For each source: what it takes from the configuration for the templates."""
