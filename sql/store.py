"""The store: all persistent data of the service, one repository per subject.

* A person has at most one current link, and an iD at most one current link in an organisation.
* A link, its change, deliveries and audit event, and the end of its attempt are written in one transaction.
* Changes of an organisation are numbered 1, 2, 3 … in the order of commits, so that a reader who has read up to a
  number has missed none before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sql import rows
from sql.engines.base import Engine
from sql.engines.sqlite import Sqlite
from sql.errors import InvalidUrl
from sql.health import WriteCheck
from sql.lookup import Lookup
from sql.migrate import check_current
from sql.repositories.attempts import AttemptRepository
from sql.repositories.attested_links import AttestedLinkRepository
from sql.repositories.audit_log import AuditRepository
from sql.repositories.deletion.erasures import ErasureRepository
from sql.repositories.deletion.removals import RemovalRepository
from sql.repositories.deletion.retention import RetentionRepository
from sql.repositories.delivery.changes import ChangeRepository
from sql.repositories.delivery.deliveries import DeliveryRepository
from sql.repositories.incidents import IncidentRepository
from sql.repositories.links import LinkRepository
from sql.repositories.mail import MailRepository
from sql.repositories.orcid.affiliations import AffiliationRepository
from sql.repositories.orcid.record_statuses import RecordStatusRepository
from sql.repositories.orcid.tokens import OrcidTokenRepository
from sql.repositories.organisations import OrganisationRepository
from sql.repositories.releases import ReleaseRepository
from sql.repositories.statistics import StatisticsRepository


def open_store(url: str, *, timeout: float | None = None, standby_lookups: bool = False) -> Store:
    """Return the store at a URL; no connection is opened before it is used.

    Args:
        url: `sqlite:///var/lib/orcid-connect/links.db` is the file `/var/lib/orcid-connect/links.db`; a fourth slash
            means the same, and a path is always absolute and percent-encoded where it must be.
            `postgresql://user@host:port/database` is read by PostgreSQL's own library.
        timeout: Seconds to wait for another writer (SQLite), or for one use of the server from the wait for a
            connection to the last statement (PostgreSQL); the engine's `DEFAULT_TIMEOUT` if None.
        standby_lookups: Whether look-ups are read from a standby among the hosts of a PostgreSQL URL, if one answers.

    Raises:
        InvalidUrl: If it is not such a URL, or PostgreSQL's driver is not installed.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _ENGINES:
        raise InvalidUrl("the URL of a store begins with sqlite:/// or postgresql://")
    return Store(_ENGINES[scheme](url, timeout, standby_lookups))


def _sqlite(url: str, timeout: float | None, _standby_lookups: bool) -> Engine:
    parts = urlsplit(url)
    name = unquote(parts.path).lstrip("/")
    if parts.netloc or parts.query or parts.fragment or not name:
        raise InvalidUrl("the URL of an SQLite file is sqlite:/// and the file's absolute path, and nothing more")
    return Sqlite(Path("/" + name), timeout)


def _postgres(url: str, timeout: float | None, standby_lookups: bool) -> Engine:
    try:
        from sql.engines.postgres import Postgres  # noqa: PLC0415 - the driver is optional
    except ImportError:
        raise InvalidUrl("PostgreSQL needs its driver; run: pip install 'orcid-connect[postgres]'") from None
    return Postgres(url, timeout, standby_lookups=standby_lookups)


_ENGINES: Mapping[str, Callable[[str, float | None, bool], Engine]] = {"sqlite": _sqlite, "postgresql": _postgres}


class Store:
    """The database, with one repository for each subject.

    Any method may raise StoreUnavailable. Datetimes are timezone-aware.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._write_check = WriteCheck(engine)
        self.affiliations = AffiliationRepository(engine)
        self.attempts = AttemptRepository(engine)
        self.attested_links = AttestedLinkRepository(engine)
        self.links = LinkRepository(engine)
        self.changes = ChangeRepository(engine)
        self.audit = AuditRepository(engine)
        self.deliveries = DeliveryRepository(engine)
        self.erasures = ErasureRepository(engine)
        self.incidents = IncidentRepository(engine)
        self.mail = MailRepository(engine)
        self.orcid_tokens = OrcidTokenRepository(engine)
        self.organisations = OrganisationRepository(engine)
        self.record_statuses = RecordStatusRepository(engine)
        self.releases = ReleaseRepository(engine)
        self.removals = RemovalRepository(engine)
        self.retention = RetentionRepository(engine)
        self.statistics = StatisticsRepository(engine)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.close()

    def check_schema(self) -> list[str]:
        """Check that this program runs on the schema of the database.

        Returns:
            The names of additive migrations of a newer program.

        Raises:
            SchemaBehind: If a migration is missing.
            SchemaAhead: If the database has an unknown one that is not additive.
            MigrationChanged: If an applied one is not what it was.
        """
        return check_current(self.engine)

    def check_writable(self) -> int:
        """Commit a write that changes nothing, at most once a second in a process.

        Returns:
            The bytes of the write-ahead log that wait for a checkpoint; more than `MAX_WAL_BACKLOG` means that a
            reader does not end, and that the log fills the disk. PostgreSQL looks after its own log.

        Raises:
            StoreUnavailable: If nothing can be written. A database that does not answer is given up after `timeout`.
        """
        return self._write_check.run()

    def lookup(self) -> Lookup:
        """Return the look-ups for logins, on read-only connections of their own."""
        return Lookup(self.engine.reader())

    def vacuum(self, now: datetime) -> bool:
        """Rewrite the database, so that its files no longer hold what was deleted.

        It blocks writers, and on PostgreSQL readers too, for about a second for each hundred thousand links, so it
        should run at night. Expired attempts are deleted first.

        Returns:
            False if other users of the database prevented it.
        """
        self.attempts.delete_expired(now)
        clean = self.engine.vacuum()
        if clean:
            self.engine.execute("delete_finished_erasures", before=rows.format_timestamp(now))
        return clean
