"""An organisation's system fetches an access token: which one it gets, why it gets none, and who learns of it."""

import io
import json
from datetime import timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials, Right
from resolver_connector.orcid.pairs import TokenError
from resolver_connector.orcid.scopes import PERMISSIONS
from resolver_connector.orcid.sealing import TokenPair, TokenSealer
from shibboleth.account_holder import parse_stable_id
from shibboleth.orcid_id import Registry
from sql.records import OrcidToken, RecordState
from tests.support.factories import NOON, UNIVERSITY, answered, make_client, make_consent, make_organisation
from tests.support.service import (
    CLIENT_ID,
    OWN_CLIENT_ID,
    TOKEN_KEY,
    WebClient,
    ask,
    make_orcid_client,
    make_web_app,
)
from webapp.app import make_app

READ, UPDATE, PERSON = PERMISSIONS
ACCOUNT = "maija@yliopisto.example"
PATH = "/v1/people/maija%40yliopisto.example/orcid-token"
STABLE_ID = "a@yliopisto.example"
LATER = NOON + timedelta(days=1)


def give(store, *grants, expires_at=None, sealer=None, **link):
    """Link Maija with a pair of tokens for each of (client id, scope), the last the newest."""
    sealer, attempt = sealer or TokenSealer([TOKEN_KEY]), answered(store, ACCOUNT)
    for number, (client_id, scope) in enumerate(grants):
        sealed = sealer.seal(f"token-{number}", TokenPair(f"access-{number}", f"refresh-{number}"))
        at = NOON + timedelta(seconds=number)
        token = OrcidToken(f"token-{number}", UNIVERSITY, client_id, scope, at, expires_at, sealed=sealed)
        store.orcid_tokens.add(token, attempt.id, at)
    store.links.add(attempt, "", make_consent(), None, NOON, "link-of-maija", **link)


def connector(store, *, rights=(Right.TOKENS,), client_id=OWN_CLIENT_ID, keys=(TOKEN_KEY,), **organisation):
    words = {"credential": "cris", "orcid_client_id": client_id}
    client = make_client(make_organisation(**organisation), *rights, **words)
    sealer = TokenSealer(keys) if keys else None
    credentials = Credentials([(Bearer("t" * 40), client)])
    return Connector(store, credentials, Registry.PRODUCTION, lambda: LATER, sealer=sealer)


def fetch(app, body=b"", path=PATH):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    path, _, query = path.partition("?")
    words = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
    path = path.replace("%40", "@") + (f"?{query}" if query else "")
    return ask(app, path, "POST", **words, HTTP_AUTHORIZATION="Bearer " + "t" * 40)


def refusal(reply):
    return reply.status, json.loads(reply.body).get("code")


def reads(store):
    return [each for each in store.audit.list_events(UNIVERSITY) if each.kind == "orcid-token-read"]


def test_an_access_token_is_handed_out_with_what_it_is_for(store):
    give(store, (OWN_CLIENT_ID, f"{UPDATE} {READ}"), expires_at=NOON.replace(year=2046))

    reply = fetch(connector(store))

    assert reply.status == 200
    assert reply.header("Cache-Control") == "no-store"
    assert json.loads(reply.body) == {
        "orcid": store.links.get(UNIVERSITY, ACCOUNT).orcid_id.uri,
        "access_token": "access-0",
        "token_type": "bearer",
        "scope": f"{UPDATE} {READ}",
        "expires_at": "2046-01-15T12:00:00Z",
    }
    assert b"refresh" not in reply.body


def test_each_token_is_in_the_audit_with_the_credential(store):
    give(store, (OWN_CLIENT_ID, READ))
    app = connector(store)

    for _ in range(3):
        fetch(app)

    found = [(each.actor, each.person_key, each.at, each.facts) for each in reads(store)]
    assert found == [("organisation", ACCOUNT, LATER, {"credential": "cris", "scope": READ})] * 3
    assert store.audit.verify(UNIVERSITY) == []


GRANTS = [(OWN_CLIENT_ID, f"{READ} {UPDATE}"), (OWN_CLIENT_ID, PERSON), (OWN_CLIENT_ID, READ)]


