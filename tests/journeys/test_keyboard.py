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
    typist.goes("/").sees("Connect your ORCID iD to your organisation")
    if request.param != "en":
        typist.tabs_to(typist.language.name()).hits(Keys.ENTER)
    return typist.reads("Connect your ORCID iD to your organisation")


def signs_in(typist):
    typist.skips_the_head().goes_on("Sign in with your organisation").sees("Sign in at your organisation")
    return typist.picks("sign-in-maija").reads("Your ORCID iD")


def goes_to_orcid(typist, orcid):
    typist.skips_the_head().goes_on("Create or connect your ORCID iD").sees("Sign in")
    return typist.picks(f"sign-in-{orcid}").sees("Authorize access")


def links(typist):
    goes_to_orcid(signs_in(typist), MAIJA).picks("authorize-button").reads("Is this you?").skips_the_head()
    typist.tabs_to("agree").hits(Keys.SPACE).goes_on("Connect this iD").reads("Your ORCID iD is connected")
    return typist


def get_released_id(demo):
    return demo.get_released_id("maija@pohjoinen.example", "pohjoinen")


@pytest.mark.parametrize("typist", ["sv"], indirect=True)
def test_who_denies_reads_why_and_links_after_all(typist, demo):
    goes_to_orcid(signs_in(typist), MAIJA).picks("deny-button").reads("You did not give ORCID your permission")
    assert get_released_id(demo) == []

    typist.skips_the_head().goes_on("Try again").sees("Authorize access").picks("authorize-button")
    typist.reads("Is this you?", f"keyboard-confirm-{typist.language.code}").skips_the_head()
    typist.goes_on("Connect this iD").is_at("problem").reads("Is this you?")
    assert get_released_id(demo) == []

    typist.goes_on("Read it, tick the box if you agree, and confirm again.").is_at("agree")
    typist.hits(Keys.SPACE).takes(f"keyboard-ticked-{typist.language.code}")
    typist.goes_on("Connect this iD").reads("Your ORCID iD is connected")
    assert get_released_id(demo) == [orcid_uri(MAIJA)]


@pytest.mark.parametrize("typist", ["fi"], indirect=True)
def test_an_id_is_replaced_and_removed(typist, demo):
    links(typist).goes_on("To your own page").reads("Your ORCID iD")
    typist.goes("/orcid/signout").goes("/me").reads("Your ORCID iD").skips_the_head()
    typist.goes_on("Connect another ORCID iD instead").goes_on("Connect another ORCID iD").sees("Sign in")
    typist.picks(f"sign-in-{OTHER_ID}").sees("Authorize access").picks("authorize-button").reads("Is this you?")

    typist.skips_the_head().tabs_to(typist.language.gettext("Replace the iD"))
    ActionChains(typist.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    typist.is_at("agree").hits(Keys.SPACE).goes_on("Replace the iD").reads("Your new ORCID iD is connected")
    assert get_released_id(demo) == [orcid_uri(OTHER_ID)]

    typist.goes_on("To your own page").reads("Your ORCID iD").skips_the_head()
    typist.goes_on("Remove the connection").reads("Remove the connection").skips_the_head()
    typist.goes_on("Remove the connection").reads("The connection is removed")
    assert get_released_id(demo) == []


@pytest.mark.parametrize("typist", ["en"], indirect=True)
def test_what_is_stored_is_saved_and_erased(typist, demo, tmp_path):
    links(typist).goes("/me").reads("Your ORCID iD").saves_into(tmp_path).skips_the_head()
    typist.goes_on("What is stored about you").reads("What is stored about you").skips_the_head()
    typist.goes_on("Save all of it as a file (JSON)")
    (link,) = [each for each in wait_for_download(tmp_path)["links"] if each["ended_at"] is None]
    assert MAIJA in str(link)

    typist.goes("/me").reads("Your ORCID iD").skips_the_head().goes_on("Erase everything about you")
    typist.reads("Erase everything about you").skips_the_head().goes_on("Erase everything").is_at("problem")
    assert get_released_id(demo) == [orcid_uri(MAIJA)]

    typist.goes_on("Tick the box if you are sure, and press the button again.").is_at("confirmed")
    typist.hits(Keys.SPACE).goes_on("Erase everything")
    typist.sees_either(*map(typist.language.gettext, ("Everything is being erased", "Nothing is stored about you")))
    assert get_released_id(demo) == []
