"""Whoever reads the feed by the three rules of its page ends with what the store holds, whatever happens meanwhile."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count, islice
from urllib.parse import urlencode

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from shibboleth.orcid_id import Registry
from sql.errors import OrcidIdInUse
from tests.support.factories import NOON, make_client, make_link, make_orcid_id, make_organisation

ORGANISATIONS = count(1)
TOKEN = "t" * 40
people = st.sampled_from(["maija@x", "ville@x", "мария@x", "åke@x"])
ids = st.builds(make_orcid_id, st.integers(1, 5))


class Reading(RuleBasedStateMachine):
    """People link and remove, old changes are forgotten, and a job fetches at its own pace."""

    def __init__(self, store, lookup):
        super().__init__()
        self.store, self.now = store, NOON
        self.organisation = make_organisation(f"feed-{next(ORGANISATIONS)}")
        credentials = Credentials([(Bearer(TOKEN), make_client(self.organisation))])
        self.connector = Connector(store, credentials, Registry.PRODUCTION, lambda: self.now, lookup=lookup)
        self.token, self.copy, self.pieces, self.begun = None, {}, None, b""

    @rule(person=people, orcid_id=ids)
    def link(self, person, orcid_id):
        self.now += timedelta(minutes=1)
        try:
            make_link(self.store, person, orcid_id, self.organisation.id, self.now)
        except OrcidIdInUse:
            return

    @rule(person=people)
    def remove(self, person):
        self.store.links.remove(self.organisation.id, person, "person", "asked to", self.now)

    @rule(person=people)
    def leave(self, person):
        self.store.retention.deprovision(self.organisation.id, person, self.now)

    @rule(minutes=st.integers(0, 9))
    def forget(self, minutes):
        self.store.changes.delete_before(self.now - timedelta(minutes=minutes))

    @rule(limit=st.integers(1, 4))
    def fetch_a_page(self, limit):
        if self.token is not None:
            self.fetched(limit)

    @rule(pieces=st.integers(1, 3))
    def begin_a_snapshot(self, pieces):
        if self.token is None and self.pieces is None:
            _, self.pieces = self.ask()
            self.begun = b"".join(islice(self.pieces, pieces))

    @rule()
    def end_a_snapshot(self):
        if self.pieces is not None:
            whole = json.loads(self.begun + b"".join(self.pieces))
            self.pieces.close()
            self.pieces, self.copy = None, {}
            self.puts_down(whole)

    def fetched(self, limit):
        """Fetch a page, and tell whether there is more; or find that one has to start over."""
        status, body = self.ask(cursor=self.token, limit=limit)
        if status == "410":
            self.token = None
            return True
        return self.puts_down(json.loads(b"".join(body)))

    def ask(self, **fields):
        told = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/v1/changes",
            "QUERY_STRING": urlencode(fields),
            "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        }
        body = self.connector(environ, lambda status, _headers: told.append(status[:3]))
        return told[0], body

    def puts_down(self, answer):
        self.copy |= {each["person"]["value"]: each["orcid"] for each in answer["changes"]}
        self.token = answer["next_cursor"]
        return answer["has_more"]

    def teardown(self):
        more = True
        while more:
            self.begin_a_snapshot(pieces=1)
            self.end_a_snapshot()
            more = self.fetched(limit=3)

        held = {link.account: link.orcid_id.uri for link in self.store.links.list_current(self.organisation.id)}
        assert {person: orcid for person, orcid in self.copy.items() if orcid} == held


def test_a_reader_that_follows_the_rules_misses_no_change(store, monkeypatch):
    monkeypatch.setattr("sql.repositories.base.PAGE_SIZE", 2)
    monkeypatch.setattr("resolver_connector.feed.BATCH_SIZE", 1)
    lookup = store.lookup()
    run_state_machine_as_test(
        lambda: Reading(store, lookup),
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    lookup.close()
