"""How a person comes to each problem of `webapp/pages/problems.py`, in a browser, or why none can.

    @walks_to("missing-attribute")
    def an_organisation_that_sends_no_eppn(someone, around):
        someone.signs_in("vaino")

A walk goes on until the problem is to be seen, and not further.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import quote

from demo.pages import sent
from demo.passing_on import passed_on
from demo.people import NORTH
from tests.support.browser.user import MAIJA, SOMEBODY
from tests.support.processes.demo import Demonstration

NOBODY = {
    "orcid-busy": "it takes more people at once than one browser; tests/contract/test_concurrency.py has so many",
    "schema-behind": "a service does not start on a database that is behind; `orcid-connect check` says so",
    "schema-ahead": "a service does not start on a database that is newer; `orcid-connect check` says so",
    "bug": "a way that is known to lead there is mended; tests/contract/test_web_app.py raises what nobody thought of",
}
"""The problems to which no person's browser can come, and why."""

WALKS = []
"""Word of the problem, and walk."""


@dataclass
class OddFront:
    """A web server before the service that lets everybody in, and says this of each."""

    past: str
    """Address of the service itself."""
    proof: str
    told: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def __call__(self, environ, start_response):
        """Pass a request on (PEP 3333)."""
        answer = passed_on(environ, self.past.removeprefix("http://"), {"X-Front-Proof": self.proof, **self.told})
        return sent(answer, environ, start_response)

    def says(self, **attributes):
        """Say this of everybody from now on, and give the address."""
        self.told = {name: quote(value, safe=";") for name, value in attributes.items()}
        return self.address

    def says_of_the_university(self, **attributes):
        """As `says`, of somebody who signed in at the university."""
        return self.says(**{"Shib-Identity-Provider": NORTH.entity_id}, **attributes)


@dataclass(frozen=True, slots=True)
class Around:
    """What is around the person: the demonstration, and its service once more, reached past its web server."""

    demo: Demonstration
    front: OddFront
    until_the_end: ExitStack = field(default_factory=ExitStack)


def walks_to(word):
    """Put a walk into the table."""

    def into_the_table(walk):
        WALKS.append((word, walk))
        return walk

    return into_the_table


# Who cannot be let in


@walks_to("not-signed-in")
def a_web_server_that_asks_nobody_to_sign_in(someone, around):
    someone.driver.get(around.front.says() + "/me")


@walks_to("proxy-not-authenticated")
def the_address_of_the_service_behind_its_web_server(someone, around):
    someone.driver.get(around.front.past + "/me")


@walks_to("unknown-organisation")
def an_organisation_that_is_not_connected(someone, _around):
    someone.signs_in("katri")


@walks_to("missing-attribute")
def an_organisation_that_sends_no_eppn(someone, _around):
    someone.signs_in("vaino")


@walks_to("several-values")
def an_organisation_that_sends_two_eppns(someone, around):
    someone.driver.get(around.front.says_of_the_university(eppn="maija@pohjoinen.example;mm@pohjoinen.example") + "/me")


@walks_to("foreign-scope")
def an_organisation_that_sends_an_eppn_of_another(someone, around):
    someone.driver.get(around.front.says_of_the_university(eppn="maija@saaristo.example") + "/me")


@walks_to("broken-attribute")
def an_organisation_that_sends_an_eppn_without_a_scope(someone, around):
    someone.driver.get(around.front.says_of_the_university(eppn="maija") + "/me")


# On the way to ORCID and back


@walks_to("csrf-failed")
def a_form_that_was_open_when_the_browser_lost_its_cookies(someone, _around):
    someone.signs_in("maija").sees("Your ORCID iD").forgets("orcid-connect")
    someone.presses("Create or connect your ORCID iD")


@walks_to("repeated-cookie")
def a_neighbour_that_has_set_a_cookie_of_our_name(someone, _around):
    someone.signs_in("maija").sees("Your ORCID iD")
    # With a path of its own, so that the browser keeps both
    someone.driver.add_cookie({"name": "orcid-connect", "value": "e" * 43, "path": "/me/"})
    someone.goes("/me/data")


@walks_to("repeated-parameter")
def a_way_back_that_says_everything_twice(someone, around):
    around.demo.arm("callback", "repeated_parameters")
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()


@walks_to("no-such-attempt")
def a_way_back_that_was_damaged(someone, around):
    around.demo.arm("callback", "state_changed")
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()


@walks_to("attempt-expired")
def a_long_lunch_at_orcid(someone, around):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA)
    with around.demo.database() as database:
        database.execute("update attempts set started_at = '2026-01-15T10:00:00.000000Z', expires_at = started_at")
        database.execute("update attempts set expires_at = '2026-01-15T11:00:00.000000Z'")
    someone.allows()


