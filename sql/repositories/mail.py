"""E-mail that people asked for: what waits to be sent, and to where. The address goes as soon as it is sent."""

from __future__ import annotations

from datetime import datetime, timedelta

from sql import rows
from sql.organisation_transaction import Repository
from sql.records import Mail, MailKind


class MailRepository(Repository):
    """E-mail that people asked for, until it is sent."""

    def add(self, mail: Mail) -> bool:
        """Keep a mail that a person asked for; false when this one has been sent, for each is sent once."""
        asked = {"address": mail.address, "language": mail.language, "now": rows.timestamp(mail.asked_at)}
        return self.engine.execute("ask_mail", **_place(mail), **asked) == 1

    def claim(self, now: datetime, lease: timedelta, limit: int) -> list[Mail]:
        """Take some mails that are due; nobody else is given them until `now + lease`."""
        with self.engine.transaction(exclusive=True) as session:
            found = session.fetch_all(
                "claim_mails", now=rows.timestamp(now), until=rows.timestamp(now + lease), limit=limit
            )
        return [rows.mail_of(row) for row in found]

    def complete(self, mail: Mail, now: datetime) -> None:
        """Say that a mail is sent, or given up: its address is forgotten."""
        self.engine.execute("end_mail", **_place(mail), now=rows.timestamp(now))

    def reschedule(self, mail: Mail, next_at: datetime) -> None:
        """Let a mail wait until then."""
        self.engine.execute("postpone_mail", **_place(mail), next_at=rows.timestamp(next_at))

    def list_for_person(self, entity_id: str, person_key: str, limit: int) -> list[Mail]:
        """Give what a person asked to be sent, the newest first."""
        found = self.engine.fetch_all("mails_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.mail_of(row) for row in found]


def _place(mail: Mail) -> dict[str, str | int]:
    return {
        "organisation": mail.organisation,
        "person_key": mail.person_key,
        "kind": MailKind(mail.kind).value,
        "change_number": mail.change_number,
    }
