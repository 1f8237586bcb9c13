"""The search for one person, for whoever has a reason: who asked for whom, when and why stands in the audit first.

The person sees it too, on the page of their own data.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shibboleth.attributes import fold
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from shibboleth.organisation import Organisation
from shibboleth.person import Person
from sql.records import Delivery, Link
from sql.store import Store
from webapp.auth.cookies import OWS
from webapp.i18n.language import gettext_noop
from webapp.operator.access import Permissions

KIND = "looked-up"
"""The kind of the event."""
SHOWN = 20
"""How many deliveries are shown, the newest."""
LONGEST_REASON = 200
_LONGEST_WHOM = 512

NO_REASON = gettext_noop("Say why you are looking: the reason is kept, and the person can read it.")
NO_PERSON = gettext_noop("Say whom you look for: an account, or an ORCID iD.")
NO_ORGANISATION = gettext_noop("Choose an organisation.")
UNREADABLE = gettext_noop("The reason or the account is too long, or holds characters that cannot be seen.")


@dataclass(frozen=True, slots=True)
class PersonSearch:
    """Who is looked for, where, and why."""

    organisation: Organisation
    whom: str
    reason: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What is known of a person's link."""

    search: PersonSearch
    link: Link | None
    deliveries: tuple[Delivery, ...]


class IncompleteSearch(ValueError):
    """Something is missing from a search; `message` says what, for the page."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def search_from(form: Mapping[str, str], permissions: Permissions) -> PersonSearch:
    """Read a search. Raises IncompleteSearch; NotPermitted where it is about another's organisation."""
    name, whom, reason = (form.get(field, "").strip(OWS) for field in ("organisation", "whom", "reason"))
    for said, words in ((name, NO_ORGANISATION), (whom, NO_PERSON), (reason, NO_REASON)):
        if not said:
            raise IncompleteSearch(words)
    if len(whom) > _LONGEST_WHOM or len(reason) > LONGEST_REASON or not (_printable(whom) and _printable(reason)):
        raise IncompleteSearch(UNREADABLE)
    return PersonSearch(permissions.of(name), whom, reason)


def look_up(  # noqa: PLR0913, PLR0917 - who asks for whom, and where it is looked up
    store: Store, search: PersonSearch, asker: Person, permissions: Permissions, registry: Registry, now: datetime
) -> SearchResult:
    """Find a person's link; nothing is told before the audit knows who asked, and why."""
    entity_id = search.organisation.entity_id
    key, link = _find(store, search, registry)
    facts = {**asked_by(asker), "reason": search.reason}
    store.audit.add(entity_id, KIND, permissions.actor, key, facts, now)
    return SearchResult(search, link, tuple(store.deliveries.list_for_person(entity_id, key, SHOWN)) if key else ())


def asked_by(person: Person) -> dict[str, str]:
    """Give the facts of the audit about who did something here."""
    return {"by": person.account, "by_organisation": person.organisation.entity_id}


def _find(store: Store, search: PersonSearch, registry: Registry) -> tuple[str | None, Link | None]:
    """Give the key of the person, and the link; an iD that nobody has here is nobody's, and is not kept."""
    entity_id = search.organisation.entity_id
    try:
        link = store.links.get_by_orcid_id(entity_id, OrcidId.parse(search.whom, bare_means=registry))
    except InvalidOrcidId:
        key = fold(search.whom)
        return key, store.links.get(entity_id, key)
    return (link.person_key if link else None), link


def _printable(text: str) -> bool:
    return all(unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in text)
