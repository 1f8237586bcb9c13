"""Databases that are in use for years already: many links, with their changes and events, made by bulk SQL."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator

import psycopg

from shibboleth.orcid_id import Registry
from sql.rows import consent_text_values, moment
from tests.bench.people import ENTITY_ID, account_of
from tests.make import NOON, make_consent, make_orcid_id

_COLUMNS = "id, organisation, person_key, account, issued, registry, orcid, linked_at, consent_digest, consent_at"
_CONSENT = """
insert into consent_texts (digest, version, language, text)
values ('{digest}', '{version}', '{language}', '{text}')
"""

# The chain of these events does not hold, which nothing that is measured looks at
_THE_REST = f"""
insert into changes (organisation, number, kind, person_key, account, registry, orcid, at)
select organisation, row_number() over (order by id), 'linked', person_key, account, registry, orcid, linked_at
from links;

insert into events (organisation, number, at, kind, actor, person_key, facts, digest, hash)
select organisation, number, at, 'linked', 'person', person_key, '{{"facts":{{"orcid":"' || orcid || '"}}}}',
    '{"0" * 64}', '{"0" * 64}'
from changes;

insert into counters (organisation, changes, events, last_event_hash)
select organisation, max(number), max(number), '{"0" * 64}'
from events
group by organisation;
"""


def fill(url: str, links: int) -> None:
    """Fill a migrated and empty store with so many links."""
    _FILLERS[url.partition(":")[0]](url, links)


def _sqlite(url: str, links: int) -> None:
    database = sqlite3.connect(url.removeprefix("sqlite://"))
    places = ", ".join("?" * len(_COLUMNS.split(",")))
    with database:
        database.execute(_consent())
        database.executemany(f"insert into links ({_COLUMNS}) values ({places})", _rows(links))
        for statement in filter(str.strip, _THE_REST.split(";")):
            database.execute(statement)
    database.execute("pragma wal_checkpoint(truncate)")
    database.close()


def _postgres(url: str, links: int) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(_consent())
        with database.cursor() as cursor, cursor.copy(f"copy links ({_COLUMNS}) from stdin") as copy:
            for row in _rows(links):
                copy.write_row(row)
        database.execute(_THE_REST)
        # Now, and not in the background while something is measured
        database.execute("vacuum (analyze)")
        database.execute("checkpoint")


_FILLERS = {"sqlite": _sqlite, "postgresql": _postgres}


def _consent() -> str:
    return _CONSENT.format(**consent_text_values(make_consent()))


def _rows(links: int) -> Iterator[tuple[str, ...]]:
    then = moment(NOON)
    digest = consent_text_values(make_consent())["digest"]
    for number in range(links):
        # Spread over the index as random ids are (the multiplier is prime)
        link_id = f"{number * 2654435761 % 2**32:08x}{number:014x}"
        account = account_of(number)
        orcid = make_orcid_id(number, Registry.SANDBOX).bare
        yield (link_id, ENTITY_ID, account, account, "20040826", "sandbox", orcid, then, digest, then)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
