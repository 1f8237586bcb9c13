"""A person who uses the service in a browser through a real Service Provider."""

from __future__ import annotations

from tests.support.system.people import SAIMAA

SESSION_COOKIE = "_shibsession_"


class FederatedUser:
    """A person with a browser, an account and an ORCID iD."""

    def __init__(self, service, browser, account, organisation=SAIMAA):
        self.base_url, self.orcid_url = service.stack.base_url, service.simulator.base_url
        self.browser, self.account, self.organisation = browser, account, organisation

    def signs_in(self):
        self.browser.go(self.base_url)
        self.browser.press("Sign in with your organisation")
        self.chooses_the_organisation()
        self.browser.waits_for("Your ORCID iD")

    def chooses_the_organisation(self):
        self.browser.waits_for("Choose your organisation")
        self.browser.press(self.organisation.name)
        self.browser.waits_for(f"Sign in: {self.organisation.name}")
        self.browser.press(self.account)

    def goes_to_orcid(self, orcid):
        self.browser.press("Create or connect your ORCID iD")
        self.browser.waits_for_address(self.orcid_url)
        self.browser.press_id(f"sign-in-{orcid}")

    def authorises(self):
        self.browser.press_id("authorize-button")

    def confirms(self):
        self.browser.waits_for("Is this you?")
        self.browser.tick("agree")
        self.browser.press("Connect this iD")

    def links(self, orcid):
        self.goes_to_orcid(orcid)
        self.authorises()
        self.confirms()
        self.browser.waits_for("Your ORCID iD is connected")

    def session_ends(self):
        self.browser.loses_cookies(SESSION_COOKIE, self.base_url)

    def signs_out(self):
        self.browser.press("Sign out")
        self.browser.waits_for("You have signed out of this service")

    def removes(self):
        self.browser.press("Remove the connection")
        self.browser.press_button("Remove the connection")
        self.browser.waits_for("The connection is removed")
