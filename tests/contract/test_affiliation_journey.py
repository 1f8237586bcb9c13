"""From the start page to the removal, with the record at ORCID after each step."""

from __future__ import annotations

import html
from datetime import timedelta

import pytest

from resolver_connector.orcid.revocation import RevocationQueue, Revoker
from tests.support.affiliation import NAME, SETTINGS, make_transfer
from tests.support.delivery import LogRecorder, make_worker
from tests.support.factories import UNIVERSITY
from tests.support.service import (
    MAIJA,
    OWN_CLIENT_ID,
    Clock,
    WebClient,
    authorize_at_orcid,
    make_web_app,
    with_own_client,
    with_settings,
)
from webapp.app import make_app

ACCOUNT = "maija@yliopisto.example"
ALL = {"read-limited": "yes", "activities-update": "yes"}
STAFF = {"eduPersonScopedAffiliation": "staff@yliopisto.example", "ou": "Library", "title": "Librarian"}


class Journey:
    """Maija, her browser, the worker and her record."""

    def __init__(self, store, simulator, client):
        self.store, self.simulator, self.clock = store, simulator, Clock()
        simulator.reset()
        simulator.clock = self.clock
        front = with_own_client(make_web_app(store, client, self.clock), simulator)
        self.front = with_settings(front, UNIVERSITY, transfers={NAME: SETTINGS})
        self.maija = WebClient(make_app(self.front), said=STAFF)

    def visit_orcid(self, **permissions):
        """Choose permissions, authorise, and give the address that the browser comes back to."""
        form = {"token": self.maija.get("/me/start").field("token"), "chosen": "yes", **permissions}
        address = self.maija.post("/me/start", form).header("Location")
        return self.maija.get(authorize_at_orcid(self.simulator, address, MAIJA)).location

    def link(self, *, tick, **permissions):
        place = self.visit_orcid(**permissions)
        return self.maija.agree(place, affiliation="yes" if tick else None)

    def work(self):
        """Let the worker do what is due, revocations too."""
        self.clock.now += timedelta(minutes=5)
        tokens, clock = self.front.context.linking.tokens, self.clock
        transfer = make_transfer(self.store, tokens, self.simulator.base_url, clock, SETTINGS)
        report = LogRecorder()
        make_worker(self.store, {NAME: transfer}, clock, report).run_once()
        RevocationQueue(self.store, tokens.clients, tokens.sealer, Revoker(), report, clock).run()
        assert report.bugs == []

    def record(self):
        """Title and whether it has an end, of each employment of the organisation's client."""
        items = [each for each in self.simulator.items(MAIJA, "employment") if each.client_id == OWN_CLIENT_ID]
        return [(each.body["role-title"], each.body["end-date"] is not None) for each in items]

    def live(self):
        return [each for each in self.simulator.live_tokens(MAIJA) if each.client_id == OWN_CLIENT_ID]

    def page(self):
        return html.unescape(" ".join(self.maija.get("/me/affiliation").text.split()))


@pytest.fixture
def journey(store, running_simulator):
    return Journey(store, *running_simulator)


def test_all_allowed_and_ticked_then_removed(journey):
    page = journey.maija.get(journey.visit_orcid(**ALL))
    assert '<input type="checkbox" id="affiliation" name="affiliation" value="yes">' in page.text
    # Without the first tick nothing happens, and the second one is kept
    again = journey.maija.agree(page_address(journey, page), agree=None, affiliation="yes")
    assert (again.status, 'name="affiliation" value="yes" checked>' in again.text) == (422, True)
    assert journey.maija.agree(page_address(journey, page), affiliation="yes").status == 303
    journey.work()
    assert journey.record() == [("Librarian", False)]
    assert "The entry is on your ORCID record." in journey.page()

    form = {"token": journey.maija.token(), "shown": f"https://sandbox.orcid.org/{MAIJA}"}
    journey.maija.post("/me/remove", form)
    assert len(journey.live()) == 1
    journey.work()
    assert journey.record() == [("Librarian", True)]
    assert journey.live() == []


def page_address(journey, page):
    return page.text.partition('action="')[2].partition('"')[0]


def test_the_permission_left_out_offers_no_tick(journey):
    place = journey.visit_orcid(**{"read-limited": "yes"})
    assert 'name="affiliation"' not in journey.maija.get(place).text
    journey.maija.agree(place, affiliation="yes")
    journey.work()
    assert journey.record() == []
    assert "You have not given your organisation permission at ORCID" in journey.page()

    # Permitted on another visit, which needs no confirmation
    journey.visit_orcid(**ALL)
    journey.work()
    assert journey.record() == [("Librarian", False)]


def test_taken_back_at_orcid_and_permitted_again(journey):
    journey.link(tick=True, **ALL)
    journey.work()
    journey.simulator.revoke_grants(MAIJA, OWN_CLIENT_ID)
    journey.maija.said = {**STAFF, "title": "Head Librarian"}
    journey.maija.get("/me")
    journey.work()
    assert journey.record() == [("Librarian", False)]
    assert "You have not given your organisation permission at ORCID" in journey.page()
    assert journey.store.links.get(UNIVERSITY, ACCOUNT) is not None

    journey.visit_orcid(**ALL)
    journey.work()
    assert journey.record() == [("Head Librarian", False)]


def test_permissions_given_back_here_end_the_entry_first(journey):
    journey.link(tick=True, **ALL)
    journey.work()
    form = {"token": journey.maija.token(), "shown": f"https://sandbox.orcid.org/{MAIJA}"}
    assert "as you agreed. Then the permission ends at ORCID too" in journey.maija.get("/me").text
    assert journey.maija.post("/me/permissions/remove", form).status == 303

    journey.work()
    assert journey.record() == [("Librarian", True)]
    assert journey.live() == []
    assert journey.store.links.get(UNIVERSITY, ACCOUNT) is not None


def test_without_the_tick_nothing_is_written(journey):
    journey.link(tick=False, **ALL)
    journey.work()
    assert journey.record() == []
    assert len(journey.live()) == 1
