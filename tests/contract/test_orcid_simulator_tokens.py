"""The ORCID simulator's token and revoke endpoints, and OpenID Connect."""

import base64
import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from demo.orcid import jwt
from demo.orcid.client import SimulatorClient
from demo.orcid.simulator import Client, OrcidSimulator

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:8000/orcid"
REDIRECT_URI = "https://link.example.org/orcid/callback"
MAIJA = "0009-0000-0001-1111"
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (REDIRECT_URI,))
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Member service", (REDIRECT_URI,), kind="member")
PREMIUM = Client("APP-PREMIUM000000001", "secret-of-premium", "Premium", (REDIRECT_URI,), kind="member", premium=True)
DEACTIVATED = Client("APP-GONE000000000001", "secret-of-gone", "Gone", (REDIRECT_URI,), state="deactivated")
KEYS = ["access_token", "token_type", "refresh_token", "expires_in", "scope", "name", "orcid"]
INVALID = "One of the provided parameters is invalid, or, the provided token/code is invalid or expired"


@pytest.fixture
def simulator():
    return OrcidSimulator(BASE, clients=[PUBLIC, MEMBER, PREMIUM, DEACTIVATED], clock=lambda: NOON)


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


def code_for(simulator, client=PUBLIC, orcid=MAIJA, scopes=("/authenticate",), **more):
    return simulator.issue_code(client.client_id, orcid, scopes, REDIRECT_URI, **more).value


def exchange(simulator, browser, client=PUBLIC, orcid=MAIJA, scopes=("/authenticate",), **more):
    code = code_for(simulator, client, orcid, scopes, **more)
    return browser.token(client, code=code, redirect_uri=REDIRECT_URI).json


def basic(client, secret=None):
    text = f"{client.client_id}:{client.secret if secret is None else secret}"
    return "Basic " + base64.b64encode(text.encode()).decode()


def error(word, text):
    return {"error": word, "error_description": text}


# The token response


def test_the_token_response_has_its_keys_in_order(simulator, browser):
    reply = browser.token(PUBLIC, code=code_for(simulator), redirect_uri=REDIRECT_URI)

    assert reply.status == 200
    assert list(reply.json) == KEYS
    assert reply.json["token_type"] == "bearer"
    assert reply.json["expires_in"] == 631138518
    assert reply.json["scope"] == "/authenticate"
    assert reply.json["name"] == "Maija Meikäläinen"
    assert reply.json["orcid"] == MAIJA
    assert reply.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Pragma"] == "no-cache"
    assert reply.headers["OAUTH_AUTHORIZATION_CODE_EXCHANGE"] == "ON"


@pytest.mark.parametrize(
    ("orcid", "name"),
    [
        ("0009-0000-0001-1111", "Maija Meikäläinen"),
        ("0009-0000-0002-2224", "Åke Öström"),
        ("0009-0000-0003-3337", "Иван Тестов"),
        ("0009-0000-0004-444X", "K. M. Esimerkki"),
        ("0009-0000-0005-5552", "Aurora"),
        ("0009-0000-0006-6665", ""),
        ("0009-0000-0007-7778", None),
        ("0009-0000-0009-9993", "Väinö Välilyönti "),
    ],
)
def test_the_name_in_the_token_response(simulator, browser, orcid, name):
    assert exchange(simulator, browser, orcid=orcid)["name"] == name


def test_the_name_may_be_missing(simulator, browser):
    assert "name" not in exchange(simulator, browser, orcid="0009-0000-0008-8880")


def test_each_exchange_issues_a_new_pair_and_keeps_earlier_ones(simulator, browser):
    first, second = exchange(simulator, browser), exchange(simulator, browser)

    assert first["access_token"] != second["access_token"]
    assert len(simulator.live_tokens(MAIJA)) == 2


# Codes


