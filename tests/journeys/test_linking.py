"""A person links, replaces and removes an iD, and services receive it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.support.browser.user import AKE, HANAKO, MAIJA, OTHER_ID, PIIA, orcid_uri
from webapp.cli.main import main


def test_maija_links_her_id_and_her_university_releases_it(user, demo):
    user.visit("/").expect_heading("Connect your ORCID iD to your organisation", "landing").press(
        "Sign in with your organisation"
    )
    user.expect_heading("Sign in at your organisation", "sign-in").click_id("sign-in-maija")
    user.expect_heading("Your ORCID iD", "me-without-id").press("Create or connect your ORCID iD")
    user.expect_heading("Sign in", "orcid-sign-in").click_id(f"sign-in-{MAIJA}")
    user.expect_heading("Authorize access", "orcid-authorize").authorize()
    user.expect_heading("Is this your ORCID iD?", "confirm").tick_consent().press("Connect this iD")
    user.expect_heading("Your ORCID iD is connected", "result-linked")

    assert orcid_uri(MAIJA) in user.text
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]
    user.visit("/service-provider").expect_heading("Another service", "service-provider")
    assert user.orcid_released_to_other_service("maija") == orcid_uri(MAIJA)
    user.screenshot("service-provider-received")


def test_a_person_whom_another_service_sent_here_goes_back_by_a_click(user):
    user.visit("/connect?return=https%3A%2F%2Fportal.test%2Forcid%3Fproject%3D7")
    user.expect_heading("Connect your ORCID iD")
    user.press("Suomi").expect_heading("Yhdistä ORCID-tunnisteesi").press("English")
    user.expect_heading("Connect your ORCID iD").press("Sign in with your organisation")
    user.expect_heading("Sign in at your organisation").click_id("sign-in-maija")
    user.expect_heading("Your ORCID iD").press("Svenska").expect_heading("Ditt ORCID-id").press("English")
    user.continue_to_orcid_as(MAIJA).authorize().confirm().expect_heading("Your ORCID iD is connected")

    user.press("Return to Research portal")

    # No such host is there, but the browser was on its way to this address
    user.wait_until(
        lambda: user.address == "https://portal.test/orcid?project=7&orcid_connect=linked", "the service's address"
    )


@pytest.mark.parametrize(
    ("account", "organisation", "orcid"),
    [("hanako", "pohjoinen", HANAKO), ("ake", "saaristo", AKE), ("piia", "saaristo", PIIA)],
)
def test_people_of_every_connected_organisation_link(user, demo, account, organisation, orcid):
    user.link(account, orcid).screenshot(f"result-linked-{account}")

    assert demo.get_released_id(f"{account}@{organisation}.example", organisation) == [orcid_uri(orcid)]
    assert user.orcid_released_to_other_service(account) == orcid_uri(orcid)


def test_the_release_is_detected_at_the_next_sign_in(user):
    user.link("maija", MAIJA).visit("/me").expect_heading("Your ORCID iD")
    assert "We have not yet seen your organisation share this iD" in user.text

    user.sign_out().sign_in("maija").expect_heading("Your ORCID iD", "me-release-seen")
    assert "Your organisation shares this iD with services: first seen here on" in user.text

    user.visit("/Shibboleth.sso/Session").expect_heading("Session at the Service Provider", "session")
    assert f"https%3A%2F%2Fsandbox.orcid.org%2F{MAIJA}" in user.text


def test_the_displayed_release_changes_only_at_the_next_sign_in(user):
    user.link("maija", MAIJA).sign_out().sign_in("maija").expect_heading("Your ORCID iD")
    user.press("Remove the connection").press_button("Remove the connection").expect_heading(
        "The connection has been removed"
    )

    user.visit("/me").expect_heading("Your ORCID iD", "me-release-ending")
    assert "your organisation still shared the iD below" in user.text
    assert orcid_uri(MAIJA) in user.text

    user.sign_out().sign_in("maija").expect_heading("Your ORCID iD")
    assert orcid_uri(MAIJA) not in user.text


def test_each_page_leads_to_the_next_step_from_linking_to_removal(user, demo):
    """Only the first address is typed; all else is a link or button of the page."""
    user.visit("/").expect_heading("Connect your ORCID iD to your organisation").press("Sign in with your organisation")
    user.expect_heading("Sign in at your organisation").click_id("sign-in-maija").continue_to_orcid_as(
        MAIJA
    ).authorize()
    user.confirm().expect_heading("Your ORCID iD is connected")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]

    user.press("Go to your page").expect_heading("Your ORCID iD").press("Remove the connection")
    user.expect_heading("Remove the connection").press_button("Remove the connection").expect_heading(
        "The connection has been removed"
    )
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.sign_out()


def test_a_person_who_denies_comes_back_and_links(user, demo):
    user.sign_in("maija").continue_to_orcid_as(MAIJA).deny()
    user.expect_heading("You did not give permission at ORCID", "result-declined")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.press("Try again").expect_heading("Authorize access").authorize()
    user.confirm().expect_heading("Your ORCID iD is connected")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_a_person_replaces_the_id_seeing_the_old_one_and_the_new_one(user, demo):
    user.link("maija", MAIJA).press("Go to your page").expect_heading("Your ORCID iD", "me-with-id")
    user.visit("/orcid/signout").visit("/me").press("Connect another ORCID iD instead")
    user.screenshot("me-unfolded")
    user.press("Connect another ORCID iD").sign_in_at_orcid(OTHER_ID).authorize()

    user.expect_heading("Replace your ORCID iD?", "confirm-replacing")
    assert orcid_uri(MAIJA) in user.text
    assert orcid_uri(OTHER_ID) in user.text
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]

    user.confirm("Replace the iD").expect_heading("Your new ORCID iD is connected", "result-replaced")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(OTHER_ID)]
    assert user.orcid_released_to_other_service("maija") == orcid_uri(OTHER_ID)


def test_a_person_whose_id_orcid_merged_into_another_connects_that_one(user, demo):
    user.link("maija", MAIJA)
    demo.post_orcid_admin("users", orcid=MAIJA, state="deprecated", primary=OTHER_ID)
    words = ["--config", str(demo.directory / "orcid-connect.toml"), "link", "status", "pohjoinen"]
    done = CliRunner().invoke(main, [*words, "maija@pohjoinen.example"], catch_exceptions=False)
    assert f"merged into {orcid_uri(OTHER_ID)}" in done.output

    user.visit("/orcid/signout").visit("/me").expect_heading("Your ORCID iD", "me-deprecated")
    assert "ORCID has merged this iD into another one." in user.text
    user.press("Connect the iD that is in use now").sign_in_at_orcid(OTHER_ID).authorize()
    user.expect_heading("Replace your ORCID iD?").confirm("Replace the iD").expect_heading(
        "Your new ORCID iD is connected"
    )

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(OTHER_ID)]
    user.visit("/me").expect_heading("Your ORCID iD")
    assert "merged" not in user.text


def test_maija_removes_her_id_and_it_is_gone_everywhere(user, demo):
    user.link("maija", MAIJA).visit("/me").press("Remove the connection")
    user.screenshot("me-removing")
    user.press_button("Remove the connection")
    user.expect_heading("The connection has been removed", "removed")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []
    assert user.orcid_released_to_other_service("maija") == "not released"
    user.visit("/me").expect_heading("Your ORCID iD")
    assert "Not connected" in user.text


def test_a_person_who_does_not_confirm_has_no_link(user, demo):
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()

    user.expect_heading("Is this your ORCID iD?").press("Do not connect").expect_heading(
        "Nothing was connected", "result-cancelled"
    )

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []
    assert "Not connected" in user.visit("/me").expect_heading("Your ORCID iD").text


def test_without_the_box_ticked_the_server_refuses(user, demo):
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()

    user.expect_heading("Is this your ORCID iD?").press("Connect this iD").expect_heading(
        "Is this your ORCID iD?", "confirm-not-agreed"
    )
    assert "you must agree to the statement" in user.driver.find_element("id", "problem").text
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.confirm().expect_heading("Your ORCID iD is connected")


def test_an_id_of_another_account_of_the_organisation_is_refused(user, demo):
    user.link("piia", PIIA).sign_out()

    user.sign_in("ake").expect_heading("Your ORCID iD").press("Create or connect your ORCID iD")
    user.choose_permissions().expect_heading(
        "This ORCID iD is connected to another account", "problem-held-by-someone-else"
    )

    assert demo.get_released_id("ake@saaristo.example", "saaristo") == []
    assert demo.get_released_id("piia@saaristo.example", "saaristo") == [orcid_uri(PIIA)]
    # Trying again at once would lead back here, for ORCID still knows the same person
    user.press("Use another ORCID account").expect_heading("Use another ORCID account").visit("/orcid/signout")
    user.visit("/me/another-account").press("Connect your ORCID iD").sign_in_at_orcid(AKE).authorize()
    user.confirm().expect_heading("Your ORCID iD is connected")
    assert demo.get_released_id("ake@saaristo.example", "saaristo") == [orcid_uri(AKE)]
