"""Replicas: SQLite files with one organisation's released iDs.

An Identity Provider reads a replica where it cannot reach the database.

A replica has a table with the name and columns of the database's view, so that an Identity Provider uses the same query
for both: `select "eduPersonOrcid" from idp_release where account = …`. A new replica is written beside the present one
and replaces it atomically.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

from sqlite_utils import Database

from shibboleth.account_holder import UNKNOWN_HOLDER, AccountHolder, KnownHolder, different_holders
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from sql.engines.base import unstorable
from sql.engines.sqlite import REASONS
from sql.errors import StoreUnavailable
from sql.rows import format_timestamp, parse_timestamp
from sql.store import Store

APPLICATION_ID = 0x6F726963
"""`oric`: tells a replica from every other SQLite file (https://www.sqlite.org/pragma.html#pragma_application_id)."""
_MODE = 0o640

# Durability is not needed here: an unfinished draft is deleted, and `_draft_of` syncs a finished one
_MAKE = f"""
pragma journal_mode = memory;
pragma synchronous = off;
pragma application_id = {APPLICATION_ID};
begin;
create table idp_release (
    account text not null primary key,
    "eduPersonOrcid" text not null,
    account_issued_at text not null,
    stable_id text not null,
    held_on text not null
) without rowid;
create table about (
    made_at text not null,
    organisation text not null,
    registry text not null,
    "rows" integer not null
);
"""
_SIGN = 'insert into about (made_at, organisation, registry, "rows") values (?, ?, ?, ?)'
_ABOUT = 'select made_at, organisation, registry, "rows" from about'
_COLUMNS = ("account", "eduPersonOrcid", "account_issued_at", "stable_id", "held_on")
_ORCID_OF = 'select "eduPersonOrcid", account_issued_at, stable_id, held_on from idp_release where account = ?'

_REASONS = {
    **REASONS,
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_ERROR: "it is another database",
}
_SAID = {
    errno.ENOENT: "its directory does not exist",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.EROFS: "the disk cannot be written to",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
}


class ReplicaNotWritten(Exception):
    """The replica could not be written; the file that was there is unchanged.

    `reason` contains no personal data.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotAReplica(Exception):
    """The file is not a replica, or cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def write_replica(store: Store, organisation_id: str, registry: Registry, path: Path, now: datetime) -> int:
    """Write a replica of an organisation's released iDs; return the row count.

    The rows are from one snapshot of the database, and on the disk when this returns. Memory does not grow with their
    number. The file mode is 0640.

    Args:
        organisation_id: The organisation's id.
        path: Replaced if it is an older replica of the same organisation.

    Raises:
        ReplicaNotWritten: If the file cannot be written, or another file is there.
        StoreUnavailable: If the database cannot be read.
    """
    with _translate_errors():
        _check_replaceable(path, organisation_id)
        with _draft_of(path) as draft, closing(Database(sqlite3.connect(draft, isolation_level=None))) as file:
            file.executescript(_MAKE)
            table = file.table("idp_release")
            with store.engine.stream(
                "list_released_orcid_ids", organisation=organisation_id, registry=registry.value
            ) as found:
                table.insert_all({name: row[name] for name in _COLUMNS} for row in found)
            count = table.count
            file.execute(_SIGN, (format_timestamp(now), organisation_id, registry.value, count))
            file.commit()
    return count


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ReplicaNotWritten(_reason(error)) from None
    except OSError as error:
        raise ReplicaNotWritten(_SAID.get(error.errno or 0, str(error.strerror))) from None


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _REASONS.get(code, f"SQLite answered with its code {code}")


def _check_replaceable(path: Path, organisation_id: str) -> None:
    # Anything but an older replica of the same organisation is not overwritten
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ReplicaNotWritten("what is there already is not a file")
        try:
            with Replica(path) as there:
                owner = there.organisation
        except NotAReplica as error:
            raise ReplicaNotWritten(f"what is there already is not a replica: {error}") from None
        if owner != organisation_id:
            raise ReplicaNotWritten(f"what is there already is the replica of {owner}")


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    # The path of a new file beside `path`, which replaces it if the block succeeds
    draft = path.with_name(f".{path.name}.new")
    with _open_draft(draft) as file:
        try:
            yield draft
            os.fchmod(file, _MODE)
            os.fsync(file)
            draft.replace(path)
        except BaseException:
            draft.unlink()
            raise
        _sync_directory(path.parent)


@contextmanager
def _open_draft(draft: Path) -> Iterator[int]:
    # The descriptor of the draft, locked and empty; a draft that a killed process left behind is reused
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if not _lock_draft(file, draft):
            raise ReplicaNotWritten("another process is writing it")
        os.ftruncate(file, 0)
        yield file
    finally:
        os.close(file)


def _lock_draft(file: int, draft: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The process that held the lock before may have moved the file into place
        return os.path.samestat(os.fstat(file), draft.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Replica:
    """An open replica; thread-safe.

    It stays readable when the file is replaced.

    Raises:
        NotAReplica: If the file is not a replica or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        # immutable: the file is never written to, so SQLite needs neither locks nor journal files
        where = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise NotAReplica(_reason(error)) from None
        try:
            self._read_about()
        except sqlite3.Error as error:
            self.close()
            raise NotAReplica(_reason(error)) from None
        except (TypeError, ValueError):
            self.close()
            raise NotAReplica("it is another database") from None

    def _read_about(self) -> None:
        # Raises TypeError and ValueError for what a replica does not contain
        (mark,) = self._file.execute("pragma application_id").fetchone()
        if mark != APPLICATION_ID:
            raise ValueError(mark)
        made_at, self.organisation, registry, self.rows = self._file.execute(_ABOUT).fetchone()
        self.made_at = parse_timestamp(made_at)
        self.registry = Registry(registry)

    def orcid_of(self, account: str, holder: AccountHolder = UNKNOWN_HOLDER) -> list[OrcidId]:
        """Return the iD of a folded account, or an empty list.

        The list is also empty if an earlier holder of the account linked the iD.

        Raises:
            StoreUnavailable: If the file is damaged.
        """
        if unstorable({"account": account}):
            return []
        try:
            with self._lock:
                found = self._file.execute(_ORCID_OF, (account,)).fetchall()
            return [OrcidId.parse(uri) for uri, *known in found if not different_holders(KnownHolder(*known), holder)]
        except (sqlite3.Error, InvalidOrcidId):
            raise StoreUnavailable("the replica is damaged") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
