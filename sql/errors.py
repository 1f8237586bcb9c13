"""Exceptions of the store.

No exception of a database driver leaves this package.
"""

from __future__ import annotations

from shibboleth.orcid_id import OrcidId
from sql.records import Attempt, Link


class InvalidUrl(ValueError):
    """The text is not the URL of a store."""


class StoreUnavailable(Exception):
    """The store cannot be used now: it is locked, full, unreachable or damaged.

    The transaction was rolled back as a whole.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """A short phrase without addresses, passwords or personal data."""


class SchemaBehind(Exception):
    """The database lacks migrations of this program."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(f"database is behind: {', '.join(missing)}; run: orcid-connect migrate")
        self.missing = missing


class SchemaAhead(Exception):
    """The database was migrated by a newer program."""

    def __init__(self, unknown: tuple[str, ...]) -> None:
        super().__init__(f"database is ahead: {', '.join(unknown)}; run a newer orcid-connect")
        self.unknown = unknown


class MigrationChanged(Exception):
    """A migration file was changed after it was applied."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed after it was applied to this database; restore the released file")
        self.name = name


class UnstorableText(ValueError):
    """A text that no database can store.

    It contains a NUL character or half a surrogate pair.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} holds a character that cannot be stored")
        self.name = name


class ConstraintViolation(Exception):
    """A constraint of the schema rejected a row, such as a duplicate."""

    def __init__(self) -> None:
        super().__init__("a constraint of the database rejected a row")


class OrcidIdInUse(Exception):
    """Another person of the same organisation has a current link with this iD."""

    def __init__(self, orcid_id: OrcidId) -> None:
        super().__init__("another person of the organisation has this ORCID iD")
        self.orcid_id = orcid_id


class LinkChanged(Exception):
    """The person's current link is not the one that they were shown."""

    def __init__(self, current: Link | None) -> None:
        super().__init__("the link is no longer what the person was shown")
        self.current = current


class LinkedByPerson(Exception):
    """The person made the link here, so the organisation does not attest it."""

    def __init__(self) -> None:
        super().__init__("the person made this link here themselves")


class AccountLinked(Exception):
    """The account to which a link should move has a current link of its own."""

    def __init__(self) -> None:
        super().__init__("the account has a link of its own")


class AttemptClosed(Exception):
    """The attempt is closed or deleted.

    `attempt` is the closed attempt with its `outcome`, and None if it is deleted.
    """

    def __init__(self, attempt: Attempt | None) -> None:
        super().__init__("the attempt has ended")
        self.attempt = attempt


class AttemptNotAuthenticated(Exception):
    """ORCID has not answered the attempt, so there is no iD to link."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__("ORCID has not answered this attempt")
        self.attempt = attempt
