"""Incidents: what the number on a problem's page stood for, kept for whoever is told it over the telephone."""

from __future__ import annotations

from contextlib import suppress

from shibboleth.organisation import Organisation
from sql.records import Incident
from sql.store import Store
from webapp.pages.request import PageRequest

NOT_KEPT = frozenset(
    {
        # Whoever is not signed in can have as many of these as they like
        *("not-signed-in", "proxy-not-authenticated", "not-found", "not-allowed", "too-large", "repeated-parameter"),
        # There is nowhere to keep these
        *("store-unavailable", "schema-behind", "schema-ahead"),
    }
)
"""Problems that stand in the log alone."""


def record(  # noqa: PLR0913, PLR0917 - the columns of a row
    store: Store, number: str, word: str, request: PageRequest, place: str, organisation: Organisation | None = None
) -> None:
    """Keep what a number stands for; the person's page comes all the same when that cannot be done."""
    if word in NOT_KEPT:
        return
    home = organisation or (request.optional_person.organisation if request.optional_person else None)
    # Whatever is wrong with the store: the log has this problem's line, and the person waits for a page
    with suppress(Exception):
        store.incidents.add(Incident(number, request.now, word, home.entity_id if home else None, place))
