"""A real browser tells the service's own forms from those of its neighbours, whose cookies it sends along."""

import pytest
from selenium.webdriver.common.by import By

from tests.support.service import serve_app


@pytest.fixture
def neighbour(demo):
    """A host of the same site, as a browser counts sites, that has learnt a form's token."""
    told = {}

    def page(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), *told["headers"]])
        form = f'<form method="post" action="{demo.base_url}/me/start"><input name="token" value="{told["token"]}">'
        return [f"<h1>A neighbour</h1>{form}<button>Go</button></form>".encode()]

    with serve_app(page) as address:

        def shows(token, *headers):
            told.update(token=token, headers=headers)
            return address

        yield shows


@pytest.mark.parametrize("headers", [(), [("Referrer-Policy", "no-referrer")]], ids=["origin", "null"])
def test_a_form_of_a_neighbour_is_refused_and_ones_own_is_taken(user, neighbour, headers):
    user.sign_in("maija").expect_heading("Your ORCID iD")
    token = user.driver.find_element(By.NAME, "token").get_attribute("value")
    own = user.address

    user.driver.get(neighbour(token, *headers))
    user.press("Go").expect_heading("This form is out of date")

    user.driver.get(own)
    user.press("Create or connect your ORCID iD").expect_heading("Sign in")
