"""Transfers to organisations' own identity management: all kinds by name; `transfer.py` is their contract."""

from __future__ import annotations

from resolver_connector.transfers.rest import Rest
from resolver_connector.transfers.transfer import Transfer

TRANSFERS: dict[str, type[Transfer]] = {
    "rest": Rest,
}
"""Each kind by its name in `[[transfer]] kind = …`."""
