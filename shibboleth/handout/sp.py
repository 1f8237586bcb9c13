"""The files for the service's own SP, Apache and WSGI applications.

`registration.txt` has the answers to the registration form of the federation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shibboleth.handout.render import RenderedFile, TemplateFile, render_files


class Front(StrEnum):
    """How Apache runs the applications."""

    VARIABLES = "variables"
    """mod_wsgi runs the web application and the connector."""
    PROXY = "proxy"
    """mod_proxy forwards requests to two servers."""
    CONNECTOR = "connector"
    """mod_wsgi runs the connector alone, on its own machine."""


@dataclass(frozen=True, slots=True)
class Federation:
    """URLs of a federation; both change, so the command line can override them."""

    metadata: str
    discovery: str


FEDERATIONS = {
    "haka": Federation("https://haka.funet.fi/metadata/haka-metadata-v10.xml", "https://haka.funet.fi/DS"),
    "haka-test": Federation(
        "https://haka.funet.fi/metadata/haka_test_metadata_signed.xml", "https://testsp.funet.fi/DS"
    ),
}

WITH_KEYS = "keys"
"""Condition: the keys of the Service Provider exist."""

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
"""The templates and the paths of the rendered files, relative to the root directory."""


def sp_files(
    front: Front, values: Mapping[str, str], conditions: Collection[str] = (), *, with_keys: bool
) -> tuple[RenderedFile, ...]:
    """Render the files of the service's own machine.

    The SP's metadata is one of them if its keys exist.

    Args:
        front: How Apache runs or reaches the service.
        values: The values of placeholders.
        conditions: With `Front.PROXY`: `web-socket` or `web-port`, and `connector-socket` or `connector-port`.
        with_keys: Whether the keys of the SP exist.

    Raises:
        TemplateError: If a value is missing, or is not allowed in a file.
    """
    keys = {WITH_KEYS} if with_keys and front in _PAGES else set()
    return render_files("sp", FILES, {str(front), *conditions, *keys}, values)
