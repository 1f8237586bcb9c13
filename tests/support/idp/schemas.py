"""XML schemas of the Shibboleth Identity Provider.

They are read from beside the checkout and are not part of it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import saml2
import xmlschema

BESIDE = Path(__file__).resolve().parents[4] / "shared" / "data" / "shibboleth-idp"
OF_SAML = Path(saml2.__file__).parent / "data" / "schemas"
FILES = {
    "attribute-resolver.xml": "shibboleth-attribute-resolver.xsd",
    "attribute-filter.xml": "shibboleth-afp.xsd",
}
RELEASES = {"3.4": "3.4.8", "4": "4.3.1", "5": "4.3.1"}
"""By which release's schemas a version is held; of version 5 there are none, and its own manual names those of 4."""


def complaints(version, name, text):
    """Give what the schemas of a version have against a file.

    Skips where there are no schemas.
    """
    if not BESIDE.is_dir():
        pytest.skip(f"the schemas of the Identity Provider are not in {BESIDE}")
    return [f"{each.path}: {each.reason}" for each in _schema(RELEASES[version], FILES[name]).iter_errors(text)]


@cache
def _schema(release, name):
    locations = {
        "http://www.w3.org/2000/09/xmldsig#": str(OF_SAML / "xmldsig-core-schema.xsd"),
        "http://www.w3.org/XML/1998/namespace": str(OF_SAML / "xml.xsd"),
        "urn:mace:shibboleth:2.0:security": str(BESIDE / release / "shibboleth-security.xsd"),
    }
    return xmlschema.XMLSchema10(str(BESIDE / release / name), locations=locations)
