"""Whoever comes back from ORCID twice, or as somebody else, lands on the right page and is linked at most once."""

from __future__ import annotations

import pytest

from tests.support.browser.user import AKE, MAIJA, uri


def test_a_way_back_opened_again_leads_on_and_not_astray(someone, demo):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA)
    way_back = someone.copies_the_way_back()
    someone.driver.get(way_back)
    someone.sees("Is this you?")

    someone.driver.get(way_back)
    someone.sees("Is this you?").confirms().sees("Your ORCID iD is connected")

    someone.driver.get(way_back)
    someone.sees("Your ORCID iD is connected")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]


def test_a_reload_of_any_page_shows_the_same_page(someone):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows().sees("Is this you?")

    someone.driver.refresh()
    someone.confirms().sees("Your ORCID iD is connected")

    someone.driver.refresh()
    someone.sees("Your ORCID iD is connected")


@pytest.mark.parametrize("words", ["Connect this iD", "Do not connect"])
def test_after_the_back_button_the_form_leads_to_what_has_happened_already(someone, demo, words):
    """The browser may show the old page without asking us; whatever is pressed there changes nothing any more."""
    before = demo.times_linked("maija@pohjoinen.example", "pohjoinen")
    someone.links("maija", MAIJA)

    someone.driver.back()
    if someone.sees_either("Is this you?", "Your ORCID iD is connected") == "Is this you?":
        someone.presses(words)

    someone.sees("Your ORCID iD is connected")
    assert demo.times_linked("maija@pohjoinen.example", "pohjoinen") == before + 1
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]


def test_a_double_click_on_confirm_links_once(someone, demo):
    before = demo.times_linked("maija@pohjoinen.example", "pohjoinen")
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()

    someone.sees("Is this you?").ticks_the_box().double_clicks("Connect this iD")

    someone.sees("Your ORCID iD is connected")
    assert demo.times_linked("maija@pohjoinen.example", "pohjoinen") == before + 1


def test_a_session_that_has_become_another_persons_links_nothing(someone, demo):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA)
    somewhere = someone.driver.current_url
    someone.goes("/Shibboleth.sso/Logout").signs_in("ake").sees("Your ORCID iD")

    someone.driver.get(somewhere)
    someone.sees("Authorize access").allows()

    someone.sees("This was started by somebody else", "problem-someone-elses-attempt")
    assert demo.released("ake@saaristo.example", "saaristo") == []
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []


def test_a_way_back_in_another_browser_links_nothing(someone, demo):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA)
    way_back = someone.copies_the_way_back()
    someone.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    someone.signs_in("maija").sees("Your ORCID iD")
    someone.driver.get(way_back)

    someone.sees("This was started in another browser", "problem-another-browsers-attempt")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []


def test_a_way_back_with_a_made_up_state_links_nothing(someone, demo):
    someone.signs_in("maija").sees("Your ORCID iD")

    someone.goes("/me/callback?code=abcdef&state=made-up")

    someone.sees("We did not start this", "problem-no-such-attempt")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []


def test_a_session_lost_at_orcid_is_taken_up_after_signing_in_again(someone, demo):
    someone.signs_in("ake").goes_to_orcid_as(AKE).forgets("demo-session")

    someone.allows().sees("Sign in at your organisation").clicks("sign-in-ake")
    someone.confirms().sees("Your ORCID iD is connected")

    assert demo.released("ake@saaristo.example", "saaristo") == [uri(AKE)]


def test_a_form_sent_after_the_session_ended_leads_to_ones_own_page(someone):
    someone.signs_in("maija").sees("Your ORCID iD").forgets("demo-session")

    someone.presses("Create or connect your ORCID iD")

    someone.sees("Sign in at your organisation").clicks("sign-in-maija").sees("Your ORCID iD")
