"""A replica: what one organisation's logins release, as a file that is read where the database cannot be.

It is an SQLite file, whole in itself, with the relation of the database's own view, so that an Identity Provider asks
both in the same words: `select "eduPersonOrcid" from idp_release where account = …`. It is written beside the one
there is and takes its place in one step: whoever reads sees the old one or the new one, and nothing in between.
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

from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from sql.engines.base import unstorable
from sql.engines.sqlite import REASONS
from sql.errors import StoreUnavailable
from sql.rows import format_timestamp, parse_timestamp
from sql.store import Store

APPLICATION_ID = 0x6F726963
"""`oric`: tells a replica from every other SQLite file (https://www.sqlite.org/pragma.html#pragma_application_id)."""
_MODE = 0o640

# A draft that was not finished is thrown away, and `_draft_of` waits for the disk
_MAKE = f"""
pragma journal_mode = memory;
pragma synchronous = off;
pragma application_id = {APPLICATION_ID};
begin;
create table idp_release (
    account text not null primary key,
    "eduPersonOrcid" text not null
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
_ORCID_OF = 'select "eduPersonOrcid" from idp_release where account = ?'

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
    """The replica could not be written; what was there before is untouched. `reason` names nobody."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotAReplica(Exception):
    """The file is not a replica, or cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def write_replica(store: Store, organisation: str, registry: Registry, path: Path, now: datetime) -> int:
    """Write what an organisation, named by its entityID, releases of one registry; tell how many rows it is.

    All is as of one moment, and on the disk when this ends. Memory does not grow with the number of rows. The file is
    for its owner and its group (0640). Raises ReplicaNotWritten, also where something stands at the path that is not
    a replica of this organisation, and StoreUnavailable.
    """
    with _in_plain_words():
        _must_be_replaceable(path, organisation)
        with _draft_of(path) as draft, closing(Database(sqlite3.connect(draft, isolation_level=None))) as file:
            file.executescript(_MAKE)
            table = file.table("idp_release")
            with store.engine.stream(
                "list_released_orcid_ids", organisation=organisation, registry=registry.value
            ) as found:
                table.insert_all({name: row[name] for name in ("account", "eduPersonOrcid")} for row in found)
            count = table.count
            file.execute(_SIGN, (format_timestamp(now), organisation, registry.value, count))
            file.commit()
    return count


@contextmanager
def _in_plain_words() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ReplicaNotWritten(_reason(error)) from None
    except OSError as error:
        raise ReplicaNotWritten(_SAID.get(error.errno or 0, str(error.strerror))) from None


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _REASONS.get(code, f"SQLite answered with its code {code}")


def _must_be_replaceable(path: Path, organisation: str) -> None:
    """Refuse to write over anything but an older replica of the same organisation."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ReplicaNotWritten("what is there already is not a file")
        try:
            with Replica(path) as there:
                owner = there.organisation
        except NotAReplica as error:
            raise ReplicaNotWritten(f"what is there already is not a replica: {error}") from None
        if owner != organisation:
            raise ReplicaNotWritten(f"what is there already is the replica of {owner}")


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """Give a file beside the path to write to; it takes the path's place once all went well."""
    draft = path.with_name(f".{path.name}.new")
    with _held(draft) as file:
        try:
            yield draft
            os.fchmod(file, _MODE)
            os.fsync(file)
            draft.replace(path)
        except BaseException:
            draft.unlink()
            raise
        _have_on_disk(path.parent)


@contextmanager
def _held(draft: Path) -> Iterator[int]:
    """Hold the draft, empty, for us alone; one that a killed process left behind is taken over."""
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if not _ours(file, draft):
            raise ReplicaNotWritten("somebody else is writing it at this moment")
        os.ftruncate(file, 0)
        yield file
    finally:
        os.close(file)


def _ours(file: int, draft: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before us may have put it into its place meanwhile
        return os.path.samestat(os.fstat(file), draft.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _have_on_disk(directory: Path) -> None:
    """Have the directory on the disk, with the new file in it."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Replica:
    """A replica as it was when it was opened, whatever takes its place later. Threads may share it.

    Raises NotAReplica.
    """

    def __init__(self, path: Path) -> None:
        # immutable: nobody ever writes to this file, so nothing has to be locked, nor looked for beside it
        where = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        self._turn = threading.Lock()
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
        """Read the one row about it; TypeError and ValueError are for what a replica never says."""
        (mark,) = self._file.execute("pragma application_id").fetchone()
        if mark != APPLICATION_ID:
            raise ValueError(mark)
        made_at, self.organisation, registry, self.rows = self._file.execute(_ABOUT).fetchone()
        self.made_at = parse_timestamp(made_at)
        self.registry = Registry(registry)

    def orcid_of(self, account: str) -> list[OrcidId]:
        """Give the iD of an account, which is folded; nothing where there is none. Raises StoreUnavailable."""
        if unstorable({"account": account}):
            return []
        try:
            with self._turn:
                found = self._file.execute(_ORCID_OF, (account,)).fetchall()
            return [OrcidId.parse(uri) for (uri,) in found]
        except (sqlite3.Error, InvalidOrcidId):
            raise StoreUnavailable("the replica is damaged") from None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
