"""Transfers to organisations' own identity management: all kinds by name; `transfer.py` is their contract."""

from __future__ import annotations

from resolver_connector.transfers.transfer import Transfer

TRANSFERS: dict[str, type[Transfer]] = {}
"""Each kind by its name in `[[transfer]] kind = …`."""
