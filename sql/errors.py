"""What can be wrong with the store, or with what was asked of it. No driver's error leaves this package."""

from __future__ import annotations

from shibboleth.orcid_id import OrcidId
from sql.records import Attempt, Link


class InvalidUrl(ValueError):
    """The text does not say where a store is."""


class StoreUnavailable(Exception):
    """The store cannot do its work now: locked, full, away, damaged. Nothing was written by halves."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """A short phrase, without addresses, passwords or anybody's data."""


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
    """A migration is not the file it was when it was applied."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed after it was applied to this database; bring the released file back")
        self.name = name


class UnstorableText(ValueError):
    """A text that no database can hold: with a NUL character in it, or half a surrogate pair."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} holds a character that cannot be stored")
        self.name = name


class ConstraintViolation(Exception):
    """A constraint of the schema refused a row: the same thing twice, or a value that cannot be."""

    def __init__(self) -> None:
        super().__init__("the database refused a row that contradicts what it holds")


class OrcidIdInUse(Exception):
    """Another person of the same organisation has this iD."""

    def __init__(self, orcid_id: OrcidId) -> None:
        super().__init__("another person of the organisation has this ORCID iD")
        self.orcid_id = orcid_id


class LinkChanged(Exception):
    """The person's link is no longer what they were shown."""

    def __init__(self, current: Link | None) -> None:
        super().__init__("the link is no longer what the person was shown")
        self.current = current


class AttemptClosed(Exception):
    """The attempt has ended; how is in `attempt.outcome` (no attempt when it is so old that it is gone)."""

    def __init__(self, attempt: Attempt | None) -> None:
        super().__init__("the attempt has ended")
        self.attempt = attempt


class AttemptNotAuthenticated(Exception):
    """ORCID has not answered this attempt, so there is no iD to link."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__("ORCID has not answered this attempt")
        self.attempt = attempt
