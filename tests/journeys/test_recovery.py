"""What a person reads when it cannot go on, and how they do go on."""

from __future__ import annotations

import pytest

from tests.support.browser.user import MAIJA, uri


def test_a_person_without_an_identifier_reads_what_is_missing(someone):
    someone.signs_in("vaino")

    someone.sees("Your organisation did not tell us who you are", "problem-missing-attribute")
    assert "eppn" in someone.text
    assert "idm@pohjoinen.example" in someone.text


def test_a_person_of_an_organisation_that_is_not_connected_reads_so(someone):
    someone.signs_in("katri")

    someone.sees("Your organisation is not connected yet", "problem-unknown-organisation")
    assert "https://idp.eramaa.example/idp/shibboleth" in someone.text


@pytest.mark.parametrize(
    ("fault", "more"),
    [("html", {}), ("wrong_json", {}), ("cut", {}), ("timeout", {"seconds": 6})],
    ids=["HTML", "garbage", "half an answer", "silence"],
)
def test_when_orcid_gives_no_answer_nothing_is_lost(someone, demo, fault, more):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA)
    demo.arm("token", fault, **more)

    someone.allows().sees("ORCID is not answering", f"problem-orcid-unavailable-{fault}")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == []

    someone.presses("To your own page").sees("Your ORCID iD").presses("Create or connect your ORCID iD")
    # ORCID does not ask twice where only its answer was lost
    if someone.sees_either("Authorize access", "Is this you?") == "Authorize access":
        someone.allows()
    someone.confirms().sees("Your ORCID iD is connected")
    assert demo.released("maija@pohjoinen.example", "pohjoinen") == [uri(MAIJA)]


def test_an_address_that_leads_nowhere_says_so(someone):
    someone.goes("/nowhere").sees("There is no such page", "problem-not-found")