@walks_to("someone-elses-attempt")
def a_colleague_who_signed_in_meanwhile(someone, _around):
    at_orcid = someone.signs_in("maija").goes_to_orcid_as(MAIJA).address
    someone.goes("/Shibboleth.sso/Logout").signs_in("ake").sees("Your ORCID iD").driver.get(at_orcid)
    someone.sees("Authorize access").allows()


@walks_to("another-browsers-attempt")
def a_way_back_that_is_opened_in_another_browser(someone, _around):
    way_back = someone.signs_in("maija").goes_to_orcid_as(MAIJA).copies_the_way_back()
    someone.driver.delete_all_cookies()
    someone.signs_in("maija").sees("Your ORCID iD").driver.get(way_back)


@walks_to("nothing-came-back")
def an_orcid_that_sends_back_empty_handed(someone, around):
    around.demo.arm("callback", "empty_answer")
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()


@walks_to("held-by-someone-else")
def the_id_of_a_colleague_who_used_this_computer_before(someone, _around):
    someone.links("maija", MAIJA).signs_out().signs_in("hanako").sees("Your ORCID iD")
    someone.presses("Create or connect your ORCID iD")


@walks_to("orcid-unavailable")
def an_orcid_that_is_down(someone, around):
    around.demo.arm("token", "5xx")
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()


@walks_to("orcid-unavailable")
def an_orcid_that_is_too_slow(someone, around):
    around.demo.arm("token", "slow", seconds=5)
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()


@walks_to("orcid-unavailable")
def an_orcid_that_talks_nonsense(someone, around):
    around.demo.arm("token", "wrong_json")
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows()


@walks_to("orcid-refused")
def a_way_back_that_lay_about_for_too_long(someone, around):
    way_back = someone.signs_in("maija").goes_to_orcid_as(MAIJA).copies_the_way_back()
    around.demo.has_orcid("clock", minutes=11)
    someone.driver.get(way_back)


@walks_to("orcid-misconfigured")
def an_orcid_that_was_given_another_secret_of_ours(someone, around):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA)
    back = [f"{around.demo.base_url}/me/callback"]
    around.demo.has_orcid(
        "clients", client_id="APP-DEMONSTRATION001", secret="another", name="ORCID connect", redirect_uris=back
    )
    someone.allows()


# Forms, and what can be typed


@walks_to("not-agreed")
def a_confirmation_without_a_tick(someone, _around):
    someone.signs_in("maija").goes_to_orcid_as(MAIJA).allows().sees("Is this you?").presses("Connect this iD")


@walks_to("not-sure")
def an_erasure_without_a_tick(someone, _around):
    someone.links("maija", MAIJA).goes("/me/erase").sees("Erase everything about you").presses("Erase everything")


@walks_to("bad-address")
def a_letter_without_a_tick(someone, _around):
    someone.links("maija", MAIJA).presses("Have it sent to you by e-mail").clicks("address")
    someone.hits("maija@home.example").presses("Send it")


@walks_to("link-changed")
def a_removal_in_one_tab_after_a_replacement_in_another(someone, _around):
    someone.links("maija", MAIJA).goes("/me/remove").sees("Remove the connection")
    first = someone.driver.current_window_handle
    someone.driver.switch_to.new_window("tab")
    someone.goes("/orcid/signout").goes("/me").presses("Connect another ORCID iD instead")
    someone.presses("Connect another ORCID iD").is_at_orcid(SOMEBODY).allows()
    someone.confirms("Replace the iD").sees("Your new ORCID iD is connected").driver.close()
    someone.driver.switch_to.window(first)
    someone.presses_button("Remove the connection")


@walks_to("too-large")
def a_browser_that_fills_in_far_too_much(someone, _around):
    someone.signs_in("maija").sees("Your ORCID iD")
    someone.driver.execute_script("document.getElementsByName('token')[0].value = 'x'.repeat(20000)")
    someone.presses("Create or connect your ORCID iD")


@walks_to("not-allowed")
def a_form_of_somebody_elses_that_sends_to_a_page_that_is_only_read(someone, around):
    page = f'<form method="post" action="{around.demo.base_url}/help"><button>Go'
    someone.driver.get(f"data:text/html,{quote(page)}")
    someone.presses("Go")


@walks_to("not-found")
def an_address_that_was_mistyped(someone, _around):
    someone.goes("/nowhere")


@walks_to("not-found")
def the_operators_page_opened_by_anybody_else(someone, _around):
    someone.signs_in("maija").sees("Your ORCID iD").goes("/operator")


# The service itself


@walks_to("store-unavailable")
def a_database_that_somebody_keeps_to_themselves(someone, around):
    someone.signs_in("maija").sees("Your ORCID iD")
    database = around.until_the_end.enter_context(around.demo.database())
    database.execute("begin immediate")
    someone.presses("Create or connect your ORCID iD")
