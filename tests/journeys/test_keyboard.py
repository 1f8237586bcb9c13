"""The whole way by keyboard alone, each in one language: link, deny and link, replace, remove, export, erase."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.browser.keyboard import KeyboardUser, wait_for_download
from tests.support.browser.user import MAIJA, OTHER_ID, orcid_uri
from webapp.i18n.language import languages

LANGUAGES = languages()


@pytest.fixture
def typist(request, demo, shared_browser):
    """Somebody with a keyboard, at the start page, who has chosen their language there."""
    shared_browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    typist = KeyboardUser(shared_browser.driver, demo.base_url, LANGUAGES[request.param])
    typist.visit("/").expect_heading("Connect your ORCID iD to your organisation")
    if request.param != "en":
        typist.tab_to(typist.language.name()).press_key(Keys.ENTER)
    return typist.expect_sentence("Connect your ORCID iD to your organisation")


def sign_in(typist):
    typist.use_skip_link().follow("Sign in with your organisation").expect_heading("Sign in at your organisation")
    return typist.choose("sign-in-maija").expect_sentence("Your ORCID iD")


def continue_to_orcid(typist, orcid):
    typist.use_skip_link().follow("Create or connect your ORCID iD").expect_heading("Sign in")
    return typist.choose(f"sign-in-{orcid}").expect_heading("Authorize access")


def sign_in_and_link(typist):
    continue_to_orcid(sign_in(typist), MAIJA).choose("authorize-button").expect_sentence("Is this you?").use_skip_link()
    typist.tab_to("agree").press_key(Keys.SPACE).follow("Connect this iD").expect_sentence("Your ORCID iD is connected")
    return typist


def get_released_id(demo):
    return demo.get_released_id("maija@pohjoinen.example", "pohjoinen")


@pytest.mark.parametrize("typist", ["sv"], indirect=True)
def test_who_denies_reads_why_and_links_after_all(typist, demo):
    continue_to_orcid(sign_in(typist), MAIJA).choose("deny-button").expect_sentence(
        "You did not give ORCID your permission"
    )
    assert get_released_id(demo) == []

    typist.use_skip_link().follow("Try again").expect_heading("Authorize access").choose("authorize-button")
    typist.expect_sentence("Is this you?", f"keyboard-confirm-{typist.language.code}").use_skip_link()
    typist.follow("Connect this iD").expect_focus("problem").expect_sentence("Is this you?")
    assert get_released_id(demo) == []

    typist.follow("Read it, tick the box if you agree, and confirm again.").expect_focus("agree")
    typist.press_key(Keys.SPACE).screenshot(f"keyboard-ticked-{typist.language.code}")
    typist.follow("Connect this iD").expect_sentence("Your ORCID iD is connected")
    assert get_released_id(demo) == [orcid_uri(MAIJA)]


@pytest.mark.parametrize("typist", ["fi"], indirect=True)
def test_an_id_is_replaced_and_removed(typist, demo):
    sign_in_and_link(typist).follow("To your own page").expect_sentence("Your ORCID iD")
    typist.visit("/orcid/signout").visit("/me").expect_sentence("Your ORCID iD").use_skip_link()
    typist.follow("Connect another ORCID iD instead").follow("Connect another ORCID iD").expect_heading("Sign in")
    typist.choose(f"sign-in-{OTHER_ID}").expect_heading("Authorize access").choose("authorize-button").expect_sentence(
        "Is this you?"
    )

    typist.use_skip_link().tab_to(typist.language.gettext("Replace the iD"))
    ActionChains(typist.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    typist.expect_focus("agree").press_key(Keys.SPACE).follow("Replace the iD").expect_sentence(
        "Your new ORCID iD is connected"
    )
    assert get_released_id(demo) == [orcid_uri(OTHER_ID)]

    typist.follow("To your own page").expect_sentence("Your ORCID iD").use_skip_link()
    typist.follow("Remove the connection").expect_sentence("Remove the connection").use_skip_link()
    typist.follow("Remove the connection").expect_sentence("The connection is removed")
    assert get_released_id(demo) == []


@pytest.mark.parametrize("typist", ["en"], indirect=True)
def test_what_is_stored_is_saved_and_erased(typist, demo, tmp_path):
    sign_in_and_link(typist).visit("/me").expect_sentence("Your ORCID iD").save_downloads_to(tmp_path).use_skip_link()
    typist.follow("What is stored about you").expect_sentence("What is stored about you").use_skip_link()
    typist.follow("Save all of it as a file (JSON)")
    (link,) = [each for each in wait_for_download(tmp_path)["links"] if each["ended_at"] is None]
    assert MAIJA in str(link)

    typist.visit("/me").expect_sentence("Your ORCID iD").use_skip_link().follow("Erase everything about you")
    typist.expect_sentence("Erase everything about you").use_skip_link().follow("Erase everything").expect_focus(
        "problem"
    )
    assert get_released_id(demo) == [orcid_uri(MAIJA)]

    typist.follow("Tick the box if you are sure, and press the button again.").expect_focus("confirmed")
    typist.press_key(Keys.SPACE).follow("Erase everything")
    typist.expect_any_heading(
        *map(typist.language.gettext, ("Everything is being erased", "Nothing is stored about you"))
    )
    assert get_released_id(demo) == []
