"""An organisation held by one writer: what is written about it, in the order in which it can be seen."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from shibboleth.orcid_id import OrcidId
from sql import audit, rows
from sql.engines.base import Engine, Transaction
from sql.records import Attempt, Change, ChangeKind, CurrentLink, Link

ID_BYTES = 16
AnyLink = Link | CurrentLink


@dataclass(slots=True)
class OrganisationTransaction:
    """An organisation whose row is ours until the transaction ends, so that nobody else writes about it now."""

    session: Transaction
    organisation: str
    now: datetime
    changes: int
    events: int
    last_event_hash: str

    def change(self, kind: ChangeKind, link: AnyLink, orcid_id: OrcidId | None, previous: OrcidId | None) -> Change:
        """Give a change its number and its name, and keep it."""
        change = self.next_change(kind, link, orcid_id, previous)
        self.session.execute("add_change", **rows.change_values(change))
        return change

    def next_change(
        self, kind: ChangeKind, link: AnyLink, orcid_id: OrcidId | None, previous: OrcidId | None
    ) -> Change:
        """Give a change its number and its name."""
        self.changes += 1
        return Change(
            organisation=self.organisation,
            number=self.changes,
            kind=kind,
            person_key=link.person_key,
            account=link.account,
            orcid_id=orcid_id,
            previous=previous,
            at=self.now,
            id=secrets.token_hex(ID_BYTES),
        )

    def owe(self, change: Change, transfers: Sequence[str]) -> None:
        """Owe a change to transfers."""
        for transfer in transfers:
            self.session.execute("add_breaker", organisation=self.organisation, transfer=transfer)
            self.session.execute("add_delivery", **rows.owed_values(change, transfer))

    def event(self, kind: str, actor: str, person_key: str | None, facts: Mapping[str, str]) -> None:
        """Write the next line of the audit, and the organisation's row with it: so this comes last."""
        self.events += 1
        text = audit.facts_text(person_key, facts)
        covered: dict[str, str | int | None] = {
            "organisation": self.organisation,
            "number": self.events,
            "at": rows.timestamp(self.now),
            "kind": kind,
            "actor": actor,
            "digest": audit.digest(text),
        }
        self.last_event_hash = audit.chained(self.last_event_hash, covered)
        self.session.execute("add_event", **covered, hash=self.last_event_hash, person_key=person_key, facts=text)
        self.session.execute(
            "count_on",
            organisation=self.organisation,
            changes=self.changes,
            events=self.events,
            last_event_hash=self.last_event_hash,
        )

    def begin(self, link: Link) -> None:
        """Keep a link and the words that were agreed to."""
        self.session.execute("keep_consent_text", **rows.consent_text_values(link.consent))
        self.session.execute("add_link", **rows.link_values(link))

    def end(self, link: Link, actor: str) -> None:
        """Let a link end."""
        self.session.execute("end_link", id=link.id, now=rows.timestamp(self.now), by=actor)

    def remove(self, link: Link, actor: str, reason: str, transfers: Sequence[str]) -> Change:
        """Let a link end without another in its place, and tell everybody."""
        self.end(link, actor)
        change = self.change(ChangeKind.REMOVED, link, None, link.orcid_id)
        self.owe(change, transfers)
        facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id, "reason": reason}
        self.event("removed", actor, link.person_key, facts)
        return change

    def close(self, attempt: Attempt, outcome: str) -> None:
        """End the attempt."""
        self.session.execute("close_attempt", id=attempt.id, outcome=outcome, now=rows.timestamp(self.now))


class Repository:
    """What every part of the store does: it writes with an engine, about one organisation at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def _holding(
        self, entity_id: str, now: datetime, *, exclusive: bool = False, long: bool = False
    ) -> Iterator[OrganisationTransaction]:
        """Hold an organisation until the transaction ends, which begins here; the words are those of `transaction`."""
        with self.engine.transaction(exclusive=exclusive, long=long) as session:
            (row,) = session.fetch_all("hold_organisation", organisation=entity_id)
            yield OrganisationTransaction(
                session, entity_id, now, row["changes"], row["events"], row["last_event_hash"]
            )
