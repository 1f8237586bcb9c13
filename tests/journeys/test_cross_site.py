"""Forms of another host of the same site are refused, although the browser sends the cookies."""

import pytest
from selenium.webdriver.common.by import By

from tests.support.service import serve_app


@pytest.fixture
def other_host(demo):
    """A host of the same site, with a form that has a valid token."""
    shown = {}

    def page(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), *shown["headers"]])
        form = f'<form method="post" action="{demo.base_url}/me/start"><input name="token" value="{shown["token"]}">'
        return [f"<h1>Another host</h1>{form}<button>Go</button></form>".encode()]

    with serve_app(page) as address:

        def show(token, *headers):
            shown.update(token=token, headers=headers)
            return address

        yield show


@pytest.mark.parametrize("headers", [(), [("Referrer-Policy", "no-referrer")]], ids=["origin", "null"])
def test_forms_of_another_host_are_refused(user, other_host, headers):
    user.sign_in("maija").expect_heading("Your ORCID iD")
    token = user.driver.find_element(By.NAME, "token").get_attribute("value")
    own = user.address

    user.driver.get(other_host(token, *headers))
    user.press("Go").expect_heading("This form is out of date")

    user.driver.get(own)
    user.press("Create or connect your ORCID iD").expect_heading("Sign in")