def test_reusing_a_code_revokes_its_tokens(simulator, browser):
    code = code_for(simulator)
    other = exchange(simulator, browser)
    first = browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI).json

    again = browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI)

    assert again.status == 400
    assert again.json == error("invalid_grant", f"Reused authorization code: {code}")
    assert simulator.find_tokens(first["access_token"]).revoked == "AUTH_CODE_REUSED"
    assert simulator.find_tokens(other["access_token"]).revoked is None


@pytest.mark.parametrize(("minutes", "status"), [(9, 200), (10, 400), (11, 400)])
def test_a_code_expires_after_ten_minutes(simulator, browser, minutes, status):
    code = code_for(simulator)
    simulator.advance(minutes=minutes)

    assert browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI).status == status


def test_the_lifetime_of_a_code_can_be_set(simulator, browser):
    simulator.set_options(code_seconds=300)
    code = code_for(simulator)
    simulator.advance(minutes=6)

    assert browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI).json == error("invalid_grant", INVALID)


def test_a_code_is_refused_to_another_client_and_stays_valid(simulator, browser):
    code = code_for(simulator)

    refused = browser.token(MEMBER, code=code, redirect_uri=REDIRECT_URI)

    assert refused.json == error("invalid_grant", INVALID)
    assert browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI).status == 200


@pytest.mark.parametrize("sent", [REDIRECT_URI + "/", REDIRECT_URI + "?a=b", REDIRECT_URI.upper(), ""])
def test_the_redirect_uri_is_compared_exactly(simulator, browser, sent):
    refused = browser.token(PUBLIC, code=code_for(simulator), redirect_uri=sent)

    assert refused.status == 400
    assert refused.json == error("invalid_grant", INVALID)


def test_the_redirect_uri_may_be_omitted(simulator, browser):
    assert browser.token(PUBLIC, code=code_for(simulator)).status == 200


@pytest.mark.parametrize(("pkce", "status"), [("ignore", 200), ("reject", 400)])
def test_a_pkce_challenge_is_ignored_or_rejected(simulator, browser, pkce, status):
    simulator.set_options(pkce=pkce)
    code = code_for(simulator, challenged=True)

    reply = browser.token(PUBLIC, code=code, redirect_uri=REDIRECT_URI, code_verifier="v" * 43)

    assert reply.status == status


def test_parameters_that_the_proxy_drops_are_ignored(simulator, browser):
    reply = browser.token(
        PUBLIC, code=code_for(simulator), redirect_uri=REDIRECT_URI, state="x", scope="/read-limited", expires_in="1"
    )

    assert reply.json["scope"] == "/authenticate"
    assert reply.json["expires_in"] == 631138518


# Invalid requests

