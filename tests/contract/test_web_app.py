"""What every answer of the web application keeps, and each problem's page."""

import logging
import re
from dataclasses import replace
from urllib.parse import quote, unquote

import bottle
import pytest

from shibboleth.organisation import Organisations, Stage
from shibboleth.person import AttributeDefect, BrokenAttribute, Encoding, HeaderSource
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import NOON, UNIVERSITY, UNIVERSITY_IDP, make_organisation, make_person
from tests.support.service import ORGANISATIONS, Clock, WebClient, ask, make_orcid_client, make_web_app
from webapp.app import make_app, security_headers, template_globals
from webapp.auth.authenticator import Access, Authenticator
from webapp.auth.browser import Browser
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import LanguageChoice, languages
from webapp.pages.problems import ATTRIBUTE_DEFECT_TEXTS, PROBLEMS, PROBLEMS_BY_CODE, Bug, problem_of, problem_values
from webapp.pages.request import PageRequest
from webapp.rendering.branding import Branding, Logo
from webapp.rendering.static import StaticFiles
from webapp.rendering.templating import templates
from webapp.routes import ROUTES


@pytest.fixture
def store(tmp_path):
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def web_app(store):
    return make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())


@pytest.fixture
def app(web_app):
    return make_app(web_app)


@pytest.fixture
def maija(app):
    return WebClient(app)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "orcid-connect")

    def facts():
        return [record.facts for record in caplog.records if record.name == "orcid-connect"]

    return facts


