"""Where each kind of transfer is tried: the transfer, the other side it leads to, and the ways that side can fail.

A new kind passes `tests/contract/test_transfers.py` once it has a stand here (`STANDS`), or several for its profiles.
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
from tests.support.factories import NOON, UNIVERSITY, make_orcid_id
from tests.support.transfers.ldap import LdapStand
from tests.support.transfers.private_ca import PrivateCa
from tests.support.transfers.slapd import Slapd

MAIJA = "maija@yliopisto.example"
AKE = "ake@yliopisto.example"
NOBODY = "nobody@yliopisto.example"
"""Whom no other side knows."""

FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)


def changed(transfer, **settings):
    """Give a transfer with other settings, checked as if they had been read."""
    fields = type(transfer).model_fields
    known = {(fields[name].alias or name): value for name, value in transfer}
    return type(transfer)(**{**known, **settings})


class Stand(Protocol):
    """A transfer and its other side, which knows MAIJA and AKE and has no iD of either."""

    faults: ClassVar[Mapping[str, Outcome]]
    """The ways in which the other side, or the way to it, can fail, and what each has to be called."""
    answers: ClassVar[bool]
    """Whether the other side is there at once to say whom it knows; a file is read at night."""

    transfer: Transfer
    secrets: tuple[str, ...]
    """What must be seen nowhere."""

    def has(self, account: str) -> set[str] | None:
        """Give the bare iDs that the other side holds for a person; None where it does not know the person."""

    def breaks(self, how: str) -> None:
        """Let it fail in this way from now on."""

    def mends(self) -> None:
        """Let it work again."""


@dataclass
class World:
    """What stands are made from."""

    directory: Path
    """Empty, and this test's own."""
    idm: Idm
    server: Server
    """Over TLS."""
    ca: PrivateCa
    slapd: Slapd


def news(kind=ChangeKind.LINKED, orcid_id=FIRST, previous=None, account=MAIJA, name="news-1", **other):
    """Give a piece of news; Maija's first iD unless told otherwise."""
    words = {"organisation": UNIVERSITY, "key": "eppn", "at": NOON}
    return ChangeMessage(
        id=name, kind=kind, account=account, orcid_id=orcid_id, previous=previous, **{**words, **other}
    )


LINKED = news()
REPLACED = news(ChangeKind.REPLACED, SECOND, FIRST, name="news-2")
REMOVED = news(ChangeKind.REMOVED, None, SECOND, name="news-3")


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
class HttpStand:
    """A transfer to a receiver over HTTPS."""

    faults: ClassVar[Mapping[str, Outcome]] = HTTP_FAULTS
    answers: ClassVar[bool] = True

    world: World
    transfer: Transfer
    secrets: tuple[str, ...] = field(default=(PASSWORD, TOKEN, SECRET))

    def has(self, account):
        return self.world.idm.has(account)

    def breaks(self, how):
        if how in CERTIFICATES:
            self.world.server.context = self.world.ca.context(how)
        else:
            self.world.idm.breaks(how)

    def mends(self):
        self.world.server.context = self.world.ca.context()
        self.world.idm.mends()

    @classmethod
    @contextmanager
    def open(cls, world: World) -> Iterator[HttpStand]:
        stand = cls(world, cls.make(world.server.address, world.ca.certificate))
        yield stand
        stand.mends()


class RestStand(HttpStand):
    """A kind whose success is the status code alone."""

    faults: ClassVar[Mapping[str, Outcome]] = {
        how: outcome for how, outcome in HTTP_FAULTS.items() if how not in BREAK_OFF
    }


class V1Stand(RestStand):
    """Our own profile."""

    @staticmethod
    def make(address, ca_file, **other):
        return RestTransfer(url=f"{address}/v1", ca_file=ca_file, **{"signing_secrets": (SECRET,), **other})


class CscStand(RestStand):
    """The profile of 2016, towards a receiver that takes an empty iD for a removal."""

    @staticmethod
    def make(address, ca_file, **other):
        words = {"profile": Profile.CSC, "mediator": "https://connect.example", "removal": Removal.EMPTY, **BASIC}
        return RestTransfer(url=f"{address}/csc", ca_file=ca_file, **{**words, **other})


class SoapStand(HttpStand):
    """The vocabulary of DirXML."""

    faults = HTTP_FAULTS | {
        "soap-server": Outcome.TEMPORARY,
        "soap-client": Outcome.REFUSED,
        "bomb": Outcome.MISCONFIGURED,
    }

    @staticmethod
    def make(address, ca_file, **other):
        words = {"unknown_person": "No such object", "conflict": "not unique", **BASIC}
        return SoapTransfer(url=f"{address}/dirxml", ca_file=ca_file, **{**words, **other})


class SoapOwnStand(SoapStand):
    """The same, leaving other iDs alone."""

    @staticmethod
    def make(address, ca_file, **other):
        return SoapStand.make(address, ca_file, policy=Policy.OWN, **other)


class ScimStand(HttpStand):
    """SCIM, the attribute named in the path."""

    @staticmethod
    def make(address, ca_file=None, **other):
        return ScimTransfer(url=f"{address}/scim/v2", ca_file=ca_file, **{**BEARER, **other})


class ScimPathlessStand(HttpStand):
    """SCIM, the attribute named in the value."""

    @staticmethod
    def make(address, ca_file=None, **other):
        return ScimStand.make(address, ca_file, form=Form.PATHLESS, operation=Operation.REPLACE, **other)


# --- Files --------------------------------------------------------------------------------------------------------


@dataclass
class FileStand:
    """A directory of files, and an identity management that reads all of them from the beginning."""

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

    def has(self, account):
        """Do what stands in each file, in the order of names."""
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

    def breaks(self, how):
        if how == "full":
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.patches.enter_context(patch.object(os, "fsync", side_effect=full))
            return
        self.directory.rmdir()
        if how == "no place":
            self.directory.touch()

    def mends(self):
        self.patches.close()
        if not self.directory.is_dir():
            self.directory.unlink(missing_ok=True)
            self.directory.mkdir()

    @classmethod
    @contextmanager
    def open(cls, world: World) -> Iterator[FileStand]:
        stand = cls(world.directory / "spool")
        with stand.patches:
            yield stand


class LdifStand(FileStand):
    """The same with change records."""

    format = Format.LDIF


class JsonLinesStand(FileStand):
    """The same with lines of JSON."""

    format = Format.JSONL


STANDS = {
    "rest v1": V1Stand,
    "rest csc": CscStand,
    "soap replace": SoapStand,
    "soap own": SoapOwnStand,
    "scim path": ScimStand,
    "scim pathless": ScimPathlessStand,
    "file csv": FileStand,
    "file ldif": LdifStand,
    "file jsonl": JsonLinesStand,
    "ldap": LdapStand,
}
"""Each stand by the kind it tries, and after a space by the profile; `open(world)` gives it for one test."""
