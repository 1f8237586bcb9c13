"""Assembly of the attribute authority.

It imports the libraries of `orcid-connect[authority]`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sql.store import Store
from webapp.config.loader import Config
from webapp.log import with_request_id
from webapp.wiring.common import utc_now

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

AUTHORITY_PATH = "/aa"
"""The path of the attribute authority, below the public URL."""


class NoAuthority(LookupError):
    """There is no attribute authority; the message has the reason."""


def make_authority(config: Config, store: Store, clock: Callable[[], datetime] = utc_now) -> WSGIApplication:
    """Assemble the attribute authority.

    Raises:
        NoAuthority: If the configuration has none, or its libraries are not installed.
        InvalidSamlFile: If its key, certificate or metadata cannot be used.
    """
    try:
        from resolver_connector.authority.app import AttributeAuthority  # noqa: PLC0415 - an optional dependency
        from resolver_connector.authority.saml import AuthorityIdentity, SamlMessages  # noqa: PLC0415
    except ImportError:
        raise NoAuthority("it needs SAML; run: pip install 'orcid-connect[authority]'") from None
    settings = config.authority
    if settings.entity_id is None:
        raise NoAuthority("the configuration has none; docs/attribute-authority.md describes how to configure one")
    url = config.service.public_url + AUTHORITY_PATH
    signed_by = Path(settings.metadata_certificate) if settings.metadata_certificate else None
    saml = SamlMessages(AuthorityIdentity(settings.entity_id, url, *settings.paths(), signed_by), clock())
    clients = [(one.organisation, one.authority_clients) for one in config.organisation_settings.values()]
    misconfigured = {name: one.scopes for name, one in config.misconfigured.items()}
    return with_request_id(AttributeAuthority(store, saml, clients, config.service.registry, clock, misconfigured))
