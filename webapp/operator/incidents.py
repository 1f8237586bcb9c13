"""Recording of incidents: what the number on an error page stands for."""

from __future__ import annotations

from contextlib import suppress

from shibboleth.organisation import Organisation
from sql.records import Incident
from sql.store import Store
from webapp.pages.request import PageRequest

NOT_RECORDED = frozenset(
    {
        # Anyone can cause any number of these without signing in
        *("not-signed-in", "proxy-not-authenticated", "not-found", "not-allowed", "too-large", "repeated-parameter"),
        # These cannot be stored
        *("store-unavailable", "schema-behind", "schema-ahead"),
    }
)
"""Problems that are only logged."""


def record(  # noqa: PLR0913, PLR0917 - the columns of a row
    store: Store, number: str, code: str, request: PageRequest, route: str, organisation: Organisation | None = None
) -> None:
    """Store what an incident number stands for. Database errors are ignored: the person gets the page anyway."""
    if code in NOT_RECORDED:
        return
    home = organisation or (request.optional_person.organisation if request.optional_person else None)
    # The problem is in the log in any case
    with suppress(Exception):
        store.incidents.add(Incident(number, request.now, code, home.entity_id if home else None, route))
