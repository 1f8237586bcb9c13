"""The two JSON receivers: for the format of 2016, and for the product's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from demo.idm.directory import Directory, Entry, bare
from demo.idm.http import Request, Response, json_response

TOLERANCE: Final = 300
"""Seconds by which a signature's time stamp may differ."""


class Csc:
    """Accepts a pair of identifiers, as receivers of 2016 did.

    An empty iD removes the iD.
    """

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def __call__(self, request: Request) -> Response:
        """Store the pair; `status` of the response is a text for people."""
        try:
            found = {each["friendlyName"]: each["identifierValue"] for each in request.object()["identifier"]}
            value, account = found["eduPersonOrcid"], found["eduPersonPrincipalName"]
        except (ValueError, KeyError, TypeError):
            return json_response(400, {"status": "not a pair of identifiers"})
        entry = self.directory.entry(account)
        if entry is None:
            return json_response(404, {"status": "unknown person"})
        if value and self.directory.find_holder(value, but=entry):
            return json_response(409, {"status": "another person has this identifier"})
        self.directory.change(entry, [value] if value else [])
        return json_response(200, {"status": "identities stored"})


class Webhook:
    """Accepts the product's own JSON with a valid signature.

    The signature is that of Standard Webhooks 1.0.0.
    """

    def __init__(self, directory: Directory, secrets: Iterable[str], now: Callable[[], float]) -> None:
        self.directory = directory
        self.secrets = list(secrets)
        self.now = now
        self.seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        """Check signature and time stamp, then apply the change once for each id."""
        signature_problem = self.signature_problem(request)
        if signature_problem:
            return json_response(401, {"message": signature_problem})
        try:
            change = request.object()["data"]
            account = change["person"]["value"]
        except (ValueError, KeyError, TypeError):
            return json_response(400, {"message": "not a change of a link"})
        with self._lock:
            return self._apply(change, account)

    def signature_problem(self, request: Request) -> str:
        """Return what is wrong with the signature; empty if it is valid."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        id_, timestamp, signatures = (request.headers.get(name, "") for name in names)
        if not timestamp.isdecimal() or abs(self.now() - int(timestamp)) > TOLERANCE:
            return "the time stamp is too old or in the future"
        signed = f"{id_}.{timestamp}.".encode() + request.body
        keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in self.secrets]
        good = ["v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
        if any(hmac.compare_digest(one, other) for one in signatures.split() for other in good):
            return ""
        return "the signature does not match"

    def _apply(self, change: dict[str, Any], account: str) -> Response:
        if change["id"] in self.seen:
            return json_response(200, {"outcome": "already-there", "message": "received before"})
        entry = self.directory.entry(account)
        if entry is None:
            return json_response(404, {"message": f"unknown account {account}"})
        earlier = self.directory.entry(change["previous_person"]["value"]) if change["previous_person"] else None
        if earlier is not None:
            self.directory.change(earlier, _values_after(earlier, {"orcid": None, "previous": change["orcid"]}))
        if change["orcid"] and self.directory.find_holder(change["orcid"], but=entry):
            return json_response(409, {"message": "another person has this ORCID iD"})
        changed = self.directory.change(entry, _values_after(entry, change))
        self.seen.add(change["id"])
        return json_response(200, {"outcome": "stored" if changed else "already-there"})


def _values_after(entry: Entry, change: dict[str, Any]) -> list[str]:
    ours = {bare(each) for each in (change["orcid"], change["previous"]) if each}
    kept = [each for each in entry.values if bare(each) not in ours]
    return [*kept, change["orcid"]] if change["orcid"] else kept
