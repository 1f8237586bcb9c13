"""Whoever looks after the service sees how it goes, and finds the person on the telephone with a reason alone."""

from __future__ import annotations

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.browser.user import MAIJA, uri

ORGANISATION = "University of the North"


def fills_in(someone, name, words):
    someone.driver.find_element(By.ID, name).send_keys(words)


def test_the_operator_helps_somebody_on_the_telephone_and_the_person_reads_of_it(someone):
    someone.links("maija", MAIJA).goes("/me/confirm/nothing").sees("We did not start this")
    number = someone.driver.find_element(By.TAG_NAME, "code").text
    someone.goes("/operator").sees("There is no such page").goes("/me").sees("Your ORCID iD").signs_out()

    someone.goes("/operator").sees("Sign in at your organisation").clicks("sign-in-olli")
    someone.sees("Organisations", "operator-organisations").presses(ORGANISATION)
    someone.sees(ORGANISATION).presses("The same in numbers").takes("operator-organisation")
    assert MAIJA not in someone.driver.page_source

    someone.presses("Incident numbers").sees("Incident numbers")
    fills_in(someone, "number", number)
    someone.presses("Search").sees("Incident numbers", "operator-incident")
    assert "no-such-attempt" in someone.text

    someone.presses("One person's connection").sees("One person's connection")
    Select(someone.driver.find_element(By.ID, "organisation")).select_by_visible_text(ORGANISATION)
    fills_in(someone, "whom", "maija@pohjoinen.example")
    fills_in(someone, "reason", "she asks what has become of it")
    someone.presses("Look, and keep in the audit that I did").sees("One person's connection", "operator-person")
    someone._until(lambda: uri(MAIJA) in someone.text, "Maija's iD")

    someone.signs_out().signs_in("maija").sees("Your ORCID iD").goes("/me/data")
    someone._until(lambda: "she asks what has become of it" in someone.text, "the reason")
    assert "olli@pohjoinen.example" in someone.text
