"""Accounts and iDs that change hands: what people see, and what connector, feed and receiver have after each step.

On both engines, each with a demonstration of its own, since a merger cannot be undone.
"""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.browser.user import AKE, MAIJA, OTHER_ID, PIIA, BrowserUser, orcid_uri
from tests.support.processes.demo import running_demo
from webapp.cli.main import main

NORTH, ISLES = "pohjoinen", "saaristo"
OLD, NEW = "maija@pohjoinen.example", "maija.uusi@pohjoinen.example"
HANAKO = "hanako@pohjoinen.example"
FIRST_HOLDER, SECOND_HOLDER = "a1@pohjoinen.example", "b2@pohjoinen.example"
LONG_AGO = "2026-01-15T12:00:00.000000Z"
CLAIMED = "This ORCID iD is connected to another account"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_demo(request, tmp_path_factory):
    url = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        url = server.url(server.make_database())
    with running_demo(tmp_path_factory.mktemp("demo"), url) as demo_process:
        yield demo_process


@pytest.fixture
def demo(shared_demo):
    """The demonstration, with nobody linked and everyone as in the beginning."""
    shared_demo.change_person()
    with shared_demo.store() as store:
        for organisation, transfers in ((NORTH, ("register",)), (ISLES, ())):
            for link in [*store.links.list_current(organisation)]:
                store.links.remove(
                    organisation, link.person_key, "person", "the end", link.linked_at, transfers=transfers
                )
    shared_demo.reset()
    return shared_demo


@pytest.fixture
def user(demo, shared_browser):
    shared_browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return BrowserUser(shared_browser.driver, demo.base_url)


def run(demo, *words):
    """Run a command of the operator, and give what it prints."""
    password = urlsplit(demo.url).password
    words = ["--config", str(demo.directory / "orcid-connect.toml"), *words]
    done = CliRunner().invoke(main, words, env={"PGPASSWORD": password} if password else None)
    assert done.exit_code == 0, done.output
    return done.output


def changes(demo, organisation=NORTH, number=1):
    """Give the last changes of an organisation's feed."""
    with demo.store() as store:
        found = store.changes.list_after(organisation, store.changes.last_number(organisation) - number, number)
    return [(each.kind, each.account, each.previous_account) for each in found]


def wait_for_register(demo, **expected):
    """Wait until the university's identity management has these iDs, by account without scope."""
    end = time.monotonic() + 60
    while True:
        text = requests.get(f"{demo.base_url}/identity-management/", timeout=60).text
        rows = re.findall(r"<dt><bdi>([\w.]+)@pohjoinen\.example</bdi></dt>\s*<dd>(.*?)</dd>", text, re.DOTALL)
        found = {account: re.findall(r"(?:\d{4}-){3}\d{3}[\dX]", ids) for account, ids in rows}
        if all(found.get(account) == ids for account, ids in expected.items()):
            return
        assert time.monotonic() < end, found
        time.sleep(0.05)


def claims(user, account, holder, orcid):
    """Link an iD, claim it with another account, and give the address of the claim."""
    user.link(holder, orcid).sign_out().sign_in(account).expect_heading("Your ORCID iD")
    user.press("Create or connect your ORCID iD").expect_heading(CLAIMED)
    return urlsplit(user.address).path


def test_a_reassigned_account_does_not_keep_the_earlier_holders_id(user, demo):
    demo.change_person("maija", subject_id=FIRST_HOLDER)
    user.link("maija", MAIJA).sign_out()
    wait_for_register(demo, maija=[MAIJA])

    demo.change_person("maija", subject_id=SECOND_HOLDER)
    by_holder = [demo.get_released_id(OLD, NORTH, stable_id=each) for each in (FIRST_HOLDER, SECOND_HOLDER)]
    assert by_holder == [[orcid_uri(MAIJA)], []]
    user.sign_in("maija").expect_heading("Your ORCID iD")

    assert "Not connected" in user.text
    assert MAIJA not in user.driver.page_source
    assert demo.get_released_id(OLD, NORTH) == []
    assert changes(demo) == [("removed", OLD, None)]
    wait_for_register(demo, maija=[])


def test_a_person_whose_account_was_renamed_moves_the_id(user, demo):
    demo.change_person("maija", subject_id=FIRST_HOLDER)
    user.link("maija", MAIJA).sign_out()
    with demo.database() as database:
        database.execute("update links set last_seen_on = '2026-01-15'")
    demo.change_person("maija", account="maija.uusi")

    user.sign_in("maija").expect_heading("Your ORCID iD")
    assert OLD in user.text
    assert demo.get_released_id(OLD, NORTH) == [orcid_uri(MAIJA)]
    user.press("Move the connection to this account").expect_heading("Your account has a new name", "move")
    assert [each for each in (OLD, NEW, orcid_uri(MAIJA)) if each not in user.text] == []
    user.press_button("Move the connection to this account").expect_heading("Your ORCID iD")

    assert orcid_uri(MAIJA) in user.text
    assert [demo.get_released_id(each, NORTH) for each in (OLD, NEW)] == [[], [orcid_uri(MAIJA)]]
    assert changes(demo) == [("moved", NEW, OLD)]
    wait_for_register(demo, **{"maija": [], "maija.uusi": [MAIJA]})


