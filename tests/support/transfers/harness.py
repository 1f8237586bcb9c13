"""Test harness of each kind of transfer.

The transfer, its receiver, and the ways in which the receiver can fail.

`tests/contract/test_transfers.py` runs over `HARNESSES`: a new kind adds one here, or one for each of its profiles.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol
from unittest.mock import patch

from demo.idm.app import PASSWORD, SECRET, TOKEN, USER, Idm
from demo.idm.server import Server
from resolver_connector.transfers.base import ChangeMessage, Outcome, Policy, Transfer
from resolver_connector.transfers.file import FileTransfer, Format
from resolver_connector.transfers.rest import Profile, Removal, RestTransfer
from resolver_connector.transfers.scim import Form, Operation, ScimTransfer
from resolver_connector.transfers.soap import SoapTransfer
from sql.records import ChangeKind
from tests.support.factories import NOON, UNIVERSITY, UNIVERSITY_IDP, make_orcid_id
from tests.support.transfers.ldap import LdapHarness
from tests.support.transfers.private_ca import PrivateCa
from tests.support.transfers.slapd import Slapd

MAIJA = "maija@yliopisto.example"
AKE = "ake@yliopisto.example"
NOBODY = "nobody@yliopisto.example"
"""An account that no receiver knows."""

FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)


def with_settings(transfer, **settings):
    """Return a transfer with changed settings, validated as if read from a file."""
    fields = type(transfer).model_fields
    known = {(fields[name].alias or name): value for name, value in transfer}
    return type(transfer)(**{**known, **settings})


class TransferHarness(Protocol):
    """A transfer and its receiver.

    The receiver knows MAIJA and AKE and has no iD of either. It reports an unknown account, and refuses an iD that the
    other account has.
    """

    faults: ClassVar[Mapping[str, Outcome]]
    """Ways in which the receiver or the connection can fail, and the outcome of each."""
    answers: ClassVar[bool]
    """Whether the receiver responds at once; files are read later."""

    transfer: Transfer
    secrets: tuple[str, ...]
    """Values that must appear nowhere."""

    def get_ids(self, account: str) -> set[str] | None:
        """Return the bare iDs that the receiver holds; None for an unknown person."""

    def set_fault(self, how: str) -> None:
        """Fail in this way from now on."""

    def clear_fault(self) -> None:
        """Stop failing."""


@dataclass
class HarnessEnvironment:
    """What harnesses are built from."""

    directory: Path
    """Empty, and this test's own."""
    idm: Idm
    server: Server
    """Over TLS."""
    ca: PrivateCa
    slapd: Slapd


def make_change(kind=ChangeKind.LINKED, orcid_id=FIRST, previous=None, account=MAIJA, name="news-1", **other):
    """Build a change message; Maija's first iD unless given."""
    words = {"organisation": UNIVERSITY, "key": "eppn", "at": NOON, "entity_id": UNIVERSITY_IDP, "number": 1}
    return ChangeMessage(
        id=name, kind=kind, account=account, orcid_id=orcid_id, previous=previous, **{**words, **other}
    )


LINKED = make_change()
REPLACED = make_change(ChangeKind.REPLACED, SECOND, FIRST, name="news-2")
REMOVED = make_change(ChangeKind.REMOVED, None, SECOND, name="news-3")


# --- Kinds that speak HTTP ----------------------------------------------------------------------------------------

CERTIFICATES = ("expired", "wrong-name", "stranger")
HTTP_FAULTS = {
    **dict.fromkeys(CERTIFICATES, Outcome.MISCONFIGURED),
    "hang": Outcome.TEMPORARY,
    "drip": Outcome.TEMPORARY,
    "slow": Outcome.TEMPORARY,
    "reset": Outcome.TEMPORARY,
    "lost": Outcome.TEMPORARY,
    "cut": Outcome.TEMPORARY,
    "cut-headers": Outcome.TEMPORARY,
    "html": Outcome.MISCONFIGURED,
    "garbage": Outcome.MISCONFIGURED,
    "deep": Outcome.MISCONFIGURED,
    "big": Outcome.MISCONFIGURED,
    "301": Outcome.MISCONFIGURED,
    "400": Outcome.REFUSED,
    "401": Outcome.MISCONFIGURED,
    "403": Outcome.MISCONFIGURED,
    "404": Outcome.MISCONFIGURED,
    "422": Outcome.REFUSED,
    "429": Outcome.TEMPORARY,
    "500": Outcome.TEMPORARY,
    "503": Outcome.TEMPORARY,
    "echo": Outcome.REFUSED,
}
BREAK_OFF = ("slow", "cut", "garbage", "deep", "big")
"""The ways in which a body is of no use; of the kinds whose success is the status code alone, these are no failure."""
BASIC = {"user": USER, "password": PASSWORD}
BEARER = {"token": TOKEN}


@dataclass
class HttpHarness:
    """A transfer to a receiver over HTTPS."""

    faults: ClassVar[Mapping[str, Outcome]] = HTTP_FAULTS
    answers: ClassVar[bool] = True

    environment: HarnessEnvironment
    transfer: Transfer
    secrets: tuple[str, ...] = field(default=(PASSWORD, TOKEN, SECRET))

    def get_ids(self, account):
        return self.environment.idm.get_ids(account)

    def set_fault(self, how):
        if how in CERTIFICATES:
            self.environment.server.context = self.environment.ca.context(how)
        else:
            self.environment.idm.set_fault(how)

    def clear_fault(self):
        self.environment.server.context = self.environment.ca.context()
        self.environment.idm.clear_fault()

    @classmethod
    @contextmanager
    def open(cls, environment: HarnessEnvironment) -> Iterator[HttpHarness]:
        harness = cls(environment, cls.make(environment.server.address, environment.ca.certificate))
        yield harness
        harness.clear_fault()


