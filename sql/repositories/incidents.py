"""Incident numbers shown on problem pages."""

from __future__ import annotations

from datetime import timedelta

from sql import rows
from sql.organisation_transaction import Repository
from sql.records import Incident

KEEP_INCIDENTS = timedelta(days=90)
MOST_INCIDENTS = 10_000


class IncidentRepository(Repository):
    """Incident numbers shown on problem pages."""

    def add(self, incident: Incident) -> None:
        """Keep what an incident number stands for, and let go of those that are old, or more than MOST_INCIDENTS.

        A number that is known already stands for what it did.
        """
        before = rows.timestamp(incident.at - KEEP_INCIDENTS)
        self.engine.execute("keep_incident", **rows.incident_values(incident))
        self.engine.execute("forget_incidents", before=before, most=MOST_INCIDENTS - 1)

    def get(self, number: str) -> Incident | None:
        """Give what an incident number stands for."""
        row = self.engine.fetch_one("incident", incident=number)
        return None if row is None else rows.incident_of(row)
