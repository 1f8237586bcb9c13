"""Problems of sign-in and of ORCID are explained, and linking can be repeated."""

from __future__ import annotations

import pytest

from tests.support.browser.user import MAIJA, orcid_uri


def test_a_missing_identifier_is_explained(user):
    user.sign_in("vaino")

    user.expect_heading("We could not identify your account", "problem-missing-attribute")
    assert "eppn" in user.text
    assert "idm@pohjoinen.example" in user.text


def test_an_organisation_that_is_not_connected_is_explained(user):
    user.sign_in("katri")

    user.expect_heading("Your organisation is not connected yet", "problem-unknown-organisation")
    assert "https://idp.eramaa.example/idp/shibboleth" in user.text


@pytest.mark.parametrize(
    ("fault", "more"),
    [("html", {}), ("wrong_json", {}), ("cut", {}), ("timeout", {"seconds": 6})],
    ids=["HTML", "garbage", "half an answer", "silence"],
)
def test_linking_can_be_repeated_after_orcid_failed(user, demo, fault, more):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    demo.arm_fault("token", fault, **more)

    user.authorize().expect_heading("ORCID is not answering", f"problem-orcid-unavailable-{fault}")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == []

    user.press("Go to your page").expect_heading("Your ORCID iD").press("Create or connect your ORCID iD")
    # ORCID does not ask twice where only its answer was lost
    if user.expect_any_heading("Authorize access", "Is this your ORCID iD?") == "Authorize access":
        user.authorize()
    user.confirm().expect_heading("Your ORCID iD is connected")
    assert demo.get_released_id("maija@pohjoinen.example", "pohjoinen") == [orcid_uri(MAIJA)]


def test_unknown_addresses_are_explained(user):
    user.visit("/nowhere").expect_heading("There is no such page", "problem-not-found")
