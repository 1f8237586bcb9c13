"""The store: what the service keeps, and the promises it makes about it.

* A person has at most one current link, and an iD belongs to at most one person of an organisation.
* A link, its change, what is owed to transfers, its event and the end of its attempt come together or not at all.
* Changes of an organisation are numbered 1, 2, 3 … in the order in which they can be seen, so whoever has read up to
  a number has missed nothing before it.
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
from sql.repositories.audit_log import AuditRepository
from sql.repositories.changes import ChangeRepository
from sql.repositories.deliveries import DeliveryRepository
from sql.repositories.erasures import ErasureRepository
from sql.repositories.imports import ImportRepository
from sql.repositories.incidents import IncidentRepository
from sql.repositories.links import LinkRepository
from sql.repositories.mail import MailRepository
from sql.repositories.releases import ReleaseRepository
from sql.repositories.retention import RetentionRepository
from sql.repositories.statistics import StatisticsRepository


def open_store(url: str, *, timeout: float | None = None) -> Store:
    """Give the store at a URL; nothing is opened before it is used.

    Args:
        url: `sqlite:///var/lib/orcid-connect/links.db` is the file `/var/lib/orcid-connect/links.db`; a fourth slash
            means the same, and a path is always absolute and percent-encoded where it must be.
            `postgresql://user@host:port/database` is read by PostgreSQL's own library.
        timeout: Seconds to wait for another writer (SQLite) or for all of one use of the server (PostgreSQL), before
            StoreUnavailable is raised; without it the engine's own `DEFAULT_TIMEOUT`.

    Raises InvalidUrl.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _ENGINES:
        raise InvalidUrl("the URL of a store begins with sqlite:/// or postgresql://")
    return Store(_ENGINES[scheme](url, timeout))


def _sqlite(url: str, timeout: float | None) -> Engine:
    parts = urlsplit(url)
    name = unquote(parts.path).lstrip("/")
    if parts.netloc or parts.query or parts.fragment or not name:
        raise InvalidUrl("the URL of an SQLite file is sqlite:/// and the file's absolute path, and nothing more")
    return Sqlite(Path("/" + name), timeout)


def _postgres(url: str, timeout: float | None) -> Engine:
    try:
        from sql.engines.postgres import Postgres  # noqa: PLC0415 - whoever keeps an SQLite file need not have the driver
    except ImportError:
        raise InvalidUrl("PostgreSQL needs its driver; run: pip install 'orcid-connect[postgres]'") from None
    return Postgres(url, timeout)


_ENGINES: Mapping[str, Callable[[str, float | None], Engine]] = {"sqlite": _sqlite, "postgresql": _postgres}


class Store:
    """The database: one repository for each subject.

    Any method may raise StoreUnavailable. Times are aware.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._write_check = WriteCheck(engine)
        self.attempts = AttemptRepository(engine)
        self.links = LinkRepository(engine)
        self.changes = ChangeRepository(engine)
        self.audit = AuditRepository(engine)
        self.deliveries = DeliveryRepository(engine)
        self.erasures = ErasureRepository(engine)
        self.imports = ImportRepository(engine)
        self.incidents = IncidentRepository(engine)
        self.mail = MailRepository(engine)
        self.releases = ReleaseRepository(engine)
        self.retention = RetentionRepository(engine)
        self.statistics = StatisticsRepository(engine)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.close()

    def check_schema(self) -> None:
        """Raise StoreUnavailable, SchemaBehind, SchemaAhead or MigrationChanged unless the database can be used."""
        check_current(self.engine)

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
        """Return what answers logins, on connections of its own that cannot write."""
        return Lookup(self.engine.reader())

    def vacuum(self, now: datetime) -> bool:
        """Remove from the database's files what deleted rows have left there; false when another user prevented it.

        The whole database is written anew, which holds up other writers, and on PostgreSQL readers too, for about a
        second for each hundred thousand links: for the small hours. Expired attempts go first.
        """
        self.attempts.delete_expired(now)
        clean = self.engine.vacuum()
        if clean:
            self.engine.execute("delete_finished_erasures", before=rows.format_timestamp(now))
        return clean
