"""Incident numbers shown on problem pages."""

from __future__ import annotations

from datetime import timedelta

from sql import rows
from sql.records import Incident
from sql.repositories.base import Repository

KEEP_INCIDENTS = timedelta(days=90)
MAX_INCIDENTS = 10_000


class IncidentRepository(Repository):
    """Incident numbers shown on problem pages."""

    def add(self, incident: Incident) -> None:
        """Insert an incident; a number that exists already is left as it is.

        Incidents older than KEEP_INCIDENTS, and those beyond MAX_INCIDENTS, are deleted.
        """
        before = rows.format_timestamp(incident.at - KEEP_INCIDENTS)
        self.engine.execute(
            "insert_incident",
            number=incident.number,
            at=rows.format_timestamp(incident.at),
            code=incident.code,
            organisation=incident.organisation,
            route=incident.route,
        )
        self.engine.execute("delete_old_incidents", before=before, limit=MAX_INCIDENTS - 1)

    def get(self, number: str) -> Incident | None:
        """Return the incident with this number."""
        row = self.engine.fetch_one("get_incident", number=number)
        if row is None:
            return None
        at = rows.parse_timestamp(row["at"])
        return Incident(row["number"], at, row["code"], row["organisation"], row["route"])
