"""Signing in through the real Service Provider: what arrives of a person, and what is refused."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from shibboleth.organisation import Organisation, Organisations
from shibboleth.person import HeaderSource, MissingAttribute, NotSignedIn, VariableSource, person_from
from tests.support.system.client import HttpBrowser, cookies, form_of, seen
from tests.support.system.people import PROVIDERS, SAIMAA, TUNTURI

ORGANISATIONS = Organisations.of(
    Organisation(each.host, (each.entity_id,), {"en": each.name}, frozenset({each.scope})) for each in PROVIDERS
)


def person_seen(stack, answer):
    """The person whom our own reader finds in what reached the application."""
    front = VariableSource() if stack.front == "variables" else HeaderSource(stack.proof)
    return person_from(seen(answer).environ, front, ORGANISATIONS)


SENT = 500
FAILED = ("Kirjautuminen ei onnistunut", "Inloggningen misslyckades", "The sign-in failed")
"""The headings of the page that a failed sign-in has."""


def memory_of_shibd(stack):
    """Give what shibd has in memory, in KiB."""
    status = Path(f"/proc/{stack.processes['shibd'].pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def is_signed_in(http_browser):
    """Whether the Service Provider lets this browser to a person's own page without asking who it is."""
    return http_browser.visit("/me", allow_redirects=False).status_code == 200


@pytest.mark.parametrize(
    ("account", "key", "name"),
    [
        ("maija", "maija@saimaa.example", "Maija Mäkelä"),
        ("åke", "ake@saimaa.example", "Åke Öström; professor"),
        ("wang", "wang@saimaa.example", "王小明 🎓"),
    ],
)
def test_a_person_arrives_unharmed(stack, http_browser, account, key, name):
    person = person_seen(stack, http_browser.sign_in(account))

    assert (person.account, person.name, person.account_issued_at) == (key, name, "20040826")
    assert person.organisation.entity_ids == (SAIMAA.entity_id,)


def test_an_orcid_id_that_the_organisation_already_releases_arrives(stack, http_browser):
    person = person_seen(stack, http_browser.sign_in("liisa", TUNTURI))

    assert [str(each.uri) for each in person.released] == ["https://orcid.org/0000-0002-1825-0097"]


def test_a_line_feed_in_a_name_harms_nobody(stack, http_browser):
    answer = http_browser.sign_in("newline")

    assert person_seen(stack, answer).account == "rivi@saimaa.example"
    assert not any("\n" in value for name, value in seen(answer).environ.items() if name != "SERVER_SIGNATURE")


@pytest.mark.parametrize("account", ["nameless", "stranger"])
def test_without_an_identifier_of_the_organisations_own_one_is_signed_in_and_nobody(stack, http_browser, account):
    answer = http_browser.sign_in(account)

    with pytest.raises(MissingAttribute):
        person_seen(stack, answer)


def test_two_identifiers_at_once_arrive_as_two(stack, http_browser):
    answer = http_browser.sign_in("twofold")

    with pytest.raises(ValueError, match="several values of eppn"):
        person_seen(stack, answer)


def test_an_attribute_that_nobody_asked_for_does_not_arrive(stack, http_browser):
    answer = http_browser.sign_in("maija", eduPersonAssurance=[], displayName=["Another Name"])

    assert person_seen(stack, answer).name == "Another Name"
    assert "ASSURANCE" not in " ".join(seen(answer).environ).upper()


def test_an_open_page_knows_nobody_with_a_session_or_without(stack, http_browser):
    before = http_browser.visit("/")
    http_browser.sign_in("maija")
    after = http_browser.visit("/")

    assert is_signed_in(http_browser)
    for answer in (before, after):
        with pytest.raises(NotSignedIn):
            person_seen(stack, answer)


def test_a_session_lasts_from_page_to_page_and_from_network_to_network(stack, http_browser, raw_client):
    http_browser.sign_in("maija")
    cookie = cookies(http_browser)

    elsewhere = raw_client.ask("/me", [("Cookie", cookie)], source="127.0.0.2")
    back_again = http_browser.visit("/me")

    assert person_seen(stack, elsewhere).account == "maija@saimaa.example"
    assert person_seen(stack, back_again).account == "maija@saimaa.example"


