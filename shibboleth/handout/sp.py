"""What the operator is handed for the service's own front: the Service Provider's files, Apache's, and the program's.

The templates are those of `sp/`; `registration.txt` holds what the registry of the federation asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shibboleth.handout.render import RenderedFile, TemplateFile, hand_out


class Front(StrEnum):
    """What stands before the program."""

    VARIABLES = "variables"
    """Apache runs the pages and the connector, by mod_wsgi."""
    PROXY = "proxy"
    """Apache passes requests on to two servers."""
    CONNECTOR = "connector"
    """Apache runs the connector alone, on a machine of its own."""


@dataclass(frozen=True, slots=True)
class Federation:
    """Where a federation's metadata and its discovery service are; both change, so the command line may say others."""

    metadata: str
    discovery: str


FEDERATIONS = {
    "haka": Federation("https://haka.funet.fi/metadata/haka-metadata-v10.xml", "https://haka.funet.fi/DS"),
    "haka-test": Federation(
        "https://haka.funet.fi/metadata/haka_test_metadata_signed.xml", "https://testsp.funet.fi/DS"
    ),
}

WITH_KEYS = "keys"
"""The word of those who have made the Service Provider's keys."""

_PAGES = frozenset({Front.VARIABLES, Front.PROXY})
_WSGI = frozenset({Front.VARIABLES, Front.CONNECTOR})
_SITE = "etc/apache2/sites-available/orcid-connect.conf"

FILES = (
    TemplateFile("shibboleth2.xml", "etc/shibboleth/shibboleth2.xml", _PAGES),
    TemplateFile("attribute-map.xml", "etc/shibboleth/attribute-map.xml", _PAGES),
    TemplateFile("attribute-policy.xml", "etc/shibboleth/attribute-policy.xml", _PAGES),
    TemplateFile("apache-mod_wsgi.conf", _SITE, frozenset({Front.VARIABLES})),
    TemplateFile("apache-proxy.conf", _SITE, frozenset({Front.PROXY})),
    TemplateFile("apache-connector.conf", _SITE, frozenset({Front.CONNECTOR})),
    TemplateFile("connect.wsgi", "etc/orcid-connect/connect.wsgi", frozenset({Front.VARIABLES})),
    TemplateFile("connector.wsgi", "etc/orcid-connect/connector.wsgi", _WSGI),
    TemplateFile("front-proof.conf", "etc/orcid-connect/front-proof.conf", frozenset({Front.PROXY}), secret=True),
    TemplateFile("error-page.html", "etc/orcid-connect/errors/page.html", _PAGES),
    TemplateFile("error-sign-in.html", "etc/orcid-connect/errors/sign-in.html", _PAGES),
    TemplateFile("error-sign-out.html", "etc/orcid-connect/errors/sign-out.html", _PAGES),
    TemplateFile("shibd.logger", "etc/shibboleth/shibd.logger", _PAGES),
    TemplateFile("registration.txt", "registration.txt", _PAGES),
    TemplateFile("sp-metadata.xml", "sp-metadata.xml", frozenset({WITH_KEYS})),
)
"""What a handout is made of: each template, and where it goes, below the root of the machine."""


def sp_files(front: Front, values: Mapping[str, str], *, with_keys: bool) -> tuple[RenderedFile, ...]:
    """Give the files of the service's own front; with its keys, its metadata too. Raises TemplateError."""
    keys = {WITH_KEYS} if with_keys and front in _PAGES else set()
    return hand_out("sp", FILES, {str(front), *keys}, values)
