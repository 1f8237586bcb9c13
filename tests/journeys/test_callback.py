"""Repeated callbacks, and callbacks in other sessions and browsers."""

from __future__ import annotations

import pytest

from tests.support.browser.user import AKE, MAIJA, orcid_uri


def test_a_repeated_callback_redirects_to_the_current_page(user, demo):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    callback_url = user.authorize_without_redirect()
    user.driver.get(callback_url)
    user.expect_heading("Is this your ORCID iD?")

    user.driver.get(callback_url)
    user.expect_heading("Is this your ORCID iD?").confirm().expect_heading("Your ORCID iD is connected")

    user.driver.get(callback_url)
    user.expect_heading("Your ORCID iD is connected")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_a_reload_of_any_page_shows_the_same_page(user):
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize().expect_heading("Is this your ORCID iD?")

    user.driver.refresh()
    user.confirm().expect_heading("Your ORCID iD is connected")

    user.driver.refresh()
    user.expect_heading("Your ORCID iD is connected")


@pytest.mark.parametrize("words", ["Connect this iD", "Do not connect"])
def test_a_form_sent_again_after_going_back_shows_the_result(user, demo, words):
    """The browser may show the old page from its cache; its form changes nothing any more."""
    before = demo.count_linkings("maija@pohjoinen.example", "pohjoinen")
    user.link("maija", MAIJA)

    user.driver.back()
    if user.expect_any_heading("Is this your ORCID iD?", "Your ORCID iD is connected") == "Is this your ORCID iD?":
        user.press(words)

    user.expect_heading("Your ORCID iD is connected")
    assert demo.count_linkings("maija@pohjoinen.example", "pohjoinen") == before + 1
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_a_double_click_on_confirm_links_once(user, demo):
    before = demo.count_linkings("maija@pohjoinen.example", "pohjoinen")
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()

    user.expect_heading("Is this your ORCID iD?").tick_consent().double_click("Connect this iD")

    # The second click is answered while the first may still deliver
    user.expect_any_heading("Your ORCID iD is connected", "Your ORCID iD is on its way to your organisation")
    assert demo.count_linkings("maija@pohjoinen.example", "pohjoinen") == before + 1


def test_a_callback_in_another_persons_session_links_nothing(user, demo):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    somewhere = user.driver.current_url
    user.visit("/Shibboleth.sso/Logout").sign_in("ake").expect_heading("Your ORCID iD")

    user.driver.get(somewhere)
    user.expect_heading("Authorize access").authorize()

    user.expect_heading("This was started by someone else", "problem-someone-elses-attempt")
    assert demo.get_released_id("ake@saaristo.example", "saaristo") == []
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_a_callback_in_another_browser_links_nothing(user, demo):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    callback_url = user.authorize_without_redirect()
    user.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    user.sign_in("maija").expect_heading("Your ORCID iD")
    user.driver.get(callback_url)

    user.expect_heading("This was started in another browser", "problem-another-browsers-attempt")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_a_callback_with_an_unknown_state_links_nothing(user, demo):
    user.sign_in("maija").expect_heading("Your ORCID iD")

    user.visit("/me/callback?code=abcdef&state=made-up")

    user.expect_heading("This was not started here", "problem-no-such-attempt")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []


def test_linking_continues_after_signing_in_again(user, demo):
    user.sign_in("ake").continue_to_orcid_as(AKE).delete_cookie("demo-session")

    user.authorize().expect_heading("Sign in at your organisation").click_id("sign-in-ake")
    user.confirm().expect_heading("Your ORCID iD is connected")

    assert demo.get_released_id("ake@saaristo.example", "saaristo") == [orcid_uri(AKE)]


def test_a_form_sent_after_the_session_ended_redirects_to_the_persons_page(user):
    user.sign_in("maija").expect_heading("Your ORCID iD").delete_cookie("demo-session")

    user.press("Create or connect your ORCID iD")

    user.expect_heading("Sign in at your organisation").click_id("sign-in-maija").expect_heading("Your ORCID iD")
