"""Linking, denial, replacement, removal, export and erasure by keyboard alone, each in one language."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.browser.keyboard import KeyboardUser, wait_for_download
from tests.support.browser.user import MAIJA, OTHER_ID, orcid_uri
from webapp.i18n.language import languages

LANGUAGES = languages()


@pytest.fixture
def user(request, demo, shared_browser):
    """A user of the keyboard, at the start page in the requested language."""
    shared_browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    user = KeyboardUser(shared_browser.driver, demo.base_url, LANGUAGES[request.param])
    user.visit("/").expect_heading("Connect your ORCID iD to your organisation")
    if request.param != "en":
        user.tab_to(user.language.name()).press_key(Keys.ENTER)
    return user.expect_sentence("Connect your ORCID iD to your organisation")


def sign_in(user):
    user.use_skip_link().follow("Sign in with your organisation").expect_heading("Sign in at your organisation")
    return user.choose("sign-in-maija").expect_sentence("Your ORCID iD")


def continue_to_orcid(user, orcid):
    user.use_skip_link().follow("Create or connect your ORCID iD").expect_heading("Sign in")
    return user.choose(f"sign-in-{orcid}").expect_heading("Authorize access")


def sign_in_and_link(user):
    continue_to_orcid(sign_in(user), MAIJA).choose("authorize-button").expect_sentence(
        "Is this your ORCID iD?"
    ).use_skip_link()
    user.tab_to("agree").press_key(Keys.SPACE).follow("Connect this iD").expect_sentence("Your ORCID iD is connected")
    return user


def get_released_id(demo):
    return demo.get_released_id("maija@pohjoinen.example", "pohjoinen")


@pytest.mark.parametrize("user", ["sv"], indirect=True)
def test_a_person_denies_and_links_afterwards(user, demo):
    continue_to_orcid(sign_in(user), MAIJA).choose("deny-button").expect_sentence(
        "You did not give permission at ORCID"
    )
    assert get_released_id(demo) == []

    user.use_skip_link().follow("Try again").expect_heading("Authorize access").choose("authorize-button")
    user.expect_sentence("Is this your ORCID iD?", f"keyboard-confirm-{user.language.code}").use_skip_link()
    user.follow("Connect this iD").expect_focus("problem").expect_sentence("Is this your ORCID iD?")
    assert get_released_id(demo) == []

    user.follow("To connect your ORCID iD, you must agree to the statement next to the box.").expect_focus("agree")
    user.press_key(Keys.SPACE).screenshot(f"keyboard-ticked-{user.language.code}")
    user.follow("Connect this iD").expect_sentence("Your ORCID iD is connected")
    assert get_released_id(demo) == [orcid_uri(MAIJA)]


@pytest.mark.parametrize("user", ["fi"], indirect=True)
def test_an_id_is_replaced_and_removed(user, demo):
    sign_in_and_link(user).follow("Go to your page").expect_sentence("Your ORCID iD")
    user.visit("/orcid/signout").visit("/me").expect_sentence("Your ORCID iD").use_skip_link()
    user.follow("Connect another ORCID iD instead").follow("Connect another ORCID iD").expect_heading("Sign in")
    user.choose(f"sign-in-{OTHER_ID}").expect_heading("Authorize access").choose("authorize-button").expect_sentence(
        "Replace your ORCID iD?"
    )

    user.use_skip_link().tab_to(user.language.gettext("Replace the iD"))
    ActionChains(user.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    user.expect_focus("agree").press_key(Keys.SPACE).follow("Replace the iD").expect_sentence(
        "Your new ORCID iD is connected"
    )
    assert get_released_id(demo) == [orcid_uri(OTHER_ID)]

    user.follow("Go to your page").expect_sentence("Your ORCID iD").use_skip_link()
    user.follow("Remove the connection").expect_sentence("Remove the connection").use_skip_link()
    user.follow("Remove the connection").expect_sentence("The connection has been removed")
    assert get_released_id(demo) == []


@pytest.mark.parametrize("user", ["en"], indirect=True)
def test_what_is_stored_is_saved_and_erased(user, demo, tmp_path):
    sign_in_and_link(user).visit("/me").expect_sentence("Your ORCID iD").save_downloads_to(tmp_path).use_skip_link()
    user.follow("What is stored about you").expect_sentence("What is stored about you").use_skip_link()
    user.follow("Download everything as a file (JSON)")
    (link,) = [each for each in wait_for_download(tmp_path)["links"] if each["ended_at"] is None]
    assert MAIJA in str(link)

    user.visit("/me").expect_sentence("Your ORCID iD").use_skip_link().follow("Erase everything about you")
    user.expect_sentence("Erase everything about you").use_skip_link().follow("Erase everything").expect_focus(
        "problem"
    )
    assert get_released_id(demo) == [orcid_uri(MAIJA)]

    user.follow("Tick the box to confirm that you want to erase everything.").expect_focus("confirmed")
    user.press_key(Keys.SPACE).follow("Erase everything")
    user.expect_any_heading(*map(user.language.gettext, ("Everything is being erased", "Nothing is stored about you")))
    assert get_released_id(demo) == []
