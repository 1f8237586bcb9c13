"""The transfer of kind `orcid` against ORCID's simulator."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from demo.orcid.simulator import Client
from resolver_connector.orcid.affiliation import SCOPE, AffiliationTransfer
from resolver_connector.orcid.clients import OrcidClients, OrcidCredentials
from resolver_connector.orcid.member_api import INTERVAL, LONGEST_WAIT, MemberApi
from resolver_connector.orcid.revocation import RevocationQueue, Revoker
from resolver_connector.orcid.sealing import TokenPair, TokenSealer
from resolver_connector.orcid.tokens import GrantedTokens, TokenService
from resolver_connector.transfers.orcid import OrcidTransfer
from shibboleth.orcid_id import Registry
from sql.records import Affiliation, AffiliationSection
from tests.support.delivery import LogRecorder, make_worker
from tests.support.factories import NOON, UNIVERSITY, answered, make_consent
from tests.support.service import orcid_id

NAME = "records"
"""The name of the transfer."""
KEY = "k" * 43 + "="
ACCOUNT = "maija@yliopisto.example"
MAIJA, OTHER = "0009-0000-0001-1111", "0009-0000-0002-2224"
ROR = "https://ror.org/040af2s02"
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Example University", (), kind="member")
REQUIRED = {"organisation": "Example University", "city": "Helsinki", "country": "FI", "ror": ROR}
SETTINGS = OrcidTransfer(**REQUIRED, department="ou", title="title")
STAFF = Affiliation(frozenset({AffiliationSection.EMPLOYMENT}), "Department of Examples", "University Lecturer")
STUDENT = Affiliation(frozenset({AffiliationSection.EDUCATION}))
BOTH = replace(STAFF, sections=frozenset(AffiliationSection))
NOTHING = Affiliation()


def make_tokens(store, base_url):
    """Build what keeps the tokens of the university's own client."""
    own = OrcidCredentials(MEMBER.client_id, MEMBER.secret, base_url, Registry.SANDBOX)
    clients = OrcidClients(replace(own, client_id="APP-SERVICE"), {UNIVERSITY: own})
    return TokenService(store, clients, TokenSealer([KEY]), Revoker(), LogRecorder())


def make_transfer(store, tokens, base_url, clock, settings=SETTINGS):
    """Build the transfer, with the rate that all processes share."""
    reserve = store.affiliations.reserve_request
    url = f"{base_url}/api/v3.0"
    api = MemberApi(url, lambda client: reserve(client, clock(), INTERVAL, LONGEST_WAIT), 2, 2)
    return AffiliationTransfer(settings, store, tokens, api)


