"""Affiliations on ORCID records: the transfer of kind `orcid`.

A delivery brings a person's record to the state that is stored when it is tried, whatever its change says. A row is
stored, and the record is read, before ORCID is asked to add an item: an item whose answer was lost is found again.
The outbox tries deliveries of one person one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any, ClassVar, Final

from resolver_connector.orcid.member_api import DEACTIVATED, DEPRECATED, DUPLICATE, LOCKED, ApiAnswer, MemberApi
from resolver_connector.orcid.scopes import Scope
from resolver_connector.orcid.tokens import AccessToken, TokenService
from resolver_connector.transfers.base import ChangeMessage, DeliveryFailed, DeliveryResult, Outcome, Transfer
from resolver_connector.transfers.orcid import End, OrcidTransfer
from shibboleth.attributes import fold
from shibboleth.deadline import Deadline
from sql.records import (
    Affiliation,
    AffiliationItem,
    AffiliationItemState,
    AffiliationSection,
    Link,
)
from sql.store import Store

SCOPE: Final = Scope.ACTIVITIES_UPDATE
"""The OAuth scope that permits to write affiliations."""
EXTERNAL_ID_TYPE: Final = "source-work-id"
_PREFIX: Final = "orcid-connect:"
NOT_PERMITTED: Final = "there is no permission at ORCID, or ORCID no longer accepts it; nothing is written"
DELETED: Final = "the person deleted the item at ORCID; it is not written again"
LEFT: Final = "another system of the organisation has written it with the same client; nothing is added"
NO_TOKEN: Final = "no access token is left with which the item could be ended"  # noqa: S105 - a message
UNEXPECTED_BODY: Final = "ORCID's answer is JSON of another form"
ADDED_UNSEEN: Final = "ORCID added an item that it does not show yet"

_MEMBERS: Final = ("department-name", "role-title", "start-date", "end-date", "organization", "url")
"""What a change of an item sends back beside external ids. The visibility is not among it: it is the person's."""
_ID_MEMBERS: Final = (
    "external-id-type",
    "external-id-value",
    "external-id-url",
    "external-id-relationship",
)
_WORST_FIRST: Final = (
    Outcome.TEMPORARY,
    Outcome.MISCONFIGURED,
    Outcome.CONFLICT,
    Outcome.REFUSED,
    Outcome.STORED,
    Outcome.ALREADY_THERE,
)
_NO_CONTENT: Final = 204
_Content = Mapping[str, Any]


class _Withdrawn(Exception):
    """ORCID refused the access token twice."""


class _Gone(Exception):
    """The record is not in use any more, and its items went with it."""

    def __init__(self, answer: ApiAnswer) -> None:
        super().__init__(answer.code)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class AffiliationTransfer:
    """Writes affiliations to ORCID records with the organisation's own client."""

    kind: ClassVar[str] = OrcidTransfer.kind

    settings: OrcidTransfer
    store: Store
    tokens: TokenService
    api: MemberApi
    removal_probe: Transfer | None = field(default=None, init=False)
    writes_moves: bool = field(default=True, init=False)
    """An item stays where it is when the person's account is renamed."""

    def deliver(self, message: ChangeMessage, *, now: datetime, timeout: float) -> DeliveryResult:
        """Bring the record of the person of a change to the state that is stored now."""
        one_try = _Try(self, message.organisation, fold(message.account), now, Deadline(timeout))
        results = [DeliveryResult(Outcome.ALREADY_THERE)]
        for step in one_try.steps():
            try:
                results.append(step())
            except DeliveryFailed as failed:
                results.append(failed.result)
        worst = min(results, key=lambda each: _WORST_FIRST.index(each.outcome))
        return replace(worst, message="; ".join(dict.fromkeys(each.message for each in results if each.message)))


