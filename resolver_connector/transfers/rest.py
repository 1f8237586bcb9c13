"""The kind `rest`: one POST of JSON for each change.

Profile `v1`: a record (`record.py`) in the envelope of Standard Webhooks 1.0.0, signed as it defines; the id of the
change is the idempotency key. Any 2xx status is a success, unless the body is a web page.

Profile `csc`: the format of the Finnish service of 2016, byte for byte, for interfaces built for it; a 2xx status is
a success, as in `v1`. It has an iD and an account, and no removal. With `removal = "refuse"` (the default) nothing is
sent for one, and the delivery becomes a dead letter; with `"empty"` the same body is sent with an empty iD.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import model_validator

from resolver_connector.transfers.base import (
    ChangeMessage,
    DeliveryResult,
    Outcome,
    Secret,
    ValueForm,
    transfer_setting,
)
from resolver_connector.transfers.http import HttpTransfer
from resolver_connector.transfers.http_response import Response, failure_result, unexpected_body
from resolver_connector.transfers.record import record, timestamp
from shibboleth.attributes import ATTRIBUTES
from shibboleth.deadline import Deadline

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how such secrets begin
_SHORTEST, _LONGEST = 24, 64

_URI_NAMES = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
_FRIENDLY_NAMES = {"eppn": "eduPersonPrincipalName"}
"""The federation's names of attributes that have another id here."""


class Profile(StrEnum):
    """The format of the body."""

    V1 = "v1"
    CSC = "csc"


class Removal(StrEnum):
    """What is sent for a removal, which the format of 2016 does not have."""

    REFUSE = "refuse"
    EMPTY = "empty"


