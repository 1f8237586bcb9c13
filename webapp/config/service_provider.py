"""The section `[service_provider]`, for the files of the SP and of Apache."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from shibboleth.handout.sp import FEDERATIONS
from webapp.config import validators
from webapp.config.base import Table, setting
from webapp.config.errors import InvalidSetting

_FEDERATIONS = ", ".join(f'"{name}"' for name in FEDERATIONS)


def _validate_federation(text: str) -> str:
    return validators.one_of(text, tuple(FEDERATIONS))


def _validate_address(text: str) -> str:
    if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname or re.search(r"\s", text):
        raise InvalidSetting("must be an http or https address", "write for example https://ds.example.org/DS")
    return text


def _validate_path(text: str) -> str:
    if not text.startswith("/") or not text.isprintable():
        raise InvalidSetting("must be an absolute path", 'write for example "/etc/shibboleth/federation.pem"')
    return text


class ServiceProviderSettings(Table):
    """What `orcid-connect handout sp` writes to the files.

    The values are in the configuration, so that an upgrade generates the same files.
    """

    federation: Annotated[str, AfterValidator(_validate_federation)] | None = setting(
        "The federation whose metadata and discovery service are used.",
        f"one of {_FEDERATIONS}",
        "haka",
        default=None,
        shown="`haka-test` with the sandbox registry, `haka` with the production registry",
    )
    entity_id: Annotated[str, AfterValidator(validators.entity_id)] | None = setting(
        "The entityID of the Service Provider; it never changes after the registration.",
        "an entityID in quotes",
        "https://orcid-connect.example.org/shibboleth",
        default=None,
        shown="`public_url` and `/shibboleth`",
    )
    metadata_url: Annotated[str, AfterValidator(_validate_address)] | None = setting(
        "The address of the federation's signed metadata.",
        "an http or https address in quotes",
        "https://haka.funet.fi/metadata/haka-metadata-v10.xml",
        default=None,
        shown="that of `federation`",
    )
    discovery_url: Annotated[str, AfterValidator(_validate_address)] | None = setting(
        "The address of the federation's discovery service.",
        "an http or https address in quotes",
        "https://haka.funet.fi/DS",
        default=None,
        shown="that of `federation`",
    )
    metadata_certificate: Annotated[str, AfterValidator(_validate_path)] = setting(
        "The certificate with which the metadata is signed.",
        "an absolute path in quotes",
        "/etc/shibboleth/federation.pem",
        default="/etc/shibboleth/federation.pem",
    )
    tls_certificate: Annotated[str, AfterValidator(_validate_path)] = setting(
        "The TLS certificate of the host name, with its chain.",
        "an absolute path in quotes",
        "/etc/ssl/certs/orcid-connect.pem",
        default="/etc/ssl/certs/orcid-connect.pem",
    )
    tls_key: Annotated[str, AfterValidator(_validate_path)] = setting(
        "The key of the TLS certificate.",
        "an absolute path in quotes",
        "/etc/ssl/private/orcid-connect.key",
        default="/etc/ssl/private/orcid-connect.key",
    )
    http_port: int = setting(
        "The port on which Apache redirects to https.", "a whole number from 1 to 65535", 80, default=80, ge=1, le=65535
    )
    support_contact: Annotated[str, AfterValidator(validators.mailbox)] | None = setting(
        "The e-mail address on the Service Provider's error pages.",
        "an e-mail address in quotes",
        "orcid-help@example.org",
        default=None,
        shown="`contact`; required if that is a web page",
    )
    system_user: Annotated[str, AfterValidator(validators.user)] = setting(
        "The system account of the service.", "a user name in quotes", "orcid-connect", default="orcid-connect"
    )
