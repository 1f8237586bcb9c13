"""Write the demonstration's configuration, as an operator would.

All addresses are on this machine.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from demo.idm.app import SECRET
from demo.notices import NOTICES
from demo.orcid.simulator import Client
from demo.people import ARCHIPELAGO, NORTH, OPERATOR, ORGANISATIONS, PEOPLE, Organisation

NAME: Final = "ORCID connect"
CONTACT: Final = "help@orcid-connect.example"
CLIENT_ID: Final = "APP-DEMONSTRATION001"
OWN_CLIENT_ID: Final = "APP-DEMONSTRATION002"
"""Of the organisation that has a client of its own."""
OWN_SCOPES: Final = ("/authenticate", "/read-limited", "/activities/update", "/person/update")
REGISTER: Final = {"en": "Register of staff", "fi": "Henkilöstörekisteri", "sv": "Personalregister"}
"""Display name of the university's transfer, by language."""
READ_TIMEOUT: Final = 3.0
"""Seconds; short, because the simulator answers at once and its `timeout` fault should be seen soon."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of an organisation for the connector.

    It is a bearer token, or a user name with a password.
    """

    secret: str = field(repr=False)
    user: str = ""

    @property
    def header(self) -> str:
        """Value of the `Authorization` header."""
        if not self.user:
            return f"Bearer {self.secret}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class LocalServices:
    """Addresses of the demonstration's mail server and receiver."""

    mail: int
    """Port of the mail server."""
    register: str
    """Base URL of the simulated identity management."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The files that were written, and the secrets in them.

    The simulated parts share the secrets with the service.
    """

    path: Path
    base_url: str
    proof: str = field(repr=False)
    client: Client = field(repr=False)
    own_client: Client = field(repr=False)
    """The member client of the organisation that has one of its own."""
    credentials: Mapping[str, Credential]
    """By organisation id; connected organisations only."""
    research_credentials: Mapping[str, Credential]
    """Of research information systems: they hand in iDs, and fetch access tokens of an own ORCID client."""


def write(directory: Path, base_url: str, local: LocalServices, database: str | None = None) -> Configuration:
    """Write a complete configuration with fresh secrets into a directory.

    Args:
        database: The URL of the database; None means an SQLite file in the directory.
    """
    configuration = Configuration(
        path=directory / "orcid-connect.toml",
        base_url=base_url,
        proof=secrets.token_hex(32),
        client=Client(CLIENT_ID, secrets.token_hex(16), NAME, (f"{base_url}/me/callback",)),
        own_client=Client(
            OWN_CLIENT_ID,
            secrets.token_hex(16),
            ARCHIPELAGO.names["en"],
            (f"{base_url}/me/callback",),
            kind="member",
            description="Adds what its researchers do to their ORCID records.",
        ),
        credentials={each.id: _credential(each) for each in ORGANISATIONS if each.connected},
        research_credentials={each.id: Credential(secrets.token_hex(20)) for each in ORGANISATIONS if each.connected},
    )
    _write_secrets(directory / "secrets", configuration)
    for each in ORGANISATIONS:
        if each.connected:
            of_it = _organisation(each, configuration.credentials[each.id], local)
            _write(directory / "organisations" / f"{each.id}.toml", _toml(of_it))
    _write(
        configuration.path, _toml(_service(database or f"sqlite://{quote(str(directory))}/links.db", base_url, local))
    )
    return configuration


def _credential(organisation: Organisation) -> Credential:
    # One organisation uses a bearer token, the other Basic authentication
    user = organisation.id if organisation.id == "saaristo" else ""
    return Credential(secrets.token_hex(20), user)