@pytest.mark.parametrize(
    ("scope", "token"),
    [
        (None, "access-2"),
        ("", "access-2"),
        (READ, "access-2"),
        (UPDATE, "access-0"),
        (f"{UPDATE} {READ}", "access-0"),
        (PERSON, "access-1"),
    ],
)
def test_it_is_the_newest_that_has_the_scope(store, scope, token):
    give(store, *GRANTS)

    reply = fetch(connector(store), b"" if scope is None else {"scope": scope})

    assert json.loads(reply.body)["access_token"] == token


# Why there is none


@pytest.mark.parametrize(
    ("grants", "body", "expected"),
    [
        ([], {}, (404, TokenError.NO_PERMISSION)),
        # The iD alone, and what the service's own client was permitted
        ([(OWN_CLIENT_ID, "/authenticate"), (CLIENT_ID, READ)], {}, (404, TokenError.NO_PERMISSION)),
        ([(OWN_CLIENT_ID, READ)], {"scope": UPDATE}, (409, TokenError.SCOPE_NOT_GRANTED)),
        ([(OWN_CLIENT_ID, READ), (OWN_CLIENT_ID, UPDATE)], {"scope": f"{READ} {UPDATE}"}, (409, "scope-not-granted")),
        ([(OWN_CLIENT_ID, READ)], {"scope": "/read-public"}, (400, None)),
        ([(OWN_CLIENT_ID, READ)], {"scope": [READ]}, (400, None)),
        ([(OWN_CLIENT_ID, READ)], {"scope": f"\xa0{READ}"}, (400, None)),
        ([(OWN_CLIENT_ID, READ), (OWN_CLIENT_ID, UPDATE)], {"scope": f"{READ}\u2003{UPDATE}"}, (400, None)),
        ([(OWN_CLIENT_ID, READ)], {"scope": READ, "refresh": True}, (400, None)),
        ([(OWN_CLIENT_ID, READ)], {"refused": True}, (400, None)),
        ([(OWN_CLIENT_ID, READ)], b"scope", (400, None)),
    ],
)
def test_what_was_not_permitted_is_not_handed_out(store, grants, body, expected):
    give(store, *grants)

    assert refusal(fetch(connector(store), body)) == expected
    assert reads(store) == []


def test_an_account_without_a_link_has_no_token(store):
    assert refusal(fetch(connector(store))) == (404, TokenError.NO_LINK)


def test_an_expired_token_is_none(store):
    give(store, (OWN_CLIENT_ID, READ), expires_at=LATER)

    assert refusal(fetch(connector(store))) == (404, TokenError.NO_PERMISSION)


def test_a_permission_that_was_taken_back_at_orcid_is_not_used(store):
    give(store, (OWN_CLIENT_ID, READ))
    store.orcid_tokens.record_withdrawn("token-0", NOON)

    assert refusal(fetch(connector(store))) == (409, TokenError.WITHDRAWN)


def withdrawn(store):
    return [each for each in store.audit.list_events(UNIVERSITY, ACCOUNT) if each.kind == "permission-withdrawn"]


def test_a_system_reports_that_orcid_refused_a_token(store):
    give(store, *GRANTS)
    app = connector(store)

    # The older one alone: what was permitted later still works
    assert json.loads(fetch(app, {"refused": "access-1"}).body)["access_token"] == "access-2"
    assert refusal(fetch(app, {"scope": UPDATE, "refused": "access-1"})) == (409, TokenError.WITHDRAWN)
    assert refusal(fetch(app, {"refused": "access-2"})) == (409, TokenError.WITHDRAWN)

    told = [(each.actor, each.at, each.facts["credential"], each.facts["scope"]) for each in withdrawn(store)]
    assert told == [
        ("organisation", LATER, "cris", f"{UPDATE} {PERSON} {READ}"),
        ("organisation", LATER, "cris", READ),
    ]
    page = WebClient(make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), lambda: LATER)))
    text = page.get("/me").text
    assert text.count("A system of your organisation reported that ORCID no longer accepts") == 2
    assert "ORCID no longer accepts the permission that you gave there" not in text


