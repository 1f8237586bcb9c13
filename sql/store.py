"""The store: what the service keeps, and the promises it makes about it.

* A person has at most one current link, and an iD belongs to at most one person of an organisation.
* A link, its change, what is owed to transfers, its event and the end of its attempt come together or not at all.
* Changes of an organisation are numbered 1, 2, 3 … in the order in which they can be seen, so whoever has read up to
  a number has missed nothing before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shibboleth.orcid_id import OrcidId
from sql import audit, rows
from sql.engine import Engine, Row
from sql.erasing import Erasing
from sql.errors import AttemptClosed, HeldBySomeoneElse, InvalidUrl, LinkChanged, NotAuthenticated
from sql.feed import Feed
from sql.forgetting import Forgetting
from sql.held import Held
from sql.importing import Importing
from sql.lookup import Lookup
from sql.mails import Mails
from sql.migrate import must_be_current
from sql.outbox import Outbox
from sql.own import Own
from sql.records import Attempt, Change, ChangeKind, Consent, CurrentLink, Event, Link, Standing, Started
from sql.release import Releases
from sql.sqlite import Sqlite
from sql.statistics import Statistics

KEEP_EXPIRED = timedelta(days=1)
"""How long an attempt can be looked at after it expired."""
SWEEP_EVERY = timedelta(minutes=10)
PAGE = 500
"""How many rows are held in memory at once while many are read."""
_BEYOND = 2**63 - 1


def _anything(_attempt: Attempt | None) -> None:
    """Be content with an attempt as it is."""


def open_store(url: str, *, patience: float | None = None) -> Store:
    """Give the store at a URL; nothing is opened before it is used.

    Args:
        url: `sqlite:///var/lib/orcid-connect/links.db` is the file `/var/lib/orcid-connect/links.db`; a fourth slash
            means the same, and a path is always absolute and percent-encoded where it must be.
            `postgresql://user@host:port/database` is read by PostgreSQL's own library.
        patience: Seconds to wait for another writer (SQLite) or for all of one use of the server (PostgreSQL), before
            StoreUnavailable is raised; without it the engine's own `PATIENCE`.

    Raises InvalidUrl.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _ENGINES:
        raise InvalidUrl("the URL of a store begins with sqlite:/// or postgresql://")
    return Store(_ENGINES[scheme](url, patience))


def _sqlite(url: str, patience: float | None) -> Engine:
    parts = urlsplit(url)
    name = unquote(parts.path).lstrip("/")
    if parts.netloc or parts.query or parts.fragment or not name:
        raise InvalidUrl("the URL of an SQLite file is sqlite:/// and the file's absolute path, and nothing more")
    return Sqlite(Path("/" + name), patience)


def _postgres(url: str, patience: float | None) -> Engine:
    try:
        from sql.postgres import Postgres  # noqa: PLC0415 - whoever keeps an SQLite file need not have the driver
    except ImportError:
        raise InvalidUrl("PostgreSQL needs its driver; run: pip install 'orcid-connect[postgres]'") from None
    return Postgres(url, patience)


_ENGINES: Mapping[str, Callable[[str, float | None], Engine]] = {"sqlite": _sqlite, "postgresql": _postgres}


