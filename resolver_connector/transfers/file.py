"""The kind `file`: one file for each change, in a directory.

The identity management reads the directory, for example at night. A reader processes every file whose name does not
begin with a dot, in the order of the names, and then removes it.

A file is written under another name and renamed, so a reader never sees a part of one, and no lock is needed, even with
several machines. Its name is the number and the id of the change, so repeated tries write the same file, and files
sort in the order of the changes even if the clock was set back. If a change is repeated after its file was removed, it
comes again with the same id, before later changes of the person.
"""

from __future__ import annotations

import base64
import csv
import errno
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from pydantic import model_validator

from resolver_connector.transfers.accounts import PLACEHOLDER, account_parts
from resolver_connector.transfers.base import (
    ChangeMessage,
    DeliveryResult,
    FilePath,
    Outcome,
    Policy,
    TransferModel,
    ValueForm,
    transfer_setting,
)
from resolver_connector.transfers.record import record
from shibboleth.deadline import Deadline

COLUMNS: Final = (
    "id",
    "action",
    "organisation",
    "attribute",
    "account",
    "previous_account",
    "orcid",
    "previous",
    "registry",
    "time",
    "reason",
)
LDIF_WIDTH: Final = 76
NUMBER_WIDTH: Final = 12
"""Digits of the change's number in a file name."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.ENFILE, errno.EMFILE, errno.ESTALE, errno.ETIMEDOUT}
"""Errors that end by themselves or when there is space again; any other is about the settings."""
_FORMULA = ("=", "+", "-", "@")
_MODE = re.compile(r"0?[0-7]{3}", re.ASCII)
# RFC 2849, SAFE-STRING; and no space at the end
_SAFE = re.compile(rb"(?![ :<])[\x01-\x09\x0b\x0c\x0e-\x7f]*(?<! )")
# RFC 4514, section 2.4
_SPECIAL_IN_DN = re.compile(r"[\"+,;<>\\=\0]|^[ #]| $")


class Format(StrEnum):
    """How a change is written."""

    CSV = "csv"
    LDIF = "ldif"
    JSONL = "jsonl"


class FileTransfer(TransferModel):
    """A directory into which changes are written."""

    kind = "file"
    ends_in_time = True

    directory: FilePath = transfer_setting(
        "The directory, which must be there; it should be on this machine.", "/var/spool/orcid-connect"
    )
    format: Format = transfer_setting(
        "How a change is written: `csv` with a header, `ldif` to be applied, or `jsonl`.", "csv", default=Format.CSV
    )
    mode: str = transfer_setting("Who may read and write a file, as chmod takes it in octal.", "0640", default="0640")
    value_form: ValueForm = transfer_setting(
        "How the iD is written: `https`, `http` or `bare`.", "https", default=ValueForm.HTTPS
    )
    dn: str = transfer_setting(
        "Only for `ldif`: the entry of a person. `{account}` is the account, `{user}` the part before its last "
        "`@`, `{scope}` the part after it; they are escaped.",
        "uid={user},ou=people,dc=example,dc=org",
        default="",
    )
    attribute: str = transfer_setting(
        "Only for `ldif`: the attribute that holds the iD.", "eduPersonOrcid", default="eduPersonOrcid"
    )
    object_class: str = transfer_setting(
        "Only for `ldif`: a class to add first, for entries that lack it. A directory refuses what it already has.",
        "eduPerson",
        default="",
    )
    policy: Policy = transfer_setting(
        "Only for `ldif`: what happens to another iD of the entry: `replace` replaces all values, `own` changes "
        "only iDs that this service wrote. `single` is not possible: a file cannot be asked which iD is there.",
        "replace",
        default=Policy.REPLACE,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not _MODE.fullmatch(self.mode):
            raise ValueError("mode is not three octal digits, as 0640")
        if self.policy is Policy.SINGLE:
            raise ValueError(
                'policy = "single" is not possible with file, which cannot ask what is there: choose "own"'
            )
        if self.format is Format.LDIF:
            self._must_name_entries()
        elif self.dn or self.object_class:
            raise ValueError('dn and object_class have a use only with format = "ldif"')
        return self

    @property
    def writes_moves(self) -> bool:
        """True: every format has a form for a moved link."""
        return True

    @property
    def account_template(self) -> str:
        """The template of the DN for LDIF, otherwise the account."""
        return self.dn or "{account}"

    def send(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:  # noqa: ARG002 - the interface of all kinds
        """Write a change into a file.

        It is written in a thread with a deadline, because a network file system may not answer.
        """
        return self.run_try(partial(self._try, message), deadline)

    def _try(self, message: ChangeMessage, deadline: Deadline) -> DeliveryResult:
        content = _FORMATS[self.format](self, message)
        name = f"{message.number:0{NUMBER_WIDTH}d}-{quote(message.id, safe='')}.{self.format}"
        try:
            return DeliveryResult(self._put(name, content, deadline))
        except OSError as error:
            outcome = Outcome.TEMPORARY if error.errno in _FULL else Outcome.MISCONFIGURED
            return DeliveryResult(
                outcome, f"cannot write into the directory: {(error.strerror or 'unknown error').lower()}"
            )

    def _must_name_entries(self) -> None:
        if not {"account", "user"} & set(PLACEHOLDER.findall(self.dn)):
            raise ValueError('dn is missing or names neither {account} nor {user}, and format = "ldif" needs it')
        if "{" in PLACEHOLDER.sub("", self.dn):
            raise ValueError("dn has other placeholders than {account}, {user} and {scope}")
        if not self.attribute:
            raise ValueError("attribute must not be empty")

    def _put(self, name: str, content: bytes, deadline: Deadline) -> Outcome:
        """Write a file and flush it to the disk.

        Raises:
            OSError: If it cannot be written.
        """
        path = self.directory / name
        with suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return Outcome.ALREADY_THERE
        unfinished = self.directory / f".{secrets.token_hex(8)}.part"
        try:
            self._write(unfinished, content)
            deadline.check()
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self._sync()
        return Outcome.STORED

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("xb", buffering=0) as file:
            os.fchmod(file.fileno(), int(self.mode, 8))
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())

    def _sync(self) -> None:
        """Flush the directory to the disk, so that the name of a file is durable."""
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


# --- Formats ------------------------------------------------------------------------------------------------------


def write_csv(file: FileTransfer, message: ChangeMessage) -> bytes:
    """Return a header and one row (RFC 4180), with all cells quoted.

    No cell can be taken for a formula by a spreadsheet.
    """
    found = record(message, file.value_form)
    person, previous = found.pop("person"), found.pop("previous_person") or {}
    accounts = {"account": person["value"], "previous_account": previous.get("value")}
    row = {**found, "attribute": person["attribute"], **accounts}
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([COLUMNS, [_no_formula(row[name] or "") for name in COLUMNS]])
    return text.getvalue().encode()


def write_jsonl(file: FileTransfer, message: ChangeMessage) -> bytes:
    """Return the record of the change as one line of JSON."""
    return json.dumps(record(message, file.value_form), separators=(",", ":")).encode() + b"\n"


def write_ldif(file: FileTransfer, message: ChangeMessage) -> bytes:
    """Return a change record (RFC 2849) for `ldapmodify -f`.

    A moved link has two records, the removal first.
    """
    messages = [message]
    if message.previous_account is not None:
        messages.insert(0, replace(message, account=message.previous_account, orcid_id=None, previous=message.orcid_id))
    text = ["version: 1\n", f"# {quote(message.id, safe='')}\n"]
    for each in messages:
        text += [_line("dn", _dn(file.dn, each.account)), _line("changetype", "modify")]
        for step in _steps(file, each):
            text += [*(_line(*line) for line in step), "-\n"]
        text.append("\n")
    return "".join(text).encode()


def _steps(file: FileTransfer, message: ChangeMessage) -> Iterator[list[tuple[str, str]]]:
    new, old = (file.value_form.write(each) if each else None for each in (message.orcid_id, message.previous))
    if new and file.object_class:
        yield [("add", "objectClass"), ("objectClass", file.object_class)]
    if file.policy is Policy.REPLACE:
        yield [("replace", file.attribute), *([(file.attribute, new)] if new else [])]
        return
    if old:
        yield [("delete", file.attribute), (file.attribute, old)]
    if new:
        yield [("add", file.attribute), (file.attribute, new)]


def _dn(template: str, account: str) -> str:
    parts = account_parts(account)
    return PLACEHOLDER.sub(lambda found: _escaped(parts[found[1]]), template)


def _escaped(text: str) -> str:
    return _SPECIAL_IN_DN.sub(lambda found: "".join(f"\\{octet:02x}" for octet in found[0].encode()), text)


def _line(name: str, value: str) -> str:
    octets = value.encode()
    safe = _SAFE.fullmatch(octets)
    line = f"{name}: {value}" if safe else f"{name}:: {base64.b64encode(octets).decode()}"
    first, rest = line[:LDIF_WIDTH], line[LDIF_WIDTH:]
    step = LDIF_WIDTH - 1
    return "\n ".join([first, *(rest[at : at + step] for at in range(0, len(rest), step))]) + "\n"


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


_FORMATS: Mapping[Format, Callable[[FileTransfer, ChangeMessage], bytes]] = {
    Format.CSV: write_csv,
    Format.LDIF: write_ldif,
    Format.JSONL: write_jsonl,
}
