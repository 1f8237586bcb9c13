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
    "upload-too-large": "a form of so many megabytes takes long; tests/contract/test_account_list.py sends one",
    "orcid-client-changed": "the clients are read at the start; test_organisation_client.py has it",
    "organisation-misconfigured": "the organisations are read at the start; test_misconfigured_organisations.py has it",
    "not-admitted": "the states are read at the start; test_admission.py has it",
    "linking-closed": "the states are read at the start; test_admission.py has it",
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

    service_address: str
    proof: str
    headers: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def __call__(self, environ, start_response):
        """Forward a request (PEP 3333)."""
        headers = {"X-Front-Proof": self.proof, **self.headers}
        response = forward(environ, self.service_address.removeprefix("http://"), headers)
        return send_response(response, environ, start_response)

    def with_attributes(self, **attributes):
        """Use these attributes from now on, and return the address."""
        self.headers = {name: quote(value, safe=";") for name, value in attributes.items()}
        return self.address

    def with_university_attributes(self, **attributes):
        """As `with_attributes`, for a person who signed in at the university."""
        return self.with_attributes(**{"Shib-Identity-Provider": NORTH.entity_id}, **attributes)


@dataclass(frozen=True, slots=True)
class JourneyContext:
    """The demonstration, and a second proxy in front of its service."""

    demo: Demo
    proxy: OtherProxy
    cleanup: ExitStack = field(default_factory=ExitStack)


def problem_journey(code):
    """Register a journey to the problem with this code."""

    def register(journey):
        PROBLEM_JOURNEYS.append((code, journey))
        return journey

    return register


# Sign-in


@problem_journey("not-signed-in")
def request_without_attributes(user, context):
    user.driver.get(context.proxy.with_attributes() + "/me")


@problem_journey("proxy-not-authenticated")
def request_that_bypasses_the_proxy(user, context):
    user.driver.get(context.proxy.service_address + "/me")


@problem_journey("unknown-organisation")
def sign_in_at_an_unknown_organisation(user, _context):
    user.sign_in("katri")


@problem_journey("missing-attribute")
def sign_in_without_eppn(user, _context):
    user.sign_in("vaino")


@problem_journey("several-values")
def sign_in_with_two_eppns(user, context):
    user.driver.get(
        context.proxy.with_university_attributes(eppn="maija@pohjoinen.example;mm@pohjoinen.example") + "/me"
    )


@problem_journey("foreign-scope")
def sign_in_with_a_foreign_scope(user, context):
    user.driver.get(context.proxy.with_university_attributes(eppn="maija@saaristo.example") + "/me")


@problem_journey("broken-attribute")
def sign_in_with_an_eppn_without_scope(user, context):
    user.driver.get(context.proxy.with_university_attributes(eppn="maija") + "/me")


# ORCID and the callback


@problem_journey("csrf-failed")
def submit_start_after_deleting_the_cookie(user, _context):
    user.sign_in("maija").expect_heading("Your ORCID iD").delete_cookie("orcid-connect")
    user.press("Create or connect your ORCID iD")


@problem_journey("repeated-cookie")
def visit_with_two_cookies_of_the_same_name(user, _context):
    user.sign_in("maija").expect_heading("Your ORCID iD")
    # With a path of its own, so that the browser keeps both
    user.driver.add_cookie({"name": "orcid-connect", "value": "e" * 43, "path": "/me/"})
    user.visit("/me/data")


@problem_journey("repeated-parameter")
def callback_with_repeated_parameters(user, context):
    context.demo.arm_fault("callback", "repeated_parameters")
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()


@problem_journey("no-such-attempt")
def callback_with_a_changed_state(user, context):
    context.demo.arm_fault("callback", "state_changed")
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize()


@problem_journey("attempt-expired")
def callback_after_the_attempt_expired(user, context):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    with context.demo.database() as database:
        database.execute("update attempts set started_at = '2026-01-15T10:00:00.000000Z', expires_at = started_at")
        database.execute("update attempts set expires_at = '2026-01-15T11:00:00.000000Z'")
    user.authorize()


@problem_journey("too-many-attempts")
def start_one_attempt_too_many(user, context):
    user.sign_in("maija").continue_to_orcid_as(MAIJA)
    person = "organisation, person_key, account, account_issued_at, stable_id, browser_hash, client_id, scope"
    columns = f"{person}, started_at, expires_at, orcid_name"
    with context.demo.database() as database:
        database.execute(
            f"insert into attempts (id, state_hash, {columns}) "
            "with recursive count(number) as (select 1 union all select number + 1 from count where number < 19) "
            f"select 'attempt-' || number, 'state-' || number, {columns} "
            "from (select * from attempts order by started_at desc limit 1), count"
        )
    user.visit("/me").press("Create or connect your ORCID iD")


@problem_journey("too-many-mails")
def request_too_many_mails(user, _context):
    user.link("maija", MAIJA)
    for _ in range(6):
        user.visit("/me/mail").click_id("address")
        user.press_key("maija@home.example").click_id("receipt").click_id("delivery-report").press("Send it")
        user.expect_any_heading("You will get an email", "Too many emails for one day")