class Broken:
    """A store of which nothing works."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        return self

    def __call__(self, *_args, **_kwargs):
        raise self.error


# What every answer keeps


@pytest.mark.parametrize("path", ["/", "/me", "/nowhere", "/me/callback", "/healthz", "/me/start"])
def test_every_response_has_security_headers(maija, path):
    answer = maija.get(path)

    assert answer.header("Content-Security-Policy").startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in answer.header("Content-Security-Policy")
    assert "unsafe" not in answer.header("Content-Security-Policy")
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Cache-Control") == "no-store"


@pytest.mark.parametrize("path", ["/", "/me", "/nowhere", "/me/callback"])
def test_no_page_holds_a_script_or_a_style_of_its_own(maija, path):
    text = maija.get(path).text.lower()

    assert "<script" not in text
    assert "<style" not in text
    assert " style=" not in text
    assert " onclick" not in text


def test_the_public_pages_set_no_cookie(app):
    assert ask(app, "/").header("Set-Cookie") is None
    assert ask(app, "/nowhere").header("Set-Cookie") is None


def test_a_person_gets_one_cookie_once(maija):
    first, second = maija.get("/me"), maija.get("/me")

    assert first.header("Set-Cookie").startswith("__Host-orcid-connect=")
    assert not [value for name, value in second.headers if name == "Set-Cookie" and value.startswith(f"{OURS}=")]


@pytest.mark.parametrize(
    "forged",
    [
        {"HTTP_HOST": "evil.example"},
        {"HTTP_X_FORWARDED_HOST": "evil.example", "HTTP_X_FORWARDED_PROTO": "gopher"},
        {"HTTP_FORWARDED": "host=evil.example"},
    ],
)
def test_addresses_come_from_the_configuration_and_never_from_the_request(maija, forged):
    answer = maija.get("/me/start", **forged)

    assert answer.header("Location") == "https://connect.example/me"
    assert "evil" not in maija.get("/me", **forged).text


def test_a_form_may_be_redirected_to_orcid_and_to_any_identity_provider(web_app):
    assert "form-action 'self' https:;" in web_app.headers["Content-Security-Policy"]
    demonstration = security_headers("http://127.0.0.1:8000/orcid", secure=False)
    assert "form-action 'self' https: http://127.0.0.1:8000;" in demonstration["Content-Security-Policy"]


def test_a_style_sheet_lasts_and_changes_its_name_with_its_content(web_app, maija):
    address = web_app.context.static.address("style.css")

    sheet = maija.get(address)

    assert (sheet.status, sheet.header("Content-Type")) == (200, "text/css")
    assert "immutable" in sheet.header("Cache-Control")


def test_the_first_page_is_small_in_all(maija):
    page = ask(maija.app, "/")
    parts = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)

    assert {part.rpartition(".")[2] for part in parts} == {"css", "svg"}
    assert len(page.body) + sum(len(maija.get(part).body) for part in set(parts)) < 30_000


def test_a_page_loads_nothing_from_other_hosts(maija):
    for path in ("/", "/me", "/help"):
        asked = re.findall(r'<(?:img|link|script|iframe)[^>]*?(?:src|href)="([^"]*)"', maija.get(path).text)
        assert [each for each in asked if not each.startswith("/static/")] == []


@pytest.mark.parametrize("name", ["style.css", "../app.py", "%2e%2e", "..", ""])
def test_only_known_static_files_are_served(maija, name):
    assert maija.get(f"/static/{name}").status == 404


# In which language


def language_of(answer):
    """The language of a page, which its header and its markup must agree on."""
    (written,) = re.findall(r'<html lang="([^"]+)">', answer.text)
    assert answer.header("Content-Language") == written
    assert answer.header("Vary") == "Accept-Language, Cookie"
    return written


def test_a_page_is_in_the_language_the_browser_asks_for(app):
    assert language_of(ask(app, "/", HTTP_ACCEPT_LANGUAGE="sv-FI,sv;q=0.9,en;q=0.5")) == "sv"
    assert language_of(ask(app, "/nowhere", HTTP_ACCEPT_LANGUAGE="fi")) == "fi"
    assert language_of(ask(app, "/me", HTTP_ACCEPT_LANGUAGE="tlh")) == "en"


def test_every_page_offers_every_language_in_its_own_name(app):
    for path in ("/", "/me", "/nowhere"):
        text = ask(app, path).text

        assert '<a href="?lang=fi" lang="fi" hreflang="fi">Suomi</a>' in text
        assert '<a href="?lang=sv" lang="sv" hreflang="sv">Svenska</a>' in text
        assert '<span lang="en" aria-current="true">English</span>' in text


def test_before_the_sign_in_the_language_is_in_the_address_and_in_no_cookie(app):
    answer = ask(app, "/?lang=fi", HTTP_ACCEPT_LANGUAGE="sv")

    assert language_of(answer) == "fi"
    assert answer.header("Set-Cookie") is None
    assert 'href="/me?lang=fi"' in answer.text
    assert "target=https%3A//connect.example/me%3Flang%3Dfi" in ask(app, "/me?lang=fi").text


@pytest.mark.parametrize("path", [each.path for each in ROUTES if each.access is Access.ANYONE])
def test_no_link_of_a_public_page_drops_a_choice(app, path):
    text = ask(app, f"{path}?lang=fi").text
    links = re.findall(r'href="(/[^"]*)"', text)

    ours = [each for each in links if not each.startswith(("/static/", "/Shibboleth.sso/"))]
    assert [each for each in ours if not each.endswith("?lang=fi")] == []


def test_links_carry_no_language_that_was_not_chosen(app):
    assert 'href="/me"' in ask(app, "/", HTTP_ACCEPT_LANGUAGE="fi").text


def test_after_the_sign_in_the_language_is_kept(maija):
    first = maija.get("/me?lang=sv", HTTP_ACCEPT_LANGUAGE="fi")

    kept = [value for name, value in first.headers if name == "Set-Cookie" and "language" in value]
    assert kept == [
        "__Host-orcid-connect-language=sv; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax; Secure",
    ]
    assert language_of(maija.get("/me", HTTP_ACCEPT_LANGUAGE="fi")) == "sv"
    assert language_of(maija.get("/", HTTP_ACCEPT_LANGUAGE="fi")) == "sv"
    assert "language" not in maija.get("/me?lang=sv").header("Set-Cookie")


def test_the_language_can_be_changed_on_any_page(maija):
    maija.get("/me?lang=sv")

    ask_again = ask(maija.app, "/?lang=fi", HTTP_COOKIE="__Host-orcid-connect-language=sv")

    assert ask_again.header("Set-Cookie").startswith("__Host-orcid-connect-language=fi; ")


@pytest.mark.parametrize("lang", ["tlh", "en_US", "..", "fi%00", "x" * 100, "<b>"])
def test_an_unsupported_language_is_ignored(maija, lang):
    answer = maija.get(f"/me?lang={lang}", HTTP_ACCEPT_LANGUAGE="sv")

    assert language_of(answer) == "sv"
    assert "lang=<b>" not in answer.text
    assert language_of(ask(maija.app, "/", HTTP_COOKIE=f"__Host-orcid-connect-language={lang}")) == "en"


def test_the_language_can_be_changed_on_the_callback_page(maija):
    text = maija.get("/me/callback?state=unknown&code=x").text

    assert 'href="/me?lang=fi"' in text


def test_the_organisations_language_is_the_default(store):
    speaks = Organisations.of([make_organisation(stage=Stage.TEST, language="sv")])
    app = make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock(), speaks))

    assert language_of(WebClient(app).get("/me")) == "sv"
    assert language_of(WebClient(app).get("/me", HTTP_ACCEPT_LANGUAGE="fi")) == "fi"
    assert language_of(WebClient(app, account="").get("/me")) == "sv"
    assert language_of(ask(app, "/")) == "en"


def test_the_service_may_have_a_logo(web_app, store):
    context = replace(web_app.context, static=StaticFiles.read(Branding(logo=Logo("logo.png", b"..."))))
    service_info = replace(web_app.service_info, logo="logo.png")
    known = {"en": web_app.languages["en"]}
    templates_of = {"en": templates(known["en"], template_globals(service_info, context, known))}
    app = make_app(
        replace(web_app, context=context, service_info=service_info, languages=known, templates=templates_of)
    )

    text = ask(app, "/").text

    assert f'<img src="{context.static.address("logo.png")}" alt="" height="32">' in text
    assert '<nav class="languages"' not in text


def test_head_is_answered_without_a_body(maija):
    answer = maija._ask("/", "HEAD", None, {})

    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.header("Content-Length")) > 1000


def test_external_text_is_escaped(app):
    guest = WebClient(app, said={"displayName": "<script>alert(1)</script>"})

    assert "&lt;script&gt;" in guest.get("/me").text


def test_the_landing_page_names_the_connected_organisations_in_order(app):
    text = ask(app, "/").text

    assert text.index("Amk") < text.index("Yliopisto")


# The forms


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.method == "POST"])
@pytest.mark.parametrize("form", [{}, {"token": ""}, {"token": "x" * 43}])
def test_every_change_needs_the_forms_token(maija, store, path, form):
    answer = maija.post(path.replace("<attempt>", "x"), form)

    assert (answer.status, answer.title) == (403, "This form is out of date")
    assert store.changes.last_number(UNIVERSITY) == 0


def test_a_form_that_is_too_large_is_refused(maija):
    assert maija.post("/me/start", {"token": "x" * 20_000}).status == 413
    assert maija.post("/me/start", {}, CONTENT_LENGTH="9" * 12).status == 413
    assert maija.post("/me/start", {f"field{n}": "x" for n in range(60)}).status == 413
    assert maija.get("/me/callback?" + "a=1&" * 60).status == 413


@pytest.mark.parametrize("field", ["token", "t%6Fken", "another"])
def test_a_field_that_comes_twice_is_refused(maija, field):
    token = maija.token()

    answer = maija._ask("/me/start", "POST", [("token", token), *2 * [(unquote(field), token)]], {})

    assert (answer.status, answer.title) == (400, "The same field was sent twice")


@pytest.mark.parametrize("query", ["token=x", "t%6Fken=", "lang=en&confirmed=yes"])
def test_a_field_that_the_address_has_too_is_refused(maija, store, query):
    form = {"token": maija.token(), "confirmed": "yes"}

    answer = maija.post(f"/me/erase?{query}", form)

    assert (answer.status, answer.title) == (400, "The same field was sent twice")
    assert maija.post("/me/erase?lang=fi", form).status == 303


@pytest.mark.parametrize("path", ["/", "/help", "/me", "/me/callback", "/healthz"])
def test_a_language_that_is_asked_for_twice_is_refused(maija, path):
    answer = maija.get(f"{path}?lang=fi&lang=sv")

    assert (answer.status, answer.title) == (400, "The same field was sent twice")
    assert maija.get(f"{path}?lang=fi&l%61ng=fi").status == 400


def test_unknown_fields_may_be_repeated(maija):
    assert maija.get("/me?utm_source=a&utm_source=b").status == 200


# What a browser says of a request's origin


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({}, True),
        ({"HTTP_ORIGIN": "https://connect.example"}, True),
        ({"HTTP_ORIGIN": "null"}, True),
        ({"HTTP_ORIGIN": "null", "HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_ORIGIN": "https://connect.example", "HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "none"}, True),
        ({"HTTP_ORIGIN": "https://evil.example"}, False),
        ({"HTTP_ORIGIN": "https://neighbour.connect.example"}, False),
        ({"HTTP_ORIGIN": "http://connect.example"}, False),
        ({"HTTP_ORIGIN": "https://connect.example:444"}, False),
        ({"HTTP_ORIGIN": "https://connect.example.evil.example"}, False),
        ({"HTTP_ORIGIN": "https://connect.example, https://evil.example"}, False),
        ({"HTTP_ORIGIN": "\xa0https://connect.example"}, False),
        ({"HTTP_ORIGIN": ""}, False),
        ({"HTTP_ORIGIN": "null", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_ORIGIN": "null", "HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_ORIGIN": "https://connect.example", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_ORIGIN": "https://evil.example", "HTTP_SEC_FETCH_SITE": "same-origin"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-origin, cross-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": ""}, False),
    ],
)
def test_a_form_that_another_origin_sends_is_refused_whatever_its_token(maija, said, taken):
    answer = maija.post("/me/start", {"token": maija.token()}, **said)

    assert answer.status == (303 if taken else 403)
    assert taken or answer.title == "This form is out of date"


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.method == "POST"])
def test_each_form_is_refused_from_another_origin(maija, path):
    form = {"token": maija.token()}

    assert maija.post(path.replace("<attempt>", "x"), form, HTTP_SEC_FETCH_SITE="cross-site").status == 403


def test_orcid_and_the_identity_provider_may_send_a_person_here(maija):
    from_elsewhere = {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://orcid.org"}

    assert maija.get("/me", **from_elsewhere).status == 200
    assert maija.get("/me/callback?state=x&code=y", **from_elsewhere).title == "This was not started here"


# A cookie of ours that another host has set

OURS = "__Host-orcid-connect"
EVIL = "e" * 43
SPACES = ("\xa0", "\x85", "\x1c", "\x1d", "\x1e", "\x1f", "\x0b", "\x0c", "\r", "\n")
SAID = {"Shib-Identity-Provider": quote(UNIVERSITY_IDP, safe=""), "eppn": "maija%40yliopisto.example"}


def forged(app, cookies, **environ):
    """Send the form that another host can compute once it knows the browser's secret."""
    form = {"token": csrf_token(Browser(EVIL), make_person())}
    return ask(app, "/me/start", "POST", form, HTTP_COOKIE=cookies, **SAID, **environ)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_cookie_whose_name_only_looks_like_ours_is_not_ours(app, space):
    for name in (space + OURS, OURS + space, space + OURS + space):
        assert forged(app, f"{name}={EVIL}").status == 403
        assert ask(app, "/me", HTTP_COOKIE=f"{name}={EVIL}", **SAID).header("Set-Cookie").startswith(f"{OURS}=")


