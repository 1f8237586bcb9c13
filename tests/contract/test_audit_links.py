"""The audit log and the links are compared both ways, and another party can hold the chain by its last hash."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, attest, make_link, make_orcid_id

MAIJA, VILLE, MATTI = (f"{name}@yliopisto.example" for name in ("maija", "ville", "matti"))
FIRST, SECOND, THIRD = (make_orcid_id(number) for number in (1, 2, 3))
HOUR = timedelta(hours=1)


@pytest.fixture
def store(store):
    """A store in which Maija and Ville linked themselves, and Matti was imported."""
    make_link(store, MAIJA, FIRST)
    make_link(store, VILLE, SECOND)
    attest(store, [(MATTI, THIRD)], now=NOON + HOUR)
    return store


def meddle(store, statement):
    """Change the database as somebody with its password could."""
    with store.engine.transaction() as session:
        session.script(statement + ";")


LATER = {
    "nothing": lambda _store: None,
    "another iD": lambda store: make_link(store, MAIJA, make_orcid_id(4)),
    "the same iD again": lambda store: make_link(store, MAIJA, FIRST),
    "an imported one replaced": lambda store: make_link(store, MATTI, make_orcid_id(4), now=NOON + 2 * HOUR),
    "an imported one authenticated": lambda store: make_link(store, MATTI, THIRD, now=NOON + 2 * HOUR),
    "removed": lambda store: store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON),
    "removed and linked again": lambda store: (
        store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON),
        make_link(store, MAIJA, FIRST),
    ),
    "removed and imported": lambda store: (
        store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON),
        attest(store, [(MAIJA, FIRST)], "another", NOON + 2 * HOUR),
    ),
    "deprovisioned": lambda store: store.retention.deprovision(UNIVERSITY, MAIJA, NOON),
    "erased": lambda store: store.erasures.erase(UNIVERSITY, MAIJA, "person", "asked to", NOON),
    "erased and linked again": lambda store: (
        store.erasures.erase(UNIVERSITY, MAIJA, "person", "asked to", NOON),
        make_link(store, MAIJA, FIRST, now=NOON + HOUR),
    ),
    "erased as one imported": lambda store: store.erasures.erase(UNIVERSITY, MATTI, "person", "asked to", NOON + HOUR),
    "forgotten with the last change": lambda store: store.retention.delete_change(UNIVERSITY, 1, NOON),
}


@pytest.mark.parametrize("later", LATER)
def test_links_and_audit_events_agree_after_every_operation(store, later, monkeypatch):
    monkeypatch.setattr("sql.repositories.base.PAGE_SIZE", 2)

    LATER[later](store)

    assert store.audit.compare_with_links(UNIVERSITY) == []


LINKED = "is there, and the newest event about it is not"
UNLINKED = "made a link that is not there, and no event has removed it"
NEW = """
insert into links (id, organisation, person_key, account, account_issued_at, registry, orcid, linked_at, consent_digest,
    consent_at, source, next_check_at)
select 'new', organisation, 'new@x', 'new@x', '', registry, '0000-0000-0000-0000', linked_at, consent_digest,
    consent_at, '{source}', next_check_at
from links
where person_key = 'maija@yliopisto.example'
"""


@pytest.mark.parametrize(
    ("meddling", "said"),
    [
        ("update links set orcid = '0000-0000-0000-0001' where person_key like 'maija%'", ["link * " + LINKED]),
        (
            "update links set person_key = 'x', account = 'x' where person_key like 'maija%'",
            ["link * " + LINKED, "event 1 " + UNLINKED],
        ),
        (NEW.format(source="orcid"), ["link new " + LINKED]),
        (NEW.format(source="the old register"), ["link new " + LINKED]),
        ("delete from links where person_key like 'maija%'", ["event 1 " + UNLINKED]),
        (
            "update links set ended_at = linked_at, ended_by = 'person' where person_key like 'ville%'",
            ["event 2 " + UNLINKED],
        ),
    ],
)
def test_a_link_changed_directly_in_the_database_is_detected(store, meddling, said):
    links = {link.id for link in store.links.list_current(UNIVERSITY)}

    meddle(store, meddling)

    found = store.audit.compare_with_links(UNIVERSITY)
    assert [" ".join("*" if word in links else word for word in sentence.split()) for sentence in found] == said
    assert store.audit.verify(UNIVERSITY) == []


def test_a_rewritten_chain_has_another_last_hash(store):
    kept, number = store.audit.last_hash(UNIVERSITY), 3
    make_link(store, VILLE, FIRST, POLYTECHNIC)
    store.links.remove(UNIVERSITY, VILLE, "person", "asked to", NOON)

    assert store.audit.find_hash(UNIVERSITY, kept) == number
    assert store.audit.find_hash(POLYTECHNIC, kept) is None
    meddle(store, f"update events set hash = 'another' where number = {number}")
    assert store.audit.find_hash(UNIVERSITY, kept) is None


def test_an_organisation_without_events_has_no_last_hash(store):
    assert store.audit.last_hash("https://nobody.example") == ""
    assert store.audit.compare_with_links("https://nobody.example") == []
