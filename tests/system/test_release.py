"""The whole circle: what a person links here, their own Identity Provider gives to other services, and to us again."""

from __future__ import annotations

import re
import signal
import time
from contextlib import contextmanager

import pytest

from demo.orcid.people import PEOPLE
from tests.support.system.client import HttpBrowser
from tests.support.system.other_services import CANTEEN, JOURNAL, running_beside
from tests.support.system.people import SAIMAA
from tests.support.system.service import METRICS_TOKEN, command, start
from tests.support.system.user import FederatedUser

VEERAS, ONNIS = f"https://sandbox.orcid.org/{PEOPLE[9].orcid}", f"https://sandbox.orcid.org/{PEOPLE[8].orcid}"
TOLD = re.compile(r'<span id="(\w+)">(.*?)</span>')
FIGURE = r'^orcid_connect_{}\{{organisation="saimaa"\}} (\S+)$'
NOTHING = "(none)"
"""How Apache writes a variable that is not there."""

UNSEEN = "We have not yet seen your organisation share this iD"
SEEN = "Your organisation shares this iD with services"


@pytest.fixture(scope="session")
def neighbours(service):
    """A journal, which asks for the iD, and a canteen, which does not, in the federation of the service."""
    with running_beside(service.stack) as started:
        yield started


@pytest.fixture
def told(neighbours):
    """Sign in at another service with a fresh browser, and give what it was told."""

    def tell(account, at=JOURNAL):
        with HttpBrowser(neighbours.stack) as somebody:
            ask_who = somebody.visit(neighbours.address(at))
            page = somebody.submit(somebody.submit(ask_who, person=account))
            return dict(TOLD.findall(page.content.decode()))

    return tell


@pytest.fixture
def counted(service):
    """What a monitoring system reads of Saimaa's people: how many are linked, and of how many the release was seen."""

    def count():
        with HttpBrowser(service.stack) as monitoring:
            said = monitoring.visit("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
        figures = ("links", "links_release_seen")
        return tuple(int(float(re.search(FIGURE.format(figure), said, re.MULTILINE)[1])) for figure in figures)

    return count


def checked(service):
    """What `check` says of them."""
    said = command(service.stack, service.configuration, "check")
    (numbers,) = re.findall(r"saimaa, linked (\d+), release seen (\d+)", said)
    return tuple(map(int, numbers))


class Reader(FederatedUser):
    """A person who reads a journal, too."""

    def __init__(self, service, browser, account, journal):
        super().__init__(service, browser, account)
        self.journal = journal

    def is_known_to_the_journal_as(self):
        """Sign in there, and give the iD that it was told."""
        self.browser.open(f"{self.journal}/Shibboleth.sso/Logout")
        self.browser.open(self.journal)
        self.browser.wait_for_heading(f"Sign in: {SAIMAA.name}")
        self.browser.press(self.account)
        self.browser.wait_for_heading("What we were told")
        assert self.browser.text_of("eppn") == f"{self.account}@{SAIMAA.scope}"
        return self.browser.text_of("eduPersonOrcid")


# Behind one front, which is enough of clicking: what the other passes on, the next test sees
@pytest.mark.parametrize("service", ["variables"], indirect=True)
def test_what_is_linked_here_is_known_there_after_the_next_sign_in_until_it_is_removed(
    service, neighbours, browser, told, counted
):
    veera = Reader(service, browser, "veera", neighbours.address(JOURNAL))
    linked, seen = counted()
    assert veera.is_known_to_the_journal_as() == NOTHING

    veera.sign_in()
    veera.link(VEERAS.rpartition("/")[2])
    browser.press("Go to your page")
    browser.wait_for_heading("Your ORCID iD")
    assert UNSEEN in browser.text
    assert counted() == (linked + 1, seen)
    veera.sign_out()

    assert veera.is_known_to_the_journal_as() == VEERAS
    browser.save_screenshot(f"system-{service.stack.front}-journal")
    assert told("veera", CANTEEN) == {
        "eppn": "veera@saimaa.example",
        "displayName": "Veera Väisänen",
        "eduPersonOrcid": NOTHING,
    }

    veera.sign_in()
    browser.save_screenshot(f"system-{service.stack.front}-release-seen")
    assert SEEN in browser.text
    assert counted() == checked(service) == (linked + 1, seen + 1)

    veera.remove_link()
    veera.sign_out()
    assert veera.is_known_to_the_journal_as() == NOTHING
    veera.sign_in()
    assert "Not connected" in browser.text
    assert VEERAS not in browser.text
    assert counted() == (linked, seen)


# A connector that is not there


@contextmanager
def broken(service):
    """Behind mod_wsgi: its script has an error in it, so Apache answers 500."""
    script = service.stack.etc / "connector.wsgi"
    whole = script.read_text()
    script.write_text("raise RuntimeError\n")
    yield
    script.write_text(whole)


@contextmanager
def away(service):
    """Its process has ended, so Apache answers 503."""
    service.stack.end("connector")
    yield
    start(service.stack, service.configuration, "connector")


@contextmanager
def silent(service):
    """Its process takes connections and says nothing."""
    process = service.stack.processes["connector"]
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


def is_well(service):
    with HttpBrowser(service.stack) as monitor:
        return monitor.visit("/v1/health").status_code == 200


def waits_until_it_is_well(service):
    end = time.monotonic() + 30
    while not is_well(service):
        assert time.monotonic() < end, "the connector did not come back"
        time.sleep(0.1)


TROUBLES = {"variables": (broken,), "proxy": (away, silent)}


@pytest.fixture
def onni(service):
    """Somebody whose iD is linked, and whose organisation was seen to release it."""
    for _ in range(2):
        with HttpBrowser(service.stack) as somebody:
            page = somebody.sign_in("onni")
            if "Not connected" in page.text:
                at_orcid = somebody.submit(somebody.submit(page), orcid=ONNIS.rpartition("/")[2])
                somebody.submit(somebody.submit(at_orcid), agree="yes")
    return "onni"


def test_without_the_connector_a_sign_in_brings_all_that_it_brought_before(service, told, onni):
    for trouble in TROUBLES[service.stack.front]:
        before = told(onni)

        with trouble(service):
            meanwhile, canteen = told(onni), told(onni, CANTEEN)
            with HttpBrowser(service.stack) as somebody:
                own_page = somebody.sign_in(onni)
            well = is_well(service) if trouble is not silent else False
        waits_until_it_is_well(service)

        assert not well
        assert before == {"eppn": "onni@saimaa.example", "displayName": "Onni Ääpelä", "eduPersonOrcid": ONNIS}
        assert meanwhile == canteen == before | {"eduPersonOrcid": NOTHING}
        assert own_page.status_code == 200
        assert (ONNIS.rpartition("/")[2] in own_page.text, SEEN in own_page.text) == (True, True)
        assert told(onni) == before