@pytest.mark.parametrize("name", ["__host-orcid-connect", "__HOST-ORCID-CONNECT", "__Host-Orcid-Connect", ""])
def test_a_cookie_of_another_name_does_not_stand_in_for_ours(app, maija, name):
    token, own = maija.token(), f"{OURS}={maija.cookies[OURS]}"

    for cookies in (f"{name}={EVIL}; {own}", f"{own}; {name}={EVIL}"):
        assert forged(app, cookies).status == 403
        assert ask(app, "/me/start", "POST", {"token": token}, HTTP_COOKIE=cookies, **SAID).status == 303


def test_a_cookie_with_extra_characters_is_ignored(app):
    for value in (f"\xa0{EVIL}", f"{EVIL}\x85", f'"{EVIL}"', f"{EVIL}, {OURS}={EVIL}", "\u017f" * 43):
        cookie = f"{OURS}={value}".encode().decode("latin-1")
        assert forged(app, cookie).status == 403


@pytest.mark.parametrize("values", [("own", "evil"), ("evil", "own"), ("own", "own"), ("own", ""), ("", "evil")])
def test_a_repeated_session_cookie_is_refused_and_not_replaced(app, maija, values):
    maija.get("/me")
    secrets = {"own": maija.cookies[OURS], "evil": EVIL, "": ""}
    cookies = "; ".join(f"{OURS}={secrets[value]}" for value in values)

    page = ask(app, "/me", HTTP_COOKIE=cookies, **SAID)

    assert (page.status, page.title) == (400, "Your browser sent our cookie twice")
    assert page.header("Set-Cookie") is None
    assert EVIL not in page.text
    assert forged(app, cookies).title == page.title
    assert ask(app, "/", HTTP_COOKIE=cookies).status == 200