class RestHarness(HttpHarness):
    """A kind whose success is the status code alone."""

    faults: ClassVar[Mapping[str, Outcome]] = {
        how: outcome for how, outcome in HTTP_FAULTS.items() if how not in BREAK_OFF
    }


class V1Harness(RestHarness):
    """The product's own profile."""

    @staticmethod
    def make(address, ca_file, **other):
        return RestTransfer(url=f"{address}/v1", ca_file=ca_file, **{"signing_secrets": (SECRET,), **other})


class CscHarness(RestHarness):
    """The profile of 2016, with a receiver for which an empty iD is a removal."""

    @staticmethod
    def make(address, ca_file, **other):
        words = {"profile": Profile.CSC, "mediator": "https://connect.example", "removal": Removal.EMPTY, **BASIC}
        return RestTransfer(url=f"{address}/csc", ca_file=ca_file, **{**words, **other})


class SoapHarness(HttpHarness):
    """The DirXML vocabulary."""

    faults = HTTP_FAULTS | {
        "soap-server": Outcome.TEMPORARY,
        "soap-client": Outcome.REFUSED,
        "bomb": Outcome.MISCONFIGURED,
    }

    @staticmethod
    def make(address, ca_file, **other):
        words = {"unknown_person": "No such object", "conflict": "not unique", **BASIC}
        return SoapTransfer(url=f"{address}/dirxml", ca_file=ca_file, **{**words, **other})


class SoapOwnHarness(SoapHarness):
    """The DirXML vocabulary, leaving other iDs alone."""

    @staticmethod
    def make(address, ca_file, **other):
        return SoapHarness.make(address, ca_file, policy=Policy.KEEP_OTHERS, **other)


class ScimHarness(HttpHarness):
    """SCIM, with the attribute in the path."""

    @staticmethod
    def make(address, ca_file=None, **other):
        return ScimTransfer(url=f"{address}/scim/v2", ca_file=ca_file, **{**BEARER, **other})


class ScimPathlessHarness(HttpHarness):
    """SCIM, with the attribute in the value."""

    @staticmethod
    def make(address, ca_file=None, **other):
        return ScimHarness.make(address, ca_file, form=Form.PATHLESS, operation=Operation.REPLACE, **other)


# --- Files --------------------------------------------------------------------------------------------------------


@dataclass
class FileHarness:
    """A directory of files and a reader that reads all of them."""

    faults: ClassVar[Mapping[str, Outcome]] = {
        "no directory": Outcome.MISCONFIGURED,
        "no place": Outcome.MISCONFIGURED,
        "full": Outcome.TEMPORARY,
    }
    answers: ClassVar[bool] = False
    format: ClassVar[Format] = Format.CSV
    secrets: ClassVar[tuple[str, ...]] = ()

    directory: Path
    transfer: Transfer = field(init=False)
    patches: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self):
        words = {"dn": "uid={user},ou=people,dc=yliopisto,dc=example"} if self.format is Format.LDIF else {}
        self.transfer = FileTransfer(directory=self.directory, format=self.format, **words)
        self.directory.mkdir()

    def get_ids(self, account):
        """Apply every file in the order of names."""
        held = {MAIJA: set(), AKE: set()}
        for path in sorted(self.directory.glob("[!.]*")):
            who, iD = getattr(self, f"read_{self.format}")(path.read_text())  # noqa: N806 - an iD is written so
            held[who] = {iD.rpartition("/")[2]} if iD else set()
        return held.get(account)

    @staticmethod
    def read_csv(text):
        [row] = csv.DictReader(text.splitlines())
        return row["account"], row["orcid"]

    @staticmethod
    def read_jsonl(text):
        found = json.loads(text)
        return found["person"]["value"], found["orcid"]

    @staticmethod
    def read_ldif(text):
        [user] = re.findall("^dn: uid=([^,]*),ou=people,", text, re.MULTILINE)
        values = re.findall("^eduPersonOrcid: (.*)$", text, re.MULTILINE)
        return f"{user}@yliopisto.example", "".join(values)

    def set_fault(self, how):
        if how == "full":
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.patches.enter_context(patch.object(os, "fsync", side_effect=full))
            return
        self.directory.rmdir()
        if how == "no place":
            self.directory.touch()

    def clear_fault(self):
        self.patches.close()
        if not self.directory.is_dir():
            self.directory.unlink(missing_ok=True)
            self.directory.mkdir()

    @classmethod
    @contextmanager
    def open(cls, environment: HarnessEnvironment) -> Iterator[FileHarness]:
        harness = cls(environment.directory / "spool")
        with harness.patches:
            yield harness


class LdifHarness(FileHarness):
    """Files of LDIF change records."""

    format = Format.LDIF


class JsonLinesHarness(FileHarness):
    """Files of JSON lines."""

    format = Format.JSONL


HARNESSES = {
    "rest v1": V1Harness,
    "rest csc": CscHarness,
    "soap replace": SoapHarness,
    "soap own": SoapOwnHarness,
    "scim path": ScimHarness,
    "scim pathless": ScimPathlessHarness,
    "file csv": FileHarness,
    "file ldif": LdifHarness,
    "file jsonl": JsonLinesHarness,
    "ldap": LdapHarness,
}
"""Harness by kind, with the profile after a space; `open(environment)` yields it for one test."""
