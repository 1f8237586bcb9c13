"""Current and ended links.

* A person has at most one current link, and an iD belongs to at most one person of an organisation.
* A link, its change, what is owed to transfers, its event and the end of its attempt come together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.engines.base import Engine, Row
from sql.errors import AttemptClosed, HeldBySomeoneElse, LinkChanged, NotAuthenticated
from sql.organisation_transaction import OrganisationTransaction, Repository
from sql.records import Attempt, Change, ChangeKind, Consent, Link, PersonStatus

ALL = 2**63 - 1
"""A limit that is none."""
PAGE = 500
"""How many rows are held in memory at once while many are read."""


def paged(engine: Engine, query: str, entity_id: str) -> Iterator[Row]:
    """Give the rows of a query by person key, a page at a time."""
    after = ""
    while page := engine.fetch_all(query, organisation=entity_id, after=after, limit=PAGE):
        yield from page
        after = page[-1]["person_key"]


class LinkRepository(Repository):
    """Current and ended links."""

    def orcid_ids(self, entity_id: str, person_key: str) -> list[OrcidId]:
        """Give the iD a person has now, or nothing: one read by an index, since every login asks."""
        row = self.engine.fetch_one("orcid_of", organisation=entity_id, person_key=person_key)
        return [] if row is None else [rows.orcid_id_of(row)]

    def get(self, entity_id: str, person_key: str) -> Link | None:
        """Give a person's current link."""
        row = self.engine.fetch_one("link_of", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.link_of(row)

    def person_status(self, entity_id: str, person_key: str, *, deliveries: bool = True) -> PersonStatus:
        """Tell how things stand with a person, without the deliveries where nothing is sent anywhere."""
        whose = {"organisation": entity_id, "person_key": person_key}
        (row,) = self.engine.fetch_all("standing", **whose)
        found = self.engine.fetch_all("deliveries_of_newest_change", **whose) if deliveries else []
        return rows.standing_of(row, found)

    def get_by_orcid_id(self, entity_id: str, orcid_id: OrcidId) -> Link | None:
        """Give the current link of whoever has this iD in this organisation."""
        row = self.engine.fetch_one("holder_of", organisation=entity_id, **rows.orcid_values(orcid_id))
        return None if row is None else rows.link_of(row)

    def list_for_person(self, entity_id: str, person_key: str, limit: int = ALL) -> list[Link]:
        """Give a person's links, those that ended too."""
        found = self.engine.fetch_all("links_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.link_of(row) for row in found]

    def passed_on_at(self, entity_id: str, person_key: str) -> datetime | None:
        """Tell when the account was last seen to have passed to somebody else: what is older is not theirs to see."""
        row = self.engine.fetch_one("passed_on", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.time_of(row["at"])

    def list_current(self, entity_id: str) -> Iterator[Link]:
        """Give all current links of an organisation, by key, a page at a time.

        Each person comes at most once. A link that comes or goes meanwhile may be seen or not: whoever needs both
        asks for `ChangeRepository.last_number` first and reads the changes after it.
        """
        return map(rows.link_of, paged(self.engine, "some_links", entity_id))

    def count(self, entity_id: str) -> int:
        """Tell how many persons of an organisation have a link."""
        row = self.engine.fetch_one("count_links", organisation=entity_id)
        return int(row["count"]) if row is not None else 0

    def add(  # noqa: PLR0913, PLR0917 - all that a confirmation says, and nothing of it may be guessed
        self,
        attempt: Attempt,
        issued: str,
        consent: Consent,
        replacing: OrcidId | None,
        now: datetime,
        link_id: str,
        transfers: Sequence[str] = (),
    ) -> Change | None:
        """Link the iD that ORCID named in this attempt to the attempt's person; all or nothing.

        The change is owed to the organisation's `transfers`, given by their names.

        What is linked is read from the stored attempt. `replacing` is the iD that the person was shown as theirs so
        far. The person has this iD already: nothing changes, the attempt ends as `unchanged`, and the answer is none.

        Raises AttemptClosed, NotAuthenticated, LinkChanged and HeldBySomeoneElse, having written nothing.
        """
        with self._holding(attempt.organisation, now) as held:
            row, stored = _held_attempt(held, attempt.id)
            stored, orcid_id = _answered(stored)
            current = _current(held, row)
            new = Link(link_id, stored.organisation, stored.person_key, stored.account, issued, orcid_id, now, consent)
            if current is not None and _same(current, new):
                _confirmed(held, stored, current, consent)
                return None
            _must_be(current, replacing)
            _must_be_free(row["holder"], new)
            return _linked(held, stored, current, new, transfers)

    def remove(  # noqa: PLR0913, PLR0917 - who, whose, why and when: an audit needs them all
        self,
        entity_id: str,
        person_key: str,
        actor: str,
        reason: str,
        now: datetime,
        expected: OrcidId | None = None,
        transfers: Sequence[str] = (),
    ) -> Change | None:
        """End a person's link; none when there is none, so asking twice is the same as once.

        The change is owed to the organisation's `transfers`, given by their names.

        Raises LinkChanged when `expected` is given and the person has another iD by now.
        """
        with self._holding(entity_id, now) as held:
            row = held.session.fetch_one("link_of", organisation=entity_id, person_key=person_key)
            if row is None:
                return None
            current = rows.link_of(row)
            if expected is not None:
                _must_be(current, expected)
            return held.remove(current, actor, reason, transfers)


def _held_attempt(held: OrganisationTransaction, attempt_id: str) -> tuple[Row, Attempt | None]:
    """Read the attempt as it is now; another organisation's is none, for that one is not held."""
    row = held.session.fetch_one("hold_attempt", id=attempt_id)
    attempt = rows.attempt_of(row) if row else None
    return row or {}, attempt if attempt and attempt.organisation == held.organisation else None


def _answered(stored: Attempt | None) -> tuple[Attempt, OrcidId]:
    """Hold the attempt to be open, and to have an iD in it."""
    if stored is None or stored.closed_at is not None:
        raise AttemptClosed(stored)
    if stored.orcid_id is None:
        raise NotAuthenticated(stored)
    return stored, stored.orcid_id


def _same(current: Link, new: Link) -> bool:
    # An account issued again is another person, even if both name the same iD
    reissued = current.issued and new.issued and current.issued != new.issued
    return current.orcid_id == new.orcid_id and not reissued


def _must_be(current: Link | None, shown: OrcidId | None) -> None:
    if (None if current is None else current.orcid_id) != shown:
        raise LinkChanged(current)


def _current(held: OrganisationTransaction, row: Row) -> Link | None:
    if row["own_link"] is None:
        return None
    (link,) = held.session.fetch_all("link_of", organisation=row["organisation"], person_key=row["person_key"])
    return rows.link_of(link)


def _must_be_free(holder: str | None, new: Link) -> None:
    if holder not in {None, new.person_key}:
        raise HeldBySomeoneElse(new.orcid_id)


def _confirmed(held: OrganisationTransaction, attempt: Attempt, current: Link, consent: Consent) -> None:
    held.close(attempt, "unchanged")
    held.event("unchanged", "person", attempt.person_key, _facts(current, consent))


def _linked(
    held: OrganisationTransaction, attempt: Attempt, current: Link | None, new: Link, transfers: Sequence[str]
) -> Change:
    kind = ChangeKind.LINKED if current is None else ChangeKind.REPLACED
    previous = None if current is None else current.orcid_id
    if current is not None:
        held.end(current, "person")
    held.begin(new)
    held.close(attempt, kind.value)
    change = held.change(kind, new, new.orcid_id, previous)
    held.owe(change, transfers)
    replaced = {} if previous is None else {"previous": previous.uri}
    held.event(kind.value, "person", new.person_key, {**_facts(new, new.consent), **replaced})
    return change


def _facts(link: Link, consent: Consent) -> dict[str, str]:
    return {
        "orcid": link.orcid_id.uri,
        "account": link.account,
        "link": link.id,
        "consent": f"{consent.version} {consent.language}",
    }
