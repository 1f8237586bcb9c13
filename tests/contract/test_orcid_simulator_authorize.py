"""The ORCID simulator's people, authorise pages and redirects."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import pytest

from demo.orcid.authorize import redirect_allowed
from demo.orcid.client import SimulatorClient
from demo.orcid.people import PEOPLE, User
from demo.orcid.simulator import Client, Options, OrcidSimulator

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:8000/orcid"
MAIJA, AKE, AINO = "0009-0000-0001-1111", "0009-0000-0002-2224", "0009-0000-0012-2217"
LOCKED, DEACTIVATED, DEPRECATED, UNCLAIMED = (
    "0009-0000-0013-332X",
    "0009-0000-0014-4432",
    "0009-0000-0015-5545",
    "0009-0000-0016-6658",
)
REDIRECT_URI = "https://link.example.org/orcid/callback"
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (REDIRECT_URI,), description="Links iDs.")
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Member service", (REDIRECT_URI,), kind="member")
OTHER = Client("APP-OTHER00000000001", "secret-of-other", "Other service", ("https://other.example.org/",))


@pytest.fixture
def simulator():
    return OrcidSimulator(BASE, clients=[PUBLIC, MEMBER, OTHER], clock=lambda: NOON)


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


def query(client=PUBLIC, **changes):
    """The query string of an authorise request; a parameter given as None is left out."""
    usual = {
        "client_id": client.client_id,
        "response_type": "code",
        "scope": "/authenticate",
        "redirect_uri": REDIRECT_URI,
        "state": "pX3v-_9",
    }
    kept = {key: value for key, value in (usual | changes).items() if value is not None}
    return urlencode(kept, quote_via=quote)


def authorize(browser, client=PUBLIC, **changes):
    return browser.get("/oauth/authorize", query(client, **changes))


def is_sign_in(reply):
    return reply.status == 200 and f'id="sign-in-{MAIJA}"' in reply.text


def is_authorise_page(reply):
    return reply.status == 200 and 'id="authorize-button"' in reply.text and 'id="deny-button"' in reply.text


# The people


def test_people_include_every_state_and_name_form():
    assert any(user.orcid.endswith("X") for user in PEOPLE if user.state == "ok")
    assert {user.state for user in PEOPLE} == {"ok", "locked", "deactivated", "deprecated", "unclaimed"}
    assert {user.name_form for user in PEOPLE} == {"plain", "null", "absent", "trailing space"}
    assert any(user.credit for user in PEOPLE)
    assert any(user.family is None for user in PEOPLE)
    assert any(user.visibility == "private" for user in PEOPLE)
    assert any(not user.full_name.isascii() for user in PEOPLE)


@pytest.mark.parametrize("orcid", ["0009-0000-0001-1112", "0000-0002-1825-0097", "0009000000011111", ""])
def test_invalid_ids_and_ids_of_other_blocks_are_rejected(orcid):
    with pytest.raises(ValueError, match="not a valid iD"):
        User(orcid, "Maija")


@pytest.mark.parametrize(
    "wrong", [{"state": "asleep"}, {"visibility": "loud"}, {"state": "deprecated"}, {"primary": AKE}]
)
def test_unknown_values_of_a_person_are_rejected(simulator, wrong):
    with pytest.raises(ValueError, match=r"not one of|primary iD"):
        simulator.change_user(MAIJA, **wrong)


def test_the_production_prefix_must_be_allowed_explicitly():
    with pytest.raises(ValueError, match="must not use the prefix"):
        OrcidSimulator(BASE, registry_prefix="https://orcid.org/")

    told = OrcidSimulator(BASE, registry_prefix="https://orcid.org", production_prefix_allowed=True)

    assert told.uri(MAIJA) == f"https://orcid.org/{MAIJA}"


# Authorisation


def test_authorisation_redirects_with_code_and_state(browser):
    first = authorize(browser)
    assert is_sign_in(first)

    signed_in = browser.sign_in(MAIJA)
    page = browser.get(signed_in.location)
    done = browser.press_authorize(query())

    assert signed_in.status == 303
    assert is_authorise_page(page)
    for expected in ("Authorize access", "Maija Meikäläinen", f"https://sandbox.orcid.org/{MAIJA}", "Link service"):
        assert expected in page.text
    assert done.status == 303
    assert done.location.startswith(f"{REDIRECT_URI}?code=")
    assert set(done.redirect_params) == {"code", "state"}
    assert done.redirect_params["state"] == "pX3v-_9"
    assert len(done.redirect_params["code"]) == 6
    assert done.redirect_params["code"].isalnum()


def test_the_test_client_returns_the_redirect_target(browser):
    address = browser.authorise(f"{BASE}/oauth/authorize?{query()}", MAIJA)

    assert address.startswith(f"{REDIRECT_URI}?code=")


def test_pages_load_only_the_style_sheet(browser):
    page = browser.get("/signin")

    assert page.text.count("<link") == 1
    assert "<script" not in page.text
    assert browser.get("/style.css").headers["Content-Type"] == "text/css;charset=UTF-8"


@pytest.mark.parametrize("path", ["/", "/signin", "/register", "/nowhere", f"/{MAIJA}"])
def test_every_page_shows_the_simulator_banner(browser, path):
    page = browser.get(path)

    assert "Simulator." in page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_links_ignore_the_host_header(browser):
    page = browser.get("/signin", Host="evil.example")

    assert f'action="{BASE}/signin"' in page.text
    assert "evil.example" not in page.text
    assert "elsewhere.example" not in page.text


def test_parameters_are_escaped_in_pages(browser):
    page = authorize(browser, show_login="false", given_names="<b>Aino</b>", family_names='"Esimerkki"')

    assert "<b>" not in page.text
    assert "&lt;b&gt;Aino" in page.text


@pytest.mark.parametrize(
    ("scope", "lines"),
    [
        ("/authenticate", ["Get your ORCID iD"]),
        ("openid /authenticate", ["Get your ORCID iD"]),
        ("openid profile email", ["Get your ORCID iD"]),
        ("/read-public /authenticate", ["Get your ORCID iD"]),
        (
            "/read-limited /activities/update /person/update",
            [
                "Read your information with visibility set to Trusted parties",
                "Add/update your research activities (works, affiliations, etc.)",
                "Add/update information about you (country, keywords, etc.)",
            ],
        ),
    ],
)
def test_scopes_with_the_same_text_are_listed_once(browser, scope, lines):
    browser.sign_in(MAIJA)

    page = authorize(browser, MEMBER, scope=scope)

    permissions = page.text.partition('<ul id="permissions">')[2].partition("</ul>")[0]
    found = [part.partition("</li>")[0] for part in permissions.split("<li>")[1:]]
    assert found == lines


# Sign-in, registration and consent


def test_show_login_false_shows_a_prefilled_registration_form(browser):
    page = authorize(browser, show_login="false", given_names="Åsa", family_names="Ö", email="asa@example.org")

    assert 'id="register-button"' in page.text
    for value in ("Åsa", "Ö", "asa@example.org"):
        assert f'value="{value}"' in page.text


def test_registration_creates_an_id_and_resumes_the_authorisation(browser, simulator):
    authorize(browser, show_login="false")

    registered = browser.post("/register", {"given_names": "Uusi", "family_names": "Henkilö", "visibility": "private"})
    page = browser.get(registered.location)

    newest = list(simulator.users.values())[-1]
    assert newest.orcid.startswith("0009-")
    assert is_authorise_page(page)
    assert newest.orcid in page.text
    assert newest.public_name == ""


def test_registration_requires_a_given_name(browser):
    assert "Please enter" in browser.post("/register", {"given_names": " "}).text


@pytest.mark.parametrize("hint", [{"orcid": AKE}, {"orcid": f"https://orcid.org/{AKE}"}, {"email": AKE}])
def test_orcid_and_email_parameters_only_prefill_sign_in(browser, hint):
    page = authorize(browser, **hint)
    assert f"<strong>{AKE}</strong>" in page.text

    browser.sign_in(MAIJA)

    assert MAIJA in authorize(browser, **hint).text


def test_prompt_none_without_a_session_redirects_with_a_bare_fragment(browser):
    assert authorize(browser, prompt="none").location == f"{REDIRECT_URI}#login_required"


def test_prompt_none_with_a_wrong_redirect_uri_is_a_page_not_found(browser):
    assert authorize(browser, prompt="none", redirect_uri="https://evil.example/").status == 404


def test_prompt_none_without_a_grant_shows_the_authorise_page_after_all(browser):
    browser.sign_in(MAIJA)

    assert is_authorise_page(authorize(browser, prompt="none"))


def test_prompt_login_is_honoured_with_openid_only_and_only_once(browser):
    browser.sign_in(MAIJA)

    assert is_authorise_page(authorize(browser, prompt="login"))
    assert is_sign_in(authorize(browser, prompt="login", scope="openid"))
    assert is_authorise_page(browser.get(browser.sign_in(AKE).location))


def test_a_live_grant_for_the_same_scopes_skips_consent(browser, simulator):
    browser.sign_in(MAIJA)
    first = browser.press_authorize(query()).redirect_params["code"]
    assert is_authorise_page(authorize(browser)), "a code that nobody used is no grant"
    browser.token(PUBLIC, code=first, redirect_uri=REDIRECT_URI)

    again = authorize(browser)

    assert again.status == 303
    assert again.redirect_params["code"] != first
    assert is_authorise_page(authorize(browser, scope="openid")), "another scope is not covered"
    simulator.revoke_grants(MAIJA)
    assert is_authorise_page(authorize(browser)), "a revoked grant covers nothing"


def test_the_option_skip_consent_can_be_off(browser, simulator):
    simulator.set_options(skip_consent=False)
    browser.sign_in(MAIJA)
    browser.token(PUBLIC, code=browser.press_authorize(query()).redirect_params["code"], redirect_uri=REDIRECT_URI)

    assert is_authorise_page(authorize(browser))


def test_a_locked_person_is_not_redirected_to_the_client(browser):
    authorize(browser)

    there = browser.get(browser.sign_in(LOCKED).location)

    assert there.location == f"{BASE}/my-orcid"
    assert "is locked" in browser.get(there.location).text


@pytest.mark.parametrize(
    ("orcid", "words"),
    [
        (DEACTIVATED, "deactivated"),
        (DEPRECATED, f"Sign in with {MAIJA}"),
        (UNCLAIMED, "not been claimed"),
        ("x", "choose"),
    ],
)
def test_sign_in_is_refused_with_a_reason(browser, orcid, words):
    refused = browser.sign_in(orcid)

    assert words in refused.text.partition('role="alert">')[2].partition("</p>")[0]
    assert browser.get("/my-orcid").location == f"{BASE}/signin"


@pytest.mark.parametrize(("minutes", "there"), [(29, "/oauth/authorize?"), (31, "/my-orcid")])
def test_the_authorisation_request_is_saved_for_30_minutes(browser, simulator, minutes, there):
    authorize(browser)
    simulator.advance(minutes=minutes)

    assert browser.sign_in(MAIJA).location.startswith(BASE + there)


def test_sign_out_keeps_the_saved_request(browser):
    browser.sign_in(MAIJA)
    authorize(browser)

    assert is_sign_in(browser.get(browser.get("/signout").location))
    assert AKE in browser.get(browser.sign_in(AKE).location).text


def test_user_status_signs_out(browser):
    browser.sign_in(MAIJA)

    assert browser.get("/userStatus.json").json == {"loggedIn": True}
    assert browser.get("/userStatus.json", {"logUserOut": "true"}).json == {"loggedIn": False}
    assert is_sign_in(authorize(browser))


def test_consent_without_a_session_redirects_to_sign_in(browser):
    there = browser.press_authorize(query()).location

    assert is_sign_in(browser.get(there))


def test_a_trusted_individual_authorises_for_the_other_record(browser):
    browser.sign_in(AINO)
    assert 'id="switch-button"' in authorize(browser).text

    page = browser.get(browser.post("/oauth/switch", {"record": MAIJA, "request": query()}).location)
    code = browser.press_authorize(query()).redirect_params["code"]

    assert f"https://sandbox.orcid.org/{MAIJA}" in page.text
    assert browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI).json["orcid"] == MAIJA


def test_only_trusted_individuals_act_for_another_person(browser):
    browser.sign_in(AKE)
    assert 'id="switch-button"' not in authorize(browser).text

    page = browser.get(browser.post("/oauth/switch", {"record": MAIJA, "request": query()}).location)

    assert f"https://sandbox.orcid.org/{AKE}" in page.text


def test_interstitial_pages_are_shown_before_the_redirect(browser, simulator):
    simulator.set_options(interstitials=("domains", "affiliation", "backup-email"))
    browser.sign_in(MAIJA)

    location = browser.press_authorize(query()).location
    texts = []
    while location == f"{simulator.base_url}/interstitial":
        page = browser.get(location).text
        assert 'id="continue-button"' in page
        texts.append(page)
        location = browser.post("/interstitial", {}).location

    assert location.startswith(f"{REDIRECT_URI}?code=")
    assert [word in text for word, text in zip(("domains", "affiliation", "another"), texts, strict=True)] == [True] * 3
    assert browser.get("/interstitial").location == f"{simulator.base_url}/my-orcid"


def test_unknown_interstitials_are_rejected(simulator):
    with pytest.raises(ValueError, match="interstitials are of domains, affiliation, backup-email"):
        simulator.set_options(interstitials=("advertisement",))


def test_auto_authorize_grants_every_request(browser, simulator):
    simulator.set_options(auto_authorize=MAIJA)

    code = authorize(browser).redirect_params["code"]

    assert browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI).json["orcid"] == MAIJA


@pytest.mark.parametrize(("lang", "kept"), [("fr", True), ("zh_CN", True), ("fi", False), ("sv", False)])
def test_a_supported_language_is_stored_in_a_cookie(browser, lang, kept):
    cookies = authorize(browser, lang=lang).headers["Set-Cookie"]

    assert (f"locale_v3={lang}" in cookies) is kept


def test_the_implicit_flow_returns_tokens_in_the_fragment(browser):
    browser.sign_in(MAIJA)

    there = browser.press_authorize(query(response_type="id_token token", scope="openid", nonce="n")).location

    fragment = there.partition("#")[2]
    assert there.startswith(f"{REDIRECT_URI}#access_token=")
    for part in ("token_type=bearer", "expires_in=599", "tokenVersion=1", "persistent=false", "id_token=", "state="):
        assert part in fragment


# Deny


def deny_link(page):
    return page.text.partition('id="deny-button" href="')[2].partition('"')[0].replace("&amp;", "&")


def test_denial_redirects_with_error_description_and_state(browser):
    browser.sign_in(MAIJA)

    denied = browser.get(deny_link(authorize(browser)))

    expected = "?error=access_denied&error_description=User%20denied%20access&state=pX3v-_9"
    assert denied.location == REDIRECT_URI + expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, "error=access_denied"), ("OAuth 2.0 Parameter: client_id", "error_description=OAuth%202.0%20Parameter")],
)
def test_the_description_of_a_denial_can_be_set(browser, simulator, text, expected):
    simulator.set_options(deny_description=text)

    location = browser.get("/oauth/authorize/deny", query()).location

    assert expected in location
    assert ("error_description" in location) is (text is not None)


def test_a_query_of_the_redirect_uri_is_kept_and_a_fragment_removed(browser):
    browser.sign_in(MAIJA)

    there = browser.press_authorize(query(redirect_uri=f"{REDIRECT_URI}?lang=fi#top")).location

    assert there.startswith(f"{REDIRECT_URI}?lang=fi&code=")
    assert "#" not in there


def test_no_state_is_returned_if_none_was_sent(browser):
    browser.sign_in(MAIJA)

    assert set(browser.press_authorize(query(state=None)).redirect_params) == {"code"}


# Invalid requests

INVALID_REQUESTS = [
    ({"client_id": None}, "client_id is missing"),
    ({"client_id": "APP-NOBODY"}, "APP-NOBODY is invalid"),
    ({"redirect_uri": None}, "missing redirect_uri"),
    ({"redirect_uri": "https://evil.example/"}, "match your registered redirect URIs"),
    ({"response_type": None}, "missing response_type"),
    ({"scope": None}, "missing scope"),
    ({"response_type": "magic"}, "unsupported_response_type"),
    ({"scope": "/activities/update"}, "invalid_scope"),
    ({"scope": "/authenticate,openid"}, "invalid_scope"),
    ({"scope": "/read-public"}, "invalid_scope"),
    ({"scope": "profile"}, "invalid_scope"),
    ({"scope": "openid /read-public profile /nonsense"}, "invalid_scope"),
]


@pytest.mark.parametrize(("changes", "words"), INVALID_REQUESTS, ids=[str(changes) for changes, _ in INVALID_REQUESTS])
def test_invalid_requests_are_shown_at_orcid_and_not_redirected(browser, changes, words):
    for reply in (
        authorize(browser, **changes),
        browser.get("/oauth/authorize/deny", query(**changes)),
        browser.press_authorize(query(**changes)),
    ):
        assert reply.status == 200
        assert "Something is wrong with this link" in reply.text
        assert words in reply.text.replace("&#39;", "'")


@pytest.mark.parametrize("state", ["locked", "deactivated"])
def test_a_locked_or_deactivated_client_is_refused(browser, simulator, state):
    simulator.add_client(Client(PUBLIC.client_id, PUBLIC.secret, "Link service", (REDIRECT_URI,), state=state))

    assert f"client_{state}" in authorize(browser).text


@pytest.mark.parametrize("changes", [{"scope": "/person/update"}, {"response_type": "magic"}])
@pytest.mark.parametrize(("style", "mark"), [("fragment", "#error="), ("query", "?error=")])
def test_authorize_error_style_redirects_some_errors(browser, simulator, changes, style, mark):
    simulator.set_options(authorize_error_style=style)

    there = authorize(browser, **changes).location

    assert there.startswith(REDIRECT_URI + mark)
    assert "state" not in there


@pytest.mark.parametrize("style", ["fragment", "query"])
def test_no_error_style_redirects_to_an_unregistered_uri(browser, simulator, style):
    simulator.set_options(authorize_error_style=style)

    assert authorize(browser, redirect_uri="https://evil.example/").status == 200


def test_unknown_option_values_are_rejected():
    with pytest.raises(ValueError, match="page, fragment, query"):
        Options(authorize_error_style="carrier pigeon")


@pytest.mark.parametrize(
    ("registered", "asked", "allowed"),
    [
        (REDIRECT_URI, REDIRECT_URI, True),
        (REDIRECT_URI + "  ", REDIRECT_URI, True),
        (REDIRECT_URI, REDIRECT_URI + "/deeper", True),
        (REDIRECT_URI, REDIRECT_URI + "?lang=fi", True),
        (REDIRECT_URI, REDIRECT_URI + "#top", True),
        ("https://link.example.org/", "https://link.example.org/a/b", True),
        ("https://link.example.org", "https://link.example.org/a/b", True),
        (REDIRECT_URI, "https://link.example.org//orcid/callback", True),
        (REDIRECT_URI, "https://link.example.org/x/../orcid/callback", True),
        (REDIRECT_URI, "http://link.example.org/orcid/callback", False),
        (REDIRECT_URI, "https://link.example.org:8443/orcid/callback", False),
        (REDIRECT_URI, "https://sub.link.example.org/orcid/callback", False),
        (REDIRECT_URI, "https://user@link.example.org/orcid/callback", False),
        (REDIRECT_URI, "https://link.example.org.evil.example/orcid/callback", False),
        (REDIRECT_URI, "https://link.example.org/orcid", False),
        (REDIRECT_URI, "https://link.example.org/orcid/callback/../../admin", False),
        (REDIRECT_URI, "https://link.example.org/orcid/callback/%2e%2e/%2e%2e/admin", False),
        (REDIRECT_URI, "https://[broken", False),
    ],
)
def test_a_redirect_uri_must_equal_the_registered_one_or_extend_its_path(registered, asked, allowed):
    assert redirect_allowed(registered, asked) is allowed


def test_line_feeds_in_a_redirect_uri_do_not_reach_the_header(browser):
    browser.sign_in(MAIJA)

    there = browser.press_authorize(query(redirect_uri=REDIRECT_URI + "/\r\nSet-Cookie: a=b")).location

    assert "\r" not in there
    assert "\n" not in there


# The person's own pages


def test_trusted_parties_revokes_a_clients_tokens(browser, simulator):
    browser.sign_in(MAIJA)
    browser.token(PUBLIC, code=browser.press_authorize(query()).redirect_params["code"], redirect_uri=REDIRECT_URI)
    assert "Link service" in browser.get("/trusted-parties").text

    browser.post("/trusted-parties", {"client_id": PUBLIC.client_id})

    assert "You have given no permissions" in browser.get("/trusted-parties").text
    assert simulator.live_tokens(MAIJA) == []


def test_my_orcid_hides_and_deletes_affiliations(browser, simulator):
    first, second = (
        simulator.add_item(MAIJA, "employment", client, {"organization": {"name": f"<b>{client}"}}).put_code
        for client in (MEMBER.client_id, None)
    )
    browser.sign_in(MAIJA)
    page = browser.get("/my-orcid").text

    browser.post("/my-orcid/items", {"put_code": str(first), "visibility": "private", "save": ""})
    browser.post("/my-orcid/items", {"put_code": str(second), "visibility": "public", "delete": ""})
    SimulatorClient(simulator).post("/my-orcid/items", {"put_code": str(first), "delete": ""})

    assert f"&lt;b&gt;{MEMBER.client_id}" in page
    assert f'id="delete-{second}"' in page
    (left,) = simulator.items(MAIJA)
    assert (left.put_code, left.visibility) == (first, "private")


@pytest.mark.parametrize("path", ["/my-orcid", "/trusted-parties"])
def test_own_pages_require_sign_in(browser, path):
    assert browser.get(path).location == f"{BASE}/signin"


@pytest.mark.parametrize(
    ("orcid", "words"),
    [
        (MAIJA, "Maija Meikäläinen"),
        ("0009-0000-0006-6665", "No public information"),
        (DEPRECATED, f"https://sandbox.orcid.org/{MAIJA}"),
        (LOCKED, "is locked"),
        (DEACTIVATED, "is deactivated"),
    ],
)
def test_the_public_page_shows_only_public_data(browser, orcid, words):
    page = browser.get(f"/{orcid}")

    assert words in page.text
    assert "Piilonen" not in page.text


def test_requests_for_json_are_redirected_to_the_public_api(browser):
    there = browser.get(f"/{MAIJA}", Accept="application/json").location

    assert there == f"{BASE}/pub/v3.0/{MAIJA}/record"


def test_an_unknown_person_has_no_page(browser):
    assert browser.get("/0009-9999-9999-9992").status == 404


# The clock


def test_advance_moves_the_clock_until_reset(simulator):
    simulator.advance(minutes=11)
    assert simulator.now() == NOON + timedelta(minutes=11)

    simulator.reset()

    assert simulator.now() == NOON


def test_the_front_page_links_clients_that_have_a_website(simulator, browser):
    simulator.add_client(Client("APP-NOWHERE000000001", "secret", "A program", ("urn:ietf:wg:oauth:2.0:oob",)))

    page = browser.get("/").text

    assert '<a href="https://link.example.org/">Link service</a>' in page
    assert "<li>A program <span" in page
