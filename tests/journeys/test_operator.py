"""Whoever looks after the service sees how it goes, and finds the person on the telephone with a reason alone."""

from __future__ import annotations

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.browser.user import MAIJA, orcid_uri

ORGANISATION = "University of the North"


def fill_in(user, name, words):
    user.driver.find_element(By.ID, name).send_keys(words)


def test_the_operator_searches_for_a_person_who_sees_the_search(user):
    user.link("maija", MAIJA).visit("/me/confirm/nothing").expect_heading("This was not started here")
    number = user.driver.find_element(By.TAG_NAME, "code").text
    user.visit("/operator").expect_heading("There is no such page").visit("/me").expect_heading(
        "Your ORCID iD"
    ).sign_out()

    user.visit("/operator").expect_heading("Sign in at your organisation").click_id("sign-in-olli")
    user.expect_heading("Organisations", "operator-organisations").press(ORGANISATION)
    user.expect_heading(ORGANISATION).press("The same data in numbers").screenshot("operator-organisation")
    assert MAIJA not in user.driver.page_source

    user.press("Incident numbers").expect_heading("Incident numbers")
    fill_in(user, "number", number)
    user.press("Search").expect_heading("Incident numbers", "operator-incident")
    assert "no-such-attempt" in user.text

    user.press("One person's connection").expect_heading("One person's connection")
    Select(user.driver.find_element(By.ID, "organisation")).select_by_visible_text(ORGANISATION)
    fill_in(user, "whom", "maija@pohjoinen.example")
    fill_in(user, "reason", "she asks what has become of it")
    user.press("Search (this is logged)").expect_heading("One person's connection", "operator-person")
    user.wait_until(lambda: orcid_uri(MAIJA) in user.text, "Maija's iD")

    user.sign_out().sign_in("maija").expect_heading("Your ORCID iD").visit("/me/data")
    user.wait_until(lambda: "she asks what has become of it" in user.text, "the reason")
    assert "olli@pohjoinen.example" in user.text