def test_the_holder_of_an_id_moves_it_to_the_account_that_claims_it(user, demo):
    claim = claims(user, "hanako", "maija", MAIJA)
    user.screenshot("claim")
    assert "maija@" not in user.text

    user.sign_out().sign_in("maija").expect_heading("Your ORCID iD").visit(claim)
    user.expect_heading("Move your ORCID iD to another account?", "claim-holder")
    assert HANAKO in user.text
    user.press("Move the connection to that account").expect_heading("Your ORCID iD")

    assert [demo.get_released_id(each, NORTH) for each in (OLD, HANAKO)] == [[], [orcid_uri(MAIJA)]]
    assert changes(demo) == [("moved", HANAKO, OLD)]
    wait_for_register(demo, maija=[], hanako=[MAIJA])


def test_the_operator_moves_an_id_to_the_account_that_claims_it(user, demo):
    claims(user, "hanako", "maija", MAIJA)
    user.sign_out().visit("/operator/people").expect_heading("Sign in at your organisation").click_id("sign-in-olli")
    user.expect_heading("One person's connection")
    Select(user.driver.find_element(By.ID, "organisation")).select_by_visible_text("University of the North")
    for name, words in (("whom", MAIJA), ("reason", "she has lost her earlier account")):
        user.driver.find_element(By.ID, name).send_keys(words)
    user.press("Search (this is logged)").expect_heading("One person's connection")
    user.wait_until(lambda: "Another account claims this iD" in user.text, "the claim")
    assert HANAKO in user.text
    user.driver.find_element(By.ID, "claim-reason-1").send_keys("both accounts are hers")
    user.press("Move the connection to the account that claims it").expect_heading(
        "One person's connection", "operator-moved"
    )
    user.wait_until(lambda: "The connection was moved to the account that claimed the iD" in user.text, "the move")

    assert [demo.get_released_id(each, NORTH) for each in (OLD, HANAKO)] == [[], [orcid_uri(MAIJA)]]
    assert changes(demo) == [("moved", HANAKO, OLD)]
    wait_for_register(demo, maija=[], hanako=[MAIJA])
    user.sign_out().sign_in("hanako").expect_heading("Your ORCID iD")
    assert "both accounts are hers" in user.text


def test_an_unconfirmed_claim_expires(user, demo):
    claim = claims(user, "hanako", "maija", MAIJA)
    with demo.database() as database:
        database.execute("update attempts set claim_expires_at = '2026-01-15T12:00:00.000000Z'")

    user.visit(claim)
    user.wait_until(lambda: "/me/result/" in user.address, "the result")
    user.sign_out().sign_in("maija").expect_heading("Your ORCID iD").visit(claim).expect_heading(
        "This was started by someone else"
    )

    assert [demo.get_released_id(each, NORTH) for each in (OLD, HANAKO)] == [[orcid_uri(MAIJA)], []]
    assert changes(demo) == [("linked", OLD, None)]
    wait_for_register(demo, maija=[MAIJA], hanako=[])


def test_an_id_that_orcid_merged_is_replaced_by_the_worker(user, demo):
    user.link("ake", AKE)
    demo.post_orcid_admin("users", orcid=AKE, state="deprecated", primary=OTHER_ID)
    look_up = ("link", "status", ISLES, "ake@saaristo.example")
    assert f"merged into {orcid_uri(OTHER_ID)}" in run(demo, *look_up)
    assert demo.get_released_id("ake@saaristo.example", ISLES) == [orcid_uri(AKE)]
    with demo.database() as database:
        database.execute(f"update links set record_since = '{LONG_AGO}' where record_state = 'deprecated'")
    run(demo, *look_up)

    assert demo.get_released_id("ake@saaristo.example", ISLES) == [orcid_uri(OTHER_ID)]
    assert changes(demo, ISLES) == [("replaced", "ake@saaristo.example", None)]
    user.visit("/me").expect_heading("Your ORCID iD", "me-replaced")
    assert orcid_uri(OTHER_ID) in user.text
    assert "ORCID has merged your ORCID iD into another one" in user.text


def test_links_move_when_organisations_merge(user, demo):
    user.link("piia", PIIA).sign_out()
    merge = ("organisation", "merge", ISLES, NORTH, "--scope", "saaristo.example=pohjoinen.example")
    assert "1 link would move" in run(demo, *merge)
    assert demo.get_released_id("piia@saaristo.example", ISLES) == [orcid_uri(PIIA)]

    assert "1 link moved" in run(demo, *merge, "--yes")
    demo.change_person("piia", organisation=NORTH)
    user.sign_in("piia").expect_heading("Your ORCID iD", "me-merged")

    assert orcid_uri(PIIA) in user.text
    assert "Your organisation became part of another one" in user.text
    assert demo.get_released_id("piia@pohjoinen.example", NORTH) == [orcid_uri(PIIA)]
    assert changes(demo) == [("linked", "piia@pohjoinen.example", None)]
    assert changes(demo, ISLES) == [("removed", "piia@saaristo.example", None)]
    wait_for_register(demo, piia=[PIIA])
