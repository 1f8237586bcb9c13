"""Whoever looks after the service sees how it goes, and finds the person on the telephone with a reason alone."""

from __future__ import annotations

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.browser.user import MAIJA, orcid_uri

ORGANISATION = "University of the North"


def fills_in(user, name, words):
    user.driver.find_element(By.ID, name).send_keys(words)


def test_the_operator_helps_somebody_on_the_telephone_and_the_person_reads_of_it(user):
    user.links("maija", MAIJA).goes("/me/confirm/nothing").sees("We did not start this")
    number = user.driver.find_element(By.TAG_NAME, "code").text
    user.goes("/operator").sees("There is no such page").goes("/me").sees("Your ORCID iD").signs_out()

    user.goes("/operator").sees("Sign in at your organisation").clicks("sign-in-olli")
    user.sees("Organisations", "operator-organisations").presses(ORGANISATION)
    user.sees(ORGANISATION).presses("The same in numbers").takes("operator-organisation")
    assert MAIJA not in user.driver.page_source

    user.presses("Incident numbers").sees("Incident numbers")
    fills_in(user, "number", number)
    user.presses("Search").sees("Incident numbers", "operator-incident")
    assert "no-such-attempt" in user.text

    user.presses("One person's connection").sees("One person's connection")
    Select(user.driver.find_element(By.ID, "organisation")).select_by_visible_text(ORGANISATION)
    fills_in(user, "whom", "maija@pohjoinen.example")
    fills_in(user, "reason", "she asks what has become of it")
    user.presses("Look, and keep in the audit that I did").sees("One person's connection", "operator-person")
    user._until(lambda: orcid_uri(MAIJA) in user.text, "Maija's iD")

    user.signs_out().signs_in("maija").sees("Your ORCID iD").goes("/me/data")
    user._until(lambda: "she asks what has become of it" in user.text, "the reason")
    assert "olli@pohjoinen.example" in user.text


def test_the_operator_moves_an_id_to_the_account_that_claims_it(user, demo):
    user.links("maija", MAIJA).signs_out().signs_in("hanako").sees("Your ORCID iD")
    user.presses("Create or connect your ORCID iD").sees("This ORCID iD is connected to another account").signs_out()

    user.goes("/operator/people").sees("Sign in at your organisation").clicks("sign-in-olli")
    user.sees("One person's connection")
    Select(user.driver.find_element(By.ID, "organisation")).select_by_visible_text(ORGANISATION)
    fills_in(user, "whom", MAIJA)
    fills_in(user, "reason", "she has lost her earlier account")
    user.presses("Look, and keep in the audit that I did").sees("One person's connection")
    user._until(lambda: "Another account claims this iD" in user.text, "the claim")
    assert "hanako@pohjoinen.example" in user.text
    fills_in(user, "claim-reason-1", "both accounts are hers")
    user.presses("Move the connection to the account that claims it").sees("One person's connection", "operator-moved")
    user._until(lambda: "The connection was moved to the account that claimed the iD" in user.text, "the move")

    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []
    assert demo.get_released_id("hanako@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]
    user.signs_out().signs_in("hanako").sees("Your ORCID iD")
    assert "both accounts are hers" in user.text