@problem_journey("someone-elses-attempt")
def callback_after_another_person_signed_in(user, _context):
    at_orcid = user.sign_in("maija").continue_to_orcid_as(MAIJA).address
    user.visit("/Shibboleth.sso/Logout").sign_in("ake").expect_heading("Your ORCID iD").driver.get(at_orcid)
    user.expect_heading("Authorize access").authorize()


@problem_journey("another-browsers-attempt")
def callback_in_another_browser(user, _context):
    callback_url = user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize_without_redirect()
    user.driver.delete_all_cookies()
    user.sign_in("maija").expect_heading("Your ORCID iD").driver.get(callback_url)


@problem_journey("empty-callback")
def callback_without_parameters(user, context):
    context.demo.arm_fault("callback", "empty_answer")
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@problem_journey("held-by-someone-else")
def link_the_id_of_another_account(user, _context):
    user.link("piia", PIIA).sign_out().sign_in("ake").expect_heading("Your ORCID iD")
    user.press("Create or connect your ORCID iD").choose_permissions()


@problem_journey("orcid-unavailable")
def exchange_while_orcid_fails(user, context):
    context.demo.arm_fault("token", "5xx")
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@problem_journey("orcid-unavailable")
def exchange_while_orcid_is_slow(user, context):
    context.demo.arm_fault("token", "slow", seconds=5)
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@problem_journey("orcid-unavailable")
def exchange_with_broken_json(user, context):
    context.demo.arm_fault("token", "wrong_json")
    user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize()


@problem_journey("orcid-refused")
def callback_after_the_code_expired(user, context):
    callback_url = user.sign_in("hanako").continue_to_orcid_as(MAIJA).authorize_without_redirect()
    context.demo.post_orcid_admin("clock", minutes=11)
    user.driver.get(callback_url)


@problem_journey("orcid-misconfigured")
def exchange_with_a_wrong_client_secret(user, context):
    user.sign_in("hanako").continue_to_orcid_as(MAIJA)
    callback_path = [f"{context.demo.base_url}/me/callback"]
    context.demo.post_orcid_admin(
        "clients", client_id="APP-DEMONSTRATION001", secret="another", name="ORCID connect", redirect_uris=callback_path
    )
    user.authorize()


# Forms and addresses


@problem_journey("not-agreed")
def confirm_without_consent(user, _context):
    user.sign_in("maija").continue_to_orcid_as(MAIJA).authorize().expect_heading("Is this your ORCID iD?").press(
        "Connect this iD"
    )


@problem_journey("erasure-not-confirmed")
def erase_without_confirmation(user, _context):
    user.link("maija", MAIJA).visit("/me/erase").expect_heading("Erase everything about you").press("Erase everything")


@problem_journey("bad-address")
def request_mail_without_a_choice(user, _context):
    user.link("maija", MAIJA).press("Get a confirmation by email").click_id("address")
    user.press_key("maija@home.example").press("Send it")


@problem_journey("link-changed")
def remove_in_one_tab_after_replacing_in_another(user, _context):
    user.link("maija", MAIJA).visit("/me/remove").expect_heading("Remove the connection")
    first = user.driver.current_window_handle
    user.driver.switch_to.new_window("tab")
    user.visit("/orcid/signout").visit("/me").press("Connect another ORCID iD instead")
    user.press("Connect another ORCID iD").sign_in_at_orcid(OTHER_ID).authorize()
    user.confirm("Replace the iD").expect_heading("Your new ORCID iD is connected").driver.close()
    user.driver.switch_to.window(first)
    user.press_button("Remove the connection")


@problem_journey("too-large")
def submit_a_form_that_is_too_large(user, _context):
    user.sign_in("hanako").expect_heading("Your ORCID iD")
    user.driver.execute_script("document.getElementsByName('token').forEach(each => each.value = 'x'.repeat(20000))")
    user.press("Create or connect your ORCID iD")


@problem_journey("not-allowed")
def post_to_a_page_that_only_allows_get(user, context):
    page = f'<form method="post" action="{context.demo.base_url}/help"><button>Go'
    user.driver.get(f"data:text/html,{quote(page)}")
    user.press("Go")


@problem_journey("not-found")
def visit_an_unknown_address(user, _context):
    user.visit("/nowhere")


@problem_journey("not-found")
def visit_the_operator_page_without_permission(user, _context):
    user.sign_in("maija").expect_heading("Your ORCID iD").visit("/operator")


@problem_journey("no-such-organisation")
def visit_the_address_of_an_unknown_organisation(user, _context):
    user.visit("/o/nowhere")


@problem_journey("return-not-allowed")
def arrive_from_an_unregistered_service(user, _context):
    user.visit("/connect?return=https%3A%2F%2Felsewhere.test%2F")


# The service


@problem_journey("store-unavailable")
def start_while_the_database_is_locked(user, context):
    user.sign_in("hanako").expect_heading("Your ORCID iD")
    database = context.cleanup.enter_context(context.demo.database())
    database.execute("begin immediate")
    user.press("Create or connect your ORCID iD")
