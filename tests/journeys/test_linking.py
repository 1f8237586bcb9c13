"""A person links an iD, replaces it, removes it; and what others see of it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from tests.support.browser.user import AKE, HANAKO, MAIJA, OTHER_ID, PIIA, orcid_uri
from webapp.cli.main import main


def test_maija_links_her_id_and_her_university_releases_it(user, demo):
    user.goes("/").sees("Connect your ORCID iD to your organisation", "landing").presses(
        "Sign in with your organisation"
    )
    user.sees("Sign in at your organisation", "sign-in").clicks("sign-in-maija")
    user.sees("Your ORCID iD", "me-without-id").presses("Create or connect your ORCID iD")
    user.sees("Sign in", "orcid-sign-in").clicks(f"sign-in-{MAIJA}")
    user.sees("Authorize access", "orcid-authorize").allows()
    user.sees("Is this you?", "confirm").ticks_the_box().presses("Connect this iD")
    user.sees("Your ORCID iD is connected", "result-linked")

    assert orcid_uri(MAIJA) in user.text
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]
    user.goes("/service-provider").sees("Another service", "service-provider")
    assert user.is_known_to_another_service_as("maija") == orcid_uri(MAIJA)
    user.takes("service-provider-received")


@pytest.mark.parametrize(
    ("account", "organisation", "orcid"),
    [("hanako", "pohjoinen", HANAKO), ("ake", "saaristo", AKE), ("piia", "saaristo", PIIA)],
)
def test_people_of_every_connected_organisation_link(user, demo, account, organisation, orcid):
    user.links(account, orcid).takes(f"result-linked-{account}")

    assert demo.get_released_id(f"{account}@{organisation}.example", organisation) == [orcid_uri(orcid)]
    assert user.is_known_to_another_service_as(account) == orcid_uri(orcid)


def test_the_service_itself_sees_the_release_at_the_next_sign_in(user):
    user.links("maija", MAIJA).goes("/me").sees("Your ORCID iD")
    assert "We have not seen yet that your organisation gives this iD to services" in user.text

    user.signs_out().signs_in("maija").sees("Your ORCID iD", "me-release-seen")
    assert "Your organisation has begun to give this iD to services: first seen here on" in user.text

    user.goes("/Shibboleth.sso/Session").sees("Session at the Service Provider", "session")
    assert f"https%3A%2F%2Fsandbox.orcid.org%2F{MAIJA}" in user.text


def test_until_the_next_sign_in_the_organisation_is_seen_to_give_what_it_gave_before(user):
    user.links("maija", MAIJA).signs_out().signs_in("maija").sees("Your ORCID iD")
    user.presses("Remove the connection").presses_button("Remove the connection").sees("The connection is removed")

    user.goes("/me").sees("Your ORCID iD", "me-release-ending")
    assert "Your organisation still gives services the iD below" in user.text
    assert orcid_uri(MAIJA) in user.text

    user.signs_out().signs_in("maija").sees("Your ORCID iD")
    assert orcid_uri(MAIJA) not in user.text


def test_a_newcomer_with_the_address_alone_connects_and_undoes_it(user, demo):
    """Nothing is typed but the first address: what to press next stands on each page."""
    user.goes("/").sees("Connect your ORCID iD to your organisation").presses("Sign in with your organisation")
    user.sees("Sign in at your organisation").clicks("sign-in-maija").goes_to_orcid_as(MAIJA).allows()
    user.confirms().sees("Your ORCID iD is connected")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]

    user.presses("To your own page").sees("Your ORCID iD").presses("Remove the connection")
    user.sees("Remove the connection").presses_button("Remove the connection").sees("The connection is removed")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.signs_out()


def test_a_person_who_denies_comes_back_and_links(user, demo):
    user.signs_in("maija").goes_to_orcid_as(MAIJA).denies()
    user.sees("You did not give ORCID your permission", "result-declined")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.presses("Try again").sees("Authorize access").allows()
    user.confirms().sees("Your ORCID iD is connected")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_a_person_replaces_the_id_seeing_the_old_one_and_the_new_one(user, demo):
    user.links("maija", MAIJA).presses("To your own page").sees("Your ORCID iD", "me-with-id")
    user.goes("/orcid/signout").goes("/me").presses("Connect another ORCID iD instead")
    user.takes("me-unfolded")
    user.presses("Connect another ORCID iD").is_at_orcid(OTHER_ID).allows()

    user.sees("Is this you?", "confirm-replacing")
    assert orcid_uri(MAIJA) in user.text
    assert orcid_uri(OTHER_ID) in user.text
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]

    user.confirms("Replace the iD").sees("Your new ORCID iD is connected", "result-replaced")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(OTHER_ID)]
    assert user.is_known_to_another_service_as("maija") == orcid_uri(OTHER_ID)


def test_a_person_whose_id_orcid_merged_into_another_connects_that_one(user, demo):
    user.links("maija", MAIJA)
    demo.post_orcid_admin("users", orcid=MAIJA, state="deprecated", primary=OTHER_ID)
    words = ["--config", str(demo.directory / "orcid-connect.toml"), "link", "status", "pohjoinen"]
    done = CliRunner().invoke(main, [*words, "maija@pohjoinen.example"], catch_exceptions=False)
    assert f"merged into {orcid_uri(OTHER_ID)}" in done.output

    user.goes("/orcid/signout").goes("/me").sees("Your ORCID iD", "me-deprecated")
    assert "ORCID has merged this iD into another one." in user.text
    user.presses("Connect the iD that is in use now").is_at_orcid(OTHER_ID).allows()
    user.sees("Is this you?").confirms("Replace the iD").sees("Your new ORCID iD is connected")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(OTHER_ID)]
    user.goes("/me").sees("Your ORCID iD")
    assert "merged" not in user.text


def test_maija_removes_her_id_and_it_is_gone_everywhere(user, demo):
    user.links("maija", MAIJA).goes("/me").presses("Remove the connection")
    user.takes("me-removing")
    user.presses_button("Remove the connection")
    user.sees("The connection is removed", "removed")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []
    assert user.is_known_to_another_service_as("maija") == "not released"
    user.goes("/me").sees("Your ORCID iD")
    assert "none connected" in user.text


def test_a_person_who_does_not_confirm_has_no_link(user, demo):
    user.signs_in("maija").goes_to_orcid_as(MAIJA).allows()

    user.sees("Is this you?").presses("Do not connect").sees("Nothing was connected", "result-cancelled")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []
    assert "none connected" in user.goes("/me").sees("Your ORCID iD").text


def test_without_the_box_ticked_the_server_refuses(user, demo):
    user.signs_in("maija").goes_to_orcid_as(MAIJA).allows()

    user.sees("Is this you?").presses("Connect this iD").sees("Is this you?", "confirm-not-agreed")
    assert "only if you agree" in user.driver.find_element("css selector", "[role=alert]").text
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.confirms().sees("Your ORCID iD is connected")


def test_the_holder_of_an_id_moves_it_to_the_account_that_claims_it(user, demo):
    user.links("maija", MAIJA).signs_out().signs_in("hanako").sees("Your ORCID iD")
    user.presses("Create or connect your ORCID iD").sees("This ORCID iD is connected to another account", "claim")
    claim = urlsplit(user.address).path
    assert "maija@" not in user.text

    user.signs_out().signs_in("maija").sees("Your ORCID iD").goes(claim).sees(
        "Move your ORCID iD to another account?", "claim-holder"
    )
    assert "hanako@pohjoinen.example" in user.text
    user.presses("Move the connection to that account").sees("Your ORCID iD")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []
    assert demo.get_released_id("hanako@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_an_id_of_somebody_else_at_the_organisation_is_refused(user, demo):
    user.links("piia", PIIA).signs_out()

    user.signs_in("ake").sees("Your ORCID iD").presses("Create or connect your ORCID iD")
    user.sees("This ORCID iD is connected to another account", "problem-held-by-someone-else")

    assert demo.get_released_id("ake@saaristo.example", "saaristo") == []
    assert demo.get_released_id("piia@saaristo.example", "saaristo") == [orcid_uri(PIIA)]
    # Trying again at once would lead back here, for ORCID still knows the same person
    user.presses("Use another ORCID account").sees("Use another ORCID account").goes("/orcid/signout")
    user.goes("/me/another-account").presses("Connect your ORCID iD").is_at_orcid(AKE).allows()
    user.confirms().sees("Your ORCID iD is connected")
    assert demo.get_released_id("ake@saaristo.example", "saaristo") == [orcid_uri(AKE)]
