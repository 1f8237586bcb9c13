"""Transfers to organisations' own identity management: all kinds by name; `transfer.py` is their contract."""

from __future__ import annotations

from resolver_connector.transfers.file import File
from resolver_connector.transfers.ldap import Ldap
from resolver_connector.transfers.rest import Rest
from resolver_connector.transfers.scim import Scim
from resolver_connector.transfers.soap import Soap
from resolver_connector.transfers.transfer import Transfer

TRANSFERS: dict[str, type[Transfer]] = {
    "rest": Rest,
    "ldap": Ldap,
    "soap": Soap,
    "scim": Scim,
    "file": File,
}
"""Each kind by its name in `[[transfer]] kind = …`."""
