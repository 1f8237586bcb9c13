"""What people permit their organisation at ORCID, beside learning the iD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from resolver_connector.orcid.pairs import TokenError, usable_pairs
from resolver_connector.orcid.scopes import PERMISSIONS, Scope, permissions_in
from resolver_connector.orcid.token_request import TOKEN_READ
from sql.errors import LinkChanged
from sql.records import Event
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import gettext_noop
from webapp.log import log
from webapp.pages.context import AppContext
from webapp.pages.request import Page, PageRequest, Redirect


@dataclass(frozen=True, slots=True)
class PermissionText:
    """What a permission is for, in plain words."""

    name: str
    """Of its box in the form."""
    title: str
    explanation: str


PERMISSION_TEXTS: Mapping[Scope, PermissionText] = MappingProxyType(
    {
        Scope.READ_LIMITED: PermissionText(
            "read-limited",
            gettext_noop("Read information in your ORCID record that only you and your trusted parties can see"),
            gettext_noop("Information visible only to you stays hidden."),
        ),
        Scope.ACTIVITIES_UPDATE: PermissionText(
            "activities-update",
            gettext_noop("Add employment, education, works and other activities to your ORCID record"),
            gettext_noop("It can change and delete only what it has added itself."),
        ),
        Scope.PERSON_UPDATE: PermissionText(
            "person-update",
            gettext_noop("Add other names, keywords, countries and links to your ORCID record"),
            gettext_noop("It can change and delete only what it has added itself."),
        ),
    }
)
"""Of each permission; the titles follow the name of the organisation."""


@dataclass(frozen=True, slots=True)
class KeptPermission:
    """A permission for which the service keeps a token."""

    scope: Scope
    since: datetime


@dataclass(frozen=True, slots=True)
class PermissionStatus:
    """What a person permitted their organisation, and what else it asks for."""

    kept: Sequence[KeptPermission]
    missing: Sequence[Scope]
    withdrawn_at: datetime | None = None
    """When it was noticed that ORCID no longer accepts any of it; None if it accepts some."""
    last_use: Event | None = None
    """When a system of the organisation last fetched a token."""


def offered_permissions(context: AppContext, request: PageRequest) -> Sequence[Scope]:
    """Return what the person's organisation asks for, beside the iD."""
    client = context.settings(request.person.organisation).orcid
    return () if client is None else client.permissions


def permission_status(context: AppContext, request: PageRequest) -> PermissionStatus | None:
    """Return what the person permitted their organisation.

    Returns:
        None if there is no link, or the organisation asks for nothing.
    """
    offered, link = offered_permissions(context, request), request.person_status.link
    if not offered or link is None:
        return None
    client_id = context.linking.client_of(link.organisation).client_id
    own = [each for each in context.store.orcid_tokens.list_for_link(link.id) if each.client_id == client_id]
    usable = {scope: usable_pairs(own, {scope}, request.now) for scope in PERMISSIONS}
    # The oldest is the last
    kept = [
        KeptPermission(scope, found[-1].obtained_at)
        for scope, found in usable.items()
        if not isinstance(found, TokenError)
    ]
    missing = [scope for scope in offered if isinstance(usable[scope], TokenError)]
    withdrawn = [each.withdrawn_at for each in own if each.withdrawn_at is not None]
    last_use = context.store.audit.last_event(link.organisation, link.person_key, TOKEN_READ)
    if last_use is not None and last_use.at < link.linked_at:
        last_use = None
    return PermissionStatus(kept, missing, None if kept else max(withdrawn, default=None), last_use)


def granted_permissions(context: AppContext, request: PageRequest, attempt_id: str) -> Sequence[Scope]:
    """Return what ORCID granted in an attempt that is not confirmed yet.

    It may be less or more than was requested.
    """
    if not offered_permissions(context, request):
        return ()
    tokens = context.store.orcid_tokens.list_for_attempt(attempt_id)
    return permissions_in(" ".join(each.scope for each in tokens))


def remove_permissions(context: AppContext, request: PageRequest) -> Redirect:
    """Take back what the person permitted; the link of the shown iD stays."""
    link = request.person_status.link
    if link is None or link.orcid_id.uri != request.form.get("shown"):
        raise LinkChanged(link)
    transfer = context.settings(request.person.organisation).affiliation_transfer
    # What was written with the permission is ended before it is given back
    if context.store.orcid_tokens.revoke_for_link(link, request.now, None if transfer is None else transfer[0]):
        log("permissions-removed", organisation=link.organisation)
    return Redirect("/me")


def start_page(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show what the organisation asks for at ORCID, before the visit there."""
    offered = offered_permissions(context, request)
    if not offered:
        return Redirect(request.carry_return("/me"))
    return Page("start.html", {"offered": offered, "texts": PERMISSION_TEXTS, "token": _token(request)})


def start(context: AppContext, request: PageRequest) -> Redirect:
    """Start an attempt and redirect to ORCID.

    Where the organisation asks for permissions, the person chooses from them first.
    """
    offered, form = offered_permissions(context, request), request.form
    if offered and "chosen" not in form:
        return Redirect(request.carry_return("/me/start"))
    chosen = [scope for scope in offered if form.get(PERMISSION_TEXTS[scope].name) == "yes"]
    return_to = request.return_address.url if request.return_address else ""
    who = request.person, request.browser
    return Redirect(context.linking.start(*who, request.language.code, request.now, chosen, return_to=return_to))


def _token(request: PageRequest) -> str:
    return csrf_token(request.browser, request.person)
