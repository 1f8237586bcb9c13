"""Valid test data with few arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from resolver_connector.credentials import Client, Right
from shibboleth.attributes import fold
from shibboleth.orcid_id import OrcidId, Registry, check_digit
from shibboleth.organisation import Organisation, Stage
from shibboleth.person import Person
from sql.records import Attempt, Consent, OrcidToken
from sql.repositories.attested_links import AttestedLink
from sql.repositories.base import Attester

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
UNIVERSITY = "yliopisto"
UNIVERSITY_IDP = "https://idp.yliopisto.example/idp/shibboleth"
POLYTECHNIC = "amk"
POLYTECHNIC_IDP = "https://idp.amk.example/idp/shibboleth"

_numbers = count(1)


def make_orcid_id(number=1, registry=Registry.PRODUCTION):
    """Give the iD of a number, with the check character that belongs to it."""
    digits = f"{number:015d}"
    digits += check_digit(digits)
    return OrcidId("-".join(digits[start : start + 4] for start in (0, 4, 8, 12)), registry)


def make_organisation(organisation_id=UNIVERSITY, **other):
    """Give a connected organisation; the university unless told otherwise."""
    words = {
        "entity_ids": (f"https://idp.{organisation_id}.example/idp/shibboleth",),
        "names": {code: organisation_id.title() for code in ("en", "fi", "sv")},
        "scopes": frozenset({f"{organisation_id}.example"}),
        "stage": Stage.PRODUCTION,
    }
    return Organisation(organisation_id, **{**words, **other})


def make_client(organisation=None, *rights, credential="all-rights", **other):
    """Give a client of the connector.

    One of the university with all rights unless told otherwise.
    """
    return Client(organisation or make_organisation(), credential, frozenset(rights or Right), **other)


def make_person(account="maija@yliopisto.example", name="Maija Mäkelä", organisation=None, **other):
    """Give a signed-in person; Maija unless told otherwise."""
    return Person(organisation or make_organisation(), account=account, name=name, **other)


def make_attempt(person_key="maija@yliopisto.example", organisation=UNIVERSITY, started_at=NOON, **other):
    """Give an attempt that has just been started."""
    words = {
        "id": f"attempt-{next(_numbers)}",
        "account": person_key,
        "browser_hash": "hash-of-a-cookie",
        "client_id": "APP-0A1B2C3D4E5F6G7H",
        "scope": "/authenticate",
        "expires_at": started_at + timedelta(hours=1),
    }
    return Attempt(organisation=organisation, person_key=person_key, started_at=started_at, **{**words, **other})


def make_consent(version="1", language="en", text="I agree that my ORCID iD is sent to my organisation.", at=NOON):
    """Give a consent."""
    return Consent(version, language, text, at)


def answered(store, person_key="maija@yliopisto.example", orcid_id=None, organisation=UNIVERSITY, now=NOON, **other):
    """Give an attempt of this person, in the store, that ORCID has answered."""
    attempt = make_attempt(person_key, organisation, started_at=now, **other)
    store.attempts.add(attempt, state_hash=f"state of {attempt.id}")
    store.attempts.consume_state(f"state of {attempt.id}", organisation, person_key, attempt.browser_hash, now)
    store.attempts.save_orcid_answer(attempt.id, orcid_id or make_orcid_id(), "Maija Mäkelä")
    return store.attempts.get(attempt.id)


CLIENT_ID = "APP-0A1B2C3D4E5F6G7H"


def store_token(store, attempt, client_id=CLIENT_ID, scope="/authenticate", *, sealed="sealed", now=NOON):
    """Store a pair that ORCID gave in this attempt, and give its id."""
    token = OrcidToken(
        f"token-{next(_numbers)}",
        attempt.organisation,
        client_id,
        scope,
        now,
        now + timedelta(days=7300),
        sealed=sealed,
    )
    store.orcid_tokens.add(token, attempt.id, now)
    return token.id


def make_attested_link(store, person_key="maija@yliopisto.example", orcid_id=None, source="CRIS", at=NOON, **other):
    """Link a person to an iD that the organisation attests."""
    row = AttestedLink(1, fold(person_key), person_key, orcid_id or make_orcid_id(), at, source)
    return list(store.attested_links.add(UNIVERSITY, [row], "operator", NOON, **other))


def make_link(  # noqa: PLR0917 - one for each word
    store,
    person_key="maija@yliopisto.example",
    orcid_id=None,
    organisation=UNIVERSITY,
    now=NOON,
    transfers=(),
    issued="",
    stable_id="",
):
    """Link a person to an iD, in place of whatever they had, and give the change."""
    current = store.links.get(organisation, person_key)
    replacing = current.orcid_id if current else None
    attempt = answered(store, person_key, orcid_id, organisation, now)
    consent, link_id = make_consent(at=now), f"link-{next(_numbers)}"
    return store.links.add(attempt, issued, consent, replacing, now, link_id, transfers, stable_id=stable_id)


def attest(store, people, source="CRIS", now=NOON, *, organisation=UNIVERSITY, transfers=(), credential=None, **other):
    """Store attested iDs of pairs of account and iD; give what became of each."""
    rows = (AttestedLink(n, fold(account), account, each, now, source) for n, (account, each) in enumerate(people, 1))
    system = Attester(credential, transfers)
    return list(store.attested_links.add(organisation, rows, "operator", now, system=system, **other))
