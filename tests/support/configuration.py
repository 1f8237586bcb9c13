"""A valid, minimal configuration for tests and benchmarks.

Files as an operator writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from webapp.config.texts import LANGUAGES
from webapp.pages.operator_texts import ACCESSIBILITY, PRIVACY

PROOF = "front-proof-" + "f" * 32
TOKEN = "token-of-yliopisto-" + "t" * 32
IDM_TOKEN = "token-of-yliopisto-idm-" + "t" * 32
CLIENT_SECRET = "5f63d1c5-3f00-4fa5-b096-fd985ffd0df7"

NOTICES = tuple(name for name in (*PRIVACY, *ACCESSIBILITY) if name != "not_accessible")

ORGANISATION = {
    "entity_ids": "https://idp.yliopisto.example/idp/shibboleth",
    "scopes": ["yliopisto.example"],
    "stage": "test",
    "name": {"en": "University of Example", "fi": "Esimerkin yliopisto", "sv": "Exempels universitet"},
    "credential": [
        {"name": "idp", "rights": ["read"], "token": "file:secrets/yliopisto.token"},
        {"name": "idm", "rights": ["feed", "deprovision"], "token": "file:secrets/yliopisto-idm.token"},
    ],
}

ALL_RIGHTS = {
    "credential": [{**ORGANISATION["credential"][0], "rights": ["read", "feed", "deprovision", "attest", "reverse"]}]
}
"""An organisation whose one token, `TOKEN`, opens each address."""


def service_file(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the content of the service's own file, as a table of tables."""
    return {
        "service": {
            "public_url": "https://orcid-connect.example",
            "registry": "sandbox",
            "contact": "help@orcid-connect.example",
            "front": "proxy",
            "front_proof": "file:secrets/front-proof",
        },
        # No test asks the real ORCID
        "orcid": {
            "client_id": "APP-0A1B2C3D4E5F6G7H",
            "client_secret": "file:secrets/orcid-client-secret",
            "status_check_days": 0,
        },
        "store": {"url": f"sqlite://{directory}/links.db"},
        "notices": {code: {name: f"{name} in {code}" for name in NOTICES} for code in LANGUAGES},
        "accessibility": {"status": "fully", "assessed": "2026-01-15"},
    }


def write_configuration(
    directory: Path,
    *,
    organisations: Mapping[str, Mapping[str, Any] | None] | None = None,
    secrets: Mapping[str, str] | None = None,
    **overrides: Mapping[str, Any],
) -> Path:
    """Write a valid configuration and return the path of its file.

    Overrides are sections: `service={"registry": "production"}` changes one setting, None as a value takes it away.
    `organisations` are files by id, each laid over `ORGANISATION` (None: as it is); one is written when none is named.
    `secrets` are further files below `secrets/`.
    """
    sections = service_file(directory)
    for section, settings in overrides.items():
        sections[section] = _laid_over(sections.get(section, {}), settings)
    for name, secret in {**_secrets(), **(secrets or {})}.items():
        write_secret(directory / "secrets" / name, secret)
    for name, settings in (organisations or {"yliopisto": None}).items():
        write(directory / "organisations" / f"{name}.toml", toml(_laid_over(ORGANISATION, settings or {})))
    return write(directory / "orcid-connect.toml", toml(sections))


def store_section(directory: Path, url: str) -> dict[str, str]:
    """Give the section for a store at this URL.

    A password in it goes into a file, where it belongs.
    """
    parts = urlsplit(url)
    if not parts.password:
        return {"url": url}
    write_secret(directory / "secrets" / "store-password", unquote(parts.password))
    return {"url": url.replace(f":{parts.password}@", "@", 1), "password": "file:secrets/store-password"}


def write(path: Path, text: str) -> Path:
    """Write a file, its directory too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_secret(path: Path, secret: str) -> None:
    """Write a secret as an operator should: for the owner alone."""
    write(path, secret + "\n").chmod(0o600)


def toml(content: Mapping[str, Any], path: str = "") -> str:
    """Write tables of plain values, and lists of such tables, as TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in content.items() if not (_is_table(value) or _many(value))]
    tables = [f"\n[{path}{key}]\n{toml(value, f'{path}{key}.')}" for key, value in content.items() if _is_table(value)]
    lists = [
        f"\n[[{path}{key}]]\n{toml(one, f'{path}{key}.')}"
        for key, value in content.items()
        if _many(value)
        for one in value
    ]
    return "\n".join([*plain, *tables, *lists]) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _many(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _secrets() -> dict[str, str]:
    return {
        "front-proof": PROOF,
        "yliopisto.token": TOKEN,
        "yliopisto-idm.token": IDM_TOKEN,
        "orcid-client-secret": CLIENT_SECRET,
    }


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**below, **above}.items() if value is not None}
