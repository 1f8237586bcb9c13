"""E-mail that people asked for: what waits to be sent, and to where. The address goes as soon as it is sent."""

from __future__ import annotations

from datetime import datetime, timedelta

from sql import rows
from sql.held import Keeper
from sql.records import Mail, MailKind


class Mails(Keeper):
    """The part of the store that keeps what is to be sent by e-mail."""

    def ask_mail(self, mail: Mail) -> bool:
        """Keep a mail that a person asked for; false when this one has been sent, for each is sent once."""
        asked = {"address": mail.address, "language": mail.language, "now": rows.moment(mail.asked_at)}
        return self.engine.execute("ask_mail", **_place(mail), **asked) == 1

    def claim_mails(self, now: datetime, lease: timedelta, limit: int) -> list[Mail]:
        """Take some mails that are due; nobody else is given them until `now + lease`."""
        with self.engine.transaction(exclusive=True) as session:
            found = session.fetch_all("claim_mails", now=rows.moment(now), until=rows.moment(now + lease), limit=limit)
        return [rows.mail_of(row) for row in found]

    def end_mail(self, mail: Mail, now: datetime) -> None:
        """Say that a mail is sent, or given up: its address is forgotten."""
        self.engine.execute("end_mail", **_place(mail), now=rows.moment(now))

    def postpone_mail(self, mail: Mail, next_at: datetime) -> None:
        """Let a mail wait until then."""
        self.engine.execute("postpone_mail", **_place(mail), next_at=rows.moment(next_at))

    def mails_of(self, entity_id: str, person_key: str, limit: int) -> list[Mail]:
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