def test_without_a_session_the_sign_in_is_required_first(app):
    assert ask(app, "/me", HTTP_COOKIE=f"{OURS}=a; {OURS}=b").status == 401


def test_a_cookie_that_only_helps_is_not_used_when_it_comes_twice(app, maija):
    maija.get("/me")
    own = f"{OURS}={maija.cookies[OURS]}"
    more = f"{OURS}-language=fi; {OURS}-language=sv; {OURS}-attempt=a; {OURS}-attempt=b"

    page = ask(app, "/me", HTTP_COOKIE=f"{own}; {more}", **SAID)

    assert (page.status, language_of(page)) == (200, "en")


# Who comes in


def test_without_a_session_the_sign_in_page_is_shown(app):
    answer = ask(app, "/me")

    assert (answer.status, answer.title) == (401, "You are not signed in")
    assert "/Shibboleth.sso/Login?target=https%3A//connect.example/me" in answer.text


def test_logged_in_without_an_account_names_what_is_missing_and_whom_to_ask(app):
    answer = WebClient(app, account="").get("/me")

    assert (answer.status, answer.title) == (403, "We could not identify your account")
    assert "eppn" in answer.text
    assert "help@yliopisto.example" in answer.text
    assert "Yliopisto" in answer.text


def test_an_organisation_that_is_not_connected_has_its_page(app):
    answer = WebClient(app, entity_id="https://idp.elsewhere.example").get("/me")

    assert (answer.status, answer.title) == (403, "Your organisation is not connected yet")
    assert "https://idp.elsewhere.example" in answer.text