VALID_FORM = {"client_id": PUBLIC.client_id, "client_secret": PUBLIC.secret, "grant_type": "authorization_code"}
INVALID_REQUESTS = [
    ({"grant_type": None}, 400, error("unsupported_grant_type", "grant_type is missing")),
    ({"grant_type": "password"}, 400, error("unsupported_grant_type", "Unsupported grant type: password")),
    ({"client_id": None}, 401, error("invalid_request", "client_id is required")),
    ({"client_id": " "}, 401, error("invalid_request", "client_id is required")),
    ({"client_secret": None}, 401, error("invalid_request", "client_secret is required")),
    ({"client_secret": ""}, 401, error("invalid_request", "client_secret is required")),
    ({"client_id": "APP-NOBODY"}, 401, error("invalid_client", "Client authentication failed")),
    ({"client_secret": "wrong"}, 401, error("invalid_client", "Client authentication failed")),
    (
        {"client_id": DEACTIVATED.client_id, "client_secret": DEACTIVATED.secret},
        401,
        error("invalid_client", f"Client ({DEACTIVATED.client_id}) is deactivated"),
    ),
    ({"grant_type": "refresh_token"}, 401, error("invalid_request", "refresh_token is required")),
    (
        {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"},
        401,
        error("invalid_request", "subject_token is required"),
    ),
    ({}, 400, error("invalid_request", "An authorization code must be supplied")),
    ({"code": " "}, 400, error("invalid_request", "An authorization code must be supplied")),
    ({"code": "k3V9sQ"}, 400, error("invalid_grant", "Invalid authorization code: k3V9sQ")),
    (
        {"grant_type": "client_credentials", "scope": "/webhook"},
        400,
        error("invalid_scope", "Invalid scope: /webhook"),
    ),
    (
        {"grant_type": "refresh_token", "refresh_token": "x"},
        400,
        error("invalid_grant", "Unable to find refresh token"),
    ),
]


@pytest.mark.parametrize(("changes", "status", "body"), INVALID_REQUESTS, ids=[str(row[0]) for row in INVALID_REQUESTS])
def test_invalid_token_requests_have_orcids_status_and_body(browser, changes, status, body):
    form = {key: value for key, value in (VALID_FORM | changes).items() if value is not None}

    reply = browser.post("/oauth/token", form)

    assert reply.status == status
    assert reply.json == body


def test_invalid_client_has_its_description_first(browser):
    reply = browser.token(PUBLIC, client_secret="wrong")

    assert list(reply.json) == ["error_description", "error"]


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_requests_that_are_not_forms_get_a_415_page(browser, path, method):
    reply = browser.send(method, path, VALID_FORM)

    assert reply.status == 415
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.headers["Accept"] == "application/x-www-form-urlencoded"
    assert "Content-Type 'application/json' is not supported." in reply.text


# Credentials


def test_credentials_may_be_in_a_basic_header(simulator, browser):
    form = {"grant_type": "authorization_code", "code": code_for(simulator), "redirect_uri": REDIRECT_URI}

    assert browser.post("/oauth/token", form, Authorization=basic(PUBLIC)).status == 200


@pytest.mark.parametrize("header", [basic(PUBLIC, "wrong"), "Basic %%%", "Basic \xe9", "Bearer 123", "Nonsense"])
def test_an_authorization_header_overrides_the_credentials_in_the_body(simulator, browser, header):
    form = VALID_FORM | {"code": code_for(simulator), "redirect_uri": REDIRECT_URI}

    reply = browser.post("/oauth/token", form, Authorization=header)

    assert reply.status == 401
    assert reply.json["error"] == "invalid_client"


# Other grants


def test_a_client_credentials_token_has_no_name_and_a_null_orcid(browser):
    reply = browser.token(PUBLIC, grant_type="client_credentials", scope="/read-public")

    assert list(reply.json) == ["access_token", "token_type", "refresh_token", "expires_in", "scope", "orcid"]
    assert reply.json["orcid"] is None


def test_a_premium_member_gets_a_webhook_token(browser):
    assert browser.token(PREMIUM, grant_type="client_credentials", scope="/webhook").status == 200


@pytest.mark.parametrize(("revokes_old", "live"), [(True, 1), (False, 2)])
def test_a_refresh_issues_a_new_pair_and_may_revoke_the_old(simulator, browser, revokes_old, live):
    simulator.set_options(refresh_revokes_old=revokes_old)
    old = exchange(simulator, browser, MEMBER, scopes=("/read-limited", "/activities/update"))

    new = browser.token(
        MEMBER, grant_type="refresh_token", refresh_token=old["refresh_token"], scope="/read-limited"
    ).json

    assert list(new) == KEYS
    assert new["scope"] == "/read-limited"
    assert len(simulator.live_tokens(MAIJA)) == live


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("/person/update", "The given scope '/person/update' is not allowed for the parent token"),
        ("", "Parent token is disabled"),
    ],
)
def test_invalid_refreshes_are_refused(simulator, browser, scope, expected):
    old = exchange(simulator, browser)
    if not scope:
        simulator.revoke_grants(MAIJA)

    reply = browser.token(PUBLIC, grant_type="refresh_token", refresh_token=old["refresh_token"], scope=scope)

    assert reply.status == 400
    assert reply.json["error_description"] == expected


