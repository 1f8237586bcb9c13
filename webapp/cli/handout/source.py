"""From where an organisation's Identity Provider gets the iDs, and what its files say of that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from shibboleth.handout.idp import WITH_SECRET, Release, SourceKind, Version, ldap_filter
from shibboleth.organisation import Organisation
from webapp.cli.common import CommandError, must_keep_links
from webapp.config.loader import Config
from webapp.config.values import loopback

REPLICAS = "/var/lib/orcid-replica"
"""Where the operator's page has replicas sent to, on the Identity Provider's machine."""
_FILE = re.compile(r"/[A-Za-z0-9._/-]+", re.ASCII)
_CA_FILE = re.compile(r"/[^'\"\\]+")
_SERVER = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(:(?P<port>[0-9]+))?/(?P<dbname>[A-Za-z0-9._-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the command line says of an Identity Provider."""

    version: Version
    source: SourceKind
    release: Release
    person: str | None
    authority: str | None
    database: str | None


Found = tuple[frozenset[str], Mapping[str, str]]


def _from_http(config: Config, organisation: Organisation, asked: SourceOptions) -> Found:
    credentials = config.organisation_settings[organisation.entity_id].credentials
    must_keep_links(config, organisation)
    if not credentials:
        mend = "add [connector] to its file, with tokens, or with user and password"
        raise CommandError(f"{organisation.id} has no credential for the connector; {mend}")
    kind = "bearer" if credentials.tokens else "basic"
    return _with_authority(asked, {kind, WITH_SECRET}, {})


def _with_authority(asked: SourceOptions, words: set[str], values: dict[str, str]) -> Found:
    if asked.authority is None:
        return frozenset({*words, "public-ca"}), values
    if not _CA_FILE.fullmatch(asked.authority):
        raise CommandError("--ca is the absolute path of a file over there, without quotes and backslashes")
    return frozenset({*words, "ca"}), {**values, "CA": asked.authority}


# By SQL: from PostgreSQL, or from a replica


def _from_sql(config: Config, organisation: Organisation, asked: SourceOptions) -> Found:
    must_keep_links(config, organisation)
    place = asked.database or _database_of(config, organisation)
    if _FILE.fullmatch(place):
        url = f"jdbc:sqlite:file:{place}?mode=ro&immutable=1"
        return frozenset({"sqlite", "open"}), {"DATABASE": place, "JDBC_URL": url}
    server = _SERVER.fullmatch(place)
    if not server:
        raise CommandError("--database is HOST[:PORT]/NAME of PostgreSQL, or the absolute path of a replica")
    role = f"idp_{organisation.id}"
    values = {
        "ROLE": role,
        "JDBC_URL": f"jdbc:postgresql://{place}?{urlencode(_jdbc(asked.authority))}",
        "PSQL": _psql(server, role, asked.authority),
    }
    return _with_authority(asked, {"postgresql", WITH_SECRET}, values)


def _database_of(config: Config, organisation: Organisation) -> str:
    """Give where the organisation's Identity Provider finds the database, as far as the configuration tells."""
    parts = urlsplit(config.store.url)
    if parts.scheme == "sqlite":
        return f"{REPLICAS}/{organisation.id}.db"
    if not parts.hostname or loopback(parts.hostname) or "host" in parse_qs(parts.query):
        example = f"--database db.example.org{parts.path}, or --database {REPLICAS}/{organisation.id}.db"
        raise CommandError(f"store.url names a database on this machine; say how it is reached from there: {example}")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname}{port}{parts.path}"


def _jdbc(authority: str | None) -> dict[str, str]:
    # Without sslrootcert the driver looks for a file at home; this factory asks the authorities that Java knows.
    # The driver itself waits for an answer: by the query's own time-out it would wait for it to be taken back as well
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


def _from_ldap(config: Config, organisation: Organisation, asked: SourceOptions) -> Found:
    settings = config.organisation_settings[organisation.entity_id]
    transfers = [each for each in settings.transfers.values() if each.kind == SourceKind.LDAP]
    if not transfers:
        mend = "docs/settings.md says how to write one"
        raise CommandError(
            f"{organisation.id} has no transfer of kind ldap that could put iDs into its directory; {mend}"
        )
    ldap = transfers[0]
    if ldap.value_form != "https":
        raise CommandError(f'its transfer writes value_form = "{ldap.value_form}", and only "https" may be released')
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


SOURCES: Mapping[SourceKind, Callable[[Config, Organisation, SourceOptions], Found]] = {
    SourceKind.HTTP: _from_http,
    SourceKind.SQL: _from_sql,
    SourceKind.LDAP: _from_ldap,
}
"""What each source needs of the configuration: words for the templates, and values."""