@pytest.mark.parametrize(
    ("account", "title"),
    [
        ("maija@elsewhere.example", "Your account seems to belong to another organisation"),
        ("maija", "We cannot read what your organisation sent"),
    ],
)
def test_an_account_that_cannot_be_trusted_has_its_page(app, account, title):
    assert WebClient(app, account=account).get("/me").title == title


def test_several_accounts_have_their_page(app):
    answer = ask(app, "/me", **{"Shib-Identity-Provider": UNIVERSITY_IDP, "eppn": "a%40yliopisto.example;b%40x"})

    assert answer.title == "Your organisation sent more than one account"


def test_attributes_without_the_fronts_proof_have_their_page(store):
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())
    proxied = make_app(
        replace(web_app, authenticator=Authenticator(HeaderSource("p" * 40), ORGANISATIONS, Encoding.URL))
    )

    answer = ask(proxied, "/me", HTTP_EPPN="maija%40yliopisto.example", HTTP_SHIB_IDENTITY_PROVIDER=UNIVERSITY_IDP)

    assert (answer.status, answer.title) == (403, "This request did not come through the service's web server")


# What is wrong


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("DELETE", 405), ("PUT", 405)])
def test_another_method_has_its_page(app, method, status):
    answer = ask(app, "/", method)

    assert (answer.status, answer.title) == (status, "This address cannot be used this way")


@pytest.mark.parametrize("path", ["/nowhere", "/ME", "/me/", "/me;x=1", "/me.json", "/me/confirm/", "//me"])
def test_an_almost_matching_address_is_not_found(maija, path):
    assert (maija.get(path).status, maija.get(path).title) == (404, "There is no such page")


