"""The files for services that read released iDs."""

from __future__ import annotations

from enum import StrEnum

from shibboleth.handout.render import RenderedFile, TemplateFile, render_files
from shibboleth.orcid_id import Registry


class Consumer(StrEnum):
    """The software by which a service accepts sign-ins."""

    SHIBBOLETH = "shibboleth"
    SIMPLESAMLPHP = "simplesamlphp"
    SATOSA = "satosa"
    OIDC = "oidc"


_SAML = frozenset({Consumer.SHIBBOLETH, Consumer.SIMPLESAMLPHP, Consumer.SATOSA})

FILES = (
    TemplateFile("README.txt", "README.txt"),
    TemplateFile("shibboleth-map.xml", "attribute-map.xml", frozenset({Consumer.SHIBBOLETH})),
    TemplateFile("shibboleth-policy.xml", "attribute-policy.xml", frozenset({Consumer.SHIBBOLETH})),
    TemplateFile("simplesamlphp.php", "authproc.php", frozenset({Consumer.SIMPLESAMLPHP})),
    TemplateFile("satosa-attributes.yaml", "internal_attributes.yaml", frozenset({Consumer.SATOSA})),
    TemplateFile("satosa-filter.yaml", "orcid_filter.yaml", frozenset({Consumer.SATOSA})),
    TemplateFile("oidc-claims.json", "oidc-claims.json", frozenset({Consumer.OIDC})),
    TemplateFile("requested-attribute.xml", "requested-attribute.xml", _SAML),
)
"""The templates and the paths of the rendered files."""


def consumer_files(consumer: Consumer, registry: Registry) -> tuple[RenderedFile, ...]:
    """Render the files for one kind of service, for iDs of one registry."""
    values = {"ORCID_HOST": registry.host, "ORCID_HOST_PATTERN": registry.host.replace(".", "[.]")}
    return render_files("consumer", FILES, {str(consumer)}, values)
