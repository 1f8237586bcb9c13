"""Browser journeys to each problem of `webapp/pages/problems.py`.

Problems without a journey have the reason.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import quote

from demo.forwarding import forward
from demo.pages import send_response
from demo.people import NORTH
from tests.support.browser.user import MAIJA, OTHER_ID, PIIA
from tests.support.processes.demo import Demo

UNREACHABLE = {
    "orcid-busy": "it takes more people at once than one browser; tests/contract/test_concurrency.py has so many",
    "incomplete-form": "no browser sends a form in part; tests/contract/test_form_bodies.py does",
    "schema-behind": "a service does not start on a database that is behind; `orcid-connect check` says so",
    "schema-ahead": "a service does not start on a database that is newer; `orcid-connect check` says so",
    "bug": "every known cause is fixed; tests/contract/test_web_app.py raises an unexpected exception",
}
"""Problems that no journey reaches, by code, with the reason."""

PROBLEM_JOURNEYS = []
"""Code of the problem, and journey."""


@dataclass
class OtherProxy:
    """A proxy that authenticates every request with chosen attributes."""

    past: str
    """Address of the service itself."""
    proof: str
    told: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def __call__(self, environ, start_response):
        """Forward a request (PEP 3333)."""
        answer = forward(environ, self.past.removeprefix("http://"), {"X-Front-Proof": self.proof, **self.told})
        return send_response(answer, environ, start_response)

    def says(self, **attributes):
        """Use these attributes from now on, and return the address."""
        self.told = {name: quote(value, safe=";") for name, value in attributes.items()}
        return self.address

    def says_of_the_university(self, **attributes):
        """As `says`, for a person who signed in at the university."""
        return self.says(**{"Shib-Identity-Provider": NORTH.entity_id}, **attributes)


@dataclass(frozen=True, slots=True)
class JourneyContext:
    """What is around the person.

    The demonstration, and its service once more, reached past its web server.
    """

    demo: Demo
    front: OtherProxy
    until_the_end: ExitStack = field(default_factory=ExitStack)


def leads_to(word):
    """Register a journey to the problem with this code."""

    def into_the_table(walk):
        PROBLEM_JOURNEYS.append((word, walk))
        return walk

    return into_the_table


# Who cannot be let in


@leads_to("not-signed-in")
def a_web_server_that_asks_nobody_to_sign_in(user, context):
    user.driver.get(context.front.says() + "/me")


@leads_to("proxy-not-authenticated")
def the_address_of_the_service_behind_its_web_server(user, context):
    user.driver.get(context.front.past + "/me")


@leads_to("unknown-organisation")
def an_organisation_that_is_not_connected(user, _context):
    user.sign_in("katri")


@leads_to("missing-attribute")
def an_organisation_that_sends_no_eppn(user, _context):
    user.sign_in("vaino")


@leads_to("several-values")
def an_organisation_that_sends_two_eppns(user, context):
    user.driver.get(context.front.says_of_the_university(eppn="maija@pohjoinen.example;mm@pohjoinen.example") + "/me")


@leads_to("foreign-scope")
def an_organisation_that_sends_an_eppn_of_another(user, context):
    user.driver.get(context.front.says_of_the_university(eppn="maija@saaristo.example") + "/me")


@leads_to("broken-attribute")
def an_organisation_that_sends_an_eppn_without_a_scope(user, context):
    user.driver.get(context.front.says_of_the_university(eppn="maija") + "/me")


# On the way to ORCID and back


@leads_to("csrf-failed")
def a_form_that_was_open_when_the_browser_lost_its_cookies(user, _context):
    user.sign_in("maija").expect_heading("Your ORCID iD").delete_cookie("orcid-connect")
    user.press("Create or connect your ORCID iD")


@leads_to("repeated-cookie")
def a_neighbour_that_has_set_a_cookie_of_our_name(user, _context):
    user.sign_in("maija").expect_heading("Your ORCID iD")
    # With a path of its own, so that the browser keeps both
    user.driver.add_cookie({"name": "orcid-connect", "value": "e" * 43, "path": "/me/"})
    user.visit("/me/data")


@leads_to("repeated-parameter")
def a_way_back_that_says_everything_twice(user, context):
    context.demo.arm_fault("callback", "repeated_parameters")
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()


@leads_to("no-such-attempt")
def a_way_back_that_was_damaged(user, context):
    context.demo.arm_fault("callback", "state_changed")
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()


@leads_to("attempt-expired")
def a_long_lunch_at_orcid(user, context):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    with context.demo.database() as database:
        database.execute("update attempts set started_at = '2026-01-15T10:00:00.000000Z', expires_at = started_at")
        database.execute("update attempts set expires_at = '2026-01-15T11:00:00.000000Z'")
    user.authorize()


@leads_to("too-many-attempts")
def twenty_visits_to_orcid(user, context):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    person = "organisation, person_key, account, account_issued_at, stable_id, browser_hash"
    columns = f"{person}, started_at, expires_at, orcid_name"
    with context.demo.database() as database:
        database.execute(
            f"insert into attempts (id, state_hash, {columns}) "
            "with recursive count(number) as (select 1 union all select number + 1 from count where number < 19) "
            f"select 'attempt-' || number, 'state-' || number, {columns} "
            "from (select * from attempts order by started_at desc limit 1), count"
        )
    user.visit("/me").press("Create or connect your ORCID iD")


@leads_to("too-many-mails")
def eleven_letters(user, _context):
    user.link("maija", MAIJA)
    for _ in range(6):
        user.visit("/me/mail").click_id("address")
        user.press_key("maija@home.example").click_id("receipt").click_id("delivery-report").press("Send it")
        user.expect_any_heading("You will get an e-mail", "This is too much e-mail for one day")


@leads_to("someone-elses-attempt")
def a_colleague_who_signed_in_meanwhile(user, _context):
    at_orcid = user.sign_in("maija").continue_to_orcid_as(MAIJA).address
    user.visit("/Shibboleth.sso/Logout").sign_in("ake").expect_heading("Your ORCID iD").driver.get(at_orcid)
    user.expect_heading("Authorize access").authorize()


@leads_to("another-browsers-attempt")
def a_way_back_that_is_opened_in_another_browser(user, _context):
    way_back = user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize_without_redirect()
    user.driver.delete_all_cookies()
    user.sign_in("maija").expect_heading("Your ORCID iD").driver.get(way_back)


@leads_to("empty-callback")
def an_orcid_that_sends_back_empty_handed(user, context):
    context.demo.arm_fault("callback", "empty_answer")
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@leads_to("held-by-someone-else")
def the_id_of_a_colleague_who_used_this_computer_before(user, _context):
    user.link("piia", PIIA).sign_out().sign_in("ake").expect_heading("Your ORCID iD")
    user.press("Create or connect your ORCID iD")


@leads_to("orcid-unavailable")
def an_orcid_that_is_down(user, context):
    context.demo.arm_fault("token", "5xx")
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@leads_to("orcid-unavailable")
def an_orcid_that_is_too_slow(user, context):
    context.demo.arm_fault("token", "slow", seconds=5)
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@leads_to("orcid-unavailable")
def an_orcid_that_talks_nonsense(user, context):
    context.demo.arm_fault("token", "wrong_json")
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@leads_to("orcid-refused")
def a_way_back_that_lay_about_for_too_long(user, context):
    way_back = user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize_without_redirect()
    context.demo.post_orcid_admin("clock", minutes=11)
    user.driver.get(way_back)


@leads_to("orcid-misconfigured")
def an_orcid_that_was_given_another_secret_of_ours(user, context):
    user.sign_in("hanako").continue_to_orcid_as(MAIJA)
    callback_path = [f"{context.demo.base_url}/me/callback"]
    context.demo.post_orcid_admin(
        "clients", client_id="APP-DEMONSTRATION001", secret="another", name="ORCID connect", redirect_uris=callback_path
    )
    user.authorize()


# Forms, and what can be typed


@leads_to("not-agreed")
def a_confirmation_without_a_tick(user, _context):
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize().expect_heading("Is this you?").press(
        "Connect this iD"
    )


@leads_to("erasure-not-confirmed")
def an_erasure_without_a_tick(user, _context):
    user.link("maija", MAIJA).visit("/me/erase").expect_heading("Erase everything about you").press("Erase everything")


@leads_to("bad-address")
def a_letter_without_a_tick(user, _context):
    user.link("maija", MAIJA).press("Have it sent to you by e-mail").click_id("address")
    user.press_key("maija@home.example").press("Send it")


@leads_to("link-changed")
def a_removal_in_one_tab_after_a_replacement_in_another(user, _context):
    user.link("maija", MAIJA).visit("/me/remove").expect_heading("Remove the connection")
    first = user.driver.current_window_handle
    user.driver.switch_to.new_window("tab")
    user.visit("/orcid/signout").visit("/me").press("Connect another ORCID iD instead")
    user.press("Connect another ORCID iD").sign_in_at_orcid(OTHER_ID).authorize()
    user.confirm("Replace the iD").expect_heading("Your new ORCID iD is connected").driver.close()
    user.driver.switch_to.window(first)
    user.press_button("Remove the connection")


@leads_to("too-large")
def a_browser_that_fills_in_far_too_much(user, _context):
    user.sign_in("hanako").expect_heading("Your ORCID iD")
    user.driver.execute_script("document.getElementsByName('token').forEach(each => each.value = 'x'.repeat(20000))")
    user.press("Create or connect your ORCID iD")


@leads_to("not-allowed")
def a_form_of_somebody_elses_that_sends_to_a_page_that_is_only_read(user, context):
    page = f'<form method="post" action="{context.demo.base_url}/help"><button>Go'
    user.driver.get(f"data:text/html,{quote(page)}")
    user.press("Go")


@leads_to("not-found")
def an_address_that_was_mistyped(user, _context):
    user.visit("/nowhere")


@leads_to("not-found")
def the_operators_page_opened_by_anybody_else(user, _context):
    user.sign_in("maija").expect_heading("Your ORCID iD").visit("/operator")


# The service itself


@leads_to("store-unavailable")
def a_database_that_somebody_keeps_to_themselves(user, context):
    user.sign_in("hanako").expect_heading("Your ORCID iD")
    database = context.until_the_end.enter_context(context.demo.database())
    database.execute("begin immediate")
    user.press("Create or connect your ORCID iD")
