"""The kind `scim`: SCIM 2.0 (RFC 7643, RFC 7644).

The user is found by a filter, and one PATCH sets the attribute.

There is no registered attribute for an ORCID iD, so schema and attribute are settings. The user is read first: the same
iD in the same form needs no PATCH, and another iD is a conflict or is replaced, by `policy`. If the server gives a
version, the PATCH is conditional (If-Match); after a concurrent change it is repeated once.

Servers deviate from the types of the specification, so ids, counts and single values are read in any form that is
unambiguous.

Servers differ in how an operation names an extension's attribute: `form = "path"` puts schema and attribute in its
path, `pathless` in its value, where a removal is the value null (RFC 7643 section 2.5).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
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
    transfer_setting,
)
from resolver_connector.transfers.http import HttpTransfer
from resolver_connector.transfers.http_response import Response, failure_result, unexpected_body
from shibboleth.attributes import fold
from shibboleth.deadline import Deadline
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry

PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SCHEMA: Final = "urn:x-orcid-connect:scim:schemas:extension:orcid:1.0:User"
MEDIA: Final = "application/scim+json"

_PRECONDITION_FAILED = 412
_NAME = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_PATH = re.compile(r"([A-Za-z0-9.:_-]+:)?[A-Za-z][\w-]*(\.[A-Za-z][\w-]*)?", re.ASCII)
_VERSION = re.compile(r'(?P<weak>[Ww]/)?(?P<quote>"?)(?P<tag>[!#-~]+)(?P=quote)', re.ASCII)
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
    """The SCIM operation that sets an iD.

    Some servers accept only one of the two for an attribute without a value.
    """

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

    find_by: str = transfer_setting(
        "The attribute in which the server has the person's account.", "userName", default="userName"
    )
    # BaseModel has an attribute called schema
    schema_urn: str = transfer_setting(
        "The URN of the extension that holds the iD.", "urn:example:scim:person:1.0", default=SCHEMA, alias="schema"
    )
    attribute: str = transfer_setting(
        "The extension's attribute for the iD, of one value.", "eduPersonOrcid", default="orcid"
    )
    value_form: ValueForm = transfer_setting(
        "How the iD is written: `https`, `http` or `bare`.", "https", default=ValueForm.HTTPS
    )
    form: Form = transfer_setting(
        "How an operation names the attribute: in its `path`, or `pathless`, in its value.", "path", default=Form.PATH
    )
    operation: Operation = transfer_setting("How an iD is set: `add` or `replace`.", "replace", default=Operation.ADD)
    policy: Policy = transfer_setting(
        "What happens to another iD that the person has: `single` leaves it and reports a conflict, `replace` replaces "
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
        if self.policy is Policy.KEEP_OTHERS:
            raise ValueError('policy = "own" is not possible with scim, where there is room for one iD')
        return self

    def exchange(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Read the user and send the PATCH.

        Both are repeated once if the version changed in between.
        """
        user = self._find(message, now, deadline)
        if not self._needs_update(user, message):
            return DeliveryResult(Outcome.ALREADY_THERE)
        response = self._patch(user, message, deadline)
        if response.status == _PRECONDITION_FAILED:
            again = self._find(message, now, deadline)
            if not self._needs_update(again, message):
                return DeliveryResult(Outcome.ALREADY_THERE)
            if again.version == user.version:
                # No client has changed it: the server does not accept its own version as a condition
                again = replace(again, version="")
            response = self._patch(again, message, deadline)
        if response.status == _PRECONDITION_FAILED:
            return DeliveryResult(Outcome.TEMPORARY, "another client is changing this user")
        if not response.ok:
            return _error(response, now)
        return unexpected_body(response, "a SCIM resource") if response.is_web_page else DeliveryResult(Outcome.STORED)

    def _find(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> _User:
        """Return the user with this account.

        Raises:
            DeliveryFailed: If there is none, or more than one.
        """
        parameters = {
            "filter": f"{self.find_by} eq {json.dumps(message.account, ensure_ascii=False)}",
            "attributes": f"id,meta,{self.find_by},{self.schema_urn}:{self.attribute}",
            "count": "2",
        }
        url = f"{self._base}/Users?{urlencode(parameters, quote_via=quote)}"
        response = self.request("GET", None, {"Accept": f"{MEDIA}, application/json"}, deadline, url)
        if not response.ok:
            error = _error(response, now)
            if error.outcome is Outcome.UNKNOWN_PERSON:
                # A search without results is answered 200; 404 is about the address
                error = DeliveryResult(Outcome.MISCONFIGURED, f"there is no /Users: {error.message}")
            raise DeliveryFailed(error)
        listed = response.json_object() or {}
        users = _as_list(_member(listed, "Resources"))
        total = _text(_member(listed, "totalResults")).strip() or (str(len(users)) if users else "")
        if not total.isdecimal() or (total.strip("0") and not users):
            raise DeliveryFailed(unexpected_body(response, "a SCIM list"))
        if total.lstrip("0") not in {"", "1"} or len(users) > 1:
            raise DeliveryFailed(DeliveryResult(Outcome.CONFLICT, "more than one user there has this account"))
        if not users:
            raise DeliveryFailed(DeliveryResult(Outcome.UNKNOWN_PERSON, "no user there has this account"))
        return self._read(users[0], message, response)

    def _read(self, user: Any, message: ChangeMessage, response: Response) -> _User:
        id_ = _text(_single(_member(user, "id")))
        value = _single(_member(_single(_member(user, self.schema_urn)), self.attribute))
        if not id_.strip(".") or not id_.isprintable() or not isinstance(value, str | None):
            raise DeliveryFailed(unexpected_body(response, "a user with an id and a text for the iD"))
        accounts = [text for each in _at_path(user, self.find_by) if (text := _text(each))]
        if accounts and fold(message.account) not in map(fold, accounts):
            # Some servers ignore a filter that they do not support
            raise DeliveryFailed(
                DeliveryResult(Outcome.MISCONFIGURED, f"a search by {self.find_by} returned another user")
            )
        return _User(id_, value, _entity_tag(_text(_member(_single(_member(user, "meta")), "version"))))

    def _needs_update(self, found: _User, message: ChangeMessage) -> bool:
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

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


def _error(response: Response, now: datetime) -> DeliveryResult:
    result = failure_result(response, response.message("detail", "message"), now)
    outcome = _TYPES.get(str(_member(response.json_object(), "scimType")))
    return DeliveryResult(outcome, result.message) if outcome and result.outcome is Outcome.REFUSED else result


def _member(value: Any, name: str) -> Any:
    """Return a member of an object, whatever its case (RFC 7643 section 2.1).

    Returns:
        None if there is none.
    """
    if not isinstance(value, dict):
        return None
    return next((member for key, member in value.items() if key.casefold() == name.casefold()), None)


def _as_list(value: Any) -> list[Any]:
    """Return a list; some servers write a list of one as its element."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _single(value: Any) -> Any:
    """Return a single value.

    Some servers write it as a list of one, or as a complex value (RFC 7643 section 2.4).
    """
    values = _as_list(value)
    if len(values) > 1:
        return values
    found = values[0] if values else None
    return _member(found, "value") if _member(found, "value") is not None else found


def _text(value: Any) -> str:
    """Return a text or a number as text; empty for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _at_path(user: Any, path: str) -> list[Any]:
    """Return the values of an attribute by its notation (RFC 7644 section 3.10)."""
    schema, _, names = path.rpartition(":")
    extension = _member(user, schema)
    values = [user if extension is None else extension]
    for name in names.split("."):
        values = [each for value in values for each in _as_list(_member(value, name))]
    return values


def _entity_tag(version: str) -> str:
    """Return a version as an entity tag (RFC 9110 section 8.8.3).

    Some servers leave the quotes out.
    """
    found = _VERSION.fullmatch(version.strip())
    return f'{"W/" if found["weak"] else ""}"{found["tag"]}"' if found else ""


def _orcid_id(text: str, message: ChangeMessage) -> OrcidId | None:
    known = message.orcid_id or message.previous
    try:
        return OrcidId.parse(text, bare_means=known.registry if known else Registry.PRODUCTION)
    except InvalidOrcidId:
        return None