@dataclass(frozen=True, slots=True)
class _Try:
    # One try for one person
    transfer: AffiliationTransfer
    organisation: str
    person_key: str
    now: datetime
    deadline: Deadline

    def steps(self) -> Iterator[Callable[[], DeliveryResult]]:
        """Yield what there is to do: items end first, which frees their external ids."""
        store = self.transfer.store
        link = store.links.get(self.organisation, self.person_key)
        permission = None if link is None else store.affiliations.permission(link.id)
        said = Affiliation() if permission is None else permission.said
        for item in store.affiliations.list_items(self.organisation, self.person_key):
            is_current = link is not None and item.link_id == link.id
            # ORCID locked or deactivated the record: nothing can be changed there now
            if not item.state.open or (is_current and link is not None and link.suspended_at is not None):
                continue
            lasts = is_current and item.section in said.sections
            if not lasts or item.client_id != self._client_id:
                # What a former client wrote cannot be changed by another one, and an end date would be wrong
                yield partial(self._end, item, End.DELETE if lasts else self.transfer.settings.end)
        if link is None or link.suspended_at is not None:
            return
        items = store.affiliations.list_items(self.organisation, self.person_key)
        current = {each.section: each for each in items if each.link_id == link.id}
        for section in sorted(said.sections):
            known = current.get(section)
            # One that could not be ended stays alone
            if known is None or not known.state.open or known.client_id == self._client_id:
                yield partial(self._write, link, said, section, known)

    @property
    def _client_id(self) -> str:
        return self.transfer.tokens.clients.organisations[self.organisation].client_id

    # Writing

    def _write(
        self, link: Link, said: Affiliation, section: AffiliationSection, item: AffiliationItem | None
    ) -> DeliveryResult:
        affiliations, tokens = self.transfer.store.affiliations, self.transfer.tokens
        person = self.organisation, self.person_key
        if item is not None and item.state is AffiliationItemState.DELETED:
            return DeliveryResult(Outcome.ALREADY_THERE, DELETED)
        while token := tokens.get_access_token(*person, SCOPE, self.now, orcid_id=link.orcid_id):
            if item is None or item.client_id != token.client_id:
                pending = AffiliationItemState.PENDING
                item = AffiliationItem(link.id, section, link.orcid_id, token.client_id, pending, self.now)
                affiliations.add_item(link.id, section, token.client_id, self.now)
            try:
                return self._write_with(token, item, said)
            except _Withdrawn:
                tokens.record_withdrawn(token.token_id, self.now)
            except _Gone as gone:
                return gone.answer.failure()
        affiliations.set_refused(link, self.now)
        return DeliveryResult(Outcome.ALREADY_THERE, NOT_PERMITTED)

    def _write_with(self, token: AccessToken, item: AffiliationItem, said: Affiliation) -> DeliveryResult:
        if item.put_code is not None:
            found = self._read(token, item, item.put_code)
            if found is None:
                return self._set(item, AffiliationItemState.DELETED, DELETED)
            return self._change(token, item, said, found)
        found, by_others = self._find(token, item)
        if found is None and by_others:
            if item.state is AffiliationItemState.LEFT:
                return DeliveryResult(Outcome.ALREADY_THERE, LEFT)
            return self._set(item, AffiliationItemState.LEFT, LEFT)
        if found is None:
            self._open(item)
            answer = self._request("POST", token, item, "", self._content(item, said, {}))
            if answer.ok and answer.put_code:
                return self._set(item, AffiliationItemState.WRITTEN, put_code=answer.put_code)
            if not answer.ok and answer.code != DUPLICATE:
                raise DeliveryFailed(answer.failure())
            # ORCID has the item, though its list did not show it
            found = self._read(token, item, answer.put_code) if answer.put_code else self._find(token, item)[0]
            if found is None or not _is_own(found, token, item):
                raise DeliveryFailed(DeliveryResult(Outcome.TEMPORARY, ADDED_UNSEEN) if answer.ok else answer.failure())
        return self._change(token, item, said, found)

    def _change(self, token: AccessToken, item: AffiliationItem, said: Affiliation, found: _Content) -> DeliveryResult:
        put_code, content = _put_code(found), self._content(item, said, found)
        if content != _sent_back(found):
            self._open(item)
            answer = self._request("PUT", token, item, put_code, {"put-code": int(put_code), **content})
            if answer.not_found:
                return self._set(item, AffiliationItemState.DELETED, DELETED, put_code)
            if not answer.ok or answer.content is None:
                raise DeliveryFailed(answer.failure())
        elif item.state is AffiliationItemState.WRITTEN:
            return DeliveryResult(Outcome.ALREADY_THERE)
        return self._set(item, AffiliationItemState.WRITTEN, put_code=put_code)

    def _content(self, item: AffiliationItem, said: Affiliation, found: _Content) -> dict[str, Any]:
        # What the organisation's own systems wrote beside it with the same client, such as a start date, stays
        settings, content = self.transfer.settings, _sent_back(found)
        if item.section is AffiliationSection.EMPLOYMENT and settings.department:
            content["department-name"] = said.department or None
        if item.section is AffiliationSection.EMPLOYMENT and settings.title:
            content["role-title"] = said.title or None
        content["end-date"] = None
        content["organization"] = {
            "name": settings.organisation,
            "address": {"city": settings.city, "region": None, "country": settings.country},
            "disambiguated-organization": {
                "disambiguated-organization-identifier": settings.ror,
                "disambiguation-source": "ROR",
            },
        }
        if _external_id(item) not in _external_ids(found):
            own = (EXTERNAL_ID_TYPE, _external_id(item), None, "self")
            content["external-ids"]["external-id"].append(dict(zip(_ID_MEMBERS, own, strict=True)))
        return content

    def _open(self, item: AffiliationItem) -> None:
        # Before ORCID is asked: an item whose answer was lost is to be ended, too
        if not item.state.open:
            self.transfer.store.affiliations.open_item(self.organisation, item, self.now)

    # Ending

    def _end(self, item: AffiliationItem, end: End) -> DeliveryResult:
        token = self.transfer.tokens.get_access_token(
            self.organisation, self.person_key, SCOPE, self.now, orcid_id=item.orcid_id, ended_client_id=item.client_id
        )
        if token is None:
            return DeliveryResult(Outcome.REFUSED, NO_TOKEN)
        try:
            return self._end_with(token, item, end)
        except _Withdrawn:
            self.transfer.tokens.record_withdrawn(token.token_id, self.now)
            if item.put_code is None:
                return DeliveryResult(Outcome.REFUSED, NO_TOKEN)
            # With a permission that the person took back, ORCID still deletes an item, and does nothing else with it
            return self._delete(token, item, item.put_code)
        except _Gone:
            return self._forget(item)

    def _end_with(self, token: AccessToken, item: AffiliationItem, end: End) -> DeliveryResult:
        put_code, found = item.put_code, None
        if put_code is None or end is End.DATE:
            found = self._find(token, item)[0] if put_code is None else self._read(token, item, put_code)
            if found is None:
                return self._forget(item)
            put_code = _put_code(found)
        if found is None or end is End.DELETE:
            return self._delete(token, item, put_code)
        if not found.get("end-date"):
            content = {"put-code": int(put_code), **_sent_back(found), "end-date": _day(self.now.date())}
            answer = self._request("PUT", token, item, put_code, content)
            if answer.not_found:
                return self._forget(item)
            if not answer.ok or answer.content is None:
                raise DeliveryFailed(answer.failure())
        return self._set(item, AffiliationItemState.CLOSED, put_code=put_code)

    def _delete(self, token: AccessToken, item: AffiliationItem, put_code: str) -> DeliveryResult:
        try:
            answer = self._request("DELETE", token, item, put_code)
        except _Withdrawn:
            return DeliveryResult(Outcome.REFUSED, NO_TOKEN)
        if answer.status != _NO_CONTENT and not answer.not_found:
            raise DeliveryFailed(answer.failure())
        return self._forget(item)

    # Requests and results

    def _find(self, token: AccessToken, item: AffiliationItem) -> tuple[_Content | None, bool]:
        """Return the item, and whether another system wrote the affiliation.

        An item that the service wrote for an earlier link is used again. What another system wrote is not the service's
        to change or to end.
        """
        answer = self._request("GET", token, item, None)
        groups = (answer.content or {}).get("affiliation-group")
        if not answer.ok or not isinstance(groups, list):
            raise DeliveryFailed(answer.failure())
        summaries = [one.get(f"{item.section}-summary") or {} for group in groups for one in group["summaries"]]
        client = [each for each in summaries if _source(each) == token.client_id]
        there = [each for each in client if _ror(each) == self.transfer.settings.ror]
        own = [each for each in client if _external_id(item) in _external_ids(each)]
        own += [each for each in there if any(one.startswith(_PREFIX) for one in _external_ids(each))]
        return (own[0] if own else None), any(not each.get("end-date") for each in there)

    def _read(self, token: AccessToken, item: AffiliationItem, put_code: str) -> _Content | None:
        answer = self._request("GET", token, item, put_code)
        if answer.not_found:
            return None
        if not answer.ok or answer.content is None or _put_code(answer.content) != put_code:
            raise DeliveryFailed(answer.failure())
        return answer.content

    def _request(
        self,
        method: str,
        token: AccessToken,
        item: AffiliationItem,
        put_code: str | None,
        content: _Content | None = None,
    ) -> ApiAnswer:
        # put_code: None is the list of the section, and "" the section itself
        section = f"{item.section}s" if put_code is None else f"{item.section}/{put_code}".rstrip("/")
        path = f"{item.orcid_id.bare}/{section}"
        ask = partial(
            self.transfer.api.request, method, path, token.client_id, token.value, self.now, self.deadline, content
        )
        answer = ask()
        if answer.withdrawn:
            # One such answer may be an error of ORCID's. It does nothing of what was asked
            answer = ask()
        if answer.withdrawn:
            # The tokens of a deactivated record end too
            self.transfer.store.record_statuses.schedule(item.orcid_id, self.now)
            raise _Withdrawn
        if answer.code in {DEPRECATED, DEACTIVATED, LOCKED}:
            self.transfer.store.record_statuses.schedule(item.orcid_id, self.now)
        if answer.code in {DEPRECATED, DEACTIVATED}:
            raise _Gone(answer)
        if (
            method == "GET"
            and answer.ok
            and answer.content
            and not _is_expected(answer.content, item.section, put_code)
        ):
            raise DeliveryFailed(DeliveryResult(Outcome.TEMPORARY, UNEXPECTED_BODY))
        return answer

    def _set(
        self, item: AffiliationItem, state: AffiliationItemState, message: str = "", put_code: str | None = None
    ) -> DeliveryResult:
        self.transfer.store.affiliations.set_item(
            self.organisation, self.person_key, item, state, self.now, put_code=put_code
        )
        return DeliveryResult(Outcome.STORED, message)

    def _forget(self, item: AffiliationItem) -> DeliveryResult:
        self.transfer.store.affiliations.delete_item(self.organisation, self.person_key, item, self.now)
        return DeliveryResult(Outcome.STORED)


