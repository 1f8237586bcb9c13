"""An organisation with its own ORCID client: what people permit, leave out and take back, and what ORCID then has."""

from __future__ import annotations

import time

import pytest
import requests

from demo.configuration import OWN_CLIENT_ID
from tests.support.browser.user import AKE, orcid_uri

ALL = ("read-limited", "activities-update", "person-update")


@pytest.fixture
def granted(demo):
    """Give the scopes of the organisation's pairs for Åke that work at ORCID."""

    def granted():
        query = {"orcid": AKE, "client_id": OWN_CLIENT_ID, "live": "true"}
        found = requests.get(f"{demo.base_url}/orcid/admin/tokens", query, timeout=60).json()
        return sorted(tuple(sorted(each["scope"].split())) for each in found)

    def wait_for(expected):
        until = time.monotonic() + 20
        while (found := granted()) != expected:
            assert time.monotonic() < until, f"ORCID has {found}"
            time.sleep(0.1)

    granted.wait_for = wait_for
    return granted


def go_to_orcid(user, *permissions):
    user.sign_in("ake").expect_heading("Your ORCID iD").press("Create or connect your ORCID iD")
    user.choose_permissions(*permissions).expect_heading("Sign in").click_id(f"sign-in-{AKE}")
    return user.expect_heading("Authorize access")


def released(demo):
    return demo.get_released_id("ake@saaristo.example", "saaristo")


def test_everything_is_permitted_and_ends_with_the_connection(user, demo, granted):
    user.sign_in("ake").expect_heading("Your ORCID iD").press("Create or connect your ORCID iD")
    user.expect_heading("Before you go to ORCID", "start-with-permissions").choose_permissions(*ALL)
    user.expect_heading("Sign in").click_id(f"sign-in-{AKE}").expect_heading("Authorize access")
    assert "Archipelago College" in user.text
    user.authorize().confirm().expect_heading("Your ORCID iD is connected", "result-with-permissions")
    assert granted() == [("/activities/update", "/person/update", "/read-limited")]
    assert released(demo) == [orcid_uri(AKE)]

    secret = (demo.directory / "secrets" / "saaristo-research-system").read_text().strip()
    fetched = requests.post(
        f"{demo.base_url}/v1/people/ake%40saaristo.example/orcid-token",
        json={"scope": "/read-limited"},
        headers={"Authorization": f"Bearer {secret}"},
        timeout=60,
    ).json()
    record = f"{demo.base_url}/orcid/api/v3.0/{AKE}/person"
    read = requests.get(record, headers={"Authorization": f"Bearer {fetched['access_token']}"}, timeout=60)
    assert (fetched["orcid"], read.status_code) == (orcid_uri(AKE), 200)
    user.visit("/me").expect_heading("Your ORCID iD", "me-with-permissions")
    assert "Last used by the system research-system of your organisation" in user.text
    user.press("Remove the connection").press_button("Remove the connection")
    user.expect_heading("The connection has been removed")
    granted.wait_for([])
    assert released(demo) == []


def test_the_affiliation_is_written_and_ends_before_the_permission(user, demo, granted):
    def record():
        items = requests.get(f"{demo.base_url}/orcid/admin/items", {"orcid": AKE}, timeout=60).json()
        return [(each["path"].split("/")[2], each["end-date"] is not None) for each in items]

    go_to_orcid(user, "activities-update").authorize().expect_heading(
        "Is this your ORCID iD?", "confirm-with-an-affiliation"
    )
    user.click_id("affiliation").confirm().expect_heading("Your ORCID iD is connected")
    assert record() == [("employment", False)]
    user.visit("/me/affiliation").expect_heading("Your organisation in your ORCID record", "affiliation-written")
    assert "The entry is on your ORCID record." in user.text

    user.visit("/me").expect_heading("Your ORCID iD").press("Remove the connection")
    user.press_button("Remove the connection").expect_heading("The connection has been removed")
    granted.wait_for([])
    assert record() == [("employment", True)]


def test_what_is_left_out_is_not_asked_for_and_can_be_permitted_later(user, demo, granted):
    go_to_orcid(user, "activities-update")
    assert "Trusted parties" not in user.text
    user.authorize().confirm().expect_heading("Your ORCID iD is connected")
    assert granted() == [("/activities/update",)]

    user.visit("/me").expect_heading("Your ORCID iD").press("Choose what to permit").choose_permissions("read-limited")
    user.expect_heading("Authorize access").authorize().expect_heading("This ORCID iD was connected already")
    assert granted() == [("/activities/update",), ("/read-limited",)]

    user.visit("/me").expect_heading("Your ORCID iD").press("Withdraw the permission")
    user.expect_heading("Your ORCID iD")
    assert "You have permitted nothing beyond your iD" in user.text
    granted.wait_for([])
    assert released(demo) == [orcid_uri(AKE)]


def test_a_permission_that_is_revoked_at_orcid_leaves_the_connection(user, demo, granted):
    go_to_orcid(user, *ALL).authorize().confirm().expect_heading("Your ORCID iD is connected")

    user.visit("/orcid/trusted-parties").press("Revoke access")

    granted.wait_for([])
    assert released(demo) == [orcid_uri(AKE)]
    # The organisation removes nothing either: the person decides here as well
    user.visit("/me").expect_heading("Your ORCID iD").press("Withdraw the permission").expect_heading("Your ORCID iD")
    assert released(demo) == [orcid_uri(AKE)]


def test_the_id_alone_is_enough(user, demo, granted):
    go_to_orcid(user).authorize().confirm().expect_heading("Your ORCID iD is connected")

    assert granted() == [("/authenticate",)]
    assert released(demo) == [orcid_uri(AKE)]
