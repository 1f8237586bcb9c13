"""E-mail that people asked for; an address is deleted as soon as it was used."""

from __future__ import annotations

from datetime import datetime, timedelta

from sql import rows
from sql.engines.base import Row
from sql.records import Mail, MailKind
from sql.repositories.base import Repository


class MailRepository(Repository):
    """E-mail that people asked for."""

    def add(self, mail: Mail) -> bool:
        """Queue a mail, replacing the address of one that waits.

        Returns:
            False when it was sent already.
        """
        added = self.engine.execute(
            "insert_mail",
            **_key(mail),
            address=mail.address,
            language=mail.language,
            now=rows.format_timestamp(mail.requested_at),
        )
        return added == 1

    def claim(self, now: datetime, lease: timedelta, limit: int) -> list[Mail]:
        """Lease some mails that are due, until `now + lease`.

        No other worker gets them meanwhile.
        """
        with self.engine.transaction(exclusive=True) as session:
            found = session.fetch_all(
                "claim_mail",
                now=rows.format_timestamp(now),
                lease_expires_at=rows.format_timestamp(now + lease),
                limit=limit,
            )
        return [_mail_from_row(row) for row in found]

    def complete(self, mail: Mail, now: datetime) -> None:
        """Finish a mail that was sent or given up, and delete its address."""
        self.engine.execute("finish_mail", **_key(mail), now=rows.format_timestamp(now))

    def reschedule(self, mail: Mail, next_try_at: datetime) -> None:
        """Set when the mail is due next."""
        self.engine.execute("reschedule_mail", **_key(mail), next_try_at=rows.format_timestamp(next_try_at))

    def postpone(self, mail: Mail, next_try_at: datetime) -> None:
        """Return a claimed mail that was not tried; set when it is due next."""
        self.engine.execute("postpone_mail", **_key(mail), next_try_at=rows.format_timestamp(next_try_at))

    def list_for_person(self, organisation_id: str, person_key: str, limit: int) -> list[Mail]:
        """Return the mails that a person asked for, newest first."""
        found = self.engine.fetch_all(
            "list_mail_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [_mail_from_row(row) for row in found]


def _key(mail: Mail) -> dict[str, str | int]:
    return {
        "organisation": mail.organisation,
        "person_key": mail.person_key,
        "kind": MailKind(mail.kind).value,
        "change_number": mail.change_number,
    }


def _mail_from_row(row: Row) -> Mail:
    return Mail(
        organisation=row["organisation"],
        person_key=row["person_key"],
        kind=MailKind(row["kind"]),
        change_number=row["change_number"],
        address=row["address"],
        language=row["language"],
        requested_at=rows.parse_timestamp(row["requested_at"]),
        tries=row["tries"],
        next_try_at=rows.parse_timestamp(row["next_try_at"]),
        finished_at=rows.parse_optional_timestamp(row["finished_at"]),
    )