def _service(database: str, base_url: str, local: LocalServices) -> dict[str, Any]:
    operator = PEOPLE[OPERATOR]
    return {
        "service": {
            "public_url": base_url,
            "registry": "sandbox",
            "contact": CONTACT,
            "front": "proxy",
            "front_proof": "file:secrets/front-proof",
            "encoding": "url",
            "name": NAME,
        },
        "branding": {"time_zone": "Europe/Helsinki"},
        "orcid": {
            "base_url": f"{base_url}/orcid",
            "client_id": CLIENT_ID,
            "client_secret": "file:secrets/orcid-client-secret",
            "token_keys": ["file:secrets/orcid-token-key"],
            "connect_timeout": READ_TIMEOUT,
            "read_timeout": READ_TIMEOUT,
        },
        # A service that sends people here; it is not part of the demonstration
        "return": [{"prefix": "https://portal.test/orcid", "name": "Research portal"}],
        "operator": [{"organisation": operator.organisation.id, "people": [operator.eppn]}],
        "store": {"url": database},
        "mail": {"host": "127.0.0.1", "port": local.mail, "security": "none", "sender": CONTACT},
        "notices": NOTICES,
        "accessibility": {"status": "fully", "assessed": "2026-11-25"},
        "listen": {"port": 0},
        "connector": {"port": 0},
    }


RECORDS: Final = {
    "name": "records",
    "kind": "orcid",
    "organisation": ARCHIPELAGO.names["en"],
    "city": "Naantali",
    "country": "FI",
    "ror": "https://ror.org/040af2s02",
}
"""The transfer by which one organisation writes to its people's ORCID records."""


def _organisation(organisation: Organisation, credential: Credential, local: LocalServices) -> dict[str, Any]:
    reference = f"file:secrets/{organisation.id}"
    secret = {"user": credential.user, "password": reference} if credential.user else {"token": reference}
    own_client = {
        "client_id": OWN_CLIENT_ID,
        "client_secret": "file:secrets/orcid-own-client-secret",
        "scopes": OWN_SCOPES,
    }
    owns_client = organisation is ARCHIPELAGO
    research_system = {
        "name": "research-system",
        "rights": ["attest", "reverse", *(["tokens"] if owns_client else [])],
        "token": f"{reference}-research-system",
    }
    return {
        "entity_ids": [organisation.entity_id],
        "scopes": [organisation.scope],
        "stage": "test",
        "help": f"idm@{organisation.scope}",
        # One organisation lets the holder of an iD give it to another account; the other refuses
        "same_id": "ask" if organisation is NORTH else "refuse",
        # Nobody has a stable id until `/identity-provider/people` is told one
        "stable_id": "subject-id",
        "deprecated": "ask" if organisation is NORTH else "replace",
        "name": organisation.names,
        "credential": [{"name": "idp", "rights": ["read"], **secret}, research_system],
        "transfer": [_register(local)] if organisation is NORTH else [RECORDS] if owns_client else [],
        # One organisation has a client of its own at ORCID, with which it asks people for more than the iD
        **({"orcid": own_client} if owns_client else {}),
    }


def _register(local: LocalServices) -> dict[str, Any]:
    # One organisation has a transfer; the other only looks up iDs
    return {
        "name": "register",
        "kind": "rest",
        "url": f"{local.register}/v1",
        "signing_secrets": ["file:secrets/register"],
        "label": REGISTER,
    }


def _write_secrets(directory: Path, configuration: Configuration) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = {
        "front-proof": configuration.proof,
        "orcid-client-secret": configuration.client.secret,
        "orcid-own-client-secret": configuration.own_client.secret,
        "orcid-token-key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "register": SECRET,
    }
    idps = {id_: each.secret for id_, each in configuration.credentials.items()}
    systems = {f"{id_}-research-system": each.secret for id_, each in configuration.research_credentials.items()}
    for name, secret in {**own, **idps, **systems}.items():
        _write(directory / name, secret + "\n").chmod(0o600)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _toml(content: Mapping[str, Any], place: str = "") -> str:
    # A string, number or list of strings is written in TOML as it is in JSON
    plain = {key: value for key, value in content.items() if not (isinstance(value, Mapping) or _is_table_list(value))}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    tables = [
        (f"[{place}{key}]", f"{place}{key}.", value) for key, value in content.items() if isinstance(value, Mapping)
    ]
    lists = [
        (f"[[{place}{key}]]", f"{place}{key}.", one)
        for key, value in content.items()
        if _is_table_list(value)
        for one in value
    ]
    return "\n".join([*lines, *(f"\n{head}\n{_toml(one, inside)}" for head, inside, one in (*tables, *lists))]) + "\n"


def _is_table_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