def test_the_session_cookie_is_out_of_reach_and_survives_a_link_from_elsewhere(http_browser):
    answer = http_browser.submit(http_browser.answer_for("maija"))

    (cookie,) = [value for each in answer.history for value in _set_cookies(each) if value.startswith("_shibsession_")]
    words = {word.strip().lower() for word in cookie.split(";")[1:]}

    assert {"secure", "httponly", "path=/"} <= words
    assert not words & {"samesite=strict", "samesite=none"}


def test_an_answer_that_nobody_asked_for_is_refused(stack, http_browser):
    answer = http_browser.visit(f"https://{SAIMAA.host}:{stack.idp_port}/unsolicited?person=maija")

    refused = http_browser.submit(answer)

    assert refused.status_code == 500
    assert not is_signed_in(http_browser)


def test_an_answer_to_somebody_elses_request_is_refused(stack, http_browser):
    with HttpBrowser(stack) as attacker:
        stolen = form_of(attacker.answer_for("maija"))
    http_browser.visit("/me")

    refused = http_browser.post(stolen.action, data=stolen.fields)

    assert refused.status_code == 500
    assert not is_signed_in(http_browser)


@pytest.mark.parametrize(
    "odd",
    [
        {"eppn": ["@saimaa.example"]},
        {"eppn": ["@"]},
        {"eppn": [" @saimaa.example"], "displayName": ["\\"]},
        {"subject-id": ["@saimaa.example"]},
        {"schacHomeOrganization": ["@"], "eppn": [""]},
    ],
    ids=str,
)
def test_an_odd_assertion_ends_in_the_application_or_in_words(http_browser, odd):
    answer = http_browser.sign_in("maija", **odd)

    assert answer.status_code in {200, 500}
    if answer.status_code == 500:
        for heading in FAILED:
            assert f"<h1>{heading}</h1>" in answer.content.decode() or f"<h2>{heading}</h2>" in answer.content.decode()


def test_a_refused_answer_is_told_in_three_languages(stack, http_browser):
    answer = http_browser.submit(http_browser.visit(f"https://{SAIMAA.host}:{stack.idp_port}/unsolicited?person=maija"))

    assert answer.status_code == 500
    for heading in FAILED:
        assert heading in answer.content.decode()


def test_an_answer_works_once(stack, http_browser):
    answer = http_browser.answer_for("maija")
    http_browser.submit(answer)
    http_browser.cookies.clear()

    again = http_browser.submit(answer)

    assert again.status_code == 500


def test_a_form_sent_after_the_session_ended_is_sent_again_after_the_sign_in(stack, http_browser):
    choose = http_browser.post(f"{stack.base_url}/me/confirm", data={"consent": "kyllä & joo", "token": "t+1"})

    back = http_browser.sign_in("maija", asking=choose)
    replayed = http_browser.submit(back)

    assert form_of(back).action == f"{stack.base_url}/me/confirm"
    assert seen(replayed).body == "consent=kyll%C3%A4+%26+joo&token=t%2B1"
    assert seen(replayed).environ["REQUEST_METHOD"] == "POST"
    assert person_seen(stack, replayed).account == "maija@saimaa.example"


def test_a_form_larger_than_ours_is_not_kept_during_the_sign_in(stack, http_browser):
    larger = {"consent": "x" * 5000}
    choose = http_browser.post(f"{stack.base_url}/me/confirm", data=larger)

    back = http_browser.sign_in("maija", asking=choose)

    assert seen(back).environ["REQUEST_METHOD"] == "GET"
    assert seen(back).body == ""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/me/start", {"x": "y" * 60_000}),
        ("POST", "/me/start", {"x": "y" * 4_000}),
        ("GET", f"/me?x={'y' * 8_000}", None),
    ],
    ids=["large forms", "forms", "long addresses"],
)
def test_what_nobody_in_particular_sends_does_not_fill_shibd(stack, method, path, body):
    before = memory_of_shibd(stack)

    with HttpBrowser(stack) as somebody:
        for _ in range(SENT):
            somebody.cookies.clear()
            answer = somebody.request(method, stack.base_url + path, data=body, allow_redirects=False)

    assert answer.status_code in {302, 414}
    assert memory_of_shibd(stack) - before < SENT * 12


