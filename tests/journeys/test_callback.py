"""Whoever comes back from ORCID twice, or as somebody else, lands on the right page and is linked at most once."""

from __future__ import annotations

import pytest

from tests.support.browser.user import AKE, MAIJA, orcid_uri


def test_a_way_back_opened_again_leads_on_and_not_astray(user, demo):
    user.signs_in("maija").goes_to_orcid_as(MAIJA)
    way_back = user.copies_the_way_back()
    user.driver.get(way_back)
    user.sees("Is this you?")

    user.driver.get(way_back)
    user.sees("Is this you?").confirms().sees("Your ORCID iD is connected")

    user.driver.get(way_back)
    user.sees("Your ORCID iD is connected")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_a_reload_of_any_page_shows_the_same_page(user):
    user.signs_in("maija").goes_to_orcid_as(MAIJA).allows().sees("Is this you?")

    user.driver.refresh()
    user.confirms().sees("Your ORCID iD is connected")

    user.driver.refresh()
    user.sees("Your ORCID iD is connected")


@pytest.mark.parametrize("words", ["Connect this iD", "Do not connect"])
def test_after_the_back_button_the_form_leads_to_what_has_happened_already(user, demo, words):
    """The browser may show the old page without asking us; whatever is pressed there changes nothing any more."""
    before = demo.count_linkings("maija@pohjoinen.example", "pohjoinen")
    user.links("maija", MAIJA)

    user.driver.back()
    if user.sees_either("Is this you?", "Your ORCID iD is connected") == "Is this you?":
        user.presses(words)

    user.sees("Your ORCID iD is connected")
    assert demo.count_linkings("maija@pohjoinen.example", "pohjoinen") == before + 1
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_a_double_click_on_confirm_links_once(user, demo):
    before = demo.count_linkings("maija@pohjoinen.example", "pohjoinen")
    user.signs_in("maija").goes_to_orcid_as(MAIJA).allows()

    user.sees("Is this you?").ticks_the_box().double_clicks("Connect this iD")

    # The second click is answered while the first may still deliver
    user.sees_either("Your ORCID iD is connected", "Your ORCID iD is on its way to your organisation")
    assert demo.count_linkings("maija@pohjoinen.example", "pohjoinen") == before + 1


def test_a_session_that_has_become_another_persons_links_nothing(user, demo):
    user.signs_in("maija").goes_to_orcid_as(MAIJA)
    somewhere = user.driver.current_url
    user.goes("/Shibboleth.sso/Logout").signs_in("ake").sees("Your ORCID iD")

    user.driver.get(somewhere)
    user.sees("Authorize access").allows()

    user.sees("This was started by somebody else", "problem-someone-elses-attempt")
    assert demo.get_released_id("ake@saaristo.example", "saaristo") == []
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_a_way_back_in_another_browser_links_nothing(user, demo):
    user.signs_in("maija").goes_to_orcid_as(MAIJA)
    way_back = user.copies_the_way_back()
    user.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    user.signs_in("maija").sees("Your ORCID iD")
    user.driver.get(way_back)

    user.sees("This was started in another browser", "problem-another-browsers-attempt")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_a_way_back_with_a_made_up_state_links_nothing(user, demo):
    user.signs_in("maija").sees("Your ORCID iD")

    user.goes("/me/callback?code=abcdef&state=made-up")

    user.sees("We did not start this", "problem-no-such-attempt")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_a_session_lost_at_orcid_is_taken_up_after_signing_in_again(user, demo):
    user.signs_in("ake").goes_to_orcid_as(AKE).forgets("demo-session")

    user.allows().sees("Sign in at your organisation").clicks("sign-in-ake")
    user.confirms().sees("Your ORCID iD is connected")

    assert demo.get_released_id("ake@saaristo.example", "saaristo") == [orcid_uri(AKE)]


def test_a_form_sent_after_the_session_ended_leads_to_ones_own_page(user):
    user.signs_in("maija").sees("Your ORCID iD").forgets("demo-session")

    user.presses("Create or connect your ORCID iD")

    user.sees("Sign in at your organisation").clicks("sign-in-maija").sees("Your ORCID iD")