# Revoke


@pytest.mark.parametrize("key", ["access_token", "refresh_token"])
def test_revoking_either_token_revokes_only_its_pair(simulator, browser, key):
    mine, other = exchange(simulator, browser), exchange(simulator, browser)

    reply = browser.post("/oauth/revoke", VALID_FORM | {"token": mine[key]})

    assert (reply.status, reply.body) == (200, b"")
    assert simulator.find_tokens(mine["access_token"]).revoked == "CLIENT_REVOKED"
    assert simulator.find_tokens(other["access_token"]).revoked is None


def test_revoking_unknown_revoked_or_foreign_tokens_succeeds_without_effect(simulator, browser):
    mine, others = exchange(simulator, browser), exchange(simulator, browser, MEMBER)
    browser.post("/oauth/revoke", VALID_FORM | {"token": mine["access_token"]})

    for token in ("unknown", mine["access_token"], others["access_token"]):
        assert browser.post("/oauth/revoke", VALID_FORM | {"token": token}).status == 200
    assert simulator.find_tokens(others["access_token"]).revoked is None


def test_revoke_accepts_a_basic_header(simulator, browser):
    mine = exchange(simulator, browser)

    browser.post("/oauth/revoke", {"token": mine["access_token"]}, Authorization=basic(PUBLIC))

    assert simulator.live_tokens(MAIJA) == []


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [({"client_secret": "wrong"}, 401, "invalid_client"), ({}, 400, "invalid_request")],
)
def test_invalid_revocations_are_refused(browser, changes, status, word):
    reply = browser.post("/oauth/revoke", VALID_FORM | changes)

    assert reply.status == status
    assert reply.json["error"] == word


# OpenID Connect


def decode(token):
    head, claims, _ = (part + "=" * (-len(part) % 4) for part in token.split("."))
    return json.loads(base64.urlsafe_b64decode(head)), json.loads(base64.urlsafe_b64decode(claims))


def verify(token, jwk):
    def octets(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    public = rsa.RSAPublicNumbers(65537, int.from_bytes(octets(jwk["n"]), "big")).public_key()
    text, _, signature = token.rpartition(".")
    public.verify(octets(signature), text.encode(), padding.PKCS1v15(), SHA256())


def test_the_published_key_verifies_an_id_token(simulator, browser):
    token = exchange(simulator, browser, scopes=("openid",), nonce="n-1")["id_token"]
    (key,) = browser.get("/oauth/jwks").json["keys"]

    verify(token, key)

    assert "alg" not in key
    assert decode(token)[0] == {"kid": key["kid"], "alg": "RS256"}


def test_the_signing_key_is_a_valid_rsa_key():
    n, d = jwt.key().modulus, jwt.key().private
    p, q = rsa.rsa_recover_prime_factors(n, 65537, d)
    numbers = rsa.RSAPublicNumbers(65537, n)

    whole = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), numbers).private_key()

    assert whole.key_size == 2048


def test_the_claims_of_an_id_token(simulator, browser):
    claims = decode(exchange(simulator, browser, MEMBER, scopes=("openid",), nonce="n-1")["id_token"])[1]

    now = int(NOON.timestamp())
    assert claims["iss"] == BASE
    assert claims["sub"] == MAIJA
    assert claims["aud"] == MEMBER.client_id
    assert claims["amr"] == "pwd"
    assert (claims["iat"], claims["auth_time"], claims["exp"]) == (now, now, now + 86400)
    assert claims["nonce"] == "n-1"
    assert (claims["given_name"], claims["family_name"]) == ("Maija", "Meikäläinen")
    assert "name" not in claims
    assert "email" not in claims


def test_an_id_token_has_the_hash_of_its_access_token(simulator, browser):
    body = exchange(simulator, browser, scopes=("openid",))

    assert decode(body["id_token"])[1]["at_hash"] == jwt.at_hash(body["access_token"])


