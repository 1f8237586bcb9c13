"""A person who uses the service in a browser through a real Service Provider."""

from __future__ import annotations

from tests.support.system.people import SAIMAA

SESSION_COOKIE = "_shibsession_"


class FederatedUser:
    """A person with a browser, an account and an ORCID iD."""

    def __init__(self, service, browser, account, organisation=SAIMAA):
        self.base_url, self.orcid_url = service.stack.base_url, service.simulator.base_url
        self.browser, self.account, self.organisation = browser, account, organisation

    def sign_in(self):
        self.browser.open(self.base_url)
        self.browser.press("Sign in with your organisation")
        self.choose_organisation()
        self.browser.wait_for_heading("Your ORCID iD")

    def choose_organisation(self):
        self.browser.wait_for_heading("Choose your organisation")
        self.browser.press(self.organisation.name)
        self.browser.wait_for_heading(f"Sign in: {self.organisation.name}")
        self.browser.press(self.account)

    def continue_to_orcid(self, orcid):
        self.browser.press("Create or connect your ORCID iD")
        self.browser.wait_for_address(self.orcid_url)
        self.browser.click_id(f"sign-in-{orcid}")

    def authorize(self):
        self.browser.click_id("authorize-button")

    def confirm(self):
        self.browser.wait_for_heading("Is this your ORCID iD?")
        self.browser.tick("agree")
        self.browser.press("Connect this iD")

    def link(self, orcid):
        self.continue_to_orcid(orcid)
        self.authorize()
        self.confirm()
        self.browser.wait_for_heading("Your ORCID iD is connected")

    def end_session(self):
        self.browser.delete_cookies(SESSION_COOKIE, self.base_url)

    def sign_out(self):
        self.browser.press("Sign out")
        self.browser.wait_for_heading("You have signed out of this service")

    def remove_link(self):
        self.browser.press("Remove the connection")
        self.browser.press_button("Remove the connection")
        self.browser.wait_for_heading("The connection has been removed")