class Store(Outbox, Erasing, Feed, Forgetting, Importing, Mails, Own, Releases, Statistics):
    """Attempts, links, releases, changes, deliveries and the audit, kept by an engine.

    Any method may raise StoreUnavailable. Times are aware.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._swept_at: datetime | None = None

    def disconnect(self) -> None:
        """Let go of all connections; the next use opens new ones."""
        self.engine.close()

    def must_be_ready(self) -> None:
        """Raise StoreUnavailable, SchemaBehind, SchemaAhead or MigrationChanged unless all is as it should be."""
        must_be_current(self.engine)

    def lookup(self) -> Lookup:
        """Give what logins ask, on connections of its own that cannot write."""
        return Lookup(self.engine.reader())

    # Attempts

    def begin(self, attempt: Attempt, state_hash: str) -> None:
        """Keep a started attempt, and now and then sweep out those that nobody will ask for again."""
        self._sweep(attempt.started_at)
        self.engine.execute("add_attempt", **rows.attempt_values(attempt), state_hash=state_hash)

    def _sweep(self, now: datetime) -> None:
        due = self._swept_at is None or abs(now - self._swept_at) >= SWEEP_EVERY
        # Some at each start, so that nobody waits for long
        if due and self.sweep_some(now - KEEP_EXPIRED):
            self._swept_at = now

    def attempt_by_state(self, state_hash: str) -> Attempt | None:
        """Give the attempt whose state has this hash."""
        row = self.engine.fetch_one("attempt_by_state", state_hash=state_hash)
        return None if row is None else rows.attempt_of(row)

    def attempt(self, attempt_id: str) -> Attempt | None:
        """Give the attempt of this id."""
        row = self.engine.fetch_one("attempt_by_id", id=attempt_id)
        return None if row is None else rows.attempt_of(row)

    def take(self, state_hash: str, entity_id: str, person_key: str, browser: str, now: datetime) -> Attempt | None:
        """Take the attempt of a state, for its own person in its own browser and in time.

        One caller gets it. Nobody after, and nobody else: they may ask `attempt_by_state` why.
        """
        whose = {"organisation": entity_id, "person_key": person_key, "browser": browser}
        row = self.engine.fetch_one("take_attempt", state_hash=state_hash, **whose, now=rows.moment(now))
        return None if row is None else rows.attempt_of(row)

    def authenticated(self, attempt_id: str, orcid_id: OrcidId, orcid_name: str, *, if_free: bool = False) -> bool:
        """Keep what ORCID answered until the attempt is closed; false when it has been already.

        With `if_free` also false, and nothing kept, where somebody in the person's organisation has the iD.
        """
        query = "keep_answer_if_free" if if_free else "keep_answer"
        answer = {**rows.orcid_values(orcid_id), "orcid_name": rows.printable(orcid_name)}
        return self.engine.execute(query, id=attempt_id, **answer) == 1

    def close(self, attempt_id: str, outcome: str, now: datetime) -> bool:
        """End an attempt and forget what ORCID answered; false when it had ended before, and its outcome stays."""
        return self.engine.execute("close_attempt", id=attempt_id, outcome=outcome, now=rows.moment(now)) == 1

    # Links

    def orcid_of(self, entity_id: str, person_key: str) -> list[OrcidId]:
        """Give the iD a person has now, or nothing: one read by an index, since every login asks."""
        row = self.engine.fetch_one("orcid_of", organisation=entity_id, person_key=person_key)
        return [] if row is None else [rows.orcid_id_of(row)]

    def link_of(self, entity_id: str, person_key: str) -> Link | None:
        """Give a person's current link."""
        row = self.engine.fetch_one("link_of", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.link_of(row)

    def standing(self, entity_id: str, person_key: str, *, deliveries: bool = True) -> Standing:
        """Tell how things stand with a person, without the deliveries where nothing is sent anywhere."""
        whose = {"organisation": entity_id, "person_key": person_key}
        (row,) = self.engine.fetch_all("standing", **whose)
        found = self.engine.fetch_all("deliveries_of_newest_change", **whose) if deliveries else []
        return rows.standing_of(row, found)

    def holder_of(self, entity_id: str, orcid_id: OrcidId) -> Link | None:
        """Give the current link of whoever has this iD in this organisation."""
        row = self.engine.fetch_one("holder_of", organisation=entity_id, **rows.orcid_values(orcid_id))
        return None if row is None else rows.link_of(row)

    def links(self, entity_id: str) -> Iterator[Link]:
        """Give all current links of an organisation, by key, a page at a time.

        Each person comes at most once. A link that comes or goes meanwhile may be seen or not: whoever needs both
        asks for `last_change` first and reads the changes after it.
        """
        return map(rows.link_of, self._paged("some_links", entity_id))

    def _paged(self, query: str, entity_id: str) -> Iterator[Row]:
        after = ""
        while page := self.engine.fetch_all(query, organisation=entity_id, after=after, limit=PAGE):
            yield from page
            after = page[-1]["person_key"]

    def count(self, entity_id: str) -> int:
        """Tell how many persons of an organisation have a link."""
        row = self.engine.fetch_one("count_links", organisation=entity_id)
        return int(row["count"]) if row is not None else 0

    def link(  # noqa: PLR0913, PLR0917 - all that a confirmation says, and nothing of it may be guessed
        self,
        attempt: Started,
        issued: str,
        consent: Consent,
        replacing: OrcidId | None,
        now: datetime,
        link_id: str,
        transfers: Sequence[str] = (),
        must_be: Callable[[Attempt | None], object] = _anything,
    ) -> Change | None:
        """Link the iD that ORCID named in this attempt to the attempt's person; all or nothing.

        `must_be` is shown the stored attempt before anything is written, and raises where it is not as it should be.

        The change is owed to the organisation's `transfers`, given by their names.

        What is linked is read from the stored attempt. `replacing` is the iD that the person was shown as theirs so
        far. The person has this iD already: nothing changes, the attempt ends as `unchanged`, and the answer is none.

        Raises AttemptClosed, NotAuthenticated, LinkChanged and HeldBySomeoneElse, having written nothing.
        """
        with self._holding(attempt.organisation, now) as held:
            row, stored = _held_attempt(held, attempt.id)
            must_be(stored)
            stored, orcid_id = _answered(stored)
            current = _current(held, row)
            new = Link(link_id, stored.organisation, stored.person_key, stored.account, issued, orcid_id, now, consent)
            if current is not None and _same(current, new):
                _confirmed(held, stored, current, consent)
                return None
            _must_be(current, replacing)
            _must_be_free(row["holder"], new)
            return _linked(held, stored, current, new, transfers)

    def unlink(  # noqa: PLR0913, PLR0917 - who, whose, why and when: an audit needs them all
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

    # Changes

    def changes(self, entity_id: str, after: int, limit: int) -> list[Change]:
        """Give the next changes of an organisation after a number, oldest first."""
        found = self.engine.fetch_all("changes_after", organisation=entity_id, after=after, limit=limit)
        return [rows.change_of(row) for row in found]

    def last_change(self, entity_id: str) -> int:
        """Give the number of an organisation's last change; 0 when there was none."""
        row = self.engine.fetch_one("last_change", organisation=entity_id)
        return 0 if row is None else int(row["changes"])

    def snapshot(self, entity_id: str) -> tuple[int, Iterator[CurrentLink]]:
        """Give the number of an organisation's last change, and all its current links, a page at a time.

        The number is of the moment of the call; a link that comes or goes while the links are read may be seen or
        not. Whoever puts the links down by their persons and then applies the changes after the number, again by
        their persons, ends with what the organisation has: what both tell is the same.
        """
        number = self.last_change(entity_id)
        return number, map(rows.current_link_of, self._paged("some_current_links", entity_id))

    # The audit

    def record(  # noqa: PLR0913, PLR0917 - the columns of a line
        self,
        entity_id: str,
        kind: str,
        actor: str,
        person_key: str | None,
        facts: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Write a line of the audit about something that changed no link."""
        with self._holding(entity_id, now) as held:
            held.event(kind, actor, person_key, facts)

    def events(
        self, entity_id: str, person_key: str | None = None, *, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[Event]:
        """Give the events of an organisation, or of one person there, a page at a time."""
        query = "events_before" if newest_first else "events_after"
        whose = {"organisation": entity_id}
        if person_key is not None:
            query, whose = f"person_{query}", {**whose, "person_key": person_key}
        side, mark = query.rsplit("_", 1)[1], _BEYOND if newest_first else 0
        wanted = _BEYOND if limit is None else limit
        while wanted > 0:
            page = self.engine.fetch_all(query, **whose, **{side: mark}, limit=min(wanted, PAGE))
            yield from map(rows.event_of, page)
            if len(page) < PAGE:
                return
            wanted, mark = wanted - len(page), page[-1]["number"]

    def verify_events(self, entity_id: str) -> list[str]:
        """Walk along an organisation's audit and tell each place where it does not hold; nothing means it is sound."""
        end = self.engine.fetch_one("end_of_chain", organisation=entity_id)
        if end is None:
            return ["events are there, and the row that counts them is not"] if self._first_event(entity_id) else []
        counted = end["counted"]
        found, number, last_hash = self._walk(entity_id, counted)
        if number < counted:
            found.append(f"the last events are missing: {counted} were written, and the last one found is {number}")
        elif last_hash != end["last_event_hash"]:
            found.append(f"event {number} is not the one that was written last")
        if end["highest"] > counted:
            found.append(f"there are events after number {counted}, which this program did not write")
        return found

    def _first_event(self, entity_id: str) -> bool:
        return bool(self.engine.fetch_all("events_after", organisation=entity_id, after=0, limit=1))

    def _walk(self, entity_id: str, counted: int) -> tuple[list[str], int, str]:
        # No further than was counted: what is written while we walk is not our business
        found: list[str] = []
        number, last_hash = 0, ""
        while page := self.engine.fetch_all("events_after", organisation=entity_id, after=number, limit=PAGE):
            for row in page:
                if row["number"] > counted:
                    return found, number, last_hash
                found += audit.problems(last_hash, number + 1, row)
                number, last_hash = row["number"], row["hash"]
        return found, number, last_hash


def _held_attempt(held: Held, attempt_id: str) -> tuple[Row, Attempt | None]:
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


def _current(held: Held, row: Row) -> Link | None:
    if row["own_link"] is None:
        return None
    (link,) = held.session.fetch_all("link_of", organisation=row["organisation"], person_key=row["person_key"])
    return rows.link_of(link)


def _must_be_free(holder: str | None, new: Link) -> None:
    if holder not in {None, new.person_key}:
        raise HeldBySomeoneElse(new.orcid_id)


def _confirmed(held: Held, attempt: Attempt, current: Link, consent: Consent) -> None:
    held.close(attempt, "unchanged")
    held.event("unchanged", "person", attempt.person_key, _facts(current, consent))


def _linked(held: Held, attempt: Attempt, current: Link | None, new: Link, transfers: Sequence[str]) -> Change:
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
