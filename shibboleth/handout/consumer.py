"""What a service is handed that wants to read the iD which a person's own organisation releases.

The templates are those of `consumer/`.
"""

from __future__ import annotations

from enum import StrEnum

from shibboleth.handout.render import RenderedFile, TemplateFile, hand_out
from shibboleth.orcid_id import Registry


class Consumer(StrEnum):
    """By what a service takes sign-ins in."""

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
"""What a handout is made of: each template, and where it goes."""


def consumer_files(consumer: Consumer, registry: Registry) -> tuple[RenderedFile, ...]:
    """Give the files for one kind of service, which reads iDs of one registry."""
    values = {"ORCID_HOST": registry.host, "ORCID_HOST_PATTERN": registry.host.replace(".", "[.]")}
    return hand_out("consumer", FILES, {str(consumer)}, values)
