"""A person links an iD, replaces it, removes it; and what others see of it."""

from __future__ import annotations

import pytest

from tests.support.browser.user import AKE, HANAKO, MAIJA, PIIA, SOMEBODY, uri


def test_maija_links_her_id_and_her_university_releases_it(someone, demo):
    someone.goes("/").sees("Connect your ORCID iD to your organisation", "landing").presses(
        "Sign in with your organisation"
    )
    someone.sees("Sign in at your organisation", "sign-in").clicks("sign-in-maija")
    someone.sees("Your ORCID iD", "me-without-id").presses("Create or connect your ORCID iD")
    someone.sees("Sign in", "orcid-sign-in").clicks(f"sign-in-{MAIJA}")
    someone.sees("Authorize access", "orcid-authorize").allows()
    someone.sees("Is this you?", "confirm").ticks_the_box().presses("Connect this iD")
    someone.sees("Your ORCID iD is connected", "result-linked")

    assert uri(MAIJA) in someone.text
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]
    someone.goes("/service-provider").sees("Another service", "service-provider")
    assert someone.is_known_to_another_service_as("maija") == uri(MAIJA)
    someone.takes("service-provider-received")


@pytest.mark.parametrize(
    ("account", "organisation", "orcid"),
    [("hanako", "pohjoinen", HANAKO), ("ake", "saaristo", AKE), ("piia", "saaristo", PIIA)],
)
def test_people_of_every_connected_organisation_link(someone, demo, account, organisation, orcid):
    someone.links(account, orcid).takes(f"result-linked-{account}")

    assert demo.released(f"{account}@{organisation}.example", organisation) == [uri(orcid)]
    assert someone.is_known_to_another_service_as(account) == uri(orcid)


def test_the_service_itself_sees_the_release_at_the_next_sign_in(someone):
    someone.links("maija", MAIJA).goes("/me").sees("Your ORCID iD")
    assert "We have not seen yet that your organisation gives this iD to services" in someone.text

    someone.signs_out().signs_in("maija").sees("Your ORCID iD", "me-release-seen")
    assert "Your organisation has begun to give this iD to services: first seen here on" in someone.text

    someone.goes("/Shibboleth.sso/Session").sees("Session at the Service Provider", "session")
    assert f"https%3A%2F%2Fsandbox.orcid.org%2F{MAIJA}" in someone.text


def test_until_the_next_sign_in_the_organisation_is_seen_to_give_what_it_gave_before(someone):
    someone.links("maija", MAIJA).signs_out().signs_in("maija").sees("Your ORCID iD")
    someone.presses("Remove the connection").presses_button("Remove the connection").sees("The connection is removed")

    someone.goes("/me").sees("Your ORCID iD", "me-release-ending")
    assert "Your organisation still gives services the iD below" in someone.text
    assert uri(MAIJA) in someone.text

    someone.signs_out().signs_in("maija").sees("Your ORCID iD")
    assert uri(MAIJA) not in someone.text


def test_a_newcomer_with_the_address_alone_connects_and_undoes_it(someone, demo):
    """Nothing is typed but the first address: what to press next stands on each page."""
    someone.goes("/").sees("Connect your ORCID iD to your organisation").presses("Sign in with your organisation")
    someone.sees("Sign in at your organisation").clicks("sign-in-maija").goes_to_orcid_as(MAIJA).allows()
    someone.confirms().sees("Your ORCID iD is connected")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]

    someone.presses("To your own page").sees("Your ORCID iD").presses("Remove the connection")
    someone.sees("Remove the connection").presses_button("Remove the connection").sees("The connection is removed")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []

    someone.signs_out()


def test_a_person_who_denies_comes_back_and_links(someone, demo):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).denies()
    someone.sees("You did not give ORCID your permission", "result-declined")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []

    someone.presses("Try again").sees("Authorize access").allows()
    someone.confirms().sees("Your ORCID iD is connected")

    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]


def test_a_person_replaces_the_id_seeing_the_old_one_and_the_new_one(someone, demo):
    someone.links("maija", MAIJA).presses("To your own page").sees("Your ORCID iD", "me-with-id")
    someone.goes("/orcid/signout").goes("/me").presses("Connect another ORCID iD instead")
    someone.takes("me-unfolded")
    someone.presses("Connect another ORCID iD").is_at_orcid(SOMEBODY).allows()

    someone.sees("Is this you?", "confirm-replacing")
    assert uri(MAIJA) in someone.text
    assert uri(SOMEBODY) in someone.text
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]

    someone.confirms("Replace the iD").sees("Your new ORCID iD is connected", "result-replaced")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(SOMEBODY)]
    assert someone.is_known_to_another_service_as("maija") == uri(SOMEBODY)


def test_maija_removes_her_id_and_it_is_gone_everywhere(someone, demo):
    someone.links("maija", MAIJA).goes("/me").presses("Remove the connection")
    someone.takes("me-removing")
    someone.presses_button("Remove the connection")
    someone.sees("The connection is removed", "removed")

    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []
    assert someone.is_known_to_another_service_as("maija") == "not released"
    someone.goes("/me").sees("Your ORCID iD")
    assert "none connected" in someone.text


def test_a_person_who_does_not_confirm_has_no_link(someone, demo):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()

    someone.sees("Is this you?").presses("Do not connect").sees("Nothing was connected", "result-cancelled")

    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []
    assert "none connected" in someone.goes("/me").sees("Your ORCID iD").text


def test_without_the_box_ticked_the_server_refuses(someone, demo):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()

    someone.sees("Is this you?").presses("Connect this iD").sees("Is this you?", "confirm-not-agreed")
    assert "only if you agree" in someone.driver.find_element("css selector", "[role=alert]").text
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []

    someone.confirms().sees("Your ORCID iD is connected")


def test_an_id_of_somebody_else_at_the_organisation_is_refused(someone, demo):
    someone.links("piia", PIIA).signs_out()

    someone.signs_in("ake").sees("Your ORCID iD").presses("Create or connect your ORCID iD")
    someone.sees("This ORCID iD is connected to another account", "problem-held-by-someone-else")

    assert demo.released("ake@saaristo.example", "saaristo") == []
    assert demo.released("piia@saaristo.example", "saaristo") == [uri(PIIA)]
    # Trying again at once would lead back here, for ORCID still knows the same person
    someone.presses("Use another ORCID account").sees("Use another ORCID account").goes("/orcid/signout")
    someone.goes("/me/another-account").presses("Connect your ORCID iD").is_at_orcid(AKE).allows()
    someone.confirms().sees("Your ORCID iD is connected")
    assert demo.released("ake@saaristo.example", "saaristo") == [uri(AKE)]