@pytest.mark.parametrize(
    ("orcid", "present"),
    [
        ("0009-0000-0004-444X", {"given_name", "family_name", "name"}),
        ("0009-0000-0005-5552", {"given_name"}),
        ("0009-0000-0006-6665", set()),
    ],
)
def test_an_id_token_has_only_public_names(simulator, browser, orcid, present):
    claims = decode(exchange(simulator, browser, orcid=orcid, scopes=("openid",))["id_token"])[1]

    assert {"given_name", "family_name", "name"} & set(claims) == present
    assert "amr" not in claims, "a public client is not told how the person signed in"
    assert "nonce" not in claims


def test_discovery_has_its_fields_in_order(browser):
    reply = browser.get("/.well-known/openid-configuration")

    assert list(reply.json)[:3] == [
        "token_endpoint_auth_signing_alg_values_supported",
        "id_token_signing_alg_values_supported",
        "userinfo_endpoint",
    ]
    assert list(reply.json)[-1] == "issuer"
    assert reply.json["issuer"] == BASE
    assert reply.json["token_endpoint"] == f"{BASE}/oauth/token"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert not {"revocation_endpoint", "code_challenge_methods_supported", "end_session_endpoint"} & set(reply.json)


@pytest.mark.parametrize(
    ("orcid", "names"),
    [
        (MAIJA, (None, "Meikäläinen", "Maija")),
        ("0009-0000-0004-444X", ("K. M. Esimerkki", "Esimerkki", "Katri")),
        ("0009-0000-0005-5552", (None, None, "Aurora")),
        ("0009-0000-0006-6665", (None, None, None)),
    ],
)
@pytest.mark.parametrize("scope", ["openid", "/authenticate"])
def test_userinfo_returns_id_and_public_names(simulator, browser, orcid, names, scope):
    token = exchange(simulator, browser, orcid=orcid, scopes=(scope,))["access_token"]

    by_header = browser.get("/oauth/userinfo", Authorization=f"Bearer {token}")
    by_form = browser.post("/oauth/userinfo", {"access_token": token})

    assert list(by_header.json) == ["id", "sub", "name", "family_name", "given_name"]
    assert tuple(by_header.json.values()) == (f"https://sandbox.orcid.org/{orcid}", orcid, *names)
    assert by_form.json == by_header.json


@pytest.mark.parametrize("scopes", [None, ("/read-limited",)])
def test_userinfo_refuses_other_tokens(simulator, browser, scopes):
    token = exchange(simulator, browser, MEMBER, scopes=scopes)["access_token"] if scopes else "unknown"

    reply = browser.get("/oauth/userinfo", Authorization=f"Bearer {token}")

    assert reply.status == 403
    assert reply.json == {"error": "access_denied", "error-description": "access_token is invalid"}


# The journal


def test_the_journal_masks_secrets(simulator, browser):
    body = exchange(simulator, browser)
    browser.post("/oauth/revoke", {"token": body["access_token"]}, Authorization=basic(PUBLIC))
    browser.get("/oauth/authorize", urlencode({"client_id": PUBLIC.client_id, "state": "very-secret", "lang": "en"}))

    calls = simulator.call_log.list_requests()

    assert [(call["method"], call["path"], call["status"]) for call in calls] == [
        ("POST", "/oauth/token", 200),
        ("POST", "/oauth/revoke", 200),
        ("GET", "/oauth/authorize", 200),
    ]
    assert calls[0]["form"]["client_id"] == PUBLIC.client_id
    assert calls[0]["form"]["code"] == "***"
    assert calls[1]["authorization"] == "Basic ***"
    assert calls[2]["query"] == {"client_id": PUBLIC.client_id, "state": "***", "lang": "en"}
    for secret in (PUBLIC.secret, body["access_token"], body["refresh_token"], "very-secret", basic(PUBLIC)):
        assert secret not in str(calls)