class RestTransfer(HttpTransfer):
    """A receiver of JSON."""

    kind = "rest"
    authenticators = ("signing_secrets", *HttpTransfer.authenticators)

    profile: Profile = transfer_setting(
        "The format: `v1`, signed JSON, or `csc`, that of the service of 2016.", "v1", default=Profile.V1
    )
    signing_secrets: tuple[Secret, ...] = transfer_setting(
        "The secrets that sign what is sent (Standard Webhooks, `whsec_` and base64 of 24 to 64 bytes); two while "
        "one replaces the other. Only with `v1`.",
        ["file:secrets/idm.whsec"],
        default=(),
        json_schema_extra={"expected": 'a list of references, each "file:/path" or "env:NAME"'},
    )
    mediator: str = transfer_setting(
        "The address of this service in the format `csc`.", "https://connect.example.org", default=""
    )
    issuer: str = transfer_setting(
        "The issuer of the iD in the format `csc`; the root of the registry if not set.",
        "https://orcid.org",
        default="",
    )
    value_form: ValueForm = transfer_setting(
        "How `csc` writes an iD: `https`, `http` or `bare`. In `v1` it is always `https`.",
        "https",
        default=ValueForm.HTTPS,
    )
    removal: Removal = transfer_setting(
        "What `csc` sends for a removal, which its format does not define: `refuse` sends nothing and makes a dead "
        "letter, `empty` sends the same body with an empty iD.",
        "refuse",
        default=Removal.REFUSE,
    )

    @model_validator(mode="after")
    def _check_rest(self) -> Self:
        for each in self.signing_secrets:
            signing_key(each.get_secret_value())
        if self.profile is Profile.CSC:
            if self.signing_secrets:
                raise ValueError('signing_secrets have no use with profile = "csc", whose format has no signature')
            if not self.mediator:
                raise ValueError('mediator is missing, and profile = "csc" needs it: write the address of this service')
        elif self.mediator or self.issuer or self.value_form is not ValueForm.HTTPS or self.removal is Removal.EMPTY:
            raise ValueError('mediator, issuer, value_form and removal have a use only with profile = "csc"')
        return self

    @property
    def removal_probe(self) -> RestTransfer | None:
        """A transfer that sends an empty iD for a removal, if this one sends nothing."""
        refuses = self.profile is Profile.CSC and self.removal is Removal.REFUSE
        return self.model_copy(update={"removal": Removal.EMPTY}) if refuses else None

    @property
    def writes_moves(self) -> bool:
        """True for `v1`; the format of 2016 has only one account."""
        return self.profile is Profile.V1

    def exchange(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Post the change."""
        if self.profile is Profile.CSC and message.orcid_id is None and self.removal is Removal.REFUSE:
            return DeliveryResult(Outcome.REFUSED, "the format of 2016 has no removal")
        write, read, members = _PROFILES[self.profile]
        body, headers = write(self, message, now)
        response = self.request("POST", body, {"Content-Type": "application/json", **headers}, deadline)
        if not response.ok:
            return failure_result(response, response.message(*members), now)
        return unexpected_body(response, "JSON") if response.is_web_page else read(response)


# --- Profile v1 ---------------------------------------------------------------------------------------------------


def write_v1(rest: RestTransfer, message: ChangeMessage, now: datetime) -> tuple[bytes, Mapping[str, str]]:
    """Return the body and the headers of profile `v1`.

    Payload structure and signature scheme are those of Standard Webhooks 1.0.0.
    """
    body = _json({"type": f"orcid.{message.kind}", "timestamp": timestamp(message.at), "data": record(message)})
    headers = {
        "Accept": "application/json",
        "Idempotency-Key": message.id,
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if rest.signing_secrets:
        signed = f"{message.id}.{headers['webhook-timestamp']}.".encode() + body
        headers["webhook-signature"] = " ".join(
            sign(signing_key(each.get_secret_value()), signed) for each in rest.signing_secrets
        )
    return body, headers


def signing_key(secret: str) -> bytes:
    """Return the key in a secret of Standard Webhooks.

    Raises:
        ValueError: If it is not a secret of the required length.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(
            f"signing_secrets: one is not {SECRET_PREFIX} and the base64 of {_SHORTEST} to {_LONGEST} bytes; "
            f"make one: echo {SECRET_PREFIX}$(openssl rand -base64 32)"
        )
    return key


def sign(key: bytes, signed: bytes) -> str:
    """Return a signature of the symmetric scheme of Standard Webhooks."""
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _read_v1(response: Response) -> DeliveryResult:
    said = response.json_object() or {}
    outcome = Outcome.ALREADY_THERE if said.get("outcome") == Outcome.ALREADY_THERE else Outcome.STORED
    return DeliveryResult(outcome, response.message("message"))


# --- Profile csc --------------------------------------------------------------------------------------------------


def write_csc(rest: RestTransfer, message: ChangeMessage, _now: datetime) -> tuple[bytes, Mapping[str, str]]:
    """Return the body of profile `csc`: the iD, then the account.

    Both have eight members, in this order. `mediationInstant` is when the person confirmed, not the time of the
    try, so repeated tries send equal bytes.
    """
    known = message.orcid_id or message.previous
    orcid = {
        "issuer": rest.issuer or (f"https://{known.registry.host}" if known else ""),
        "value": rest.value_form.write(message.orcid_id) if message.orcid_id else "",
    }
    account = {"issuer": message.entity_id, "value": message.account}
    pair = [("eduPersonOrcid", orcid), (message.key, account)]
    return _json({"identifier": [_identifier(rest, message, name, **each) for name, each in pair]}), {}


def _identifier(
    rest: RestTransfer, message: ChangeMessage, attribute: str, *, issuer: str, value: str
) -> dict[str, Any]:
    return {
        "name": ATTRIBUTES[attribute].saml2_name,
        "nameFormat": _URI_NAMES,
        "friendlyName": _FRIENDLY_NAMES.get(attribute, attribute),
        "issuer": issuer,
        "issueInstant": None,
        "mediator": rest.mediator,
        "mediationInstant": int(message.at.timestamp() * 1000),
        "identifierValue": value,
    }


def _read_csc(response: Response) -> DeliveryResult:
    return DeliveryResult(Outcome.STORED, response.message("status"))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


Write = Callable[[RestTransfer, ChangeMessage, datetime], tuple[bytes, Mapping[str, str]]]
Read = Callable[[Response], DeliveryResult]

_PROFILES: Mapping[Profile, tuple[Write, Read, tuple[str, ...]]] = {
    Profile.V1: (write_v1, _read_v1, ("message", "error", "detail")),
    Profile.CSC: (write_csc, _read_csc, ("status",)),
}
"""For each profile how to write a change, how to read a success, and the members of an error with its message."""