def test_an_address_that_is_not_utf8_is_not_found(app):
    assert ask(app, "/", PATH_INFO="/\xff").status == 404


@pytest.mark.parametrize("path", ["/€", "/me/confirm/€", "/me/result/名"])
def test_an_unknown_address_in_any_script_has_its_page(maija, path):
    answer = maija.get(path)

    assert (answer.status, answer.title) in {(404, "There is no such page"), (403, "This was not started here")}


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (StoreUnavailable("locked"), "We cannot save anything right now"),
        (SchemaBehind(("0009_x.sql",)), "The service is being updated"),
        (SchemaAhead(("0009_x.sql",)), "The service is being updated"),
    ],
)
def test_an_unavailable_store_has_its_page_and_fails_the_health_check(error, title):
    app = make_app(make_web_app(Broken(error), make_orcid_client("https://sandbox.orcid.org"), Clock()))

    assert (WebClient(app).get("/me").status, WebClient(app).get("/me").title) == (503, title)
    assert ask(app, "/readyz").status == 503
    assert ask(app, "/").status == 200


def test_a_working_service_passes_the_health_check(app):
    assert (ask(app, "/readyz").status, ask(app, "/readyz").body) == (200, b"ok\n")


def test_a_bug_shows_no_details_and_is_logged_with_its_incident_number(lines):
    app = make_app(
        make_web_app(Broken(RuntimeError("a secret")), make_orcid_client("https://sandbox.orcid.org"), Clock())
    )

    answer = WebClient(app).get("/me")

    assert (answer.status, answer.title) == (500, "Something went wrong")
    assert "RuntimeError" not in answer.text
    assert "a secret" not in answer.text
    told, traced = lines()
    assert told["problem"] == "bug"
    assert told["incident"] in answer.text
    assert "RuntimeError" in str(traced)


def test_a_problem_is_logged_without_the_person(maija, lines):
    maija.get("/me/callback?state=a-state&code=a-code")

    (told,) = lines()
    assert told["problem"] == "no-such-attempt"
    assert told["at"] == "/me/callback"
    for secret in ("maija", "a-state", "a-code"):
        assert secret not in str(told)


@pytest.mark.parametrize("row", PROBLEMS.values(), ids=lambda row: row.code)
def test_every_problem_says_what_happened_what_to_do_and_whom_to_ask(row):
    assert row.title
    assert row.explanation.endswith(".")
    assert row.advice.endswith(".")
    assert row.contact in {"organisation", "service"}
    assert 400 <= row.status < 600
    assert PROBLEMS_BY_CODE[row.code] is row


def test_an_unexpected_exception_is_a_bug():
    assert problem_of(ZeroDivisionError()) is PROBLEMS[Bug]
    assert problem_of(bottle.HTTPError()) is PROBLEMS[Bug]


@pytest.mark.parametrize("flaw", AttributeDefect)
def test_every_attribute_problem_has_a_text_in_each_language(flaw):
    assert ATTRIBUTE_DEFECT_TEXTS[flaw] == flaw
    assert problem_values(BrokenAttribute("eppn", flaw), languages()["en"])["reason"] == flaw


def test_facts_of_an_error_are_short():
    error = KeyError()
    error.name = "x" * 1000

    assert len(problem_values(error, languages()["en"])["name"]) == 200


def test_a_handler_for_anyone_has_no_person():
    with pytest.raises(AssertionError):
        _ = PageRequest(LanguageChoice(languages()["en"]), NOON, None).person


WITH_TOKEN = ("/metrics", "/statistics.csv", "/statistics.json")


@pytest.mark.parametrize(
    "path", [each.path for each in ROUTES if each.access is Access.ANYONE and each.path[-1] != ">"]
)
def test_a_public_page_needs_no_session(app, path):
    # What needs a token is not there without one; /connect needs an address to return to
    assert ask(app, path).status == {"/connect": 400, "/sign-out": 303, **dict.fromkeys(WITH_TOKEN, 404)}.get(path, 200)


@pytest.mark.parametrize(
    "path", [each.path for each in ROUTES if each.access is Access.PERSON and each.method == "GET"]
)
def test_a_persons_page_needs_one(app, path):
    assert ask(app, path.replace("<attempt>", "x")).status == 401