def test_long_addresses_that_were_asked_for_before_do_not_prevent_a_sign_in(http_browser):
    for number in range(5):
        http_browser.visit(f"/me?n={number}&x={'y' * 3_900}")
    # mod_shib removes the oldest, by the second in which they were made
    time.sleep(1.1)

    assert seen(http_browser.sign_in("maija", path="/me?last")).environ["QUERY_STRING"] == "last"


def test_code_and_state_survive_a_sign_in_on_the_way_back_from_orcid(stack, http_browser):
    back = http_browser.sign_in("maija", path="/me/callback?code=a%2Bb&state=%C3%A4%3D")

    assert seen(back).environ["PATH_INFO"] == "/me/callback"
    assert seen(back).environ["QUERY_STRING"] == "code=a%2Bb&state=%C3%A4%3D"


FOREIGN = ("https://evil.example/", "//evil.example/", "https://connect.test@evil.example/", "https:evil.example",
           "https://connect.test.evil.example/", "\\\\evil.example", "%68ttps://evil.example/")  # fmt: skip
ASKED = (
    *("Login?target=", "Login?entityID={idp}&target=", "Login?SAMLDS=1&entityID={idp}&target="),
    *("Login?acsIndex=1&target=", "Session?return="),
    *("Login?target=/me&return=", "Login?target=/me&returnURL=", "Login?target=/me&discoveryURL=", "Login?entityID="),
    *("Login?SAMLDS=1&target=", "Logout?return=", "Logout?notifying=1&index=0&return=", "Logout?target="),
    *("SLO/Redirect?RelayState=", "SLO/Redirect?return=", "SAML2/POST?target=", "AttrChecker?return="),
    *("Login/x?target=", "?target=", "Nothing?return="),
)
"""Every parameter of a handler of the Service Provider that names an address, and some that others have."""


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "nobody"])
def test_nobody_is_sent_to_a_foreign_site_and_none_is_named_to_another(stack, http_browser, asked, signed_in):
    if signed_in:
        http_browser.sign_in("maija")

    for foreign in FOREIGN:
        answer = http_browser.visit(
            f"/Shibboleth.sso/{asked.format(idp=SAIMAA.entity_id)}{foreign}", allow_redirects=False
        )

        assert answer.status_code in {200, 302, 500}
        if answer.status_code == 302:
            to = urlsplit(answer.headers["Location"])
            assert to.netloc.partition(":")[0] in {"connect.test", "ds.test", SAIMAA.host}
            back = urlsplit(parse_qs(to.query).get("return", [stack.base_url])[0])
            assert f"{back.scheme}://{back.netloc}" == stack.base_url
            assert "evil" not in parse_qs(back.query).get("target", [""])[0]


def test_a_foreign_relay_state_leads_nowhere(stack, http_browser):
    form = form_of(http_browser.answer_for("maija"))

    answer = http_browser.post(
        form.action, data=form.fields | {"RelayState": "https://evil.example/"}, allow_redirects=False
    )

    assert "evil.example" not in answer.headers.get("Location", "")


def test_after_logout_the_old_session_is_worth_nothing(stack, http_browser, raw_client):
    http_browser.sign_in("maija")
    cookie = cookies(http_browser)

    left = http_browser.visit("/Shibboleth.sso/Logout")
    signed_in = is_signed_in(http_browser)
    with_old_cookie = raw_client.ask("/me", [("Cookie", cookie)])

    assert left.status_code == 200
    assert not signed_in
    assert with_old_cookie.status == 302


def test_the_session_page_shows_no_values(http_browser):
    http_browser.sign_in("maija")

    page = http_browser.visit("/Shibboleth.sso/Session")

    assert page.status_code == 200
    assert "eppn" in page.text
    assert "maija" not in page.text.lower()


def test_the_status_page_is_for_the_machine_itself(raw_client):
    here = raw_client.ask("/Shibboleth.sso/Status", [])
    elsewhere = raw_client.ask("/Shibboleth.sso/Status", [], source="127.0.0.2")

    assert here.status == 200
    assert "<OK/>" in here.text
    assert elsewhere.status == 403


def _set_cookies(answer):
    return answer.raw.headers.getlist("Set-Cookie")