@pytest.mark.parametrize("refused", ["", "access-9", "refresh-0", "\ud800", "service's"])
def test_a_report_of_another_token_changes_nothing(store, refused):
    give(store, (OWN_CLIENT_ID, READ), (CLIENT_ID, "/authenticate"))
    refused = "access-1" if refused == "service's" else refused

    assert json.loads(fetch(connector(store), {"refused": refused}).body)["access_token"] == "access-0"
    assert withdrawn(store) == []
    assert {each.withdrawn_at for each in store.orcid_tokens.list_for_person(UNIVERSITY, ACCOUNT)} == {None}


def test_a_report_of_a_token_that_no_key_opens_changes_nothing(store):
    give(store, (OWN_CLIENT_ID, READ))

    reply = fetch(connector(store, keys=()), {"refused": "access-0"})

    assert refusal(reply) == (409, TokenError.UNREADABLE)
    assert withdrawn(store) == []


@pytest.mark.parametrize("end", ["taken back here", "removed"])
def test_nothing_is_handed_out_after_the_person_ended_it(store, end):
    give(store, (OWN_CLIENT_ID, READ))
    link = store.links.get(UNIVERSITY, ACCOUNT)
    if end == "removed":
        store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON)
    else:
        store.orcid_tokens.revoke_for_link(link, NOON)

    expected = TokenError.NO_LINK if end == "removed" else TokenError.NO_PERMISSION
    assert refusal(fetch(connector(store))) == (404, expected)


def test_a_suspended_id_has_no_token(store):
    give(store, (OWN_CLIENT_ID, READ))
    link = store.links.get(UNIVERSITY, ACCOUNT)
    store.record_statuses.save(link.orcid_id, RecordState.LOCKED, None, NOON)
    store.record_statuses.suspend(store.links.get(UNIVERSITY, ACCOUNT), NOON)

    assert refusal(fetch(connector(store))) == (404, TokenError.NO_LINK)


def test_an_organisation_without_a_client_of_its_own_has_no_tokens(store):
    give(store, (CLIENT_ID, READ))

    assert refusal(fetch(connector(store, client_id=""))) == (409, TokenError.NO_CLIENT)


@pytest.mark.parametrize("keys", [(), ("x" * 43 + "=",)])
def test_a_lost_key_is_an_answer_of_its_own(store, keys):
    give(store, (OWN_CLIENT_ID, READ))

    reply = fetch(connector(store, keys=keys))

    assert refusal(reply) == (409, TokenError.UNREADABLE)
    assert b"access-0" not in reply.body
    assert reads(store) == []


def test_another_holder_of_the_account_has_no_token(store):
    organisation = {"stable_id": "subject-id", "needs_stable_id": True}
    holder = parse_stable_id(make_organisation(**organisation), [STABLE_ID])
    give(store, (OWN_CLIENT_ID, READ), stable_id=holder)
    app = connector(store, **organisation)

    assert refusal(fetch(app)) == (404, TokenError.NO_LINK)
    assert refusal(fetch(app, path=f"{PATH}?stable_id=b@yliopisto.example")) == (404, TokenError.NO_LINK)
    assert fetch(app, path=f"{PATH}?stable_id={STABLE_ID}").status == 200


def test_the_right_is_off_by_default(store):
    give(store, (OWN_CLIENT_ID, READ))

    reply = fetch(connector(store, rights=set(Right) - {Right.TOKENS}))

    assert (reply.status, json.loads(reply.body)["right"]) == (403, "tokens")


def test_a_nightly_job_does_not_hide_the_news(store):
    give(store, (OWN_CLIENT_ID, READ))
    store.audit.add(UNIVERSITY, "removal-cancelled", "service", ACCOUNT, {}, NOON)
    app = connector(store)
    for _ in range(3):
        fetch(app)

    (news,) = store.audit.list_events_of_others(UNIVERSITY, ACCOUNT, 0)

    assert news.kind == "removal-cancelled"
