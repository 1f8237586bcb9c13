"""Search for a person's link by an operator or administrator.

Each search is written to the audit log, with its reason, before the result is shown. The person sees it on the page of
their own data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shibboleth.attributes import fold
from shibboleth.characters import is_visible
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from shibboleth.organisation import Organisation
from shibboleth.person import Person
from sql.records import Attempt, Delivery, Link
from sql.store import Store
from webapp.auth.cookies import OWS
from webapp.i18n.language import gettext_noop
from webapp.operator.access import Permissions

EVENT_KIND = "person-searched"
"""The kind of the audit event."""
MAX_DELIVERIES = 20
"""At most this many deliveries are shown, the newest ones."""
MAX_REASON_LENGTH = 200
_MAX_QUERY_LENGTH = 512

NO_REASON = gettext_noop("Enter a reason. It is stored, and the person can read it.")
NO_PERSON = gettext_noop("Enter an account or an ORCID iD.")
NO_ORGANISATION = gettext_noop("Choose an organisation.")
UNREADABLE = gettext_noop("The reason or the account is too long or contains invisible characters.")


@dataclass(frozen=True, slots=True)
class PersonSearch:
    """What is searched for, and why."""

    organisation: Organisation
    text: str
    """An account or an ORCID iD."""
    reason: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The link and the deliveries of a person."""

    search: PersonSearch
    link: Link | None
    deliveries: tuple[Delivery, ...]
    claims: tuple[Attempt, ...] = ()
    """Attempts of other accounts that claim the link's iD."""


class IncompleteSearch(ValueError):
    """A field of the form is missing or not valid.

    `message` is a message of the catalogues, and `field` the name of the field.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def parse_search(form: Mapping[str, str], permissions: Permissions) -> PersonSearch:
    """Parse the search form.

    Raises:
        IncompleteSearch: If a field is missing or invalid.
        NotPermitted: If the person may not see the organisation.
    """
    name, text, reason = (form.get(field, "").strip(OWS) for field in ("organisation", "whom", "reason"))
    for field, value, message, most in (
        ("organisation", name, NO_ORGANISATION, _MAX_QUERY_LENGTH),
        ("whom", text, NO_PERSON, _MAX_QUERY_LENGTH),
        ("reason", reason, NO_REASON, MAX_REASON_LENGTH),
    ):
        if not value:
            raise IncompleteSearch(message, field)
        if len(value) > most or not is_visible(value):
            raise IncompleteSearch(UNREADABLE, field)
    return PersonSearch(permissions.organisation(name), text, reason)


def find_person(  # noqa: PLR0913, PLR0917 - who asks for whom, and where it is looked up
    store: Store, query: PersonSearch, requested_by: Person, permissions: Permissions, registry: Registry, now: datetime
) -> SearchResult:
    """Return a person's link, its deliveries and the claims of its iD.

    The search is first written to the audit log of each of these accounts.
    """
    organisation_id = query.organisation.id
    try:
        link = store.links.get_by_orcid_id(organisation_id, OrcidId.parse(query.text, bare_means=registry))
        # An iD without a link belongs to no known person, and is not written to the audit log
        person_key = link.person_key if link else None
    except InvalidOrcidId:
        person_key = fold(query.text)
        link = store.links.get(organisation_id, person_key)
    facts = {**requester(requested_by), "reason": query.reason}
    store.audit.add(organisation_id, EVENT_KIND, permissions.actor, person_key, facts, now)
    found = store.attempts.list_claims(organisation_id, link.orcid_id, now) if link else []
    # An administrator does not decide on a claim of their own
    own = requested_by.organisation.id, requested_by.key
    claims = [each for each in found if each.person_key != person_key and (each.organisation, each.person_key) != own]
    for key in {each.person_key for each in claims}:
        store.audit.add(organisation_id, EVENT_KIND, permissions.actor, key, facts, now)
    deliveries = store.deliveries.list_for_person(organisation_id, person_key, MAX_DELIVERIES) if person_key else ()
    return SearchResult(query, link, tuple(deliveries), tuple(claims))


def requester(person: Person) -> dict[str, str]:
    """Return the facts of an audit event that name the person who acted."""
    return {"by": person.account, "by_organisation": person.organisation.id}