@dataclass
class Bench:
    """A person with a link, and a worker that writes to the record."""

    store: object
    simulator: object
    settings: OrcidTransfer = SETTINGS
    now: datetime = NOON
    account: str = ACCOUNT
    tokens: TokenService | None = None
    client: Client = MEMBER

    def __post_init__(self):
        self.simulator.clients[MEMBER.client_id] = MEMBER
        self.tokens = make_tokens(self.store, self.simulator.base_url)

    # The person

    def link(self, bare=MAIJA, scopes=(SCOPE,), issued=""):
        """Link the iD, in place of an earlier one, with these scopes."""
        earlier, attempt = self.current, answered(self.store, self.account, orcid_id(bare), now=self.now)
        self.grant(bare, scopes, attempt)
        self.store.links.add(
            attempt,
            issued,
            make_consent(at=self.now),
            earlier and earlier.orcid_id,
            self.now,
            f"link-of-{attempt.id}",
            (NAME,),
        )

    def grant(self, bare=MAIJA, scopes=(SCOPE,), attempt=None):
        """Permit at ORCID, as when the iD is connected again."""
        pair = self.simulator.issue_tokens(self.client.client_id, bare, scopes)
        granted = GrantedTokens(TokenPair(pair.access, pair.refresh), frozenset(scopes))
        known = attempt or answered(self.store, self.account, orcid_id(bare), now=self.now)
        assert self.tokens.store_sealed(granted, known, self.tokens.clients.organisations[UNIVERSITY], self.now)
        if attempt is None:
            self.store.attempts.close_for_link(known.id, "unchanged", self.current, self.now)
        return pair.access

    @property
    def current(self):
        return self.store.links.get(UNIVERSITY, self.account)

    def permit(self, said=STAFF):
        assert self.store.affiliations.permit(self.current, make_consent(at=self.now), said, NAME, self.now)

    def say(self, said):
        return self.store.affiliations.record_said(self.current, said, NAME, self.now)

    def stop(self):
        return self.store.affiliations.withdraw(self.current, NAME, self.now)

    def remove(self):
        self.store.links.remove(UNIVERSITY, self.account, "person", "own wish", self.now, transfers=(NAME,))

    def permission(self):
        return self.store.affiliations.permission(self.current.id)

    def rows(self):
        """Section, state and whether the put-code is known of each item."""
        found = self.store.affiliations.list_items(UNIVERSITY, self.account)
        return sorted((each.section.value, each.state.value) for each in found)

    def change_client(self, *, former, transfers=MappingProxyType({UNIVERSITY: NAME})):
        """Give the organisation another ORCID client; keep the former one."""
        self.client = Client("APP-MEMBER0000000002", "another secret", "Example University", (), kind="member")
        self.simulator.clients[self.client.client_id] = self.client
        clients = self.tokens.clients
        earlier = clients.organisations[UNIVERSITY]
        own = replace(earlier, client_id=self.client.client_id, client_secret=self.client.secret)
        clients = replace(clients, organisations={UNIVERSITY: own}, former=(earlier,) if former else ())
        self.tokens = replace(self.tokens, clients=clients)
        self.store.orcid_tokens.make_due(self.now, [each.client_id for each in clients.former], transfers)

    # The worker

    def revoke(self):
        """Let the worker revoke what is due."""
        tokens = self.tokens
        RevocationQueue(self.store, tokens.clients, tokens.sealer, Revoker(), LogRecorder(), lambda: self.now).run()

    def transfer(self):
        return make_transfer(self.store, self.tokens, self.simulator.base_url, lambda: self.now, self.settings)

    def work(self, *, minutes=5):
        """Let the worker work, and return the outcome of the newest delivery."""
        self.now += timedelta(minutes=minutes)
        self.simulator.call_log.clear()
        report = LogRecorder()
        make_worker(self.store, {NAME: self.transfer()}, lambda: self.now, report).run_once()
        assert report.bugs == []
        return self.delivery().outcome

    def delivery(self):
        return self.store.deliveries.newest_of_transfer(UNIVERSITY, self.account, NAME)

    # The record

    def items(self, kind="employment", bare=MAIJA):
        return [each for each in self.simulator.items(bare, kind) if each.client_id == self.client.client_id]

    def add_item_of_another_system(self, **changes):
        """Add an employment that another system wrote with the same client."""
        organisation = {
            "name": "Example University",
            "address": {"city": "Helsinki", "region": None, "country": "FI"},
            "disambiguated-organization": {
                "disambiguated-organization-identifier": ROR,
                "disambiguation-source": "ROR",
            },
        }
        body = {
            "department-name": "Physics",
            "role-title": "Professor",
            "start-date": {"year": {"value": "2024"}, "month": {"value": "08"}, "day": None},
            "end-date": None,
            "organization": organisation,
            "url": None,
            "external-ids": {"external-id": []},
        }
        return self.simulator.add_item(MAIJA, "employment", MEMBER.client_id, body | changes)

    def requests(self):
        """The methods and sections of the requests since the worker began."""
        found = self.simulator.call_log.list_requests()
        paths = [(each["method"], each["path"].partition(MAIJA)[2]) for each in found if "/v3.0/" in each["path"]]
        return [f"{method} {re.sub(r'[0-9]+', 'n', path)[1:]}" for method, path in paths]
