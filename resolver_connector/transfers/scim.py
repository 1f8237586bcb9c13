"""The kind `scim`: SCIM 2.0 (RFC 7643, RFC 7644).  The person is found by a filter, and one PATCH sets the attribute.

There is no registered attribute for an ORCID iD, so schema and attribute are settings.  What is there is read first:
the same iD in the same form needs no PATCH, and another iD is a conflict or is replaced, by `policy`.  Where the
server gives a version, the PATCH holds only for that version (If-Match); a lost race is read again, once.

Servers differ in how they want an extension's attribute named: `form = "path"` puts schema and attribute in the path
of the operation, `pathless` puts them in its value, where a removal is the value null (RFC 7643 section 2.5).
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

from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, Policy, ValueForm, setting
from resolver_connector.transfers.deadline import Deadline
from resolver_connector.transfers.http import Receiver, Reply, nonsense, refusal
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
"""What the server's own word for a 400 means (RFC 7644 section 3.12); any other is a refusal."""


class Form(StrEnum):
    """How an operation names the attribute."""

    PATH = "path"
    PATHLESS = "pathless"


class Operation(StrEnum):
    """How an iD is set; some servers know only one of the two for an attribute that is empty."""

    ADD = "add"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class _Found:
    """A person, as the server knows them."""

    id: str
    value: str | None
    version: str


class _Ended(Exception):
    """There is nothing more to do: this is what came of it."""

    def __init__(self, answer: DeliveryResult) -> None:
        super().__init__(answer.outcome)
        self.answer = answer


class ScimTransfer(Receiver):
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

    def _tell(self, news: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        try:
            for last in (False, True):
                found = self._find(news, now, deadline)
                if not self._changes(found, news):
                    return DeliveryResult(Outcome.ALREADY_THERE)
                reply = self._patch(found, news, deadline)
                if last or reply.status != _PRECONDITION_FAILED:
                    break
        except _Ended as ended:
            return ended.answer
        return self._stored(reply, now)

    def _find(self, news: ChangeMessage, now: datetime, deadline: Deadline) -> _Found:
        """Read the one person with this account; two are none."""
        asked = {
            "filter": f"{self.find_by} eq {json.dumps(news.account, ensure_ascii=False)}",
            "attributes": f"id,meta,{self.find_by},{self.schema_urn}:{self.attribute}",
            "count": "2",
        }
        url = f"{self._base}/Users?{urlencode(asked, quote_via=quote)}"
        reply = self._send("GET", None, {"Accept": f"{MEDIA}, application/json"}, deadline, url)
        if not reply.ok:
            refused = _refused(reply, now)
            if refused.outcome is Outcome.UNKNOWN_PERSON:
                # A search that finds nobody is answered 200; 404 is about the address
                raise _Ended(DeliveryResult(Outcome.MISCONFIGURED, f"there is no /Users: {refused.message}"))
            raise _Ended(refused)
        listed = reply.object() if reply.whole else None
        people = _member(listed, "Resources") or []
        total = _member(listed, "totalResults")
        if listed is None or not isinstance(total, int) or not isinstance(people, list):
            raise _Ended(nonsense(reply, "a SCIM list"))
        if max(total, len(people)) > 1:
            raise _Ended(DeliveryResult(Outcome.CONFLICT, "more than one person there has this account"))
        if not people:
            raise _Ended(DeliveryResult(Outcome.UNKNOWN_PERSON, "nobody there has this account"))
        return self._read(people[0], news, reply)

    def _read(self, person: Any, news: ChangeMessage, reply: Reply) -> _Found:
        id_, value = _member(person, "id"), _member(_member(person, self.schema_urn), self.attribute)
        if not isinstance(id_, str) or not id_.strip(".") or not isinstance(value, str | None):
            raise _Ended(nonsense(reply, "a person with an id and a text for the iD"))
        account = _member(person, self.find_by)
        if isinstance(account, str) and account.casefold() != news.account.casefold():
            # Some servers pass over a filter that they do not understand
            raise _Ended(DeliveryResult(Outcome.MISCONFIGURED, f"asked by {self.find_by}, it gave somebody else"))
        version = _member(_member(person, "meta"), "version")
        return _Found(id_, value, version if isinstance(version, str) and version.isascii() else "")

    def _changes(self, found: _Found, news: ChangeMessage) -> bool:
        """Whether something has to change there. Raises _Ended when somebody has to settle it first."""
        wanted = self.value_form.write(news.orcid_id) if news.orcid_id else None
        if not found.value or found.value == wanted:
            return (found.value or None) != wanted
        theirs = _orcid_id(found.value, news)
        if theirs and theirs in (news.orcid_id, news.previous):
            return True
        if wanted is None:
            return False  # what is to go has gone, and something else is not ours to take away
        if self.policy is Policy.REPLACE:
            return True
        raise _Ended(DeliveryResult(Outcome.CONFLICT, "the person has another ORCID iD there"))

    def _patch(self, found: _Found, news: ChangeMessage, deadline: Deadline) -> Reply:
        body = {"schemas": [PATCH], "Operations": [self._operation(news)]}
        headers = {"Content-Type": MEDIA, "Accept": f"{MEDIA}, application/json"}
        if found.version:
            headers["If-Match"] = found.version
        url = f"{self._base}/Users/{quote(found.id, safe='')}"
        return self._send("PATCH", json.dumps(body, ensure_ascii=False).encode(), headers, deadline, url)

    def _operation(self, news: ChangeMessage) -> dict[str, Any]:
        value = self.value_form.write(news.orcid_id) if news.orcid_id else None
        if self.form is Form.PATHLESS:
            name = Operation.REPLACE if value is None else self.operation
            return {"op": name.value, "value": {self.schema_urn: {self.attribute: value}}}
        path = f"{self.schema_urn}:{self.attribute}"
        return {"op": "remove", "path": path} if value is None else {"op": self.operation, "path": path, "value": value}

    def _stored(self, reply: Reply, now: datetime) -> DeliveryResult:
        if reply.status == _PRECONDITION_FAILED:
            return DeliveryResult(Outcome.TEMPORARY, "somebody else is changing this person")
        if not reply.ok:
            return _refused(reply, now)
        if not reply.whole or (reply.body.strip() and reply.object() is None):
            return nonsense(reply, "nothing or a SCIM resource")
        return DeliveryResult(Outcome.STORED)

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


def _refused(reply: Reply, now: datetime) -> DeliveryResult:
    answer = refusal(reply, reply.words("detail", "message"), now)
    said = reply.object() or {}
    named = _TYPES.get(str(said.get("scimType")))
    return DeliveryResult(named, answer.message) if named and answer.outcome is Outcome.REFUSED else answer


def _member(found: Any, name: str) -> Any:
    """Give a member whatever its case (RFC 7643 section 2.1); None where there is none."""
    if not isinstance(found, dict):
        return None
    return next((value for key, value in found.items() if key.casefold() == name.casefold()), None)


def _orcid_id(text: str, news: ChangeMessage) -> OrcidId | None:
    known = news.orcid_id or news.previous
    try:
        return OrcidId.parse(text, bare_means=known.registry if known else Registry.PRODUCTION)
    except InvalidOrcidId:
        return None
