"""Transfers to organisations' identity management: the table of all kinds.

`base.py` is their interface.
"""

from __future__ import annotations

from resolver_connector.transfers.base import TransferSettings
from resolver_connector.transfers.file import FileTransfer
from resolver_connector.transfers.ldap import LdapTransfer
from resolver_connector.transfers.orcid import OrcidTransfer
from resolver_connector.transfers.rest import RestTransfer
from resolver_connector.transfers.scim import ScimTransfer
from resolver_connector.transfers.soap import SoapTransfer

TRANSFERS: dict[str, type[TransferSettings]] = {
    "rest": RestTransfer,
    "ldap": LdapTransfer,
    "soap": SoapTransfer,
    "scim": ScimTransfer,
    "file": FileTransfer,
    "orcid": OrcidTransfer,
}
"""Each kind by its name in `[[transfer]] kind = …`."""
