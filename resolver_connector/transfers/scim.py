"""The kind `scim`: SCIM 2.0 (RFC 7643, RFC 7644). A filter finds the user, and one PATCH sets the attribute.

There is no registered attribute for an ORCID iD, so schema and attribute are settings. The user is read first: the
same iD in the same form needs no PATCH, and another iD is a conflict or is replaced, by `policy`. If the server gives
a version, the PATCH is conditional (If-Match); after a concurrent change it is repeated once.

Servers differ in how an operation names an extension's attribute: `form = "path"` puts schema and attribute in its
path, `pathless` in its value, where a removal is the value null (RFC 7643 section 2.5).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from pydantic import model_validator

from resolver_connector.transfers.base import (
    ChangeMessage,
    DeliveryFailed,
    DeliveryResult,
    Outcome,
    Policy,
    ValueForm,
    setting,
)
from resolver_connector.transfers.deadline import Deadline
from resolver_connector.transfers.http import HttpTransfer, Response, failure, unexpected_body
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry

PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SCHEMA: Final = "urn:x-orcid-connect:scim:schemas:extension:orcid:1.0:User"
MEDIA: Final = "application/scim+json"

_PRECONDITION_FAILED = 412
_NAME = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_PATH = re.compile(r"([A-Za-z0-9.:_-]+:)?[A-Za-z][\w-]*(\.[A-Za-z][\w-]*)?", re.ASCII)
_URN = re.compile(r"urn:[!-~]+", re.ASCII | re.IGNORECASE)

_TYPES = {
    "invalidFilter": Outcome.MISCONFIGURED,
    "invalidPath": Outcome.MISCONFIGURED,
    "invalidSyntax": Outcome.MISCONFIGURED,
    "invalidVers": Outcome.MISCONFIGURED,
    "noTarget": Outcome.MISCONFIGURED,
    "mutability": Outcome.MISCONFIGURED,
    "tooMany": Outcome.CONFLICT,
    "uniqueness": Outcome.CONFLICT,
}
"""Outcomes of a 400 by its `scimType` (RFC 7644 section 3.12); any other is a refusal."""


class Form(StrEnum):
    """How an operation names the attribute."""

    PATH = "path"
    PATHLESS = "pathless"


class Operation(StrEnum):
    """How an iD is set; some servers accept only one of the two for an attribute without a value."""

    ADD = "add"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class _User:
    """A user, as the server returns it."""

    id: str
    value: str | None
    version: str


class ScimTransfer(HttpTransfer):
    """A SCIM 2.0 service provider; `url` is its base, to which `/Users` is added."""

    kind = "scim"

    find_by: str = setting(
        "The attribute in which the server has the person's account.", "userName", default="userName"
    )
    # BaseModel has an attribute called schema
    schema_urn: str = setting(
        "The URN of the extension that holds the iD.", "urn:example:scim:person:1.0", default=SCHEMA, alias="schema"
    )
    attribute: str = setting("The extension's attribute for the iD, of one value.", "eduPersonOrcid", default="orcid")
    value_form: ValueForm = setting(
        "How the iD is written: `https`, `http` or `bare`.", "https", default=ValueForm.HTTPS
    )
    form: Form = setting(
        "How an operation names the attribute: in its `path`, or `pathless`, in its value.", "path", default=Form.PATH
    )
    operation: Operation = setting("How an iD is set: `add` or `replace`.", "replace", default=Operation.ADD)
    policy: Policy = setting(
        "What becomes of another iD that is there: `single` leaves it and reports a conflict, `replace` replaces "
        "it. `own` is not possible: there is room for one.",
        "single",
        default=Policy.SINGLE,
    )

    @model_validator(mode="after")
    def _check_scim(self) -> Self:
        if "?" in self.url:
            raise ValueError("url has a query: write the base of the interface, what comes before /Users")
        if not _PATH.fullmatch(self.find_by):
            raise ValueError("find_by is not the name of an attribute, as userName")
        if not _URN.fullmatch(self.schema_urn) or not _NAME.fullmatch(self.attribute):
            raise ValueError("schema is not a URN, or attribute not the name of one of its attributes")
        if self.policy is Policy.OWN:
            raise ValueError('policy = "own" is not possible with scim, where there is room for one iD')
        return self

    def exchange(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Read the user and patch it; both a second time if another client changed it in between."""
        for last in (False, True):
            found = self._find(message, now, deadline)
            if not self._differs(found, message):
                return DeliveryResult(Outcome.ALREADY_THERE)
            response = self._patch(found, message, deadline)
            if last or response.status != _PRECONDITION_FAILED:
                break
        return self._stored(response, now)

    def _find(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> _User:
        """Return the user with this account.

        Raises:
            DeliveryFailed: If there is none, or more than one.

        """
        asked = {
            "filter": f"{self.find_by} eq {json.dumps(message.account, ensure_ascii=False)}",
            "attributes": f"id,meta,{self.find_by},{self.schema_urn}:{self.attribute}",
            "count": "2",
        }
        url = f"{self._base}/Users?{urlencode(asked, quote_via=quote)}"
        response = self.request("GET", None, {"Accept": f"{MEDIA}, application/json"}, deadline, url)
        if not response.ok:
            refused = _refused(response, now)
            if refused.outcome is Outcome.UNKNOWN_PERSON:
                # A search that finds nobody is answered 200; 404 is about the address
                raise DeliveryFailed(DeliveryResult(Outcome.MISCONFIGURED, f"there is no /Users: {refused.message}"))
            raise DeliveryFailed(refused)
        listed = response.json_object() if response.complete else None
        people = _member(listed, "Resources") or []
        total = _member(listed, "totalResults")
        if listed is None or not isinstance(total, int) or not isinstance(people, list):
            raise DeliveryFailed(unexpected_body(response, "a SCIM list"))
        if max(total, len(people)) > 1:
            raise DeliveryFailed(DeliveryResult(Outcome.CONFLICT, "more than one user there has this account"))
        if not people:
            raise DeliveryFailed(DeliveryResult(Outcome.UNKNOWN_PERSON, "no user there has this account"))
        return self._read(people[0], message, response)

    def _read(self, person: Any, message: ChangeMessage, response: Response) -> _User:
        id_, value = _member(person, "id"), _member(_member(person, self.schema_urn), self.attribute)
        if not isinstance(id_, str) or not id_.strip(".") or not isinstance(value, str | None):
            raise DeliveryFailed(unexpected_body(response, "a user with an id and a text for the iD"))
        account = _member(person, self.find_by)
        if isinstance(account, str) and account.casefold() != message.account.casefold():
            # Some servers ignore a filter that they do not support
            raise DeliveryFailed(
                DeliveryResult(Outcome.MISCONFIGURED, f"a search by {self.find_by} returned another user")
            )
        version = _member(_member(person, "meta"), "version")
        return _User(id_, value, version if isinstance(version, str) and version.isascii() else "")

    def _differs(self, found: _User, message: ChangeMessage) -> bool:
        """Return whether the user has to be changed.

        Raises:
            DeliveryFailed: If it has another iD, which people have to resolve.

        """
        wanted = self.value_form.write(message.orcid_id) if message.orcid_id else None
        if not found.value or found.value == wanted:
            return (found.value or None) != wanted
        theirs = _orcid_id(found.value, message)
        if theirs and theirs in (message.orcid_id, message.previous):
            return True
        if wanted is None:
            return False  # the iD is gone already, and the other value is not ours
        if self.policy is Policy.REPLACE:
            return True
        raise DeliveryFailed(DeliveryResult(Outcome.CONFLICT, "the user has another ORCID iD there"))

    def _patch(self, found: _User, message: ChangeMessage, deadline: Deadline) -> Response:
        body = {"schemas": [PATCH], "Operations": [self._operation(message)]}
        headers = {"Content-Type": MEDIA, "Accept": f"{MEDIA}, application/json"}
        if found.version:
            headers["If-Match"] = found.version
        url = f"{self._base}/Users/{quote(found.id, safe='')}"
        return self.request("PATCH", json.dumps(body, ensure_ascii=False).encode(), headers, deadline, url)

    def _operation(self, message: ChangeMessage) -> dict[str, Any]:
        value = self.value_form.write(message.orcid_id) if message.orcid_id else None
        if self.form is Form.PATHLESS:
            name = Operation.REPLACE if value is None else self.operation
            return {"op": name.value, "value": {self.schema_urn: {self.attribute: value}}}
        path = f"{self.schema_urn}:{self.attribute}"
        return {"op": "remove", "path": path} if value is None else {"op": self.operation, "path": path, "value": value}

    def _stored(self, response: Response, now: datetime) -> DeliveryResult:
        if response.status == _PRECONDITION_FAILED:
            return DeliveryResult(Outcome.TEMPORARY, "another client is changing this user")
        if not response.ok:
            return _refused(response, now)
        if not response.complete or (response.body.strip() and response.json_object() is None):
            return unexpected_body(response, "nothing or a SCIM resource")
        return DeliveryResult(Outcome.STORED)

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


def _refused(response: Response, now: datetime) -> DeliveryResult:
    answer = failure(response, response.message("detail", "message"), now)
    said = response.json_object() or {}
    named = _TYPES.get(str(said.get("scimType")))
    return DeliveryResult(named, answer.message) if named and answer.outcome is Outcome.REFUSED else answer


def _member(found: Any, name: str) -> Any:
    """Return a member whatever its case (RFC 7643 section 2.1), or None."""
    if not isinstance(found, dict):
        return None
    return next((value for key, value in found.items() if key.casefold() == name.casefold()), None)


def _orcid_id(text: str, message: ChangeMessage) -> OrcidId | None:
    known = message.orcid_id or message.previous
    try:
        return OrcidId.parse(text, bare_means=known.registry if known else Registry.PRODUCTION)
    except InvalidOrcidId:
        return None
