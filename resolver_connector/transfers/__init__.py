"""Transfers: the ways by which a change reaches an organisation's own identity management; `transfer.py` is the contract."""

from __future__ import annotations

from resolver_connector.transfers.transfer import Transfer

TRANSFERS: dict[str, type[Transfer]] = {}
"""Each kind by its name in `[[transfer]] kind = …`."""