def _external_id(item: AffiliationItem) -> str:
    return f"{_PREFIX}{item.link_id}:{item.section}"


def _external_ids(found: _Content) -> list[str]:
    return [str(each.get("external-id-value", "")) for each in _ids_sent_back(found)]


def _ids_sent_back(found: _Content) -> list[dict[str, Any]]:
    ids = (found.get("external-ids") or {}).get("external-id") or []
    return [{name: each.get(name) for name in _ID_MEMBERS} for each in ids]


def _sent_back(found: _Content) -> dict[str, Any]:
    content: dict[str, Any] = {name: found.get(name) for name in _MEMBERS}
    return {**content, "external-ids": {"external-id": _ids_sent_back(found)}}


def _is_expected(content: Any, section: AffiliationSection, put_code: str | None) -> bool:
    # Whether all that is read of an answer has the types that ORCID documents
    try:
        items = [content]
        if put_code is None:
            items = [one[f"{section}-summary"] for group in content["affiliation-group"] for one in group["summaries"]]
        for item in items:
            int(_put_code(item))
            _source(item)
            _external_ids(item)
            _ror(item)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


def _ror(found: _Content) -> object:
    organisation = (found.get("organization") or {}).get("disambiguated-organization") or {}
    return organisation.get("disambiguated-organization-identifier")


def _source(found: _Content) -> str:
    source = (found.get("source") or {}).get("source-client-id") or {}
    return str(source.get("path", ""))


def _is_own(found: _Content, token: AccessToken, item: AffiliationItem) -> bool:
    return _source(found) == token.client_id and _external_id(item) in _external_ids(found)


def _put_code(found: _Content) -> str:
    # A number, which has been seen as text
    return str(found.get("put-code", ""))


def _day(day: date) -> dict[str, dict[str, str]]:
    names = ("year", "month", "day")
    return {name: {"value": f"{getattr(day, name):02}"} for name in names}
